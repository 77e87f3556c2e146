//! The use cases, independent of the dialect. One file per subject; each function takes only what
//! it needs.

pub mod accounts;
pub mod audit;
pub mod authority;
pub mod boot_tokens;
pub mod check_in;
mod claim;
pub mod condition;
pub mod devices;
pub(crate) mod due;
pub mod dynamic_objects;
pub mod enrolment;
pub mod further;
pub mod given;
mod glance;
pub(crate) mod history;
pub mod holds;
pub mod idempotent;
mod inventory;
pub mod moves;
pub mod multicast;
pub mod notices;
pub mod objects;
pub mod one_time;
pub(crate) mod orders;
pub mod orphans;
pub mod passwords;
pub(crate) mod places;
pub mod power;
pub mod replication;
pub mod sessions;
pub mod short_codes;
pub mod sites;
pub mod snapin_files;
pub mod snapin_run;
pub(crate) mod snapin_view;
pub mod task_outcome;
pub mod tasks;
pub mod unreached;
mod user_rules;
pub(crate) mod user_tracking;
pub mod users;
pub mod versions;
pub(crate) mod wake;
pub mod waking;

pub use accounts::{FirstRun, first_run, first_run_as};
