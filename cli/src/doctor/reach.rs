//! Can the server be reached, and if not, what is it: its name, the machine, its port, or the program.

use std::io::{self, ErrorKind};

use foghorn_reach::trouble;

use super::{Finding, tls};
use crate::context::Context;

const CHECK: &str = "network";
/// Ports on which something may refuse, which shows that the machine is there.
const OTHERS: [u16; 2] = [22, 9];

/// What the attempt to connect says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Connected,
    UnknownName,
    /// The machine says that nothing listens there.
    Closed,
    /// The machine answers elsewhere, and this port says nothing.
    Filtered,
    Unreachable,
}

pub(super) fn check(context: &Context) -> Finding {
    let authority = context
        .server
        .split_once("://")
        .map_or(context.server.as_str(), |(_, rest)| rest);
    let (host, port) = tls::split(authority);
    judge(probe(host, port), host, port)
}

fn probe(host: &str, port: u16) -> Reach {
    match tls::connect(host, port) {
        Ok(_) => Reach::Connected,
        Err(error) => classify(&error, || {
            OTHERS.iter().any(|port| {
                let other = tls::connect(host, *port);
                other.is_ok() || other.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
            })
        }),
    }
}

/// `answers`: whether the machine answers at another port.
fn classify(error: &io::Error, answers: impl FnOnce() -> bool) -> Reach {
    match error.kind() {
        ErrorKind::ConnectionRefused => Reach::Closed,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            Reach::Unreachable
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::PermissionDenied => {
            if answers() {
                Reach::Filtered
            } else {
                Reach::Unreachable
            }
        }
        // The system's resolver has no kind of its own.
        _ => Reach::UnknownName,
    }
}

fn judge(reach: Reach, host: &str, port: u16) -> Finding {
    match reach {
        Reach::Connected => Finding::ok(CHECK, format!("TCP {port} at {host} answers")),
        Reach::UnknownName => Finding::fail(
            CHECK,
            format!("the name {host} has no address"),
            "check how it is written and the name servers of this machine, or log in with the address of the server",
        ),
        Reach::Closed => Finding::fail(
            CHECK,
            format!(
                "{host} answers, but nothing listens at TCP {port}: the server is stopped, or has another port"
            ),
            "start it there (`systemctl start foghorn-serve`, or foghorn-controller) and see its log (`journalctl -u foghorn-serve`); the log says `controller started` with its port",
        ),
        Reach::Filtered => Finding::fail(
            CHECK,
            format!("{host} is there, but TCP {port} is blocked: a firewall drops it"),
            format!("open TCP {port} on the server and in the firewalls between here and there"),
        ),
        Reach::Unreachable => Finding::fail(
            CHECK,
            format!(
                "{host} cannot be reached: the machine is off, or there is no way to it from here"
            ),
            "check that it is on, its cable and its address, and the network of this machine",
        ),
    }
}

/// A handshake that failed, in words.
pub(super) fn handshake_failed(check: &'static str, error: &tls::Cause, whose: &str) -> Finding {
    match trouble(error.as_ref()) {
        Some(trouble) => Finding::fail(check, format!("{whose}: {trouble}"), trouble.advice()),
        None => Finding::fail(
            check,
            format!("{whose}: {}", foghorn_types::chain(error.as_ref())),
            "see the log there",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_stopped_server_is_told_from_a_machine_that_is_off_and_from_a_firewall() {
        let of = |kind: ErrorKind, answers| classify(&io::Error::from(kind), || answers);
        assert_eq!(of(ErrorKind::ConnectionRefused, false), Reach::Closed);
        assert_eq!(of(ErrorKind::TimedOut, true), Reach::Filtered);
        assert_eq!(of(ErrorKind::TimedOut, false), Reach::Unreachable);
        assert_eq!(of(ErrorKind::HostUnreachable, true), Reach::Unreachable);
        assert_eq!(of(ErrorKind::Other, false), Reach::UnknownName);
        for (reach, words) in [
            (Reach::Closed, "the server is stopped"),
            (Reach::Filtered, "TCP 8443 is blocked"),
            (Reach::Unreachable, "cannot be reached"),
            (Reach::UnknownName, "has no address"),
        ] {
            let finding = judge(reach, "fog", 8443);
            assert_eq!(finding.verdict, Verdict::Fail);
            assert!(finding.found.contains(words), "{finding:?}");
        }
    }

    #[test]
    fn a_port_without_a_listener_is_closed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(probe("127.0.0.1", port), Reach::Connected);
        drop(listener);
        assert_eq!(probe("127.0.0.1", port), Reach::Closed);
    }
}
