//! Both ends of the protocol over real sockets. One program, so that it is linked once.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod endings;
mod flow;
mod multicast;
mod multicast_session;
mod refusals;
mod world;
