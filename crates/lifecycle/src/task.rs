//! The machine itself.

use foghorn_types::{StorageNodeId, Timestamp};

use crate::{Client, Effect, NodeFault, Outcome, TaskEvent, TaskKind, TaskState};

/// One imaging task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    parts: Parts,
}

/// Everything a task is made of, for whoever stores it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    /// What the task does.
    pub kind: TaskKind,
    /// Where it is in its life.
    pub state: TaskState,
    /// The task has ended by then, whatever happens.
    pub deadline: Timestamp,
    /// When bytes first moved.
    pub started: Option<Timestamp>,
    /// Nodes that have had the task and lost it. One of them may yet report that the client
    /// finished there.
    pub former: Vec<StorageNodeId>,
    /// Nodes that failed at it and are not tried again.
    pub faults: Vec<NodeFault>,
}

/// The event does not fit the state. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum TransitionError {
    #[error("the task has already ended")]
    AlreadyEnded,
    #[error("the task is not with storage node {0}")]
    WrongNode(StorageNodeId),
    #[error("the deadline has not passed yet")]
    NotYet,
    #[error("{event:?} cannot happen while the task is {state:?}")]
    Illegal { state: TaskState, event: TaskEvent },
}

impl Task {
    /// A task that waits for a node and for its client, and fails when it has not ended by
    /// `deadline`.
    #[must_use]
    pub fn new(kind: TaskKind, deadline: Timestamp) -> Self {
        let state = TaskState::Queued {
            client: Client::Awaited,
        };
        Self {
            parts: Parts {
                kind,
                state,
                deadline,
                started: None,
                former: vec![],
                faults: vec![],
            },
        }
    }

    /// A task as it was stored.
    #[must_use]
    pub fn from_parts(parts: Parts) -> Self {
        Self { parts }
    }

    /// All that a task is, to be stored.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What it does.
    #[must_use]
    pub fn kind(&self) -> TaskKind {
        self.parts.kind
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> &TaskState {
        &self.parts.state
    }

    /// When it fails at the latest.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.parts.deadline
    }

    /// When the first bytes moved; `None` before that.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.parts.started
    }

    /// Whether this node was tried and failed.
    #[must_use]
    pub fn has_failed_at(&self, node: StorageNodeId) -> bool {
        self.parts.faults.iter().any(|fault| fault.node == node)
    }

    /// Every legal move.
    ///
    /// ```text
    ///            Assigned              ClientCheckedIn            Progressed
    ///  Queued ────────────▶ Assigned ─────────────────▶ CheckedIn ──────────▶ Running
    ///  {client} ◀─────────────┴──────────────┬─────────────┴────────────────────┘ │
    ///    │  ▲   NodeLost (deploy only), Ended by the node's own fault (deploy only)│
    ///    │  │   NodeLacks (deploy only, before Running), Withdrawn (from Assigned) │
    ///    │  └── ClientCheckedIn: {CheckedIn}; Assigned then leads to CheckedIn     │
    ///    │          CheckedIn ◀──── ClientCheckedIn (the client came back) ─────────┤
    ///    ▼                                                                         ▼
    ///  Finished ◀── Ended · Stalled · NoNodeLeft · DeadlinePassed · Cancelled ── any state
    /// ```
    ///
    /// A capture stays with its node until the deadline, since the blocks received so far lie
    /// there.
    ///
    /// # Errors
    /// When the event does not fit the state; nothing is changed then.
    pub fn apply(
        &mut self,
        now: Timestamp,
        event: TaskEvent,
    ) -> Result<Vec<Effect>, TransitionError> {
        use {TaskEvent as E, TaskState as S};
        match (self.parts.state.clone(), event) {
            (S::Finished { .. }, _) => Err(TransitionError::AlreadyEnded),
            (_, E::DeadlinePassed) if now < self.parts.deadline => Err(TransitionError::NotYet),
            (_, E::DeadlinePassed) => {
                Ok(self.finish(now, failed("it had not ended by its deadline")))
            }
            (_, E::Cancelled { reason }) => Ok(self.finish(now, Outcome::Cancelled { reason })),

            (S::Queued { .. }, E::Assigned { node }) if self.has_failed_at(node) => {
                Err(TransitionError::WrongNode(node))
            }
            (
                S::Queued {
                    client: Client::Awaited,
                },
                E::Assigned { node },
            ) => Ok(self.enter(S::Assigned { node }, vec![Effect::OpenSession { node }])),
            (
                S::Queued {
                    client: Client::CheckedIn,
                },
                E::Assigned { node },
            ) => Ok(self.enter(S::CheckedIn { node }, vec![Effect::OpenSession { node }])),

            (S::Queued { .. }, E::ClientCheckedIn) => Ok(self.enter(
                S::Queued {
                    client: Client::CheckedIn,
                },
                vec![],
            )),
            (
                S::Assigned { node } | S::CheckedIn { node } | S::Running { node },
                E::ClientCheckedIn,
            ) => Ok(self.enter(S::CheckedIn { node }, vec![Effect::AdmitClient { node }])),

            (S::CheckedIn { node: own } | S::Running { node: own }, E::Progressed { node })
                if own == node =>
            {
                self.parts.started.get_or_insert(now);
                Ok(self.enter(S::Running { node }, vec![]))
            }
            (_, E::Progressed { node }) => Err(TransitionError::WrongNode(node)),

            (state, E::NodeLost { node })
                if state.node() == Some(node) && self.kind() == TaskKind::Deploy =>
            {
                let reason = "the storage node stopped answering".to_owned();
                self.leave_node(node);
                let lost = Effect::RecordNodeFailure { node, reason };
                // It may have linked again in this moment, and then keeps no session that nobody wants.
                Ok(vec![lost, Effect::WithdrawSession { node }])
            }
            (
                state @ (S::Assigned { node: own } | S::CheckedIn { node: own }),
                E::NodeLacks { node },
            ) if own == node && self.kind() == TaskKind::Deploy => {
                match state.client() {
                    // It may end there in this moment, and then has ended.
                    Some(Client::CheckedIn) => self.leave_node(node),
                    client => {
                        let client = client.unwrap_or(Client::Awaited);
                        self.parts.state = S::Queued { client };
                    }
                }
                // Without a report: the task may be back at this node by then, and would end with it.
                Ok(vec![Effect::WithdrawSession { node }])
            }
            (S::Assigned { node: own }, E::Withdrawn { node }) if own == node => Ok(self.enter(
                S::Queued {
                    client: Client::Awaited,
                },
                vec![Effect::WithdrawSession { node }],
            )),
            (state, E::Ended { node, outcome }) => self.ended(now, state, node, outcome),

            (S::Queued { .. }, E::NoNodeLeft) => {
                let last = self
                    .parts
                    .faults
                    .last()
                    .map_or("no storage node holds the image", |fault| &fault.reason);
                let reason = format!("no storage node is left that could serve it: {last}");
                Ok(self.finish(
                    now,
                    Outcome::Failed {
                        reason,
                        node_at_fault: true,
                    },
                ))
            }
            (S::CheckedIn { .. } | S::Running { .. }, E::Stalled { reason }) => {
                Ok(self.finish(now, failed(&reason)))
            }
            (state, event) => Err(TransitionError::Illegal { state, event }),
        }
    }

    fn ended(
        &mut self,
        now: Timestamp,
        state: TaskState,
        node: StorageNodeId,
        outcome: Outcome,
    ) -> Result<Vec<Effect>, TransitionError> {
        let owns = state.node() == Some(node);
        // The client went on with a node that had lost only its link to us. What it finished there
        // is finished.
        let finished_elsewhere = self.kind() == TaskKind::Deploy
            && outcome == Outcome::Complete
            && self.parts.former.contains(&node);
        if !owns && !finished_elsewhere {
            return Err(TransitionError::WrongNode(node));
        }
        match outcome {
            // Nothing can be complete that no client took part in.
            Outcome::Complete if state.client() != Some(Client::CheckedIn) => {
                Err(TransitionError::Illegal {
                    state,
                    event: TaskEvent::Ended {
                        node,
                        outcome: Outcome::Complete,
                    },
                })
            }
            Outcome::Failed {
                reason,
                node_at_fault: true,
            } if self.kind() == TaskKind::Deploy => {
                self.leave_node(node);
                self.parts.faults.push(NodeFault {
                    node,
                    reason: reason.clone(),
                });
                Ok(vec![Effect::RecordNodeFailure { node, reason }])
            }
            Outcome::Failed {
                reason,
                node_at_fault: true,
            } => {
                self.enter(
                    TaskState::Finished {
                        outcome: Outcome::Failed {
                            reason: reason.clone(),
                            node_at_fault: true,
                        },
                        at: now,
                    },
                    vec![],
                );
                Ok(vec![Effect::RecordNodeFailure { node, reason }])
            }
            outcome => {
                self.parts.started.get_or_insert(now);
                let effects = self.finish(now, outcome);
                // The reporting node has closed its session itself.
                Ok(effects
                    .into_iter()
                    .filter(|effect| {
                        !matches!(effect, Effect::CloseSession { node: other,
                        .. } if *other == node)
                    })
                    .collect())
            }
        }
    }

    fn enter(&mut self, state: TaskState, effects: Vec<Effect>) -> Vec<Effect> {
        self.parts.state = state;
        effects
    }

    fn leave_node(&mut self, node: StorageNodeId) {
        let client = self.parts.state.client().unwrap_or(Client::Awaited);
        if !self.parts.former.contains(&node) {
            self.parts.former.push(node);
        }
        self.parts.state = TaskState::Queued { client };
    }

    fn finish(&mut self, now: Timestamp, outcome: Outcome) -> Vec<Effect> {
        let reason = match &outcome {
            Outcome::Complete => "the task is complete".to_owned(),
            Outcome::Failed { reason, .. } | Outcome::Cancelled { reason } => reason.clone(),
        };
        let close = self
            .parts
            .state
            .node()
            .map(|node| Effect::CloseSession { node, reason });
        self.parts.state = TaskState::Finished { outcome, at: now };
        close.into_iter().collect()
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed {
        reason: reason.to_owned(),
        node_at_fault: false,
    }
}
