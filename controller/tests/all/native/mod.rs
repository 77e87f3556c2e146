//! A started controller with the embedded store, spoken to as operators, clients and agents do:
//! HTTPS and mutual TLS.

mod agent;
mod check_in;
pub(crate) mod fleet;
mod fog_clients;
mod full_disk;
mod http_edge;
mod link;
mod multicast;
mod operations;
mod proxy;
mod strangers;
mod versions;
mod whole_path;
