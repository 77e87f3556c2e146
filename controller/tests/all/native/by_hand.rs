//! A room that is started by hand: one token for all of its hosts, short codes, waking.

use std::time::Duration;

use foghorn_proto::code::ShortCode;
use foghorn_proto::exchange::{ExchangeError, ask};
use foghorn_proto::http::{BOOT_PREFIX, CODE_PATH, CodeResponse, LOOK_PATH, TokenText};
use foghorn_proto::link::controller_message::Message as Order;
use foghorn_types::{TaskId, Timestamp};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::engine::{BOTH, Kind};
use crate::native::agent::Agent;
use crate::native::fleet::{Fleet, PATIENCE, id};

const MACS: [&str; 4] = [
    "02:00:00:00:00:01",
    "02:00:00:00:00:02",
    "02:00:00:00:00:03",
    "02:00:00:00:00:04",
];
const STRANGER: &str = "02:00:00:00:00:99";

/// Four hosts with a capture each, of which the first three are in a group.
struct Room {
    fleet: Fleet,
    hosts: Vec<u32>,
    tasks: Vec<TaskId>,
    group: u32,
}

impl Room {
    async fn new(kind: Kind) -> Self {
        let fleet = Fleet::on(kind, |config| {
            config.rest.names = vec!["127.0.0.1".to_owned(), "fog.example".to_owned()];
        })
        .await;
        let (mut hosts, mut tasks) = (Vec::new(), Vec::new());
        for (number, mac) in MACS.into_iter().enumerate() {
            let image = fleet.image(&format!("image{number}")).await;
            let host = fleet.host(&format!("pc{number}"), mac, image).await;
            tasks.push(fleet.task(host, 2).await);
            hosts.push(host);
        }
        let body = json!({"name": "lab", "hosts": hosts[..3]});
        let group = id(&fleet.good("POST", "/fog/group/create", Some(body)).await);
        Self {
            fleet,
            hosts,
            tasks,
            group,
        }
    }

    async fn order(&self, body: Value) -> Value {
        let path = "/foghorn/v1/boot-tokens";
        self.fleet.good("POST", path, Some(body)).await
    }

    async fn code(&self, body: Value) -> ShortCode {
        let answer = self.order(body).await;
        answer["code"].as_str().unwrap().parse().unwrap()
    }

    /// The token for a code that is typed at the machine with this address, or the refusal.
    async fn typed(&self, code: &ShortCode, mac: &str) -> Result<String, (u16, String)> {
        let (asking, asked) = ask(code, mac.parse().unwrap());
        let body = serde_json::to_value(asked).unwrap();
        let (status, answer) = self.fleet.anonymous("POST", CODE_PATH, Some(body)).await;
        if status != 200 {
            return Err((status, answer["error"].as_str().unwrap().to_owned()));
        }
        let answer: CodeResponse = serde_json::from_value(answer).unwrap();
        asking.token(&answer).map_err(|error| {
            assert_eq!(error, ExchangeError::OtherCode);
            (200, error.to_string())
        })
    }
}

fn wrong(right: &ShortCode) -> ShortCode {
    let other = ShortCode::from_bits(5);
    if other == *right {
        ShortCode::from_bits(6)
    } else {
        other
    }
}

/// Whether nothing of the store contains this text.
async fn is_not_stored(room: &Room, text: &str) -> bool {
    let store = room.fleet.controller.ctx().state.clone();
    store.read(|tables| {
        let tokens = tables.tokens().iter();
        tokens
            .map(|token| serde_json::to_string(&**token).unwrap())
            .all(|stored| !stored.contains(text))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_room_is_good_for_each_of_its_hosts_once() {
    for kind in BOTH {
        let room = Room::new(kind).await;
        let fleet = &room.fleet;
        let answer = room.order(json!({"group": room.group, "room": true})).await;
        assert_eq!(answer["hosts"].as_array().unwrap().len(), 3, "{answer}");
        assert_eq!(answer["hosts"][0]["mac"], MACS[0]);
        assert_eq!(answer["hosts"][2]["task"], json!(room.tasks[2]));
        assert!(answer.get("code").is_none(), "nobody has asked: {answer}");
        let url = answer["controller"].as_str().unwrap();
        assert!(url.starts_with("https://fog.example:"), "{url}");
        let token = answer["room_token"].as_str().unwrap().to_owned();
        let secret = TokenText::parse(BOOT_PREFIX, &token).unwrap().secret;
        assert!(is_not_stored(&room, &secret).await);

        // Two machines that say they are one: one of them is. Before, both may look.
        for mac in [MACS[0], MACS[0], MACS[1]] {
            let body = json!({"mac": mac, "boot_token": token});
            let (status, seen) = fleet.anonymous("POST", LOOK_PATH, Some(body)).await;
            assert_eq!(status, 200, "{seen}");
        }
        let twice = join_all([0, 0, 1].map(|host| fleet.try_check_in(MACS[host], &token))).await;
        let accepted = twice[..2].iter().filter(|(status, _)| *status == 200);
        assert_eq!(accepted.count(), 1, "{kind:?}: {twice:?}");
        assert_eq!(twice[2].0, 200, "{twice:?}");
        assert_eq!(twice[2].1["task"], json!(room.tasks[1]));
        for host in [0, 1] {
            let (status, refused) = fleet.try_check_in(MACS[host], &token).await;
            assert_eq!(
                (status, &refused["field"]),
                (403, &json!("boot_token")),
                "{refused}"
            );
        }
        // The fourth is not of the room, and the stranger is nobody.
        for (mac, why) in [(MACS[3], "not for pc3"), (STRANGER, "no host has")] {
            let (status, refused) = fleet.try_check_in(mac, &token).await;
            assert_eq!(
                (status, &refused["field"]),
                (403, &json!("mac")),
                "{refused}"
            );
            assert!(
                refused["error"].as_str().unwrap().contains(why),
                "{refused}"
            );
        }
        // Its own token and that of the room are one.
        let own = answer["hosts"][2]["token"].as_str().unwrap();
        let (status, refused) = fleet.try_check_in(MACS[1], own).await;
        assert_eq!(
            (status, &refused["field"]),
            (403, &json!("mac")),
            "{refused}"
        );
        fleet.check_in(MACS[2], own).await;
        assert_eq!(fleet.try_check_in(MACS[2], &token).await.0, 403);
        room.fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_for_the_tasks_that_there_are_and_expire() {
    for kind in BOTH {
        let room = Room::new(kind).await;
        let fleet = &room.fleet;
        let answer = room
            .order(json!({"hosts": [room.hosts[0], room.hosts[1], room.hosts[0]], "room": true}))
            .await;
        assert_eq!(answer["hosts"].as_array().unwrap().len(), 2, "each once");
        let token = answer["room_token"].as_str().unwrap();
        let cancel = |task| format!("/fog/task/{task}/cancel");
        fleet.good("DELETE", &cancel(room.tasks[0]), None).await;
        assert_eq!(fleet.try_check_in(MACS[0], token).await.0, 410);
        // A later task needs a token of its own.
        fleet.task(room.hosts[0], 2).await;
        assert_eq!(fleet.try_check_in(MACS[0], token).await.0, 410);

        fleet.good("DELETE", &cancel(room.tasks[2]), None).await;
        let answer = room
            .order(json!({"group": room.group, "room": true, "ttl_seconds": 1}))
            .await;
        let made = Timestamp::now();
        assert_eq!(
            answer["without_task"],
            json!([{"host": room.hosts[2], "name": "pc2"}])
        );
        let short = answer["room_token"].as_str().unwrap();
        tokio::time::timeout(PATIENCE, async {
            while Timestamp::now().since(made).as_millis() < 1000 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        let (status, refused) = fleet.try_check_in(MACS[1], short).await;
        assert_eq!(status, 403, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("expired"));

        for (body, status, field) in [
            (json!({"hosts": [room.hosts[2]]}), 409, Value::Null),
            (json!({"hosts": [9999]}), 404, json!("hosts")),
            (json!({"hosts": []}), 400, json!("hosts")),
            (json!({"group": 9999}), 404, json!("group")),
            (json!({}), 400, json!("hosts")),
            (json!({"hosts": [1], "group": 1}), 400, json!("group")),
            (
                json!({"hosts": [room.hosts[1]], "code": true, "ttl_seconds": 901}),
                400,
                json!("ttl_seconds"),
            ),
        ] {
            let (found, answer) = fleet
                .api("POST", "/foghorn/v1/boot-tokens", Some(body.clone()))
                .await;
            assert_eq!(
                (found, &answer["field"]),
                (status, &field),
                "{body}: {answer}"
            );
        }
        room.fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_exchanged_for_the_token_of_the_machine_and_used_once() {
    for kind in BOTH {
        let room = Room::new(kind).await;
        let fleet = &room.fleet;
        let code = room.code(json!({"group": room.group, "code": true})).await;
        assert!(is_not_stored(&room, &code.to_string()).await);
        for host in [0, 1] {
            let token = room.typed(&code, MACS[host]).await.unwrap();
            // It is the host's, not the room's.
            let other = fleet.try_check_in(MACS[1 - host], &token).await;
            assert_eq!((other.0, &other.1["field"]), (403, &json!("mac")));
            let again = room.typed(&code, MACS[host]).await.unwrap();
            assert_eq!(token, again, "a lost answer costs nothing");
            let answer = fleet.check_in(MACS[host], &token).await;
            assert_eq!(answer.task, room.tasks[host]);
            assert_eq!(fleet.try_check_in(MACS[host], &again).await.0, 403);
            let (status, why) = room.typed(&code, MACS[host]).await.unwrap_err();
            assert_eq!((status, why.contains("already")), (410, true), "{why}");
        }
        for (mac, why) in [(MACS[3], "no code for host pc3"), (STRANGER, "no host has")] {
            let (status, found) = room.typed(&code, mac).await.unwrap_err();
            assert_eq!((status, found.contains(why)), (404, true), "{found}");
        }
        // Codes survive a restart, and the newest one counts.
        let newer = room
            .code(json!({"hosts": [room.hosts[2]], "code": true}))
            .await;
        let room = Room {
            fleet: room.fleet.restarted().await,
            ..room
        };
        if newer != code {
            assert_eq!(room.typed(&code, MACS[2]).await.unwrap_err().0, 200);
        }
        let token = room.typed(&newer, MACS[2]).await.unwrap();
        room.fleet.check_in(MACS[2], &token).await;
        room.fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_codes_is_stopped() {
    for kind in BOTH {
        let room = Room::new(kind).await;
        let code = room.code(json!({"group": room.group, "code": true})).await;
        let guess = wrong(&code);
        for _ in 0..8 {
            let (status, _) = room.typed(&guess, MACS[0]).await.unwrap_err();
            assert_eq!(status, 200, "an answer that nobody can read");
        }
        let (status, why) = room.typed(&code, MACS[0]).await.unwrap_err();
        assert_eq!((status, why.contains("new code")), (403, true), "{why}");
        room.typed(&code, MACS[1]).await.unwrap();
        // A new code can be tried again.
        let newer = room
            .code(json!({"hosts": [room.hosts[0]], "code": true}))
            .await;
        room.typed(&newer, MACS[0]).await.unwrap();

        // One address: 40 at once, of which 11 were made above.
        let mut refused = None;
        for _ in 0..60 {
            match room.typed(&guess, STRANGER).await {
                Err((404, _)) => {}
                other => {
                    refused = Some(other);
                    break;
                }
            }
        }
        let (status, why) = refused.expect("somebody counts").unwrap_err();
        assert_eq!(
            (status, why.contains("too many codes")),
            (429, true),
            "{why}"
        );
        let mut right = Vec::new();
        for _ in 0..3 {
            right.push(room.typed(&newer, MACS[0]).await);
        }
        let is_refused = |typed: &Result<String, (u16, String)>| {
            typed.as_ref().is_err_and(|(status, _)| *status == 429)
        };
        assert!(
            right.iter().any(is_refused),
            "also the right one: {right:?}"
        );
        room.fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_exchange_is_refused() {
    let room = Room::new(Kind::Embedded).await;
    room.code(json!({"group": room.group, "code": true})).await;
    for (body, field) in [
        (json!({"mac": MACS[0], "message": ""}), "message"),
        (json!({"mac": MACS[0], "message": "AAAA"}), "message"),
        (json!({"mac": "zz", "message": "AAAA"}), "mac"),
        (json!({"mac": MACS[0]}), "message"),
        (json!({"mac": MACS[0], "message": "", "code": "1"}), "code"),
    ] {
        let answer = room
            .fleet
            .anonymous("POST", CODE_PATH, Some(body.clone()))
            .await;
        assert_eq!(
            (answer.0, &answer.1["field"]),
            (400, &json!(field)),
            "{body}: {answer:?}"
        );
    }
    let body = Some(json!({"group": room.group}));
    let (status, _) = room
        .fleet
        .anonymous("POST", "/foghorn/v1/boot-tokens", body)
        .await;
    assert_eq!(status, 403);
    room.fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waking_says_through_which_nodes() {
    for kind in BOTH {
        let room = Room::new(kind).await;
        let fleet = &room.fleet;
        let wake = |body| fleet.good("POST", "/foghorn/v1/wake", Some(body));
        let answer = wake(json!({"hosts": [room.hosts[3]]})).await;
        assert_eq!(answer["hosts"][0]["nodes"], json!([]), "{answer}");
        assert_eq!(answer["hosts"][0]["at_site"], false);

        let (keys, enrolled) = fleet.joined("north").await;
        let mut agent = Agent::connect(fleet, &keys, &enrolled).await;
        let asked = wake(json!({"group": room.group}));
        let woken = agent.order(|order| match order {
            Order::Wake(wake) if wake.macs.len() == 3 => Some(wake.macs),
            _ => None,
        });
        let (answer, macs) = tokio::join!(asked, woken);
        assert_eq!(macs[0], [2, 0, 0, 0, 0, 1]);
        let hosts = answer["hosts"].as_array().unwrap();
        assert_eq!(hosts.len(), 3);
        for (host, number) in hosts.iter().zip(0..) {
            assert_eq!(host["name"], format!("pc{number}"));
            assert_eq!(host["nodes"], json!(["north"]), "{host}");
        }
        let (status, _) = fleet
            .api("POST", "/foghorn/v1/wake", Some(json!({"hosts": [9999]})))
            .await;
        assert_eq!(status, 404);
        room.fleet.stop().await;
    }
}
