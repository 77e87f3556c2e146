//! Machines that enrol with a token, and what comes of it at the gateway.

use foghorn_controller::app::devices::edit;
use foghorn_controller::app::notices::targets::{self, By};
use foghorn_controller::state::Tables;
use foghorn_controller::state::machines::config::Level;
use foghorn_controller::state::machines::device::BoundBy;
use foghorn_controller::state::notify::Event;
use foghorn_host_config::ecies::DeviceKey;
use foghorn_proto::machine::MACHINE_ENROL_PATH;
use foghorn_types::{MachineUuid, NoticeKind};
use serde_json::{Value, json};

use super::configs::set;
use super::fleet;
use super::machine::{Machine, factory_name};
use crate::devices::factory;
use crate::engine::{BOTH, Kind};
use crate::native::fleet::{Fleet, Keys};

const ALL: &str = "/foghorn/v1/host-tokens";
const HARDWARE: &str = "0a1b2c3d-0000-4000-8000-00000000000f";

pub(super) async fn token(fleet: &Fleet, body: Value) -> (u64, String) {
    let made = fleet.good("POST", ALL, Some(body)).await;
    let text = made["token"].as_str().unwrap().to_owned();
    assert!(text.starts_with("fhh1."), "{made}");
    assert_eq!(made["served"], true);
    (made["id"].as_u64().unwrap(), text)
}

async fn left(fleet: &Fleet, id: u64) -> Value {
    let list = fleet.good("GET", ALL, None).await;
    let mut all = list["tokens"].as_array().unwrap().iter();
    all.find(|token| token["id"] == id).unwrap()["left"].clone()
}

pub(super) async fn enrol(fleet: &Fleet, token: &str, keys: &Keys, more: Value) -> (u16, Value) {
    let mut body = json!({"token": token, "csr_pem": keys.csr_pem});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    fleet
        .anonymous("POST", MACHINE_ENROL_PATH, Some(body))
        .await
}

pub(super) fn machine(fleet: &Fleet, enrolled: &Value, keys: &Keys) -> Machine {
    let uuid: MachineUuid = enrolled["uuid"].as_str().unwrap().parse().unwrap();
    let chain = enrolled["chain_pem"].as_str().unwrap();
    Machine::holding(fleet, uuid, chain, &keys.key_pem)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_host_makes_the_machine_its_device_in_place_of_the_one_before() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let image = fleet.image("lab").await;
        let host = fleet.host("pc1", "52:54:00:00:00:01", image).await;
        let (id, text) = token(&fleet, json!({"host": host})).await;
        let keys = Keys::new();
        let hardware = json!({"hardware_uuid": HARDWARE});
        let (status, enrolled) = enrol(&fleet, &text, &keys, hardware.clone()).await;
        assert_eq!(status, 200, "{enrolled}");
        assert_eq!(enrolled["uuid"], HARDWARE);
        assert_eq!(enrolled["host"], host);
        assert_eq!(enrolled["factory"], factory_name(&fleet));
        let settings: toml::Table = enrolled["sota_toml"].as_str().unwrap().parse().unwrap();
        let gateway = fleet.controller.gateway_here().unwrap();
        let server = settings["tls"]["server"].as_str();
        assert_eq!(server, Some(format!("https://{gateway}").as_str()));
        let first = machine(&fleet, &enrolled, &keys);
        assert_eq!(first.get("/device").await.json()["name"], "pc1");
        let bound = first.stored(&fleet).unwrap().host.unwrap();
        assert_eq!((bound.to.get(), bound.by), (host, BoundBy::Certificate));

        // The answer was lost: the same machine asks again. Another one is too late.
        let (status, again) = enrol(&fleet, &text, &keys, json!({})).await;
        assert_eq!((status, &again["uuid"]), (200, &enrolled["uuid"]));
        let other = Keys::new();
        let (status, said) = enrol(&fleet, &text, &other, json!({})).await;
        assert_eq!((status, &said["field"]), (403, &json!("token")), "{said}");
        assert_eq!(left(&fleet, id).await, 0);

        // The disk was replaced, and with it the key.
        let (_, text) = token(&fleet, json!({"host": host})).await;
        let (status, enrolled) = enrol(&fleet, &text, &other, json!({})).await;
        assert_eq!(status, 200, "{enrolled}");
        assert_eq!(enrolled["uuid"], HARDWARE);
        let second = machine(&fleet, &enrolled, &other);
        assert_eq!(second.get("/device").await.json()["name"], "pc1");
        assert_eq!(first.get("/device").await.status, 403);

        // A device that was deleted does not come back; its host gets another one.
        let ctx = fleet.controller.ctx();
        edit::delete(&ctx.state, &ctx.sightings, second.uuid, 1)
            .await
            .unwrap();
        let (_, text) = token(&fleet, json!({"host": host})).await;
        let third = Keys::new();
        let (status, enrolled) = enrol(&fleet, &text, &third, hardware).await;
        assert_eq!(status, 200, "{enrolled}");
        assert_ne!(enrolled["uuid"], HARDWARE);
        assert_eq!(enrolled["host"], host);
        assert_eq!(second.get("/device").await.status, 403);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_factory_lets_in_so_many_and_none_in_place_of_another() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let own = factory_name(&fleet);
        let (id, text) = token(&fleet, json!({"factory": own, "count": 2})).await;
        let (one, two, three) = (Keys::new(), Keys::new(), Keys::new());
        let named = json!({"hardware_uuid": HARDWARE, "name": "till-1"});
        let (status, enrolled) = enrol(&fleet, &text, &one, named).await;
        assert_eq!((status, &enrolled["host"]), (200, &Value::Null));
        let first = machine(&fleet, &enrolled, &one);
        assert_eq!(first.get("/device").await.json()["name"], "till-1");

        let taken = json!({"hardware_uuid": HARDWARE});
        let (status, said) = enrol(&fleet, &text, &two, taken).await;
        assert_eq!(
            (status, &said["field"]),
            (409, &json!("hardware_uuid")),
            "{said}"
        );
        assert_eq!(first.get("/device").await.status, 200);
        assert_eq!(left(&fleet, id).await, 1);
        // Without it, the UUID follows from the key, also another time. Zeros are no UUID.
        let (status, enrolled) = enrol(&fleet, &text, &two, json!({})).await;
        assert_eq!(status, 200, "{enrolled}");
        let zeros = json!({"hardware_uuid": "00000000-0000-0000-0000-000000000000"});
        let (status, again) = enrol(&fleet, &text, &two, zeros).await;
        assert_eq!((status, &again["uuid"]), (200, &enrolled["uuid"]));
        let second = machine(&fleet, &enrolled, &two);
        assert_eq!(second.get("/device").await.status, 200);
        let (status, said) = enrol(&fleet, &text, &three, json!({})).await;
        assert_eq!((status, &said["field"]), (403, &json!("token")), "{said}");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_says_of_its_hardware_only_shows_it_as_a_host() {
    let fleet = fleet(Kind::Embedded).await;
    let image = fleet.image("lab").await;
    let host = fleet.host("pc1", "52:54:00:00:00:01", image).await;
    let inventory = json!({"hostID": host, "sysuuid": HARDWARE});
    fleet
        .good("POST", "/fog/inventory/create", Some(inventory))
        .await;
    let (_, text) = token(&fleet, json!({"count": 2})).await;
    let keys = Keys::new();
    let named = json!({"hardware_uuid": HARDWARE, "name": "till-1"});
    let (status, said) = enrol(&fleet, &text, &keys, named).await;
    assert_eq!((status, &said["field"]), (400, &json!("name")), "{said}");
    let hardware = json!({"hardware_uuid": HARDWARE});
    let (status, enrolled) = enrol(&fleet, &text, &keys, hardware).await;
    assert_eq!(status, 200, "{enrolled}");
    assert_eq!(enrolled["host"], host);
    let machine = machine(&fleet, &enrolled, &keys);
    assert_eq!(machine.get("/device").await.json()["name"], "pc1");
    let bound = machine.stored(&fleet).unwrap().host.unwrap();
    assert_eq!((bound.to.get(), bound.by), (host, BoundBy::Address));

    // A token for the host makes it sure, and is good for the same machine with another key.
    let (_, text) = token(&fleet, json!({"host": host})).await;
    let other = Keys::new();
    let (status, enrolled) = enrol(&fleet, &text, &other, json!({})).await;
    assert_eq!((status, &enrolled["uuid"]), (200, &json!(HARDWARE)));
    let bound = machine.stored(&fleet).unwrap().host.unwrap();
    assert_eq!(bound.by, BoundBy::Certificate);
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_enrolments_use_no_token() {
    let fleet = fleet(Kind::Embedded).await;
    let image = fleet.image("lab").await;
    let host = fleet.host("pc1", "52:54:00:00:00:01", image).await;
    let (id, text) = token(&fleet, json!({"host": host})).await;
    let keys = Keys::new();
    let authority = text.rsplit('.').next().unwrap();
    let unknown = format!("fhh1.unknown.{authority}");
    let secret = text.split('.').nth(1).unwrap();
    let foreign = format!("fhh1.{secret}.{}", "a".repeat(43));
    for (status, field, token, more) in [
        (400, "token", "text", json!({})),
        (400, "token", "fhj1.a.b", json!({})),
        (403, "token", unknown.as_str(), json!({})),
        (403, "token", foreign.as_str(), json!({})),
        (400, "csr_pem", text.as_str(), json!({"csr_pem": "text"})),
        (400, "name", text.as_str(), json!({"name": "another"})),
        (400, "folder", text.as_str(), json!({"folder": "var/sota"})),
    ] {
        let (got, said) = enrol(&fleet, token, &keys, more).await;
        assert_eq!((got, &said["field"]), (status, &json!(field)), "{said}");
    }
    assert_eq!(left(&fleet, id).await, 1);

    let wrong = [
        (400, json!({"count": 0})),
        (400, json!({"host": host, "count": 2})),
        (404, json!({"host": 999})),
        (404, json!({"factory": "nowhere"})),
        (400, json!({"ttl_seconds": 0})),
    ];
    for (status, body) in wrong {
        let (got, said) = fleet.api("POST", ALL, Some(body)).await;
        assert_eq!(got, status, "{said}");
    }
    let path = format!("{ALL}/{id}");
    fleet.good("DELETE", &path, None).await;
    let (status, said) = enrol(&fleet, &text, &keys, json!({})).await;
    assert_eq!(status, 403, "{said}");
    let elsewhere = json!({"name": "elsewhere"});
    fleet
        .good("POST", "/fog/storagegroup", Some(elsewhere))
        .await;
    let (status, said) = fleet.api("POST", ALL, Some(json!({"host": host}))).await;
    assert_eq!(
        (status, &said["field"]),
        (400, &json!("factory")),
        "which of the two: {said}"
    );
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_nobody_enrols() {
    let fleet = Fleet::new().await;
    let made = fleet.good("POST", ALL, Some(json!({}))).await;
    assert_eq!(made["served"], false);
    let text = made["token"].as_str().unwrap();
    let (status, said) = enrol(&fleet, text, &Keys::new(), json!({})).await;
    assert_eq!(status, 409, "{said}");
    let why = said["error"].as_str().unwrap();
    assert!(why.contains("dialects.foundries.gateway"), "{why}");
    fleet.stop().await;
}

/// What people are told, whether it was sent already or not.
fn told(fleet: &Fleet) -> Vec<Event> {
    let all = |tables: &Tables| {
        let pending = tables.notify_pending().iter();
        let pending = pending.map(|one| one.event.clone());
        let messages = tables.notify_messages().iter();
        let messages = messages.flat_map(|message| message.events.clone());
        pending.chain(messages).collect::<Vec<_>>()
    };
    fleet.controller.ctx().state.read(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_secrets_that_a_new_key_cannot_decrypt_people_are_told() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let ctx = fleet.controller.ctx();
        let terms = targets::Terms {
            name: Some("pager".to_owned()),
            url: Some("http://127.0.0.1:1/".to_owned()),
            kinds: Some([NoticeKind::DeviceSecretsUnreadable].into()),
            ..targets::Terms::default()
        };
        targets::create(&ctx.state, &ctx.trust, By::Webhook, terms)
            .await
            .unwrap();
        let image = fleet.image("lab").await;
        let host = fleet.host("pc1", "52:54:00:00:00:01", image).await;
        let good = async |text: &str, keys: &Keys| {
            let (status, enrolled) = enrol(&fleet, text, keys, json!({})).await;
            assert_eq!(status, 200, "{enrolled}");
            machine(&fleet, &enrolled, keys)
        };
        let (first, second, third) = (Keys::new(), Keys::new(), Keys::new());
        let (_, text) = token(&fleet, json!({"host": host})).await;
        let uuid = good(&text, &first).await.uuid;
        let own = Level::Device(uuid);
        set(&fleet, own, "plain", "shown", true).await;
        set(&fleet, Level::Factory(factory()), "pin", "1234", false).await;

        // Nothing was encrypted for the key of before; the secret of the factory is for that of now.
        let (_, text) = token(&fleet, json!({"host": host})).await;
        let machine = good(&text, &second).await;
        let pin = machine.get("/config").await.json()["pin"].clone();
        let key = DeviceKey::from_pem(&second.key_pem).unwrap();
        assert_eq!(
            key.decrypt(pin["Value"].as_str().unwrap()).unwrap(),
            b"1234"
        );
        set(&fleet, own, "wifi", "BJrwrq", false).await;
        // Whoever asks again has the same key.
        good(&text, &second).await;
        assert!(told(&fleet).is_empty(), "{kind:?}");

        let (_, text) = token(&fleet, json!({"host": host})).await;
        good(&text, &third).await;
        let told = told(&fleet);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].kind, NoticeKind::DeviceSecretsUnreadable);
        assert_eq!(told[0].host.as_ref().unwrap().name, "pc1");
        let text = &told[0].text;
        assert!(text.contains(&uuid.to_string()), "{text}");
        assert!(text.contains("(wifi)"), "{text}");
        fleet.stop().await;
    }
}
