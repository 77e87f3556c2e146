//! One suite for both engines of the store: what holds on one holds on the other, word for word.
//!
//! Needs `etcd` in the path (Debian: `etcd-server`); every test starts its own on free ports of
//! loopback.

mod backlog;
mod cache;
mod crash;
mod damage;
pub(crate) mod disk;
mod fence;
mod history;
mod members;
mod races;
mod secured;
pub(crate) mod single_calls;
