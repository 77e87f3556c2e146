//! A storage node of Foghorn: keeps images as chunks, streams them to and from the machines that
//! are being imaged, and does what the controller orders.
//!
//! `link` is the one connection to the controller, `sessions` serve clients over QUIC, `jobs` look
//! after the store. They meet in two places only: orders go from the link to sessions and jobs as
//! plain calls, reports come back through the outbox. No transfer ever waits for the controller,
//! except for its last word: a client is told "recorded" when the controller has recorded the end
//! of its task.
//!
//! Invariant: the agent decides nothing about tasks. Which client may have which chunks is the
//! controller's word; without one, nobody gets anything.

mod address;
pub mod args;
mod backoff;
mod cold;
mod config;
mod controller_url;
mod damage;
mod disk;
mod files;
mod healing;
mod health;
mod identity;
mod jobs;
mod journal;
mod link;
mod marks;
mod multicast;
mod origin;
mod outbox;
mod replicas;
mod served_image;
mod sessions;
mod space;
mod start;
mod status;
mod stored_image;
mod wake;
mod whole_file;

pub use cold::OpenColdError;
pub use config::{
    ColdConfig, Config, ConfigFile, Credentials, DEFAULT_QUIC_PORT, JoiningError, KnownAuthority,
    Limits, LoadConfigError, Offer, PROGRAM, Ticket, Timing, Upkeep, WakeConfig,
};
pub use controller_url::{ControllerUrl, ParseControllerUrlError};
pub use identity::{
    AuthorityError, CheckCertificateError, EnrolError, LoadIdentityError, NodeIdentity,
    SaveIdentityError,
};
pub use identity::{enrol, fingerprint as authority_fingerprint, load as load_identity};
pub use start::{Agent, StartError};
