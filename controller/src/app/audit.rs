//! Reads the audit log: from the engine, newest first, a bounded part at a time.

use std::time::Duration;

use foghorn_types::Timestamp;
use tracing::warn;

use crate::state::audit::{self, AuditEntry, PREFIX, key_at};
use crate::store::{Store, StoreError};

/// Entries per request to the engine.
const PAGE: usize = 500;
/// Maximum number of entries that one search reads. A search with few matches returns where to
/// continue instead of reading for minutes.
const MOST_SEEN: usize = 20_000;
/// Length of the first time range. Each further one is twice as long: an engine that sorts before
/// it applies the limit has little to sort, and a sparse log of years takes about twenty requests.
const FIRST_STRETCH: Duration = Duration::from_secs(60);

/// Criteria of a search; absent ones match everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    pub class: Option<String>,
    pub id: Option<String>,
    /// Name or id of a user.
    pub user: Option<String>,
    pub since: Option<Timestamp>,
    /// Where an earlier search stopped.
    pub before: Option<Cursor>,
    pub limit: usize,
}

/// A place in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(String);

impl Cursor {
    /// Parses the text of a cursor.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (time, random) = text.split_once('-')?;
        let fits = time.len() == 16
            && time.bytes().all(|b| b.is_ascii_digit())
            && random.len() == 16
            && random.bytes().all(|b| b.is_ascii_hexdigit());
        fits.then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(
            self.0
                .get(..16)
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(0),
        )
    }
}

/// The matches, newest first, and where to continue; `None` at the end of the log.
pub type Found = (Vec<AuditEntry>, Option<Cursor>);

/// Searches the log backwards from `now` or from the cursor.
///
/// # Errors
/// When the engine cannot be read.
pub async fn search(store: &dyn Store, query: &Query, now: Timestamp) -> Result<Found, StoreError> {
    let floor_time = query.since.unwrap_or_default();
    // The clock of another controller may be ahead.
    let mut upper_time = query
        .before
        .as_ref()
        .map_or(now + Duration::from_secs(3600), Cursor::time);
    let mut to = query.before.as_ref().map_or_else(
        || key_at(upper_time),
        |cursor| format!("{PREFIX}{}", cursor.0),
    );
    let (mut found, mut seen, mut stretch) = (Vec::new(), 0, FIRST_STRETCH);
    loop {
        let lower_time = (upper_time - stretch).max(floor_time);
        let from = key_at(lower_time);
        loop {
            let page = store.range(&from, &to, PAGE, true).await?;
            let is_last = page.len() < PAGE;
            for entry in page {
                seen += 1;
                match audit::decode(&entry) {
                    Ok(decoded) if query.fits(&decoded) => found.push(decoded),
                    Ok(_) => {}
                    Err(error) => warn!(
                        key = entry.key,
                        error, "could not read an entry of the audit log"
                    ),
                }
                if found.len() >= query.limit || seen >= MOST_SEEN {
                    return Ok((
                        found,
                        entry.key.strip_prefix(PREFIX).and_then(Cursor::parse),
                    ));
                }
                to = entry.key;
            }
            if is_last {
                break;
            }
        }
        if lower_time <= floor_time {
            return Ok((found, None));
        }
        (to, upper_time, stretch) = (from, lower_time, stretch.saturating_mul(2));
    }
}

impl Query {
    fn fits(&self, entry: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let by = self.user.as_ref().is_none_or(|user| {
            user.to_lowercase() == entry.name.to_lowercase() || *user == entry.user.to_string()
        });
        let any = self.class.is_none() && self.id.is_none();
        by && (any
            || entry
                .changes
                .iter()
                .any(|change| is(&self.class, &change.class) && is(&self.id, &change.id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_a_place_and_nothing_else() {
        let cursor = Cursor::parse("0001790000000000-00ff00ff00ff00ff").unwrap();
        assert_eq!(cursor.time(), Timestamp::from_millis(1_790_000_000_000));
        for bad in [
            "",
            "-",
            "0001790000000000",
            "x001790000000000-00ff00ff00ff00ff",
            "../../obj/user/1-0",
        ] {
            assert_eq!(Cursor::parse(bad), None, "{bad}");
        }
    }
}
