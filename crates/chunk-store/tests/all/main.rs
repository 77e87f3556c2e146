//! The store, from outside. One program, so that it is linked once.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod crash;
mod damage;
mod elsewhere;
mod parts;
mod parts_check;
mod store;
mod world;
