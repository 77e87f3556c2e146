//! JSON bodies of the REST API, as both the controller's clients and its tests read and write them.
//!
//! [`fog`] is the FOG dialect, where every stored field travels as a string: those strings end
//! here, in typed ids, flags and addresses. [`native`] and its neighbours hold the bodies of
//! Foghorn's own routes. The description of the API takes their schemas and comments from here, so
//! comments on bodies and their members are written for whoever calls the API.
//!
//! Nothing here knows the domain: the public JSON must not move when the domain does.

#![warn(missing_docs)]

pub mod accounts;
pub mod audit;
pub mod background;
pub mod backup;
pub mod condition;
pub mod controllers;
pub mod fog;
pub mod host_work;
pub mod multicast;
pub mod native;
pub mod notifications;
mod schema;
pub mod state_file;
pub mod store;
pub mod tasks;
