//! What a schedule does and when, as a person writes it and as FOG keeps it.

use foghorn_rest_types::fog::{Schedule, ScheduleBody};

/// What the tasks of a schedule do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Doing {
    /// Write the image of each host to its disk
    Deploy,
    /// The same without running snapins
    DeployNoSnapins,
    /// Deploy to all hosts of a group with one stream
    Multicast,
    /// Capture the disk of a host into its image
    Capture,
    /// Run all snapins of each host
    Snapins,
    /// Wake the hosts
    Wake,
}

/// FOG's task type for running one snapin.
pub(super) const ONE_SNAPIN: u32 = 13;

impl Doing {
    /// FOG's task type.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Deploy => 1,
            Self::DeployNoSnapins => 17,
            Self::Multicast => 8,
            Self::Capture => 2,
            Self::Snapins => 12,
            Self::Wake => 14,
        }
    }

    /// The task of this type of FOG, if it can be ordered here.
    pub(super) fn of_number(number: u64) -> Option<Self> {
        let all = <Self as clap::ValueEnum>::value_variants();
        all.iter()
            .copied()
            .find(|doing| u64::from(doing.number()) == number)
    }

    /// Whether it replaces what is on disks.
    pub(super) const fn replaces_disks(self) -> bool {
        matches!(self, Self::Deploy | Self::DeployNoSnapins | Self::Multicast)
    }

    /// # Errors
    /// When it is not done for groups, or only for them.
    pub(super) fn check(self, for_group: bool) -> Result<(), &'static str> {
        match (self, for_group) {
            (Self::Capture, true) => {
                Err("a capture is of one host: give --host instead of --group")
            }
            (Self::Multicast, false) => Err("a multicast is for a group: give --group"),
            _ => Ok(()),
        }
    }
}

/// The word for a task type of FOG.
pub(super) fn word(task_type: u64) -> String {
    match task_type {
        1 => "deploy".to_owned(),
        2 => "capture".to_owned(),
        8 => "multicast".to_owned(),
        10 => "inventory".to_owned(),
        12 => "snapins".to_owned(),
        13 => "snapin".to_owned(),
        14 => "wake".to_owned(),
        17 => "deploy-no-snapins".to_owned(),
        other => format!("task type {other}"),
    }
}

/// A calendar rule: the five fields of a crontab.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Calendar([String; 5]);

/// # Errors
/// When there are not five fields. What is in them is checked by the server.
pub(super) fn parse_calendar(text: &str) -> Result<Calendar, String> {
    let fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let number = fields.len();
    let fields: [String; 5] = fields.try_into().map_err(|_| {
        format!(
            "a calendar has five fields (minute, hour, day of the month, month, day of the week), such as \"0 3 * * 1\" for Mondays at 3:00; this has {number}"
        )
    })?;
    Ok(Calendar(fields))
}

impl Calendar {
    /// As the server takes it: for FOG a lone 0 is nothing.
    pub(super) fn write_to(self, body: &mut ScheduleBody) {
        let [minute, hour, day, month, weekday] = self.0;
        let zero = |text: String| if text == "0" { "00".to_owned() } else { text };
        body.kind = Some("C".to_owned());
        body.minute = Some(zero(minute));
        body.hour = Some(zero(hour));
        body.day_of_month = Some(day);
        body.month = Some(month);
        body.day_of_week = Some(if weekday == "0" {
            "7".to_owned()
        } else {
            weekday
        });
    }
}

/// The calendar of a schedule as a crontab; `None` for one that is done once.
pub(super) fn calendar_of(schedule: &Schedule) -> Option<String> {
    (schedule.kind == "C").then(|| {
        [
            &schedule.minute,
            &schedule.hour,
            &schedule.day_of_month,
            &schedule.month,
            &schedule.day_of_week,
        ]
        .map(|field| if field == "00" { "0" } else { field.as_str() })
        .join(" ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calendar_is_a_crontab_whose_zeros_reach_the_server() {
        let mut body = ScheduleBody::default();
        parse_calendar("0 3 * * 0").unwrap().write_to(&mut body);
        assert_eq!(body.minute.as_deref(), Some("00"));
        assert_eq!(body.hour.as_deref(), Some("3"));
        assert_eq!(body.day_of_week.as_deref(), Some("7"));
        assert_eq!(body.kind.as_deref(), Some("C"));
        for bad in ["", "0 3 * *", "@daily", "0 0 3 * * 1"] {
            assert!(parse_calendar(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_scheduled_is_refused_with_the_way_out() {
        assert!(Doing::Capture.check(true).is_err());
        assert!(Doing::Multicast.check(false).is_err());
        assert!(Doing::Deploy.check(true).is_ok() && Doing::Wake.check(false).is_ok());
        assert_eq!(word(u64::from(Doing::Snapins.number())), "snapins");
    }
}
