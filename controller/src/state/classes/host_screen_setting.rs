//! Screen resolution of a host.

use crate::state::class::Class;
use crate::state::class::{Clash, Unique};
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
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::reference("hostID", |c: &Self| c.host, |c, id| c.host = id).required(),
        Field::number("width", |c| &c.width, |c| &mut c.width),
        Field::number("height", |c| &c.height, |c| &mut c.height),
        Field::number("refresh", |c| &c.refresh, |c| &mut c.refresh),
        Field::number("orientation", |c| &c.orientation, |c| &mut c.orientation),
        Field::number("other1", |c| &c.other1, |c| &mut c.other1),
        Field::number("other2", |c| &c.other2, |c| &mut c.other2),
    ];
    const INDEXES: usize = 1;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique { field: "hostID", value: self.host.to_string(), clash: Clash::Merge }]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.host.into())
    }
}
