//! Credentials of the first user that somebody gives, instead of finding those that were made.
//!
//! A value is taken over once. What was given is remembered ([`Given`](crate::state::given::Given)),
//! so that
//! * a value that was given before is not taken over again: who has changed a password since, or
//!   made new credentials, keeps them;
//! * of several controllers that see a new value, one takes it over;
//! * a controller that starts and still sees an old value does not bring that back. While it runs,
//!   a value that changes before its eyes is meant, also when it is an old one.

mod files;
mod plan;

use self::plan::Plan;
use crate::state::given::Standing;
use crate::state::{Refusal, State};

pub use self::files::{Credentials, ReadGivenError, check_user, read};

/// Times that others may be faster.
const ATTEMPTS: usize = 8;

/// Why given credentials were not taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error("the password could not be hashed: {0}")]
    Hash(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What became of given credentials, by their names for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TakenOver {
    pub taken: Vec<&'static str>,
    /// Values that were replaced by others since they were given, and are not taken over for that.
    pub outdated: Vec<&'static str>,
}

/// One credential of those that are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    ApiToken,
    UserToken,
    Password,
}

impl What {
    const ALL: [Self; 3] = [Self::ApiToken, Self::UserToken, Self::Password];

    fn in_words(self) -> &'static str {
        match self {
            Self::ApiToken => "API token",
            Self::UserToken => "user token",
            Self::Password => "password",
        }
    }

    fn of(self, credentials: &Credentials) -> Option<&str> {
        match self {
            Self::ApiToken => Some(&credentials.api_token),
            Self::UserToken => credentials.user_token.as_deref(),
            Self::Password => credentials.password.as_deref(),
        }
    }
}

/// Who looks at the values.
#[derive(Clone, Copy, Debug)]
pub struct Observer<'s> {
    /// What this process has seen before; `None` when it starts.
    pub seen: Option<&'s Credentials>,
    /// Whether it is the only controller of its store, so that no other has seen anything newer.
    pub is_alone: bool,
}

impl Observer<'_> {
    /// Whether a value is to be taken over; `None`: it is outdated.
    fn judges(self, what: What, now: &Credentials, standing: Standing) -> Option<bool> {
        let is_changed = self.seen.map(|seen| what.of(seen) != what.of(now));
        match (standing, is_changed) {
            // It was judged when it came.
            (_, Some(false)) | (Standing::Last, _) => Some(false),
            (Standing::New, _) | (Standing::Replaced, Some(true)) => Some(true),
            (Standing::Replaced, None) => self.is_alone.then_some(true),
        }
    }
}

/// Takes over those of the credentials that are new. In the audit log it is `given-credentials`.
///
/// # Errors
/// When the store or the hash fails.
pub async fn take_over(
    state: &State,
    now: &Credentials,
    observer: Observer<'_>,
) -> Result<TakenOver, TakeOverError> {
    for _ in 0..ATTEMPTS {
        let plan = Plan::make(state, now, observer).await?;
        if plan.is_nothing() || plan.store(state).await? {
            return Ok(plan.into_result());
        }
    }
    Err(Refusal::Contended.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_taken_over_when_it_is_new_or_changes_before_the_eyes() {
        let now = Credentials {
            user: "fog".to_owned(),
            api_token: "a".to_owned(),
            user_token: None,
            password: Some("p".to_owned()),
        };
        let other = Credentials {
            password: Some("q".to_owned()),
            ..now.clone()
        };
        let judged = |seen, is_alone, standing| {
            Observer { seen, is_alone }.judges(What::Password, &now, standing)
        };
        use Standing::{Last, New, Replaced};
        for (seen, is_alone, standing, expected) in [
            (None, false, New, Some(true)),
            (None, false, Last, Some(false)),
            (None, false, Replaced, None),
            (None, true, Replaced, Some(true)),
            (None, true, Last, Some(false)),
            (Some(&other), false, New, Some(true)),
            (Some(&other), false, Replaced, Some(true)),
            (Some(&other), false, Last, Some(false)),
            (Some(&now), false, Replaced, Some(false)),
            (Some(&now), true, New, Some(false)),
        ] {
            let found = judged(seen, is_alone, standing);
            assert_eq!(found, expected, "{seen:?} {is_alone} {standing:?}");
        }
        let of_token = Observer {
            seen: Some(&other),
            is_alone: false,
        };
        let unchanged = of_token.judges(What::ApiToken, &now, Replaced);
        assert_eq!(unchanged, Some(false), "the password has changed, not this");
    }
}
