//! What is wrong with a connection, when trying again will not help.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// A fault that stays until somebody does something about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The certificate is for other names.
    OtherName { names: Vec<String>, asked: String },
    /// The certificate has ended, at this Unix time if that is known, or this clock is ahead.
    Expired(Option<u64>),
    /// The certificate is not valid yet, or this clock is behind.
    NotYetValid,
    /// Somebody else has signed the certificate.
    OtherAuthority,
    /// The other side does not take our certificate.
    Unwanted,
    /// Something answers that does not speak TLS.
    NotTls,
    /// The name has no address.
    UnknownName,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherName { names, asked } if names.is_empty() => {
                write!(f, "the certificate has no name; you asked for {asked}")
            }
            Self::OtherName { names, asked } => write!(
                f,
                "the certificate is for {}; you asked for {asked}",
                names.join(", ")
            ),
            Self::Expired(None) => f.write_str("the certificate of the server has ended"),
            Self::Expired(Some(at)) => {
                write!(f, "the certificate of the server ended on {}", utc(*at))
            }
            Self::NotYetValid => f.write_str("the certificate of the server is not valid yet"),
            Self::OtherAuthority => {
                f.write_str("the certificate of the server is not from the expected authority")
            }
            Self::Unwanted => f.write_str("the server does not accept our certificate"),
            Self::NotTls => f.write_str("what answers there does not speak TLS"),
            Self::UnknownName => f.write_str("the name of the server has no address"),
        }
    }
}

impl Trouble {
    /// What people can do about it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::OtherName { asked, .. } => format!(
                "use one of these names, or start the server with --advertise {asked} (a controller: put {asked} into rest.names)"
            ),
            Self::Expired(_) | Self::NotYetValid => {
                "compare the clocks of both machines; if they are right, restart the server, which makes a new certificate".to_owned()
            }
            Self::OtherAuthority => {
                "check that the address is that of your server; if its authority was replaced, log in again with --ca-fingerprint".to_owned()
            }
            Self::Unwanted => "enrol this machine again: `foghorn node join-token NAME` prints a token".to_owned(),
            Self::NotTls => "check the port: the server takes HTTPS at 8443 unless it was told otherwise".to_owned(),
            Self::UnknownName => "check how the name is written and the name servers of this machine, or use the address".to_owned(),
        }
    }
}

/// The fault behind `error`, if it is one that stays.
#[must_use]
pub fn trouble(error: &(dyn Error + 'static)) -> Option<Trouble> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = of_one(error) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn of_one(error: &(dyn Error + 'static)) -> Option<Trouble> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return of_tls(tls);
    }
    // Its `source` leaves out what it contains.
    let io = error.downcast_ref::<io::Error>()?;
    if let Some(inner) = io.get_ref() {
        return trouble(inner);
    }
    None
}

fn of_tls(error: &rustls::Error) -> Option<Trouble> {
    match error {
        rustls::Error::InvalidCertificate(problem) => of_certificate(problem),
        rustls::Error::InvalidMessage(_) => Some(Trouble::NotTls),
        rustls::Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRequired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA,
        ) => Some(Trouble::Unwanted),
        _ => None,
    }
}

fn of_certificate(problem: &CertificateError) -> Option<Trouble> {
    Some(match problem {
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => Trouble::OtherName {
            names: presented.iter().map(|name| plain(name)).collect(),
            asked: expected.to_str().into_owned(),
        },
        CertificateError::Expired => Trouble::Expired(None),
        CertificateError::ExpiredContext { not_after, .. } => {
            Trouble::Expired(Some(not_after.as_secs()))
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Trouble::NotYetValid
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Trouble::OtherAuthority,
        _ => return None,
    })
}

/// A time in seconds since 1970 as people write it: the days since then become a date in the
/// proleptic Gregorian calendar, by eras of 400 years that begin in March.
fn utc(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} +0000",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// `DnsName("fog")` is `fog`, `IpAddress(10.0.0.1)` is `10.0.0.1`.
fn plain(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;

    use super::*;

    #[test]
    fn a_wrong_name_is_said_with_the_right_ones_and_what_to_do() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("10.23.0.1").unwrap().to_owned(),
            presented: vec!["DnsName(\"fog\")".into(), "IpAddress(127.0.0.1)".into()],
        });
        // As a socket gives it.
        let found = trouble(&io::Error::new(io::ErrorKind::InvalidData, tls)).unwrap();
        assert_eq!(
            found.to_string(),
            "the certificate is for fog, 127.0.0.1; you asked for 10.23.0.1"
        );
        assert!(found.advice().contains("--advertise 10.23.0.1"));
    }

    #[test]
    fn an_end_is_said_with_its_date() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 +0000");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00 +0000");
        assert_eq!(utc(1_795_964_645), "2026-11-29 15:04:05 +0000");
        assert_eq!(
            Trouble::Expired(Some(0)).to_string(),
            "the certificate of the server ended on 1970-01-01 00:00:00 +0000"
        );
    }

    #[test]
    fn a_fault_that_may_pass_is_none() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(trouble(&refused), None);
        let reset = rustls::Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(trouble(&io::Error::other(reset)), None);
    }
}
