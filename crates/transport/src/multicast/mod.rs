//! Sockets of multicast sessions: thin drivers around the pure machines of `foghorn-multicast`.
//!
//! [`GroupSender`] sends to a group, [`GroupReceiver`] listens to one. Both are used from a thread
//! of their own: their calls block, for a bounded time. What is in the packets is not known here.

mod drops;
mod interface;
mod numbering;
mod receiving;
mod sending;
mod terms;

pub use interface::{FindInterfaceError, InterfaceChoice, ParseInterfaceError};
pub use numbering::{in_image, in_session, session_rate};
pub use receiving::{GroupReceiver, JoinGroupError};
pub use sending::{GroupSender, OpenSenderError, Sent};
pub use terms::SessionTerms;
