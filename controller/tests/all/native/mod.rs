//! A started controller with the embedded store, spoken to as operators, clients and agents do:
//! HTTPS and mutual TLS.

pub(crate) mod agent;
mod api_server;
mod by_hand;
mod check_in;
mod client_download;
mod controllers;
mod damage;
pub(crate) mod fleet;
mod fog_clients;
mod full_disk;
mod http_edge;
mod joining;
mod leaving;
mod link;
mod metrics;
mod multicast;
pub(crate) mod notifications;
mod operations;
mod proxy;
mod quorum;
mod replication;
mod seeing;
mod strangers;
mod unreached;
mod versions;
mod vouched;
pub(crate) mod whole_path;
