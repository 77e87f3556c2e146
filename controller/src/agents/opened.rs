//! The sessions that an agent was told to serve over its present link. Pure.

use std::collections::BTreeSet;

use foghorn_proto::link::controller_message::Message;
use foghorn_types::TaskId;

/// Follows every order that is sent.
#[derive(Debug, Default)]
pub(super) struct Opened {
    ordered: BTreeSet<TaskId>,
    /// What the agent had before, and this controller was too far behind to judge.
    had: BTreeSet<TaskId>,
}

impl Opened {
    /// The agent has these sessions from before, by its own word.
    pub(super) fn of(tasks: &[u32]) -> Self {
        Self {
            ordered: BTreeSet::new(),
            had: tasks.iter().copied().filter_map(TaskId::new).collect(),
        }
    }

    /// An order is sent.
    pub(super) fn note(&mut self, order: &Message) {
        match order {
            Message::Reconcile(all) => {
                // What a controller that is behind leaves out, the agent does not end.
                if !all.behind {
                    self.had.clear();
                }
                let tasks = all.sessions.iter().map(|session| session.task_id);
                self.ordered = tasks.filter_map(TaskId::new).collect();
            }
            Message::Open(session) => self.ordered.extend(TaskId::new(session.task_id)),
            Message::Cancel(session) => {
                if let Some(task) = TaskId::new(session.task_id) {
                    self.ordered.remove(&task);
                    self.had.remove(&task);
                }
            }
            _ => {}
        }
    }

    /// What it was told to serve and did not have before: the tables of this controller have shown it.
    pub(super) fn ordered(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.ordered.difference(&self.had).copied()
    }

    /// What it had before, of which the tables of this controller may not know yet.
    pub(super) fn had(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.had.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use foghorn_proto::link::{CancelSession, OpenSession, Reconcile};

    use super::*;

    fn open(task_id: u32) -> OpenSession {
        OpenSession {
            task_id,
            ..OpenSession::default()
        }
    }

    #[test]
    fn what_is_open_follows_from_the_orders() {
        let mut opened = Opened::default();
        opened.note(&Message::Open(open(9)));
        opened.note(&Message::Reconcile(Reconcile {
            sessions: vec![open(1), open(2)],
            ..Reconcile::default()
        }));
        opened.note(&Message::Open(open(3)));
        opened.note(&Message::Cancel(CancelSession {
            task_id: 2,
            ..CancelSession::default()
        }));
        let tasks: Vec<u32> = opened.ordered().map(TaskId::get).collect();
        assert_eq!(tasks, [1, 3]);
    }

    #[test]
    fn what_the_agent_had_stays_open_until_a_controller_that_is_not_behind_leaves_it_out() {
        for (behind, expected) in [(true, &[7][..]), (false, &[])] {
            let mut opened = Opened::of(&[7]);
            opened.note(&Message::Reconcile(Reconcile {
                sessions: vec![open(1)],
                behind,
                ..Reconcile::default()
            }));
            let had: Vec<u32> = opened.had().map(TaskId::get).collect();
            assert_eq!(had, expected);
        }
    }
}
