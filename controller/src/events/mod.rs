//! What happens in the fleet, for those who listen: one watch of the store (`hub`) serves every
//! listener, and the last few thousand changes are remembered for those who come back (`history`).

pub(crate) mod history;
pub(crate) mod hub;

pub use self::hub::{Hub, run};
