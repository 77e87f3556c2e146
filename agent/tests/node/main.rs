//! A real agent, driven over the wire: enrolment, link, sessions and jobs.

#[path = "../support/mod.rs"]
mod support;

mod cancel;
mod damage;
mod enrolment;
mod link;
mod refusals;
mod transfers;
