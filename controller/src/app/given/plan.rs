//! One transaction that takes credentials over, with what it relies on.

use std::net::{IpAddr, Ipv4Addr};

use foghorn_types::Timestamp;

use super::{Credentials, Observer, TakeOverError, TakenOver, What};
use crate::app::accounts::hash_token;
use crate::app::passwords;
use crate::state::actor::{self, Actor};
use crate::state::classes::User;
use crate::state::first_run::FirstCredentials;
use crate::state::given::{Given, Standing};
use crate::state::settings::ApiSettings;
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, State};

/// What is to be stored, as long as nobody else stores anything of the kind.
pub(super) struct Plan<'c> {
    now: &'c Credentials,
    due: Vec<What>,
    outdated: Vec<&'static str>,
    /// What was given before.
    known: Given,
    /// Of the password, if it is needed.
    password_hash: Option<String>,
    /// The one by which the password is known, if it was given before.
    known_hash: Option<String>,
}

/// Why a transaction of a plan was not drafted.
enum StoreError {
    /// Others have stored what the plan did not know.
    Overtaken,
    Refused(Refusal),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<'c> Plan<'c> {
    /// Passwords take time, so they are compared and hashed before the transaction, which holds
    /// only if nothing has been given since.
    pub(super) async fn make(
        state: &State,
        now: &'c Credentials,
        observer: Observer<'_>,
    ) -> Result<Self, TakeOverError> {
        let (known, has_user) = state.read(|tables| {
            let known = tables.given().map(|given| Given::clone(given));
            let user = tables.of::<User>().named(&now.user);
            (known.unwrap_or_default(), user.is_some())
        });
        let (mut due, mut outdated, mut known_hash) = (Vec::new(), Vec::new(), None);
        for what in What::ALL {
            let Some(value) = what.of(now) else { continue };
            let (standing, hash) = standing(&known, &now.user, what, value).await?;
            if what == What::Password {
                known_hash = hash;
            }
            match observer.judges(what, now, standing) {
                Some(true) => due.push(what),
                Some(false) => {}
                None => outdated.push(what.in_words()),
            }
        }
        let of_user = |what: &What| *what != What::ApiToken;
        let is_made = !has_user && due.iter().any(of_user);
        let needs_hash = is_made || due.contains(&What::Password);
        let password_hash = match &now.password {
            Some(password) if needs_hash => {
                let password = password.clone();
                let hashed = blocking(move || passwords::hash(password.as_bytes())).await?;
                Some(hashed.map_err(TakeOverError::Hash)?)
            }
            _ => None,
        };
        Ok(Self {
            now,
            due,
            outdated,
            known,
            password_hash,
            known_hash,
        })
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.due.is_empty()
    }

    /// What became of the credentials when it was stored.
    pub(super) fn into_result(self) -> TakenOver {
        TakenOver {
            taken: self.due.iter().map(|what| what.in_words()).collect(),
            outdated: self.outdated,
        }
    }

    /// Whether it was stored: not if others were faster.
    pub(super) async fn store(&self, state: &State) -> Result<bool, TakeOverError> {
        let stored = state.write(|draft| self.draft(draft));
        let actor = Actor {
            user: 0,
            name: "given-credentials".to_owned(),
            from: IpAddr::V4(Ipv4Addr::LOCALHOST),
            method: "LOCAL".to_owned(),
            path: "given-credentials".to_owned(),
            request: String::new(),
            idempotency_key: None,
        };
        match actor::on_behalf(actor, stored).await {
            Ok(()) => Ok(true),
            Err(StoreError::Overtaken) => Ok(false),
            Err(StoreError::Refused(refusal)) => Err(refusal.into()),
        }
    }

    fn draft(&self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        let tables = draft.tables();
        let modified = tables.given().map_or(0, |given| given.modified);
        if modified != self.known.modified {
            return Err(StoreError::Overtaken);
        }
        draft.replace(&self.remembered());
        if self.due.contains(&What::ApiToken) {
            let before = tables.api();
            draft.replace(&ApiSettings {
                enabled: before.is_none_or(|settings| settings.enabled),
                token_hash: hash_token(&self.now.api_token),
                modified: before.map_or(0, |settings| settings.modified),
            });
        }
        if self.due.iter().any(|what| *what != What::ApiToken) {
            self.draft_user(draft)?;
        }
        // Those that were made and that nobody has used are not to be shown any more.
        draft.forget::<FirstCredentials>(&());
        Ok(())
    }

    fn draft_user(&self, draft: &mut Draft<'_>) -> Result<(), StoreError> {
        let token_hash = self.now.user_token.as_deref().map(hash_token);
        let (is_token_due, is_password_due) = (
            self.due.contains(&What::UserToken),
            self.due.contains(&What::Password),
        );
        let row = draft.tables().of::<User>().named(&self.now.user);
        let Some(row) = row else {
            if self.now.password.is_some() && self.password_hash.is_none() {
                // The user was there a moment ago.
                return Err(StoreError::Overtaken);
            }
            draft.insert(User {
                id: 0,
                name: self.now.user.clone(),
                password_hash: self.password_hash.clone().unwrap_or_default(),
                token_hash: token_hash.unwrap_or_default(),
                api: Flag::Yes,
                kind: 0,
                role: String::new(),
                created_time: Timestamp::now().into(),
            })?;
            return Ok(());
        };
        let mut user = User::clone(row);
        if let Some(hash) = token_hash.filter(|_| is_token_due) {
            user.token_hash = hash;
        }
        if let Some(hash) = self.password_hash.clone().filter(|_| is_password_due) {
            user.password_hash = hash;
        }
        if !self.known.users.contains_key(&key_of(&self.now.user)) {
            // Whose credentials are given for the first time is the first user: an administrator.
            user.kind = 0;
            user.role = String::new();
            user.api = Flag::Yes;
        }
        draft.update(row, &user)?;
        Ok(())
    }

    /// What was given, with what is given now.
    fn remembered(&self) -> Given {
        let mut given = self.known.clone();
        for what in &self.due {
            let user = key_of(&self.now.user);
            match (what, what.of(self.now), &self.password_hash) {
                (What::ApiToken, Some(token), _) => given.api_tokens.push(hash_token(token)),
                (What::UserToken, Some(token), _) => {
                    let user = given.users.entry(user).or_default();
                    user.tokens.push(hash_token(token));
                }
                (What::Password, _, Some(hash)) => {
                    let user = given.users.entry(user).or_default();
                    let before = self.known_hash.as_deref();
                    user.passwords.push_again(hash.clone(), before);
                }
                _ => {}
            }
        }
        given
    }
}

/// What is known about a value and, of a password, the hash by which it is.
async fn standing(
    known: &Given,
    user: &str,
    what: What,
    value: &str,
) -> Result<(Standing, Option<String>), TakeOverError> {
    let of_user = known.users.get(&key_of(user));
    let is_token = |hash: &String| *hash == hash_token(value);
    Ok(match (what, of_user) {
        (What::ApiToken, _) => (known.api_tokens.standing(is_token), None),
        (_, None) => (Standing::New, None),
        (What::UserToken, Some(given)) => (given.tokens.standing(is_token), None),
        (What::Password, Some(given)) => {
            let (values, value) = (given.passwords.clone(), value.to_owned());
            let is = move |hash: &String| passwords::matches(value.as_bytes(), hash);
            let find = move || {
                let (standing, hash) = values.find(is);
                (standing, hash.cloned())
            };
            blocking(find).await?
        }
    })
}

/// Users are told apart by their names without regard to capital letters.
fn key_of(user: &str) -> String {
    user.to_lowercase()
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, TakeOverError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| TakeOverError::Hash(error.to_string()))
}
