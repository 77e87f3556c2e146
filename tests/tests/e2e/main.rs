//! End to end: controller, agents and clients as processes, on both engines, with real disks in
//! files, judged by tools that are not ours. One file per subject.

#![allow(clippy::unwrap_used)] // clippy knows tests by their attribute, not their helpers

mod api_description;
mod api_guide;
mod at_once;
mod backups;
mod bad_input;
mod bad_sectors;
mod bench_gateway;
mod bench_multicast;
mod bench_replication;
mod bench_rest;
mod bench_scale;
mod block_devices;
mod blocked_udp;
mod by_hand;
mod chaos;
mod cli_words;
mod client_options;
mod cold;
mod command_line;
mod controllers;
mod corruption;
mod crashes;
mod disk_full;
mod disks;
mod failover;
mod fog_replay;
mod foundries;
mod further_sources;
mod fuzz_disks;
mod holes;
mod image_notes;
mod image_versions;
mod images;
mod large_disks;
mod machines;
mod multicast;
mod newcomer;
mod node_loss;
mod observability;
mod old_contents;
mod orphans;
mod packages;
mod pages;
mod parts;
mod refusals;
mod replication;
mod round_trip;
mod selftest;
mod several_disks;
mod slow_clients;
mod snapins;
mod static_client;
mod strangers;
mod tables;
mod task_orders;
mod terminal;
mod unclear;
mod watching;
mod what_a_capture_takes;

/// Runs a scenario once per storage engine, as two tests.
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* $name:ident => $scenario:ident;)*) => {
        $(
            $(#[$doc])*
            mod $name {
                #[test]
                fn embedded() {
                    super::$scenario(foghorn_tests::stack::Engine::Embedded).unwrap();
                }

                #[test]
                fn etcd() {
                    super::$scenario(foghorn_tests::stack::Engine::Etcd).unwrap();
                }
            }
        )*
    };
}
pub(crate) use on_both_engines;
