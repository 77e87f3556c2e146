//! When something that is repeated by the calendar comes next, in the site's time zone.
//!
//! All five fields must fit, as on a FOG server; Unix cron takes either of the two days instead.
//! Where a clock is put forward, a fixed time that it skips comes right after the gap; where it is
//! put back, a fixed time comes once, and "every n minutes" goes on through both hours.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use foghorn_types::Timestamp;
use jiff::Zoned;
use jiff::tz::TimeZone;

/// Fields of a calendar rule, in the order of a crontab, with the names that their class gives
/// them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fields<'a>(pub(crate) [(&'static str, &'a str); 5]);

/// A field of a calendar rule that means nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub(crate) struct BadRule {
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

/// Longer texts are no rule that a person wrote.
const LONGEST_FIELD: usize = 240;

/// A calendar rule that comes at least once.
#[derive(Clone, Debug)]
pub(crate) struct Rule(Cron);

impl Rule {
    /// # Errors
    /// Names the first field that cannot be read, or the day when the rule never comes.
    pub(crate) fn parse(fields: Fields<'_>) -> Result<Self, BadRule> {
        let mut whole = Vec::with_capacity(fields.0.len());
        for (place, (field, text)) in fields.0.into_iter().enumerate() {
            let text = text.trim();
            check(field, text)?;
            let mut alone = ["*"; 5];
            alone[place] = text;
            parse(&alone.join(" ")).map_err(|error| BadRule {
                field,
                why: format!("{text:?}: {error}"),
            })?;
            whole.push(text);
        }
        let day = fields.0[2].0;
        let never = |why: String| BadRule { field: day, why };
        let rule = Self(parse(&whole.join(" ")).map_err(|error| never(error.to_string()))?);
        match rule.after(Timestamp::from_millis(0), &TimeZone::UTC) {
            Some(_) => Ok(rule),
            None => Err(never("the given months have no such day".to_owned())),
        }
    }

    /// The first time after `time`; `None` when there is none in the years that calendars reach.
    pub(crate) fn after(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.0
            .find_next_occurrence(&zoned(time, zone)?, false)
            .ok()
            .map(|next| instant(&next))
    }

    /// The last time up to and including `time`.
    pub(crate) fn latest(&self, time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.0
            .find_previous_occurrence(&zoned(time, zone)?, true)
            .ok()
            .map(|last| instant(&last))
    }
}

fn check(field: &'static str, text: &str) -> Result<(), BadRule> {
    let refuse = |why: &str| {
        Err(BadRule {
            field,
            why: why.to_owned(),
        })
    };
    if text.is_empty() {
        return refuse(
            "is required; * means every value. A 0 counts as not sent when an object is created: write 00",
        );
    }
    if text.len() > LONGEST_FIELD {
        return refuse("is too long");
    }
    if text.contains(|c: char| c.is_whitespace() || c == '@') {
        return refuse(
            "must be one field of a crontab: a number, a list such as 1,15, a range such as 8-17, a step such as */5",
        );
    }
    Ok(())
}

fn parse(pattern: &str) -> Result<Cron, croner::errors::CronError> {
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .dom_and_dow(true)
        .build();
    parser.parse(pattern)
}

fn zoned(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).ok()?;
    Some(time.to_zoned(zone.clone()))
}

fn instant(time: &Zoned) -> Timestamp {
    Timestamp::from_millis(time.timestamp().as_millisecond())
}
