//! Screen resolution of a host.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::field::Field;

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
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id)
            .required()
            .about("The host."),
        Field::number("width", |c: &Self| &c.width, |c| &mut c.width).about("Width in pixels."),
        Field::number("height", |c: &Self| &c.height, |c| &mut c.height).about("Height in pixels."),
        Field::number("refresh", |c: &Self| &c.refresh, |c| &mut c.refresh)
            .about("Refresh rate in hertz."),
        Field::number(
            "orientation",
            |c: &Self| &c.orientation,
            |c| &mut c.orientation,
        )
        .about("Rotation as a number; 0 is upright."),
        Field::number("other1", |c: &Self| &c.other1, |c| &mut c.other1).about("Spare number."),
        Field::number("other2", |c: &Self| &c.other2, |c| &mut c.other2).about("Spare number."),
    ];
    const INDEXES: usize = 1;

    id_in_field!();

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
