//! The files of `systemd-logind`, one for each session, where there is no `utmp`.

use foghorn_types::Timestamp;

use super::sessions::Session;

/// The session of a file with this name: one of a person that has begun and not ended. `None` for others, such as those of a
/// display manager or of a timer.
#[must_use]
pub fn session(name: &str, text: &str) -> Option<Session> {
    let value = |key: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(found, _)| *found == key);
        values
            .next()
            .map(|(_, value)| value.trim().trim_matches('"'))
    };
    // `closing`: the user is gone, and what was started goes on.
    let is_open = matches!(value("STATE")?, "online" | "active");
    if value("CLASS")? != "user" || !is_open {
        return None;
    }
    let micros: i64 = value("REALTIME")?.parse().ok()?;
    Some(Session {
        user: value("USER").filter(|user| !user.is_empty())?.to_owned(),
        place: name.to_owned(),
        since: Timestamp::from_millis(micros / 1000).as_millis(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = "# This is private data. Do not parse.\nUID=1000\nUSER=anna\nACTIVE=1\nIS_DISPLAY=1\nSTATE=active\n\
        REMOTE=0\nTYPE=tty\nCLASS=user\nSCOPE=session-3.scope\nFIFO=/run/systemd/sessions/3.ref\nSEAT=seat0\nTTY=tty2\n\
        LEADER=812\nREALTIME=1700000000250000\nMONOTONIC=4242\n";

    #[test]
    fn sessions_of_people_are_told_from_others() {
        let anna = Session {
            user: "anna".to_owned(),
            place: "3".to_owned(),
            since: 1_700_000_000_250,
        };
        assert_eq!(session("3", FILE), Some(anna));
        for (from, to) in [
            ("CLASS=user", "CLASS=greeter"),
            ("CLASS=user", "CLASS=manager"),
            ("STATE=active", "STATE=closing"),
            ("REALTIME=1700000000250000", "REALTIME=soon"),
            ("USER=anna\n", "USER=\n"),
            ("STATE=active\n", ""),
        ] {
            assert_eq!(session("3", &FILE.replace(from, to)), None, "{to:?}");
        }
        let remote = FILE.replace("STATE=active", "STATE=online");
        assert!(session("3", &remote).is_some());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(STATE=active\n|CLASS=user\n|USER=.{0,3}\n|REALTIME=[0-9]{0,20}\n|.{0,9}\n){0,9}") {
            if let Some(session) = session("1", &text) {
                prop_assert!(!session.user.is_empty());
            }
        }
    }
}
