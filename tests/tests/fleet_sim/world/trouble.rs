//! What goes wrong, and is put right again.

use super::World;
use crate::scenario::{Fault, Millis, Place};

impl World {
    pub(crate) fn plan_trouble(&mut self) {
        for (from, until, fault) in self.scenario.faults.clone() {
            self.at(from, move |world| {
                world.note(|| format!("trouble: {fault:?} until {until}"));
                world.break_it(fault, until);
            });
            self.at(until, move |world| {
                world.note(|| format!("over: {fault:?}"));
                world.mend_it(fault);
            });
        }
    }

    fn break_it(&mut self, fault: Fault, until: Millis) {
        match fault {
            Fault::ControllerDies(host) => self.kill_host(host),
            Fault::ControllerHangs(host) => {
                let hangs = &mut self.hosts[host].hangs_until;
                *hangs = Some(hangs.map_or(until, |before| before.max(until)));
            }
            Fault::AgentDies(agent) => self.kill_agent(agent),
            Fault::ClientDies(client) => self.kill_client(client),
            Fault::Cut(one, other) => self.cut(one, other),
            Fault::StoreDown => self.store_is_down += 1,
            Fault::StoreSlow => self.store_is_slow += 1,
            Fault::DiskSlow(agent) => self.agents[agent].disk_is_slow += 1,
            Fault::Compaction => {
                let revision = self.engine.revision;
                self.engine.compact(revision);
            }
            Fault::WatchBreaks(host) => self.break_watches(host),
            Fault::ClockSet(host, by) => self.hosts[host].skew += by,
        }
    }

    fn mend_it(&mut self, fault: Fault) {
        match fault {
            Fault::ControllerDies(host) => self.start_host(host),
            Fault::ControllerHangs(host) => {
                let hangs = &mut self.hosts[host].hangs_until;
                if hangs.is_some_and(|until| until <= self.now) {
                    *hangs = None;
                    self.due(host);
                }
            }
            Fault::AgentDies(agent) => self.start_agent(agent),
            Fault::ClientDies(client) => self.boot(client),
            Fault::Cut(one, other) => self.mend(one, other),
            Fault::StoreDown => self.store_is_down -= 1,
            Fault::StoreSlow => self.store_is_slow -= 1,
            Fault::DiskSlow(agent) => self.agents[agent].disk_is_slow -= 1,
            Fault::Compaction | Fault::WatchBreaks(_) | Fault::ClockSet(..) => {}
        }
        if let Fault::Cut(Place::Store, Place::Controller(host))
        | Fault::Cut(Place::Controller(host), Place::Store) = fault
        {
            self.tell_watches(host);
        }
    }
}
