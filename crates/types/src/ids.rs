//! Integer ids, one type per class. FOG numbers each class from 1; 0 means "none" on its wire and
//! is never a valid id here.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an id is a whole number from 1 to {max}", max = u32::MAX)]
pub struct ParseIdError;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(#[schemars(range(min = 1, max = u32::MAX))] NonZeroU32);

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
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| ParseIdError)
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
integer_id!(
    /// A join token for many storage nodes.
    JoinTokenId
);
integer_id!(
    /// A set of devices of one factory that share a configuration.
    DeviceGroupId
);
integer_id!(
    /// A token for the API of factories.
    FactoryTokenId
);
integer_id!(
    /// A token with which machines enrol after imaging.
    HostTokenId
);

integer_id!(
    /// What a task does to its host. The constants are FOG's types that the program knows; people may add others, which boot
    /// the imaging environment with arguments of their own.
    TaskTypeId
);

impl TaskTypeId {
    /// A deploy.
    pub const DEPLOY: Self = Self::known(1);
    /// A capture.
    pub const CAPTURE: Self = Self::known(2);
    /// A deploy to several hosts that receive one stream.
    pub const MULTICAST: Self = Self::known(8);
    /// The host reports its hardware.
    pub const INVENTORY: Self = Self::known(10);
    /// Every snapin of the host runs.
    pub const ALL_SNAPINS: Self = Self::known(12);
    /// One snapin runs.
    pub const SINGLE_SNAPIN: Self = Self::known(13);
    /// The host is woken over the network.
    pub const WAKE_UP: Self = Self::known(14);
    /// A deploy that somebody starts by hand in a shell on the host.
    pub const DEPLOY_DEBUG: Self = Self::known(15);
    /// A capture that somebody starts by hand in a shell on the host.
    pub const CAPTURE_DEBUG: Self = Self::known(16);
    /// A deploy after which no snapins run.
    pub const DEPLOY_WITHOUT_SNAPINS: Self = Self::known(17);

    const fn known(number: u32) -> Self {
        match Self::new(number) {
            Some(id) => id,
            None => panic!("0 is not an id"),
        }
    }

    /// Writes an image to the host's disk, over whichever way.
    #[must_use]
    pub const fn is_deploy(self) -> bool {
        matches!(
            self,
            Self::DEPLOY | Self::MULTICAST | Self::DEPLOY_DEBUG | Self::DEPLOY_WITHOUT_SNAPINS
        )
    }

    /// Reads the host's disk into an image.
    #[must_use]
    pub const fn is_capture(self) -> bool {
        matches!(self, Self::CAPTURE | Self::CAPTURE_DEBUG)
    }

    /// Reads or writes an image.
    #[must_use]
    pub const fn is_imaging(self) -> bool {
        self.is_deploy() || self.is_capture()
    }

    /// Runs snapins and nothing else: the host needs no imaging environment and goes on with what
    /// it does.
    #[must_use]
    pub const fn is_snapins_only(self) -> bool {
        matches!(self, Self::ALL_SNAPINS | Self::SINGLE_SNAPIN)
    }

    /// Writes an image to the host's disk, sent to this host alone.
    #[must_use]
    pub const fn is_unicast_deploy(self) -> bool {
        self.is_deploy() && !matches!(self, Self::MULTICAST)
    }

    /// Brings snapins to its host: deploys except the one without snapins, and the two types that
    /// do nothing else.
    #[must_use]
    pub const fn carries_snapins(self) -> bool {
        matches!(self, Self::DEPLOY | Self::MULTICAST | Self::DEPLOY_DEBUG)
            || self.is_snapins_only()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_types_do_what_fog_says() {
        let of = |fits: fn(TaskTypeId) -> bool| -> Vec<u32> {
            (1..30)
                .filter(|number| fits(TaskTypeId::new(*number).unwrap()))
                .collect()
        };
        assert_eq!(of(TaskTypeId::is_deploy), [1, 8, 15, 17]);
        assert_eq!(of(TaskTypeId::is_capture), [2, 16]);
        assert_eq!(of(TaskTypeId::carries_snapins), [1, 8, 12, 13, 15]);
        assert_eq!(of(TaskTypeId::is_snapins_only), [12, 13]);
    }

    #[test]
    fn zero_is_not_an_id_and_text_round_trips() {
        assert_eq!(HostId::new(0), None);
        assert!("0".parse::<TaskId>().is_err());
        assert!("-1".parse::<TaskId>().is_err());
        let id: ImageId = "7".parse().unwrap();
        assert_eq!((id.get(), id.to_string()), (7, "7".to_owned()));
    }
}
