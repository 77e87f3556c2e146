//! Log-ins and log-outs: what follows from who was logged in and who is.

use std::collections::BTreeSet;

use data_encoding::HEXLOWER;
use foghorn_types::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Most events that wait to be told; the oldest go.
pub const MOST_EVENTS: usize = 256;
/// Most sessions that are looked at.
pub const MOST_SESSIONS: usize = 1024;
/// Longest name of a user that is told, in characters.
pub const LONGEST_USER: usize = 50;
/// Whose the start of a machine is.
pub const STARTER: &str = "system";

/// Somebody who is logged in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Name of the user.
    pub user: String,
    /// What tells it from others of the same user: a terminal, or the number of the session.
    pub place: String,
    /// Milliseconds since 1970.
    pub since: i64,
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Somebody logged in.
    Login,
    /// Somebody logged out.
    Logout,
    /// The machine has started, and this service with it.
    Start,
}

/// Something that is to be told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// What.
    pub action: Action,
    /// Whose.
    pub user: String,
    /// When, in the form of RFC 3339.
    pub time: String,
    /// The same for the same event, so that it is not counted twice: 32 characters.
    pub id: String,
}

/// What is known of users, and what is to be told of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tracked {
    /// Which start of the machine it was.
    boot: String,
    /// Who was logged in.
    sessions: BTreeSet<Session>,
    /// What was not told yet, the oldest first.
    events: Vec<Event>,
}

/// What a look at the machine has found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Which start of the machine it is.
    pub boot: &'a str,
    /// When it has started.
    pub booted: Timestamp,
    /// When it was looked.
    pub now: Timestamp,
    /// Who is logged in.
    pub sessions: Vec<Session>,
}

impl Tracked {
    /// What is to be told, the oldest first.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// All of it was told.
    pub fn told(&mut self) {
        self.events.clear();
    }

    /// Takes over who is logged in now. How many events were dropped, because nobody was told of them for so long.
    #[must_use]
    pub fn look(&mut self, found: Found<'_>) -> usize {
        let Found {
            boot,
            booted,
            now,
            sessions,
        } = found;
        let named = |session: &Session| {
            !session.user.trim().is_empty() && session.user.chars().count() <= LONGEST_USER
        };
        let sessions = sessions.into_iter().filter(named).take(MOST_SESSIONS);
        let sessions: BTreeSet<Session> = sessions.collect();
        if self.boot != boot {
            // They have ended with the machine, whenever that was: at the latest when it started again.
            for session in std::mem::take(&mut self.sessions) {
                self.add(Action::Logout, &session, booted.min(now));
            }
            boot.clone_into(&mut self.boot);
            let start = Session {
                user: STARTER.to_owned(),
                place: boot.to_owned(),
                since: 0,
            };
            self.add(Action::Start, &start, now);
        }
        let before = std::mem::take(&mut self.sessions);
        for gone in before.difference(&sessions) {
            self.add(Action::Logout, gone, now);
        }
        for come in sessions.difference(&before) {
            let since = Timestamp::from_millis(come.since);
            self.add(Action::Login, come, since.min(now));
        }
        self.sessions = sessions;
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
        surplus
    }

    fn add(&mut self, action: Action, session: &Session, at: Timestamp) {
        let user = session.user.trim().to_owned();
        let Session { place, since, .. } = session;
        let said = format!("{:?}\0{action:?}\0{user:?}\0{place:?}\0{since}", self.boot);
        let hash = Sha256::digest(said.as_bytes());
        self.events.push(Event {
            action,
            user,
            time: at.to_string(),
            id: HEXLOWER.encode(&hash[..16]),
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session(user: &str, place: &str, since: i64) -> Session {
        Session {
            user: user.to_owned(),
            place: place.to_owned(),
            since,
        }
    }

    fn found(boot: &str, now: i64, sessions: Vec<Session>) -> Found<'_> {
        Found {
            boot,
            booted: Timestamp::from_millis(1000),
            now: Timestamp::from_millis(now),
            sessions,
        }
    }

    fn told(tracked: &mut Tracked) -> Vec<(Action, String, String)> {
        let event = |event: &Event| (event.action, event.user.clone(), event.time.clone());
        let all = tracked.events().iter().map(event).collect();
        tracked.told();
        all
    }

    #[test]
    fn who_comes_and_goes_is_told_once() {
        let mut tracked = Tracked::default();
        let (anna, other) = (
            session("anna", "tty1", 5000),
            session("anna", "pts/0", 6000),
        );
        assert_eq!(tracked.look(found("b1", 9000, vec![anna.clone()])), 0);
        let text = |second: i64| Timestamp::from_millis(second * 1000).to_string();
        let event = |action, user: &str, second| (action, user.to_owned(), text(second));
        let (start, login) = (
            event(Action::Start, STARTER, 9),
            event(Action::Login, "anna", 5),
        );
        assert_eq!(told(&mut tracked), [start, login]);
        for _ in 0..2 {
            let _ = tracked.look(found("b1", 10_000, vec![anna.clone(), other.clone()]));
        }
        assert_eq!(told(&mut tracked), [event(Action::Login, "anna", 6)]);
        let _ = tracked.look(found("b1", 11_000, vec![other.clone()]));
        assert_eq!(told(&mut tracked), [event(Action::Logout, "anna", 11)]);
        // Whoever was logged in when the machine stopped is so no more.
        let after = Found {
            booted: Timestamp::from_millis(20_000),
            ..found("b2", 21_000, Vec::new())
        };
        let _ = tracked.look(after);
        let (logout, start) = (
            event(Action::Logout, "anna", 20),
            event(Action::Start, STARTER, 21),
        );
        assert_eq!(told(&mut tracked), [logout, start]);
    }

    #[test]
    fn the_oldest_go_when_nobody_is_told_and_names_that_are_none_are_left_out() {
        let mut tracked = Tracked::default();
        let many = (0..MOST_EVENTS)
            .map(|at| session("u", &at.to_string(), 1))
            .collect();
        assert_eq!(
            tracked.look(found("b", 1, many)),
            1,
            "the start of the machine"
        );
        assert_eq!(tracked.events().len(), MOST_EVENTS);
        assert!(
            tracked
                .events()
                .iter()
                .all(|event| event.action == Action::Login)
        );
        let mut tracked = Tracked::default();
        let odd = vec![
            session(" ", "1", 1),
            session(&"x".repeat(LONGEST_USER + 1), "2", 1),
        ];
        let _ = tracked.look(found("b", 1, odd));
        assert_eq!(tracked.events().len(), 1);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let mut tracked = Tracked::default();
        let _ = tracked.look(found("b", 9, vec![session("anna", "tty1", 5)]));
        let text = serde_json::to_string(&tracked).unwrap();
        assert!(text.contains(r#""action":"login","user":"anna""#), "{text}");
        assert_eq!(serde_json::from_str::<Tracked>(&text).unwrap(), tracked);
    }

    proptest! {
        /// What is told adds up to who is logged in, and no id comes twice.
        #[test]
        fn events_add_up(looks in prop::collection::vec((0_u8..3, prop::collection::vec(("[ab]", "[12]", 0_i64..3), 0..4)), 1..12)) {
            let mut tracked = Tracked::default();
            let (mut logged_in, mut ids) = (0_i64, BTreeSet::new());
            let mut boot = 0_u32;
            for (at, (restart, all)) in looks.into_iter().enumerate() {
                boot += u32::from(restart == 0);
                // A session that has ended does not come back: its beginning is another one.
                let at = i64::try_from(at).unwrap() * 10;
                let sessions: BTreeSet<_> = all.iter().map(|(user, place, since)| session(user, place, at + since)).collect();
                let _ = tracked.look(found(&boot.to_string(), at + 5, sessions.iter().cloned().collect()));
                for event in tracked.events() {
                    prop_assert!(ids.insert(event.id.clone()), "{event:?}");
                    logged_in += match event.action {
                        Action::Login => 1,
                        Action::Logout => -1,
                        Action::Start => 0,
                    };
                }
                tracked.told();
                prop_assert_eq!(logged_in, i64::try_from(sessions.len()).unwrap());
            }
        }
    }
}
