//! Integer ids, one type per class. FOG numbers each class from 1; 0 means "none" on its wire and is never a valid id here.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The id with this number, or `None` for 0, which FOG uses for "no such object".
            #[must_use]
            pub const fn new(number: u32) -> Option<Self> {
                match NonZeroU32::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The number, never 0.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

// A macro only because the types are the same word for word and must never become interchangeable.
integer_id!(
    /// A machine that is imaged.
    HostId
);
integer_id!(
    /// An image object: a name and settings; its contents are a manifest.
    ImageId
);
integer_id!(
    /// One order to do something to one host.
    TaskId
);
integer_id!(
    /// A multicast session: tasks that are served by one stream per node.
    SessionId
);
integer_id!(
    /// A program or script that hosts run after imaging.
    SnapinId
);
integer_id!(
    /// A set of hosts.
    GroupId
);
integer_id!(
    /// A set of storage nodes that hold the same images.
    StorageGroupId
);
integer_id!(
    /// A storage node, that is, one agent.
    StorageNodeId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_not_an_id_and_text_round_trips() {
        assert_eq!(HostId::new(0), None);
        assert!("0".parse::<TaskId>().is_err());
        assert!("-1".parse::<TaskId>().is_err());
        let id: ImageId = "7".parse().unwrap();
        assert_eq!((id.get(), id.to_string()), (7, "7".to_owned()));
    }
}
