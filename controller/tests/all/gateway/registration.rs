//! `POST /ota/devices/` of the operators' listener, and what comes of it at the gateway.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use foghorn_controller::app::devices::tokens::{self, Terms};
use foghorn_controller::app::devices::{edit, groups};
use foghorn_controller::app::users::{self, NewAccount, Secret};
use foghorn_controller::state::machines::scope::Scope;
use foghorn_types::{MachineUuid, Role};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};

use super::fleet;
use super::machine::{Machine, factory_name};
use crate::devices::factory;
use crate::engine::{BOTH, Kind};
use crate::native::fleet::{Fleet, call};

const PRODUCTION: [u64; 4] = [2, 5, 4, 15];

/// A request as the tool of devices makes it.
fn request(key: &KeyPair, names: Vec<(DnType, String)>) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, name) in names {
        params.distinguished_name.push(kind, name);
    }
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn names(uuid: MachineUuid, factory: &str) -> Vec<(DnType, String)> {
    vec![
        (DnType::CommonName, uuid.to_string()),
        (DnType::OrganizationalUnitName, factory.to_owned()),
    ]
}

/// The tool writes every value as a text.
fn body(name: &str, uuid: MachineUuid, csr: &str) -> Value {
    json!({
        "name": name,
        "uuid": uuid.to_string(),
        "csr": csr,
        "hardware-id": "pc",
        "sota-config-dir": "/var/sota",
        "use-ostree-server": "true",
        "overrides": {"pacman": {"tags": "\"lab\""}},
    })
}

async fn token(fleet: &Fleet, scope: Scope, factories: &[String]) -> String {
    let state = &fleet.controller.ctx().state;
    let account = NewAccount {
        name: format!("user{}", scope as u8),
        role: Role::Operator,
        api: true,
        secret: Secret::None,
    };
    let (user, _) = users::create(state, account).await.unwrap();
    let terms = Terms {
        user,
        description: "a test".to_owned(),
        scopes: BTreeSet::from([scope]),
        factories: factories.to_vec(),
        ttl: None,
    };
    tokens::create(state, &terms).await.unwrap().text
}

async fn ask(fleet: &Fleet, header: (&str, String), body: Value) -> (u16, Value) {
    let (ca, base) = (fleet.controller.ca_pem(), fleet.controller.rest_url());
    let headers = [(header.0.to_owned(), header.1)];
    call(ca, &base, "POST", "/ota/devices/", &headers, Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_device_is_let_in_with_what_it_was_given() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let state = &fleet.controller.ctx().state;
        groups::create(state, factory(), "room", "", 1)
            .await
            .unwrap();
        let token = token(&fleet, Scope::DevicesCreate, &[]).await;
        let (uuid, key) = (MachineUuid::from_bits(1), KeyPair::generate().unwrap());
        let mut subject = names(uuid, &factory_name(&fleet));
        let category = DnType::CustomDnType(PRODUCTION.to_vec());
        subject.push((category, "production".to_owned()));
        let csr = request(&key, subject);
        let mut asked = body("till-1", uuid, &csr);
        asked["group"] = "room".into();
        let header = ("OSF-TOKEN", token.clone());
        let (status, given) = ask(&fleet, header, asked.clone()).await;
        assert_eq!(status, 201, "{given}");
        assert_eq!(given["root.crt"], fleet.controller.ca_pem());
        let settings: toml::Table = given["sota.toml"].as_str().unwrap().parse().unwrap();
        let gateway = fleet.controller.gateway_here().unwrap();
        let server = settings["tls"]["server"].as_str();
        assert_eq!(server, Some(format!("https://{gateway}").as_str()));
        assert_eq!(settings["pacman"]["tags"].as_str(), Some("lab"));

        let chain = given["client.pem"].as_str().unwrap();
        let machine = Machine::holding(&fleet, uuid, chain, &key.serialize_pem());
        assert_eq!(machine.stored(&fleet).unwrap().last_seen, None);
        let shown = machine.get("/device").await.json();
        assert_eq!(
            (&shown["name"], &shown["group"]),
            (&json!("till-1"), &json!("room"))
        );
        assert_eq!(shown["is-prod"], true);
        let stored = machine.stored(&fleet).unwrap();
        assert_eq!(stored.hardware_id.as_deref(), Some("pc"));
        assert!(stored.owner != 0 && stored.last_seen.is_some());

        // Its UUID and its name are taken.
        let bearer = format!("Bearer {}", BASE64.encode(token.as_bytes()));
        let (status, said) = ask(&fleet, ("Authorization", bearer.clone()), asked).await;
        assert_eq!(status, 409, "{said}");
        let other = MachineUuid::from_bits(2);
        let csr = request(
            &KeyPair::generate().unwrap(),
            names(other, &factory_name(&fleet)),
        );
        let asked = body("till-1", other, &csr);
        let (status, said) = ask(&fleet, ("Authorization", bearer.clone()), asked).await;
        assert_eq!(status, 409, "{said}");

        // One that was deleted does not come back by itself.
        let ctx = fleet.controller.ctx();
        edit::delete(&ctx.state, &ctx.sightings, uuid, 1)
            .await
            .unwrap();
        let csr = request(&key, names(uuid, &factory_name(&fleet)));
        let (status, said) = ask(&fleet, ("Authorization", bearer), body("", uuid, &csr)).await;
        assert_eq!(status, 409, "{said}");
        assert_eq!(machine.get("/device").await.status, 403);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_registration_is_refused_by_field() {
    let fleet = fleet(Kind::Embedded).await;
    let token = token(&fleet, Scope::DevicesCreate, &[]).await;
    let (uuid, factory) = (MachineUuid::from_bits(1), factory_name(&fleet));
    let key = KeyPair::generate().unwrap();
    let csr = request(&key, names(uuid, &factory));
    let good = body("", uuid, &csr);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let large = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut forged = csr.clone();
    // A letter in the middle of the base64, which is signed.
    let at = forged.len() / 2;
    let letter = if &forged[at..=at] == "A" { "B" } else { "A" };
    forged.replace_range(at..=at, letter);
    let nobody = request(
        &key,
        vec![(DnType::OrganizationalUnitName, factory.clone())],
    );
    let nowhere = request(&key, names(uuid, "nowhere"));
    for (status, field, asked) in [
        (400, "csr", with("csr", "text".into())),
        (400, "csr", with("csr", Value::Null)),
        (400, "csr", with("csr", forged.into())),
        (
            400,
            "csr",
            with("csr", request(&large, names(uuid, &factory)).into()),
        ),
        (400, "csr", with("csr", nobody.into())),
        (404, "", with("csr", nowhere.into())),
        (
            400,
            "uuid",
            with("uuid", MachineUuid::from_bits(2).to_string().into()),
        ),
        (400, "uuid", with("uuid", "1".into())),
        (400, "name", with("name", "a/b".into())),
        (404, "", with("group", "nothing".into())),
        (400, "hardware-id", with("hardware-id", "a/b".into())),
        (400, "sota-config-dir", with("sota-config-dir", "x".into())),
        (400, "overrides", with("overrides", "x".into())),
        (413, "", with("name", "x".repeat(200_000).into())),
    ] {
        let (got, said) = ask(&fleet, ("osf-token", token.clone()), asked).await;
        assert_eq!(got, status, "{field}: {said}");
        assert!(said["message"].is_string(), "{said}");
        if !field.is_empty() {
            assert!(said["errors"][field].is_string(), "{field}: {said}");
        }
    }
    let devices = &fleet.controller.ctx().state;
    assert!(devices.read(|tables| tables.devices().is_empty()));
    let (status, said) = ask(&fleet, ("osf-token", token), good).await;
    assert_eq!(status, 201, "{said}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_to_be_for_it() {
    let fleet = fleet(Kind::Embedded).await;
    let (uuid, own) = (MachineUuid::from_bits(1), factory_name(&fleet));
    fleet
        .good(
            "POST",
            "/fog/storagegroup",
            Some(json!({"name": "elsewhere"})),
        )
        .await;
    let key = KeyPair::generate().unwrap();
    let good = body("", uuid, &request(&key, names(uuid, &own)));
    let elsewhere = token(&fleet, Scope::DevicesCreate, &["elsewhere".to_owned()]).await;
    let update = token(&fleet, Scope::DevicesReadUpdate, &[]).await;
    for (status, header) in [
        (401, ("osf-token", "wrong".to_owned())),
        (401, ("authorization", "Basic eDp5".to_owned())),
        (403, ("osf-token", update)),
        (403, ("osf-token", elsewhere.clone())),
    ] {
        let (got, said) = ask(&fleet, header, good.clone()).await;
        assert_eq!(got, status, "{said}");
    }
    // The only factory of a token is meant where the request names none.
    let csr = request(&key, vec![(DnType::CommonName, uuid.to_string())]);
    let (status, said) = ask(&fleet, ("osf-token", elsewhere), body("", uuid, &csr)).await;
    assert_eq!(status, 201, "{said}");
    let chain = said["client.pem"].as_str().unwrap();
    let machine = Machine::holding(&fleet, uuid, chain, &key.serialize_pem());
    assert_eq!(machine.get("/device").await.json()["factory"], "elsewhere");
    fleet.stop().await;

    let without = Fleet::new().await;
    let (status, said) = ask(&without, ("osf-token", "x".to_owned()), good).await;
    assert!(
        (401..=404).contains(&status),
        "there is no such route: {said}"
    );
    without.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_renews_its_certificate_with_its_own_key_only() {
    let fleet = fleet(Kind::Embedded).await;
    let machine = Machine::new(&fleet, 1);
    let key = KeyPair::from_pem(&machine.key_pem).unwrap();
    // What the request says does not matter, only whose key it is.
    let other = MachineUuid::from_bits(2);
    let csr = request(&key, names(other, "nowhere"));
    let answer = machine.call("POST", "/certificate", &[], csr).await;
    assert_eq!(answer.status, 201);
    let chain = String::from_utf8(answer.body).unwrap();
    assert_ne!(chain, machine.chain_pem);
    let renewed = Machine::holding(&fleet, machine.uuid, &chain, &machine.key_pem);
    let before = machine.stored(&fleet).unwrap();
    let shown = renewed.get("/device").await.json();
    assert_eq!(shown["uuid"], machine.uuid.to_string());
    assert_eq!(shown["factory"], factory_name(&fleet));
    let after = machine.stored(&fleet).unwrap();
    assert_ne!(after.fingerprint, before.fingerprint);
    assert_eq!(after.public_key, before.public_key);

    let foreign = request(&KeyPair::generate().unwrap(), names(machine.uuid, "x"));
    assert_eq!(machine.send("POST", "/certificate", foreign).await, 403);
    assert_eq!(
        machine.send("POST", "/certificate", "no request").await,
        400
    );
    fleet.stop().await;
}
