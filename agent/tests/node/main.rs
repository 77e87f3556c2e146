//! A real agent, driven over the wire: enrolment, link, sessions and jobs.

// Helpers of tests are tests, which clippy.toml cannot see; and nothing here is reached from
// elsewhere.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod support;

mod alone;
mod cancel;
mod copies;
mod damage;
mod enrolment;
mod further;
mod health;
mod hostile_manifests;
mod joining;
mod link;
mod memory;
mod multicast;
mod refusals;
mod returning;
mod stopping;
mod transfers;
mod wake;
