//! Copies from node to node, as a model of `agent/src/replicas`.

use std::collections::BTreeSet;

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::{FetchReplica, ReplicaOrders, ReplicaPhase, ReplicaReport};
use foghorn_types::ManifestId;

use super::World;
use super::agent::manifest_of;
use crate::engine::Bug;
use crate::scenario::Place;

/// A copy that another node may make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Serve {
    copy: u32,
    node: String,
}

/// A copy that is being made here.
#[derive(Clone, Debug)]
pub(crate) struct Copying {
    image: u32,
    manifest: ManifestId,
    sources: Vec<String>,
    phase: ReplicaPhase,
}

impl World {
    /// The complete word of a controller.
    pub(crate) fn obey_copies(&mut self, index: usize, orders: ReplicaOrders) {
        let serves = orders.serve.into_iter().map(|serve| Serve {
            copy: serve.copy_id,
            node: serve.node,
        });
        self.agents[index].serves = serves.collect();
        let wanted: BTreeSet<u32> = orders.fetch.iter().map(|fetch| fetch.copy_id).collect();
        self.agents[index]
            .copies
            .retain(|copy, _| wanted.contains(copy));
        for fetch in orders.fetch {
            self.begin_copy(index, fetch);
        }
    }

    fn begin_copy(&mut self, index: usize, fetch: FetchReplica) {
        let sources = fetch
            .sources
            .into_iter()
            .map(|source| source.node)
            .collect();
        if let Some(copying) = self.agents[index].copies.get_mut(&fetch.copy_id) {
            copying.sources = sources;
            return;
        }
        let Some(what) = fetch.what else { return };
        let Some(manifest) = manifest_of(&what.manifest_id) else {
            return;
        };
        let copying = Copying {
            image: what.image_id,
            manifest,
            sources,
            phase: ReplicaPhase::Copying,
        };
        self.agents[index].copies.insert(fetch.copy_id, copying);
        self.go_on_copying(index, fetch.copy_id);
    }

    fn go_on_copying(&mut self, index: usize, copy: u32) {
        let (life, at) = (
            self.agents[index].life,
            self.now + self.random.u64(500..3_000),
        );
        self.at(at, move |world| {
            if world.agents[index].life == life && world.agents[index].is_alive {
                world.copy(index, copy);
            }
        });
    }

    fn copy(&mut self, index: usize, copy: u32) {
        let Some(copying) = self.agents[index].copies.get(&copy).cloned() else {
            return;
        };
        let own = self.agents[index].name.to_string();
        let gives = |(at, agent): (usize, &super::Agent)| {
            agent.is_alive
                && copying.sources.contains(&agent.name.to_string())
                && agent.holds.contains(&(copying.image, copying.manifest))
                && agent
                    .serves
                    .iter()
                    .any(|serve| serve.copy == copy && serve.node == own)
                && !self.net.is_cut(Place::Agent(index), Place::Agent(at))
        };
        if !self.agents.iter().enumerate().any(gives) {
            return self.go_on_copying(index, copy);
        }
        if self.engine.bug == Some(Bug::ReadyBeforeVerified) {
            self.say_copied(index, copy);
        }
        self.write(index, move |world| {
            let agent = &mut world.agents[index];
            agent.holds.insert((copying.image, copying.manifest));
            world.say_copied(index, copy);
            world.say_status(index);
        });
    }

    fn say_copied(&mut self, index: usize, copy: u32) {
        if let Some(copying) = self.agents[index].copies.get_mut(&copy) {
            copying.phase = ReplicaPhase::Done;
            self.say_copies(index);
        }
    }

    /// The last word on each copy, which is repeated on every new link.
    pub(crate) fn say_copies(&mut self, index: usize) {
        let copies: Vec<_> = self.agents[index]
            .copies
            .iter()
            .map(|(copy, copying)| {
                let mut report = ReplicaReport {
                    copy_id: *copy,
                    chunks_total: 100,
                    ..ReplicaReport::default()
                };
                report.set_phase(copying.phase);
                report
            })
            .collect();
        for report in copies {
            self.say(index, Message::Replica(report));
        }
    }
}
