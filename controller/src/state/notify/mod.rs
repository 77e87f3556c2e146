//! Telling people: whom, what is still to be told, and what became of each message.
//!
//! What is to be told is written in the transaction in which it happens ([`Pending`], one for each
//! target), so no crash loses it. A controller gathers what is pending into a [`Message`], and
//! whoever claims that sends it.

mod event;
mod marks;
mod message;
mod target;

pub use self::event::{Counts, Event, Failure, Named, Pending};
pub use self::marks::{Alarm, NodeSeen, Order};
pub use self::message::{Claim, Fate, Message, Pace};
pub use self::target::{Address, Mail, SEQUENCE, Sealed, Security, Target, Web};

use foghorn_types::Timestamp;

/// A part of a key that is new and sorts by time.
#[must_use]
pub fn new_id(now: Timestamp) -> String {
    let random = getrandom::u64().unwrap_or_default();
    format!("{:015}-{random:016x}", now.as_millis())
}

/// The parts of `PREFIX/0000000001/ID`.
fn two_parts(prefix: &str, key: &str) -> Option<(u32, String)> {
    let (target, id) = key.strip_prefix(prefix)?.split_once('/')?;
    Some((target.parse().ok()?, id.to_owned()))
}

/// [`Record`](super::shelf::Record) of what belongs to a target and has an id of its own.
macro_rules! of_target {
    ($prefix:expr) => {
        type Id = (u32, String);
        type Body = Self;
        type Index = ();

        fn id(&self) -> (u32, String) {
            (self.target, self.id.clone())
        }

        fn key_of((target, id): &(u32, String)) -> String {
            format!("{}{target:010}/{id}", $prefix)
        }

        fn id_in(key: &str) -> Option<(u32, String)> {
            super::two_parts($prefix, key)
        }

        fn modified(&self) -> $crate::store::Revision {
            self.modified
        }

        fn to_body(&self) -> Self {
            self.clone()
        }

        fn from_body(
            (target, id): (u32, String),
            body: Self,
            modified: $crate::store::Revision,
        ) -> Self {
            Self {
                target,
                id,
                modified,
                ..body
            }
        }
    };
}
use of_target;
