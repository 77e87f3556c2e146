//! What the agents that are linked here said last, for the other controllers: everything once, to
//! each that begins to listen, and then whatever comes.
//!
//! Agents' own messages are passed on as they are, so what another controller shows of a node is
//! made by the same code as here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foghorn_proto::link::agent_message::Message;
use foghorn_proto::link::peer_event::Event;
use foghorn_proto::link::{
    AgentMessage, Hello, Job, JobReport, MulticastPhase, MulticastReport, NodeJob, NodeSaid,
    NodeStatus, NodeUp, ReplicaPhase, ReplicaReport, SessionProgress, Unreached,
};
use foghorn_types::{StorageNodeId, TaskId, Timestamp};
use tokio::sync::broadcast;

/// Events that a listener may be behind before it has to begin anew.
const BEHIND: usize = 8192;
/// Jobs that are remembered, as many as [`super::jobs`] does.
const JOBS: usize = 1000;

/// See the module.
pub struct Mirror {
    /// `None` where there are no other controllers.
    heard: Option<Mutex<Heard>>,
    events: broadcast::Sender<Arc<Event>>,
}

#[derive(Default)]
struct Heard {
    nodes: BTreeMap<StorageNodeId, Node>,
    jobs: BTreeMap<u64, (NodeJob, Option<JobReport>)>,
}

/// A node that is linked here.
#[derive(Default)]
struct Node {
    up: NodeUp,
    status: Option<NodeStatus>,
    progress: BTreeMap<u32, SessionProgress>,
    sessions: BTreeMap<u32, MulticastReport>,
    copies: BTreeMap<u32, ReplicaReport>,
}

impl Mirror {
    /// With `others`, there may be other controllers.
    #[must_use]
    pub fn new(others: bool) -> Self {
        Self {
            heard: others.then(Mutex::default),
            events: broadcast::Sender::new(BEHIND),
        }
    }

    /// A node is linked here.
    pub(crate) fn up(&self, node: StorageNodeId, hello: Hello, ends: Option<Timestamp>) {
        let up = NodeUp {
            node_id: node.get(),
            hello: Some(hello),
            certificate_ends_ms: ends.map_or(0, Timestamp::as_millis),
        };
        self.tell(|heard| {
            let fresh = Node {
                up: up.clone(),
                ..Node::default()
            };
            heard.nodes.insert(node, fresh);
            Event::Up(up)
        });
    }

    /// A node is no longer linked here.
    pub(crate) fn down(&self, node: StorageNodeId) {
        self.tell(|heard| {
            heard.nodes.remove(&node);
            Event::DownNodeId(node.get())
        });
    }

    /// A node is linked to another controller now, from which others hear that themselves. That it is
    /// down is not told: it could be heard first, and the node would be shown as gone for a moment.
    pub(crate) fn moved(&self, node: StorageNodeId) {
        self.tell(|heard| {
            heard.nodes.remove(&node);
            Event::MovedNodeId(node.get())
        });
    }

    /// A job that another controller has told of, to be told to those that come later: the one that
    /// ordered it may be gone by then.
    pub(crate) fn learned(&self, job: NodeJob) {
        if let Some(heard) = &self.heard {
            lock(heard).add(job);
        }
    }

    /// What another controller has passed on of a job.
    pub(crate) fn passed_on(&self, report: &JobReport) {
        if let Some(heard) = &self.heard
            && let Some((_, last)) = lock(heard).jobs.get_mut(&report.job_id)
        {
            *last = Some(report.clone());
        }
    }

    /// The agent of a node that is linked here said something.
    pub(crate) fn said(&self, node: StorageNodeId, message: &Message) {
        self.tell(|heard| {
            heard.remember(node, message);
            Event::Said(NodeSaid {
                node_id: node.get(),
                message: Some(AgentMessage {
                    message: Some(message.clone()),
                }),
            })
        });
    }

    /// A job was ordered.
    pub(crate) fn ordered(&self, node: StorageNodeId, job: &Job, at: Timestamp) {
        self.tell(|heard| {
            let job = NodeJob {
                node_id: node.get(),
                created_ms: at.as_millis(),
                job: Some(job.clone()),
            };
            heard.add(job.clone());
            Event::Job(job)
        });
    }

    /// A client does not reach the node of its task.
    pub(crate) fn unreached(&self, task: TaskId, reason: &str) {
        self.tell(|_| {
            Event::Unreached(Unreached {
                task_id: task.get(),
                reason: reason.to_owned(),
            })
        });
    }

    /// Everything that is known, and what follows it.
    pub(crate) fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Arc<Event>>) {
        let Some(heard) = &self.heard else {
            return (Vec::new(), self.events.subscribe());
        };
        let heard = lock(heard);
        (heard.all(), self.events.subscribe())
    }

    /// Under the lock, so that a listener gets everything either in what is known or as news.
    fn tell(&self, event: impl FnOnce(&mut Heard) -> Event) {
        if let Some(heard) = &self.heard {
            let mut heard = lock(heard);
            let event = event(&mut heard);
            // Without listeners there is nobody to tell.
            let _listeners = self.events.send(Arc::new(event));
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn add(&mut self, job: NodeJob) {
        if self.jobs.len() >= JOBS {
            self.jobs.pop_first();
        }
        let id = job.job.as_ref().map_or(0, |job| job.job_id);
        self.jobs.entry(id).or_insert((job, None));
    }

    fn remember(&mut self, node: StorageNodeId, message: &Message) {
        if let Message::Job(report) = message {
            if let Some((_, last)) = self.jobs.get_mut(&report.job_id) {
                *last = Some(report.clone());
            }
            return;
        }
        let Some(known) = self.nodes.get_mut(&node) else {
            return;
        };
        match message {
            Message::Status(status) => known.status = Some(status.clone()),
            Message::Progress(progress) => {
                known.progress.insert(progress.task_id, *progress);
            }
            Message::Multicast(report) if report.phase() == MulticastPhase::Ended => {
                known.sessions.remove(&report.session_id);
            }
            Message::Multicast(report) => {
                known.sessions.insert(report.session_id, report.clone());
            }
            Message::Ended(ended) => {
                known.progress.remove(&ended.task_id);
                known.sessions.retain(|_, report| {
                    report
                        .receivers
                        .iter()
                        .any(|receiver| receiver.task_id != ended.task_id)
                });
            }
            // How it ended is in the store.
            Message::Replica(report)
                if matches!(report.phase(), ReplicaPhase::Done | ReplicaPhase::Failed) =>
            {
                known.copies.remove(&report.copy_id);
            }
            Message::Replica(report) => {
                known.copies.insert(report.copy_id, report.clone());
            }
            Message::Hello(_) | Message::Job(_) => {}
        }
    }

    fn all(&self) -> Vec<Event> {
        let said = |node: u32, message| {
            Event::Said(NodeSaid {
                node_id: node,
                message: Some(AgentMessage {
                    message: Some(message),
                }),
            })
        };
        let mut all = Vec::new();
        for node in self.nodes.values() {
            let id = node.up.node_id;
            all.push(Event::Up(node.up.clone()));
            let status = node.status.iter().cloned().map(Message::Status);
            let progress = node.progress.values().copied().map(Message::Progress);
            let sessions = node.sessions.values().cloned().map(Message::Multicast);
            let copies = node.copies.values().cloned().map(Message::Replica);
            all.extend(
                status
                    .chain(progress)
                    .chain(sessions)
                    .chain(copies)
                    .map(|message| said(id, message)),
            );
        }
        for (job, report) in self.jobs.values() {
            all.push(Event::Job(job.clone()));
            let report = report.iter().cloned().map(Message::Job);
            all.extend(report.map(|message| said(job.node_id, message)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32) -> StorageNodeId {
        StorageNodeId::new(id).unwrap()
    }

    fn progress(task_id: u32, bytes_done: u64) -> Message {
        Message::Progress(SessionProgress {
            task_id,
            bytes_done,
            ..SessionProgress::default()
        })
    }

    #[test]
    fn whoever_begins_to_listen_hears_the_latest_of_everything() {
        let mirror = Mirror::new(true);
        mirror.up(node(1), Hello::default(), None);
        mirror.up(node(2), Hello::default(), None);
        mirror.said(node(1), &progress(7, 1));
        mirror.said(node(1), &progress(7, 2));
        mirror.down(node(2));
        let (all, mut news) = mirror.listen();
        let shown: Vec<_> = all.iter().map(|event| format!("{event:?}")).collect();
        assert_eq!(all.len(), 2, "{shown:?}");
        assert!(shown[1].contains("bytes_done: 2"), "{shown:?}");
        mirror.down(node(1));
        assert_eq!(*news.try_recv().unwrap(), Event::DownNodeId(1));
        assert!(mirror.listen().0.is_empty());
    }

    #[test]
    fn without_other_controllers_nothing_is_kept() {
        let mirror = Mirror::new(false);
        mirror.up(node(1), Hello::default(), None);
        assert!(mirror.listen().0.is_empty());
    }
}
