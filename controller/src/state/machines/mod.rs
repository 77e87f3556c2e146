//! Machines after imaging: who they are, what they run, how they are configured, and who may ask for
//! that. The words are those of the FoundriesFactory dialect: a *device* is the identity of a machine,
//! a *factory* is a site, a *target* is a version of an image.

pub mod boots;
pub mod config;
pub mod denied;
pub mod device;
pub mod group;
pub mod host_token;
pub mod identity;
pub mod meta;
mod naming;
pub mod packed;
pub mod policy;
pub mod queue;
pub mod removal;
pub mod scope;
pub mod sightings;
pub mod tags;
pub mod tests;
pub mod token;
pub mod updates;
pub mod users;
pub mod window;
