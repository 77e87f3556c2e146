//! Screen resolution of a host.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};

/// Screen resolution of a host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostScreenSetting {
    pub id: u32,
    pub host: u32,
    pub width: i64,
    pub height: i64,
    pub refresh: i64,
    pub orientation: i64,
    pub other1: i64,
    pub other2: i64,
}

impl HostScreenSetting {
    /// Index by host, which has one row at most.
    pub const BY_HOST: usize = 0;
}

impl Class for HostScreenSetting {
    const NAME: &'static str = "hostscreensetting";
    const ABOUT: &'static str = "Screen settings of a host.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the setting."),
        field!(reference, "hostID", host)
            .required()
            .about("The host."),
        field!(number, "width", width).about("Width in pixels."),
        field!(number, "height", height).about("Height in pixels."),
        field!(number, "refresh", refresh).about("Refresh rate in hertz."),
        field!(number, "orientation", orientation).about("Rotation as a number; 0 is upright."),
        field!(number, "other1", other1).about("Spare number."),
        field!(number, "other2", other2).about("Spare number."),
    ];
    const INDEXES: usize = 1;

    id_in_field!();
    points_at_host!();

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique {
            field: "hostID",
            value: self.host.to_string(),
            clash: Clash::Merge,
        }]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
