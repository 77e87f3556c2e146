//! The server's certificate: is it signed by the authority that the context trusts, and when does
//! it expire.

use jiff::{SignedDuration, Timestamp};

use super::tls::{self, Cause, end_of};
use super::{Finding, reach};
use crate::api::certificates;
use crate::context::Context;
use crate::human::Zone;

/// The controller renews its own certificates long before this; a certificate this close to its
/// expiry was not renewed.
const SOON: SignedDuration = SignedDuration::from_hours(3 * 24);

/// `is_reached`: whether there is a server to ask for its certificate.
pub(super) fn check(context: &Context, is_reached: bool, zone: Zone) -> Vec<Finding> {
    let Some(authority) = context.server.strip_prefix("https://") else {
        let todo = "plain HTTP is allowed on this machine only; use https:// from other machines";
        return vec![Finding::warn(
            "tls",
            "the connection is not encrypted",
            todo,
        )];
    };
    let Some(pem) = &context.ca_pem else {
        return vec![Finding::ok(
            "tls",
            "no authority is pinned; the public authorities are used",
        )];
    };
    let now = (Timestamp::now(), zone);
    let mut findings = match end_of_authority(pem) {
        Ok(end) => vec![judge(
            "authority",
            end,
            now,
            "replace the authority and enrol nodes again",
        )],
        Err(error) => vec![Finding::fail(
            "authority",
            error.to_string(),
            "log in again with --ca or --ca-fingerprint",
        )],
    };
    if is_reached {
        let (host, port) = tls::split(authority);
        findings.push(match tls::handshake((host, port), host, pem) {
            Ok(end) => judge(
                "certificate",
                end,
                now,
                "see the controller's log: it should have renewed the certificate",
            ),
            Err(error) => reach::handshake_failed("certificate", &error, authority),
        });
    }
    findings
}

pub(super) fn judge(
    check: &'static str,
    end: Timestamp,
    (now, zone): (Timestamp, Zone),
    todo: &str,
) -> Finding {
    let left = end.duration_since(now);
    let shown = zone.time(&end.to_string());
    let found = format!("valid until {shown}");
    if left.is_negative() {
        Finding::fail(check, format!("ended on {shown}"), todo)
    } else if left < SOON {
        Finding::warn(check, found, todo)
    } else {
        Finding::ok(check, found)
    }
}

fn end_of_authority(pem: &str) -> Result<Timestamp, Cause> {
    let all = certificates(pem)?;
    let ends = all
        .iter()
        .map(|certificate| end_of(certificate.der()))
        .collect::<Result<Vec<_>, _>>()?;
    ends.into_iter()
        .min()
        .ok_or_else(|| "the context has no certificate authority".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn what_ends_soon_is_said_in_time() {
        let now: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let verdict =
            |end: &str| judge("certificate", end.parse().unwrap(), (now, Zone::Utc), "x").verdict;
        assert_eq!(verdict("2026-12-21T00:00:00Z"), Verdict::Ok);
        assert_eq!(verdict("2026-11-22T00:00:00Z"), Verdict::Warn);
        assert_eq!(verdict("2026-11-20T00:00:00Z"), Verdict::Fail);
    }
}
