//! The controller from outside, its stores and its rules. One program, so that it is linked once.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod backups;
mod cluster;
mod devices;
mod engine;
mod fog_rules;
mod fog_support;
mod foundries;
mod further;
mod gateway;
mod given;
mod guards;
mod native;
mod places;
mod program;
mod sites;
mod start;
mod state_files;
mod state_folder;
mod store_conformance;
mod wire;
