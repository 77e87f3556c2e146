//! The life of an imaging task as a state machine: which moves are legal, and what has to be done
//! after each.
//!
//! Pure: time is an argument, nothing is sent, stored or waited for here. Whoever drives it stores
//! the new state first and performs the returned [`Effect`]s afterwards, so that a crash in between
//! costs a repeated effect and never a lost state.

#![warn(missing_docs)]

mod effect;
mod state;
mod task;

pub use effect::Effect;
pub use state::{Client, NodeFault, Outcome, TaskEvent, TaskKind, TaskState};
pub use task::{Parts, Task, TransitionError};
