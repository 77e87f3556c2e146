//! Machines that do nothing for a host: which one they are is not sure, or it is switched off.

use foghorn_controller::state::classes::{Inventory, UserTracking};
use foghorn_controller::state::machines::device::BoundBy;
use foghorn_types::MachineUuid;
use serde_json::{Value, json};

use super::enrolment::{enrol, machine, token};
use super::fleet;
use super::host_work::{host, order_snapins, sure};
use super::machine::Machine;
use crate::engine::BOTH;
use crate::native::fleet::{Fleet, Keys};

/// Every route, with what it takes.
fn requests() -> [(&'static str, &'static str, String); 6] {
    let events = json!({"events": [{"id": "1", "user": "anna", "action": "login",
        "time": "2026-11-11T14:17:50Z"}]});
    [
        ("GET", "/host/work", String::new()),
        ("GET", "/host/snapins/1/file", String::new()),
        (
            "POST",
            "/host/snapins/1/result",
            json!({"exit_code": 0}).to_string(),
        ),
        ("POST", "/host/power/1-0", String::new()),
        (
            "PUT",
            "/host/inventory",
            json!({"sysman": "Dell"}).to_string(),
        ),
        ("POST", "/host/users", events.to_string()),
    ]
}

async fn is_refused(machine: &Machine, why: &str) {
    for (method, path, body) in requests() {
        let answer = machine.call(method, path, &[], body).await;
        let said = answer.json();
        assert_eq!(answer.status, 409, "{method} {path}: {said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_only_says_itself_which_host_it_is_does_nothing_for_it() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let (one, two) = (host(&fleet, 1).await, host(&fleet, 2).await);
        order_snapins(&fleet, one, &["a"]).await;
        let nobody = Machine::new(&fleet, 1);
        is_refused(&nobody, "no host is known for it").await;

        // By its address.
        let network = json!({"hostname": "pc", "mac": "52:54:00:00:00:01"}).to_string();
        let path = "/system_info/network";
        assert_eq!(nobody.send("PUT", path, network).await, 200);
        let bound = nobody.stored(&fleet).unwrap().host.unwrap();
        assert_eq!((bound.to.get(), bound.by), (one, BoundBy::Address));
        is_refused(&nobody, "foghorn host token").await;

        // By the UUID of its hardware, which it has chosen when it was registered.
        let uuid = MachineUuid::from_bits(7);
        let inventory = json!({"hostID": two, "sysuuid": uuid.to_string()});
        fleet
            .good("POST", "/fog/inventory/create", Some(inventory))
            .await;
        let claiming = Machine::new(&fleet, 7);
        assert_eq!(claiming.get("/device").await.status, 200);
        let bound = claiming.stored(&fleet).unwrap().host.unwrap();
        assert_eq!((bound.to.get(), bound.by), (two, BoundBy::Address));
        is_refused(&claiming, "only its own word").await;

        // With a token for the factory.
        let (_, text) = token(&fleet, json!({"count": 1})).await;
        let keys = Keys::new();
        let (status, enrolled) = enrol(&fleet, &text, &keys, json!({})).await;
        assert_eq!(status, 200, "{enrolled}");
        is_refused(&machine(&fleet, &enrolled, &keys), "foghorn host token").await;

        let state = &fleet.controller.ctx().state;
        let stored = state.read(|tables| {
            let inventories = tables.of::<Inventory>().iter();
            let told = inventories.filter(|row| row.sysman == "Dell").count();
            (told, tables.of::<UserTracking>().iter().count())
        });
        assert_eq!(stored, (0, 0));
        let task = fleet.good("GET", "/fog/snapintask/1", None).await;
        assert_ne!(task["stateID"], "3", "nobody has taken it");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_deleted_has_no_work() {
    let fleet = fleet(crate::engine::Kind::Embedded).await;
    let one = host(&fleet, 1).await;
    let machine = sure(&fleet, one).await;
    assert_eq!(machine.get("/host/work").await.status, 200);
    let path = format!("/fog/host/{one}");
    fleet.good("DELETE", &path, None).await;
    is_refused(&machine, "no host is known for it").await;
    fleet.stop().await;
}

async fn modules(machine: &Machine) -> Value {
    machine.get("/host/work").await.json()["modules"].clone()
}

/// Changes a setting of FOG by its number.
async fn switch(fleet: &Fleet, setting: u32, value: &str) {
    let path = format!("/fog/service/{setting}");
    let body = json!({"value": value});
    fleet.good("PUT", &path, Some(body)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_neither_given_nor_taken() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let (one, two) = (host(&fleet, 1).await, host(&fleet, 2).await);
        let (machine, other) = (sure(&fleet, one).await, sure(&fleet, two).await);
        order_snapins(&fleet, one, &["a"]).await;
        let rule = json!({"hostID": one, "min": "1", "hour": "1", "dom": "*", "month": "*",
            "dow": "*", "onDemand": 1, "action": "reboot"});
        fleet
            .good("POST", "/fog/powermanagement/create", Some(rule))
            .await;
        let all = [
            (46, "snapins"),
            (156, "power"),
            (45, "host_name"),
            (52, "users"),
        ];
        for (setting, name) in all {
            switch(&fleet, setting, "0").await;
            let on = modules(&machine).await;
            assert_eq!((&on[name], &on["inventory"]), (&json!(false), &json!(true)));
        }
        let work = machine.get("/host/work").await.json();
        assert_eq!(work["snapin"], json!({"next": "nothing"}));
        for nothing in ["host_name", "power", "power_id"] {
            assert_eq!(work[nothing], Value::Null, "{nothing}");
        }
        for (method, path, body) in requests() {
            let expected = match path {
                "/host/work" => 200,
                "/host/inventory" => 204,
                _ => 409,
            };
            assert_eq!(machine.send(method, path, body).await, expected, "{path}");
        }
        for (setting, _) in all {
            switch(&fleet, setting, "1").await;
        }
        let work = machine.get("/host/work").await.json();
        assert_eq!(work["snapin"]["next"], "run", "it has waited");
        assert_eq!(
            (&work["power"], &work["host_name"]),
            (&json!("reboot"), &json!("pc1"))
        );

        // For one host: those that were chosen (6 is that of snapins), and no others.
        let path = format!("/fog/host/{one}");
        fleet
            .good("PUT", &path, Some(json!({"modules": [6]})))
            .await;
        let chosen = json!({"snapins": true, "power": false, "host_name": false, "users": false,
            "inventory": true});
        assert_eq!(modules(&machine).await, chosen);
        assert_eq!(modules(&other).await["users"], true);
        // One that is off says nothing of the others.
        let off = json!({"hostID": two, "moduleID": 6, "state": "0"});
        fleet
            .good("POST", "/fog/moduleassociation/create", Some(off))
            .await;
        let on = modules(&other).await;
        assert_eq!(
            (&on["snapins"], &on["users"]),
            (&json!(false), &json!(true))
        );
        // What new hosts have (12 is that of log-ins).
        let default = json!({"isDefault": 0});
        fleet.good("PUT", "/fog/module/12", Some(default)).await;
        assert_eq!(modules(&other).await["users"], false);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_json_is_refused() {
    let fleet = fleet(crate::engine::Kind::Embedded).await;
    let one = host(&fleet, 1).await;
    let machine = sure(&fleet, one).await;
    let name = json!({"name": "pc_1"});
    fleet
        .good("PUT", &format!("/fog/host/{one}"), Some(name))
        .await;
    let work = machine.get("/host/work").await.json();
    assert_eq!(
        work["host_name"],
        Value::Null,
        "a machine cannot be called so"
    );
    let large = |size: usize| json!({"events": "x".repeat(size)}).to_string();
    for (status, method, path, body) in [
        (413, "PUT", "/host/inventory", large(200_000)),
        (413, "POST", "/host/snapins/1/result", large(200_000)),
        (413, "POST", "/host/users", large(600_000)),
        (400, "POST", "/host/users", large(1)),
        (400, "PUT", "/host/inventory", "[]".to_owned()),
        (400, "POST", "/host/snapins/1/result", "{}".to_owned()),
        (
            404,
            "POST",
            "/host/snapins/1/result",
            json!({"exit_code": 0}).to_string(),
        ),
        (405, "POST", "/host/work", String::new()),
        (404, "GET", "/host", String::new()),
    ] {
        let answer = machine.call(method, path, &[], body).await;
        let said = answer.json();
        assert_eq!(answer.status, status, "{method} {path}: {said}");
        assert!(said["message"].is_string(), "{method} {path}: {said}");
    }
    fleet.stop().await;
}
