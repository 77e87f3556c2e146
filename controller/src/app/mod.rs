//! What can be done to the state, whatever dialect asks for it.

pub mod task_outcome;
