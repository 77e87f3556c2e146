//! Credentials that are given instead of being found: by whom they are taken over, and when.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use foghorn_controller::app::accounts;
use foghorn_controller::app::given::{Credentials, Observer, TakenOver, take_over};
use foghorn_controller::app::users::{self, Secret};
use foghorn_controller::app::{self, passwords};
use foghorn_controller::config::{GivenCredentials, SecretSource};
use foghorn_controller::state::State;
use foghorn_controller::state::classes::User;
use foghorn_controller::state::settings::hash_token;
use foghorn_controller::{Config, Controller};
use foghorn_types::Role;
use futures_util::future::join;
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, PATIENCE};

const API_TOKEN: &str = "given-api-token-0123456789-0123456789";
const USER_TOKEN: &str = "given-user-token-0123456789-0123456789";

fn credentials(password: &str) -> Credentials {
    Credentials {
        user: "anna".to_owned(),
        api_token: API_TOKEN.to_owned(),
        user_token: Some(USER_TOKEN.to_owned()),
        password: Some(password.to_owned()),
    }
}

/// Two controllers with one store, which has nobody's credentials yet.
struct Two {
    states: [Arc<State>; 2],
    cancel: CancellationToken,
    _engine: Engine,
}

impl Two {
    async fn start(engine: Engine) -> Self {
        let cancel = CancellationToken::new();
        let (one, other) = join(
            State::start(engine.store(), cancel.clone()),
            State::start(engine.store(), cancel.clone()),
        )
        .await;
        Self {
            states: [one.unwrap().0, other.unwrap().0],
            cancel,
            _engine: engine,
        }
    }

    /// Controller `number` looks: it has seen `seen` before, or starts.
    async fn look(&self, number: usize, now: &str, seen: Option<&str>) -> TakenOver {
        let (now, seen) = (credentials(now), seen.map(credentials));
        let observer = Observer {
            seen: seen.as_ref(),
            is_alone: false,
        };
        let done = take_over(&self.states[number], &now, observer);
        done.await.unwrap()
    }

    /// The only user, as soon as both controllers show the same.
    async fn user(&self) -> User {
        let start = Instant::now();
        loop {
            let [one, other] = self.states.each_ref().map(|state| {
                state.read(|tables| {
                    let users = tables.of::<User>().iter();
                    users.map(|row| User::clone(row)).collect::<Vec<_>>()
                })
            });
            if one == other && one.len() == 1 {
                return one.into_iter().next().unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "{one:?} {other:?}");
            tokio::task::yield_now().await;
        }
    }

    /// Whose password it is, so that no other is.
    async fn has_password(&self, password: &str) -> bool {
        let hash = self.user().await.password_hash;
        passwords::matches(password.as_bytes(), &hash)
    }
}

impl Drop for Two {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Its hash is another one each time, and only so many are remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_given_again_is_remembered_once() {
    let two = Two::start(Engine::start(BOTH[0]).await).await;
    two.look(0, "pass word", None).await;
    for (now, seen) in [
        ("other word", "pass word"),
        ("pass word", "other word"),
        ("other word", "pass word"),
    ] {
        two.look(0, now, Some(seen)).await;
        assert!(two.has_password(now).await);
    }
    let given = two.states[0].read(|tables| serde_json::to_value(&**tables.given().unwrap()));
    let given = given.unwrap();
    let passwords = given["users"]["anna"]["passwords"].as_array();
    assert_eq!(passwords.map(Vec::len), Some(2), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_controllers_that_see_a_value_one_takes_it_over() {
    for kind in BOTH {
        let two = Two::start(Engine::start(kind).await).await;
        let (one, other) = join(
            two.look(0, "pass word", None),
            two.look(1, "pass word", None),
        )
        .await;
        let taken = [one.taken.len(), other.taken.len()];
        assert!(taken == [3, 0] || taken == [0, 3], "{kind:?}: {taken:?}");
        let user = two.user().await;
        assert_eq!(user.name, "anna");
        assert_eq!(user.role(), Role::Administrator);
        assert_eq!(user.token_hash, hash_token(USER_TOKEN));
        assert!(two.has_password("pass word").await);
        for state in &two.states {
            let api = state.read(|tables| tables.api().cloned()).unwrap();
            assert_eq!((api.enabled, api.token_hash), (true, hash_token(API_TOKEN)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_with_an_old_file_does_not_bring_the_old_value_back() {
    for kind in BOTH {
        let two = Two::start(Engine::start(kind).await).await;
        two.look(0, "first one", None).await;
        let changed = two.look(0, "second one", Some("first one")).await;
        assert_eq!(changed.taken, ["password"], "{kind:?}");
        two.user().await;

        // The other one starts with the old file, which is replaced only then.
        let old = two.look(1, "first one", None).await;
        assert_eq!((old.taken, old.outdated), (vec![], vec!["password"]));
        assert!(two.has_password("second one").await);
        let late = two.look(1, "second one", Some("first one")).await;
        assert!(
            late.taken.is_empty() && late.outdated.is_empty(),
            "{late:?}"
        );

        // Somebody puts the old value back, and every controller sees that.
        let back = two.look(0, "first one", Some("second one")).await;
        assert_eq!(back.taken, ["password"]);
        two.user().await;
        let late = two.look(1, "first one", Some("second one")).await;
        assert!(late.taken.is_empty(), "{late:?}");
        assert!(two.has_password("first one").await);

        // Without others nobody can have seen anything newer than an old value at a start.
        let alone = Observer {
            seen: None,
            is_alone: true,
        };
        let now = credentials("second one");
        let done = take_over(&two.states[0], &now, alone).await.unwrap();
        assert_eq!(done.taken, ["password"]);
        assert!(two.has_password("second one").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_change_stays_until_something_else_is_given() {
    for kind in BOTH {
        let two = Two::start(Engine::start(kind).await).await;
        two.look(0, "first one", None).await;
        let user = two.user().await;
        let own = Secret::Password("of her own".to_owned());
        users::set_password(&two.states[0], user.id, own)
            .await
            .unwrap();
        let role = Some(Role::Operator);
        // Somebody else rules here now.
        accounts::reset_admin(&two.states[0], "boss").await.unwrap();
        users::edit(&two.states[0], user.id, role, None)
            .await
            .unwrap();
        let again = two.look(0, "first one", None).await;
        assert!(
            again.taken.is_empty() && again.outdated.is_empty(),
            "{again:?}"
        );
        let user = two.states[0].read(|tables| tables.of::<User>().named("anna").cloned());
        let user = user.unwrap();
        assert!(passwords::matches(b"of her own", &user.password_hash));

        let new = two.look(0, "second one", None).await;
        assert_eq!(new.taken, ["password"], "{kind:?}");
        let user = two.states[0].read(|tables| tables.of::<User>().named("anna").cloned());
        let user = user.unwrap();
        assert!(passwords::matches(b"second one", &user.password_hash));
        assert_eq!(user.role(), Role::Operator, "a password changes no rights");
        assert_eq!(user.token_hash, hash_token(USER_TOKEN));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_were_made_give_way_to_those_that_are_given() {
    for kind in BOTH {
        let two = Two::start(Engine::start(kind).await).await;
        let made = app::first_run_as(&two.states[0], "Anna")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(made.user, "Anna");
        let done = two.look(0, "pass word", None).await;
        assert_eq!(
            done.taken,
            ["API token", "user token", "password"],
            "{kind:?}"
        );
        let user = two.user().await;
        assert_eq!(user.name, "Anna", "the user is the same");
        assert!(!passwords::matches(
            made.password.as_bytes(),
            &user.password_hash
        ));
        assert_eq!(app::first_run(&two.states[0]).await.unwrap(), None);
    }
}

/// Whether a controller takes this password.
async fn is_taken(url: &str, password: &str) -> bool {
    let url = format!("{url}/fog/system/info").replace("https:", "http:");
    let basic = format!(
        "Basic {}",
        BASE64.encode(format!("anna:{password}").as_bytes())
    );
    let asked = tokio::task::spawn_blocking(move || {
        let request = ureq::get(url).header("fog-api-token", API_TOKEN);
        request.header("authorization", basic).call().is_ok()
    });
    asked.await.unwrap()
}

fn file(folder: &Path, name: &str, content: &str) -> SecretSource {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    SecretSource::File(path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_changes_with_its_file_while_the_controller_runs() {
    let (data, secrets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut config = Config::local(data.path());
    config.rest.plain_http = true;
    config.given = Some(GivenCredentials {
        user: "anna".to_owned(),
        api_token: file(secrets.path(), "api_token", API_TOKEN),
        user_token: None,
        password: Some(file(secrets.path(), "password", "first one\n")),
    });
    let controller = Controller::start(config.clone()).await.unwrap();
    assert_eq!(controller.first_run(), None, "nothing was made");
    let url = controller.rest_url();
    assert!(is_taken(&url, "first one").await);
    assert!(!is_taken(&url, "second one").await);

    let hash = || {
        let state = &controller.ctx().state;
        state.read(|tables| {
            let user = tables.of::<User>().named("anna");
            user.map(|user| user.password_hash.clone())
        })
    };
    let before = hash();
    file(secrets.path(), "password", "second one\n");
    let start = Instant::now();
    while hash() == before {
        assert!(start.elapsed() < PATIENCE, "it was not taken over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_taken(&url, "second one").await);
    assert!(!is_taken(&url, "first one").await);
    controller.shutdown().await;

    // A file that is gone is not a site without an owner.
    std::fs::remove_file(secrets.path().join("password")).unwrap();
    let refused = Controller::start(config).await.err().unwrap();
    let said = foghorn_types::chain(&refused).to_string();
    assert!(said.contains("could not read"), "{said}");
}
