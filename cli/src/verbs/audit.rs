//! `foghorn audit`: who changed what.

use std::time::Duration;

use foghorn_rest_types::audit::{AuditChange, AuditPage};
use foghorn_types::Timestamp;

use super::Session;
use super::wait::parse_duration;
use crate::exit::{Exit, Failure};
use crate::native::encoded;
use crate::number::within;
use crate::output::Table;

/// Maximum number of entries per request.
const PAGE: usize = 1000;

#[derive(clap::Args, Debug)]
pub struct AuditArgs {
    /// Only changes of objects of this class, such as host
    #[arg(long)]
    class: Option<String>,
    /// Only changes of the object with this id
    #[arg(long)]
    id: Option<String>,
    /// Only changes by this user, by name or id
    #[arg(long)]
    user: Option<String>,
    /// Only changes within this time, such as 30m, 48h
    #[arg(long, value_parser = parse_duration)]
    since: Option<Duration>,
    /// Maximum number of entries
    #[arg(long, default_value_t = 100, value_parser = within(1..=100_000))]
    limit: u32,
}

/// # Errors
/// As the server answers.
pub fn run(args: &AuditArgs, session: &Session) -> Result<Exit, Failure> {
    let api = session.api()?;
    let wanted = args.limit as usize;
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        let limit = (wanted - entries.len()).min(PAGE);
        let page: AuditPage = api.get(&path(args, limit, before.as_deref(), Timestamp::now()))?;
        entries.extend(page.entries);
        before = page.next;
        if before.is_none() || entries.len() >= wanted {
            break;
        }
    }
    let mut table = Table::new(&["TIME", "USER", "FROM", "REQUEST", "CHANGED"]);
    for entry in &entries {
        let mut changes: Vec<String> = entry.changes.iter().map(describe).collect();
        if entry.more > 0 {
            changes.push(format!("and {} more", entry.more));
        }
        let request = format!("{} {}", entry.method, entry.path);
        table.row([
            session.output.time(&entry.at),
            entry.name.clone(),
            entry.from.clone(),
            request,
            changes.join("; "),
        ]);
    }
    session.output.show(&table, &entries)?;
    Ok(Exit::Ok)
}

fn path(args: &AuditArgs, limit: usize, before: Option<&str>, now: Timestamp) -> String {
    let since = args.since.map(|ago| (now - ago).to_string());
    let parameters = [
        ("class", args.class.as_deref()),
        ("id", args.id.as_deref()),
        ("user", args.user.as_deref()),
        ("since", since.as_deref()),
        ("before", before),
    ];
    let mut path = format!("/foghorn/v1/audit?limit={limit}");
    for (name, value) in parameters {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
    }
    path
}

fn describe(change: &AuditChange) -> String {
    let object = format!("{} {} {}", change.what, change.class, change.id);
    match change.fields.as_slice() {
        [] => object.trim_end().to_owned(),
        fields => format!("{} ({})", object.trim_end(), fields.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_carries_what_was_asked_for() {
        let args = AuditArgs {
            class: Some("host".to_owned()),
            id: None,
            user: Some("a b&c".to_owned()),
            since: Some(Duration::from_secs(60)),
            limit: 5,
        };
        let now = Timestamp::from_millis(60_000);
        let path = path(&args, 5, None, now);
        assert!(
            path.starts_with(
                "/foghorn/v1/audit?limit=5&class=host&user=a%20b%26c&since=1970-01-01T00:00:00"
            ),
            "{path}"
        );
    }
}
