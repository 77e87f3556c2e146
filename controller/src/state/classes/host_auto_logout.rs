//! Minutes of idling after which a host logs its user out.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::field::{Field, field};

/// Minutes of idling after which a host logs its user out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostAutoLogout {
    pub id: u32,
    pub host: u32,
    pub time: String,
}

impl HostAutoLogout {
    /// Index by host, which has one row at most.
    pub const BY_HOST: usize = 0;
}

impl Class for HostAutoLogout {
    const NAME: &'static str = "hostautologout";
    const ABOUT: &'static str = "When users of a host are logged out.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the setting."),
        field!(reference, "hostID", host)
            .required()
            .about("The host."),
        field!(text, "time", 10, time)
            .required()
            .about("Minutes without activity after which a user is logged out."),
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
