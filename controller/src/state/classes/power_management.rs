//! When hosts are woken, shut down or restarted.

use crate::state::class::{Clash, Class, Unique, id_in_field};
use crate::state::classes::host::points_at_host;
use crate::state::cron::Fields;
use crate::state::field::{Field, field};
use crate::state::value::Flag;

/// One rule for one host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PowerManagement {
    pub id: u32,
    pub host: u32,
    pub minute: String,
    pub hour: String,
    pub day_of_month: String,
    pub month: String,
    pub day_of_week: String,
    pub on_demand: Flag,
    pub action: String,
}

impl PowerManagement {
    /// Index by host.
    pub const BY_HOST: usize = 0;
    /// Those that wake their host, under key 0.
    pub const WAKING: usize = 1;

    /// `action` that wakes the host.
    pub const WAKE: &'static str = "wol";
    const ACTIONS: &'static [&'static str] = &["shutdown", "reboot", Self::WAKE];

    #[must_use]
    pub fn wakes(&self) -> bool {
        self.action == Self::WAKE
    }

    pub(crate) fn calendar(&self) -> Fields<'_> {
        Fields([
            ("min", &self.minute),
            ("hour", &self.hour),
            ("dom", &self.day_of_month),
            ("month", &self.month),
            ("dow", &self.day_of_week),
        ])
    }
}

impl Class for PowerManagement {
    const NAME: &'static str = "powermanagement";
    const ABOUT: &'static str = "A rule by which a host is woken, shut down or restarted.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the rule."),
        field!(reference, "hostID", host)
            .required()
            .about("Id of the host."),
        field!(text, "min", 50, minute)
            .required()
            .about("Minutes of the hour, 0 to 59, as in a crontab. On create write `00` for 0."),
        field!(text, "hour", 50, hour)
            .required()
            .about("Hours of the day, 0 to 23, in the site's time zone. On create write `00` for 0."),
        field!(text, "dom", 50, day_of_month)
            .required()
            .about("Days of the month, 1 to 31; `dow` must fit as well."),
        field!(text, "month", 50, month)
            .required()
            .about("Months of the year, 1 to 12."),
        field!(text, "dow", 50, day_of_week)
            .required()
            .about("Days of the week, 1 (Monday) to 7; Sunday is 0 too."),
        field!(flag, "onDemand", on_demand).about(
            "`1`: at once and only once, whatever the calendar fields say; the rule goes when it has been done.",
        ),
        Field::choice("action", Self::ACTIONS, |c: &Self| &c.action, |c| &mut c.action)
            .required()
            .about("`shutdown` and `reboot` are fetched by the host's client, `wol` wakes the host over the network."),
    ];
    const INDEXES: usize = 2;

    id_in_field!();
    points_at_host!();

    fn uniques(&self) -> Vec<Unique> {
        let calendar = self.calendar().0.map(|(_, text)| text.to_uppercase());
        let value = format!("{}/{}/{}", self.host, calendar.join(" "), self.action);
        vec![Unique {
            field: "hostID",
            value,
            clash: Clash::Merge,
        }]
    }

    fn index_key(&self, number: usize) -> Option<u64> {
        match number {
            Self::BY_HOST => Some(self.host.into()),
            _ => self.wakes().then_some(0),
        }
    }
}
