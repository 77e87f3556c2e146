//! Configurations at three levels.

use foghorn_controller::app::devices::config::{self, ConfigError};
use foghorn_controller::app::devices::contact::{self, Headers, Identity};
use foghorn_controller::app::devices::edit::{self, Change};
use foghorn_controller::app::devices::effective::{self, EffectiveError, Given, GivenConfig};
use foghorn_controller::app::devices::paging::Page;
use foghorn_controller::state::machines::config::Level;
use foghorn_controller::trust::{DeviceRequest, Trust};
use foghorn_host_config::conditional::format_date;
use foghorn_host_config::ecies::DeviceKey;
use foghorn_host_config::{ConfigVersion, SealError};
use foghorn_types::Timestamp;

use super::{Room, factory, file, identity, name};
use crate::engine::BOTH;
use crate::native::fleet::Keys;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_adds_files_and_a_replacement_is_exact_and_ten_versions_are_kept() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let (state, trust) = (&room.state, &room.trust);
        let level = Level::Device(room.device(1).await.uuid);
        let merge = |file| async move { config::merge(state, trust, level, &file, 1).await };
        merge(file("wireguard-client", "a", true)).await.unwrap();
        let both = merge(file("z-50-fioctl.toml", "[pacman]\n", true)).await;
        let names = |version: &ConfigVersion| {
            let files = version.files.iter();
            files.map(|file| file.name.to_string()).collect::<Vec<_>>()
        };
        let both = both.unwrap();
        assert_eq!(names(&both), ["wireguard-client", "z-50-fioctl.toml"]);
        assert_eq!(both.created_by, "000000000000000000000001");
        let one = file("x", "1", true);
        let exact = config::replace(state, trust, level, &one, 1).await.unwrap();
        assert_eq!(names(&exact), ["x"]);
        let gone = config::remove(state, trust, level, &name("wireguard-client"), 1).await;
        assert!(matches!(gone, Err(ConfigError::NoSuchFile(_))));
        config::remove(state, trust, level, &name("x"), 1)
            .await
            .unwrap();
        for number in 0..10 {
            merge(file("n", &number.to_string(), true)).await.unwrap();
        }
        let history = config::history(state, level, Page::default()).unwrap();
        assert_eq!((history.total, history.pages), (10, 1));
        let value = |place: usize| history.items[place].files.get("n").unwrap().value.clone();
        assert_eq!((value(0), value(9)), ("9".to_owned(), "0".to_owned()));
        let half = "x".repeat(600_000);
        merge(file("one", &half, true)).await.unwrap();
        let large = merge(file("other", &half, true)).await;
        assert!(large.unwrap_err().is_too_large());
        // JSON needs six bytes for each.
        let long = file("long", &"\u{1}".repeat(999_000), true);
        let fits = config::replace(state, trust, level, &long, 1).await;
        assert!(fits.is_ok(), "{kind:?}: {:?}", fits.err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_a_group_and_a_factory_are_encrypted_in_the_store_and_then_for_the_device() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let (state, trust) = (&room.state, &room.trust);
        let keys = Keys::new();
        let who = Identity {
            public_key: DeviceRequest::read(&keys.csr_pem).unwrap().public_key,
            ..identity(state, 1)
        };
        let made = contact::contact(state, &room.seen, &who, &Headers::default()).await;
        let device = made.unwrap().device;
        let group = room.group("lab").await;
        let now = Timestamp::now();
        let given = |since: Option<String>, now| {
            effective::given(state, device.uuid, since.as_deref(), now).unwrap()
        };
        let made = |given: Given| -> GivenConfig {
            let Given::Due(due) = given else {
                panic!("{given:?}")
            };
            due.make(trust).unwrap().unwrap()
        };
        assert_eq!(given(None, now), Given::Nothing);
        for (level, text) in [
            (Level::Factory(factory()), "s3cret-of-all"),
            (Level::Group(group), "s3cret-of-lab"),
        ] {
            let secret = file("password", text, false);
            let shown = config::merge(state, trust, level, &secret, 1)
                .await
                .unwrap();
            assert_eq!(shown.files.get("password").unwrap().value, "");
            // What was there stays, the secret too.
            let more = file("plain", "plain text", true);
            config::merge(state, trust, level, &more, 1).await.unwrap();
            let history = config::history(state, level, Page::default()).unwrap();
            for version in &history.items {
                assert_eq!(version.files.get("password").unwrap().value, "");
            }
        }
        let later = Timestamp::now() + std::time::Duration::from_secs(2);
        let value = |given: &GivenConfig, name: &str| {
            let file = &given.document.0[name];
            (file.value.clone(), file.unencrypted)
        };
        let secret = |given: &GivenConfig| {
            let (value, unencrypted) = value(given, "password");
            assert!(!unencrypted);
            let key = DeviceKey::from_pem(&keys.key_pem).unwrap();
            String::from_utf8(key.decrypt(&value).unwrap()).unwrap()
        };
        let first = made(given(None, later));
        assert_eq!(secret(&first), "s3cret-of-all");
        assert_eq!(value(&first, "plain"), ("plain text".to_owned(), true));
        let date = first.date;
        assert_eq!(first.version, None);
        let since = |date| Some(format_date(date).replace("GMT", "UTC"));
        assert_eq!(given(since(date), later), Given::NotModified);

        // It comes into the group in the second in which it has asked, or later.
        let date = made(given(None, Timestamp::now())).date;
        let into = Change {
            group: Some("lab".to_owned()),
            ..Change::default()
        };
        edit::edit(state, device.uuid, &into, 1).await.unwrap();
        let second = made(given(since(date), Timestamp::now()));
        assert_eq!(secret(&second), "s3cret-of-lab");

        // What is encrypted for the device stays as it is.
        let own = Level::Device(device.uuid);
        let cipher = file("password", "BASE64OF", false);
        config::merge(state, trust, own, &cipher, 1).await.unwrap();
        let third = made(given(None, later));
        assert_eq!(value(&third, "password"), ("BASE64OF".to_owned(), false));
        let version = third.version.unwrap();
        assert!(
            config::latest(state, own)
                .unwrap()
                .unwrap()
                .applied_at
                .is_none()
        );
        let first = effective::fetched(state, device.uuid, version, later).await;
        assert!(first.unwrap());
        let again = effective::fetched(state, device.uuid, version, later).await;
        assert!(!again.unwrap());
        let latest = config::latest(state, own).unwrap().unwrap();
        assert_eq!(latest.applied_at, Some(later));

        // With the device its configuration goes.
        edit::delete(state, &room.seen, device.uuid, 1)
            .await
            .unwrap();
        let left = state.read(|tables| tables.device_configs().of(own).count());
        assert_eq!(left, 0);
        let refused = config::merge(state, trust, own, &cipher, 1).await;
        assert!(matches!(refused, Err(ConfigError::NotThere(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_for_which_nobody_can_encrypt_gets_no_secret_in_clear() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let (state, trust) = (&room.state, &room.trust);
        // Its key is no key on P-256.
        let uuid = room.device(1).await.uuid;
        let level = Level::Factory(factory());
        let made = || {
            let given = effective::given(state, uuid, None, Timestamp::now()).unwrap();
            let Given::Due(due) = given else {
                panic!("{given:?}")
            };
            due.make(trust)
        };
        let plain = file("plain", "shown", true);
        config::merge(state, trust, level, &plain, 1).await.unwrap();
        let given = made().unwrap().unwrap();
        assert_eq!(given.document.0["plain"].value, "shown");
        let secret = file("password", "hidden", false);
        config::merge(state, trust, level, &secret, 1)
            .await
            .unwrap();
        let refused = made();
        assert!(
            matches!(
                &refused,
                Err(EffectiveError::Seal {
                    source: SealError::Recipient(_),
                    ..
                })
            ),
            "{refused:?}"
        );
        // Its own secrets are none that we encrypt.
        let own = Level::Device(uuid);
        let cipher = file("password", "BASE64OF", false);
        config::merge(state, trust, own, &cipher, 1).await.unwrap();
        let given = made().unwrap().unwrap();
        assert_eq!(given.document.0["password"].value, "BASE64OF");
    }
}

/// The files that an answer says nobody can read.
fn unreadable(answer: Result<ConfigVersion, ConfigError>) -> Vec<String> {
    match answer {
        Err(ConfigError::Unreadable(names)) => names.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_another_authority_are_given_again_or_removed_and_never_lost_unseen() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let state = &room.state;
        let keys = Keys::new();
        let who = Identity {
            public_key: DeviceRequest::read(&keys.csr_pem).unwrap().public_key,
            ..identity(state, 1)
        };
        let made = contact::contact(state, &room.seen, &who, &Headers::default()).await;
        let device = made.unwrap().device;
        let folder = tempfile::tempdir().unwrap();
        let trust = &Trust::load_or_create(folder.path()).unwrap();
        let group = room.group("lab").await;
        for level in [Level::Group(group), Level::Factory(factory())] {
            for (name, is_plain) in [("a", false), ("b", false), ("c", false), ("plain", true)] {
                let file = file(name, "of before", is_plain);
                config::merge(state, &room.trust, level, &file, 1)
                    .await
                    .unwrap();
            }
            let merge =
                |change| async move { config::merge(state, trust, level, &change, 1).await };
            let remove =
                |text| async move { config::remove(state, trust, level, &name(text), 1).await };
            let before = config::latest(state, level).unwrap();
            assert_eq!(
                unreadable(merge(file("a", "1", false)).await),
                ["b", "c"],
                "{kind:?} {level}"
            );
            assert_eq!(
                unreadable(merge(file("new", "1", true)).await),
                ["a", "b", "c"]
            );
            assert_eq!(unreadable(remove("plain").await), ["a", "b", "c"]);
            assert!(matches!(
                remove("none").await,
                Err(ConfigError::NoSuchFile(_))
            ));
            assert_eq!(config::latest(state, level).unwrap(), before);

            // Without it, the others are as they were: also for whoever still has the authority.
            remove("b").await.unwrap();
            assert_eq!(unreadable(merge(file("a", "1", false)).await), ["c"]);
            let more = file("more", "1", true);
            config::merge(state, &room.trust, level, &more, 1)
                .await
                .unwrap();
            assert_eq!(unreadable(merge(file("plain", "", true)).await), ["a", "c"]);

            // All of them at once; one of them is no secret any more.
            let mut both = file("a", "of now", false);
            both.files.extend(file("c", "no secret", true).files);
            let made = merge(both).await.unwrap();
            let names: Vec<_> = made.files.iter().map(|file| file.name.as_str()).collect();
            assert_eq!(names, ["a", "c", "more", "plain"]);
            merge(file("plain", "of now", true)).await.unwrap();
        }
        let later = Timestamp::now() + std::time::Duration::from_secs(2);
        let given = effective::given(state, device.uuid, None, later).unwrap();
        let Given::Due(due) = given else {
            panic!("{given:?}")
        };
        let given = due.make(trust).unwrap().unwrap();
        for (name, value) in [("c", "no secret"), ("plain", "of now")] {
            assert_eq!(given.document.0[name].value, value, "{name}");
        }
        let key = DeviceKey::from_pem(&keys.key_pem).unwrap();
        let secret = key.decrypt(&given.document.0["a"].value).unwrap();
        assert_eq!(secret, b"of now");

        // The last one is removed: nothing is left that could not be read.
        let level = Level::Group(group);
        let one = file("a", "of before", false);
        config::replace(state, &room.trust, level, &one, 1)
            .await
            .unwrap();
        config::remove(state, trust, level, &name("a"), 1)
            .await
            .unwrap();
        config::merge(state, trust, level, &file("new", "1", false), 1)
            .await
            .unwrap();
    }
}
