//! The client from outside. One program, so that it is linked once.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod check_in;
mod host;
mod pipelines;
mod stopping;
