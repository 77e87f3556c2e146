//! One suite for both engines of the store: what holds on one holds on the other, word for word.
//!
//! Needs `etcd` in the path (Debian: `etcd-server`); every test starts its own on free ports of loopback.

#![expect(clippy::unwrap_used, reason = "clippy.toml exempts test functions; their helpers are tests as well")]

mod backlog;
mod cache;
mod crash;
mod engine;
mod history;
mod leases;
mod races;
mod secured;
mod single_calls;
