//! What a machine does for the host that it surely is, and tells of it.

use std::time::Duration;

use foghorn_controller::app::devices::work;
use foghorn_controller::state::classes::{Inventory, PowerManagement, UserTracking};
use foghorn_rest_types::host_work::HostPower;
use foghorn_types::Timestamp;
use serde_json::{Value, json};

use super::enrolment::{enrol, machine, token};
use super::fleet;
use super::machine::Machine;
use crate::engine::BOTH;
use crate::native::fleet::{Fleet, Keys};

/// When users log in here.
const AT: &str = "2026-11-11T14:17:50Z";

pub(super) async fn host(fleet: &Fleet, number: u32) -> u32 {
    let body =
        json!({"name": format!("pc{number}"), "macs": [format!("52:54:00:00:00:{number:02x}")]});
    let made = fleet.good("POST", "/fog/host", Some(body)).await;
    number_in(&made["id"])
}

/// A machine that has enrolled with a token for the host.
pub(super) async fn sure(fleet: &Fleet, host: u32) -> Machine {
    let (_, text) = token(fleet, json!({"host": host})).await;
    let keys = Keys::new();
    let (status, enrolled) = enrol(fleet, &text, &keys, json!({})).await;
    assert_eq!(status, 200, "{enrolled}");
    machine(fleet, &enrolled, &keys)
}

/// FOG writes numbers as texts.
fn number_in(value: &Value) -> u32 {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string()).parse().unwrap()
}

/// Snapins of the host, and a task for all of them.
pub(super) async fn order_snapins(fleet: &Fleet, host: u32, names: &[&str]) {
    for name in names {
        let body = json!({"name": name, "file": format!("{name}.sh"), "hosts": [host]});
        fleet.good("POST", "/fog/snapin/create", Some(body)).await;
    }
    let body = json!({"taskTypeID": 12, "deploySnapins": true});
    let path = format!("/fog/host/{host}/task");
    fleet.good("POST", &path, Some(body)).await;
}

pub(super) async fn work_of(machine: &Machine) -> Value {
    let answer = machine.get("/host/work").await;
    let work = answer.json();
    assert_eq!(answer.status, 200, "{work}");
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_runs_the_snapins_of_its_host_and_of_no_other() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let (one, two) = (host(&fleet, 1).await, host(&fleet, 2).await);
        let (machine, other) = (sure(&fleet, one).await, sure(&fleet, two).await);
        order_snapins(&fleet, one, &["a", "b"]).await;
        let all = json!({"snapins": true, "power": true, "host_name": true, "users": true,
            "inventory": true});
        let idle = json!({"host": two, "host_name": "pc2", "power": null, "power_id": null,
            "snapin": {"next": "nothing"}, "modules": all});
        assert_eq!(work_of(&other).await, idle);

        let work = work_of(&machine).await;
        let task = work["snapin"]["snapin_task"].as_u64().unwrap();
        let place = format!("/host/snapins/{task}");
        assert_eq!(work["snapin"]["next"], "run");
        assert_eq!(work["snapin"]["file"], "a.sh");
        assert_eq!(work["snapin"]["url"], format!("{place}/file"));
        assert_eq!(work_of(&machine).await, work, "it was not reported");

        let (file, result) = (format!("{place}/file"), format!("{place}/result"));
        let body = json!({"exit_code": 7, "details": "x"}).to_string();
        assert_eq!(other.get(&file).await.status, 404);
        assert_eq!(other.send("POST", &result, body.clone()).await, 404);
        assert_eq!(machine.get("/host/snapins/x/file").await.status, 404);
        let none = machine.get(&file).await;
        assert_eq!(none.status, 404);
        assert!(none.json()["message"].to_string().contains("no file"));
        let again = json!({"exit_code": 0}).to_string();
        assert_eq!(machine.send("POST", &result, body).await, 204);
        assert_eq!(machine.send("POST", &result, again).await, 204);
        let stored = fleet
            .good("GET", &format!("/fog/snapintask/{task}"), None)
            .await;
        assert_eq!(
            (&stored["return"], &stored["details"]),
            (&json!("7"), &json!("x"))
        );
        let late = machine.get(&file).await;
        assert!(late.json()["message"].to_string().contains("runs now"));

        let next = work_of(&machine).await;
        assert_eq!(next["snapin"]["file"], "b.sh");
        let task = &next["snapin"]["snapin_task"];
        let cancel = format!("/fog/snapintask/{task}/cancel");
        fleet.good("DELETE", &cancel, None).await;
        let result = format!("/host/snapins/{task}/result");
        let body = json!({"exit_code": 0}).to_string();
        assert_eq!(machine.send("POST", &result, body).await, 404);
        assert_eq!(work_of(&machine).await["snapin"]["next"], "nothing");
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_action_comes_until_it_is_acknowledged() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let (one, two) = (host(&fleet, 1).await, host(&fleet, 2).await);
        let (machine, other) = (sure(&fleet, one).await, sure(&fleet, two).await);
        let rule = |on_demand: u32, action: &str| {
            json!({"hostID": one, "min": "30", "hour": "*", "dom": "*", "month": "*", "dow": "*",
                "onDemand": on_demand, "action": action})
        };
        let create = "/fog/powermanagement/create";
        fleet.good("POST", create, Some(rule(1, "reboot"))).await;
        let work = work_of(&machine).await;
        assert_eq!(work["power"], "reboot");
        assert_eq!(work_of(&machine).await["power_id"], work["power_id"]);
        let id = work["power_id"].as_str().unwrap();
        let path = format!("/host/power/{id}");
        // It is nothing to others.
        assert_eq!(other.send("POST", &path, "").await, 404);
        assert_eq!(machine.send("POST", "/host/power/unknown", "").await, 404);
        assert_eq!(work_of(&machine).await["power_id"], work["power_id"]);
        let both = tokio::join!(
            machine.send("POST", &path, ""),
            machine.send("POST", &path, "")
        );
        assert!([(204, 404), (404, 204)].contains(&both), "{both:?}");
        let after = work_of(&machine).await;
        assert_eq!(
            (&after["power"], &after["power_id"]),
            (&Value::Null, &Value::Null)
        );
        let state = &fleet.controller.ctx().state;
        let left = state.read(|tables| tables.of::<PowerManagement>().iter().count());
        assert_eq!(left, 0, "what was on demand is gone");

        // By the calendar: once in an hour, and not when it was ten minutes ago.
        fleet.good("POST", create, Some(rule(0, "shutdown"))).await;
        let later = |minutes: u64| Timestamp::now() + Duration::from_secs(minutes * 60);
        let look = async |now| {
            let work = work::look(state, machine.uuid, now).await.unwrap();
            work.power_id.map(|id| (work.power, id))
        };
        let mut told = 0;
        for minutes in (0..=60).step_by(5) {
            let now = later(minutes);
            let Some((power, id)) = look(now).await else {
                continue;
            };
            told += 1;
            assert_eq!(power, Some(HostPower::Shutdown));
            assert_eq!(look(now).await, Some((power, id.clone())));
            let late = now + Duration::from_secs(11 * 60);
            assert_eq!(look(late).await, None);
            for is_due in [true, false] {
                let done = work::acknowledge_power(state, machine.uuid, &id, now).await;
                assert_eq!(done.is_ok(), is_due, "{done:?}");
                assert_eq!(look(now).await, None);
            }
        }
        assert_eq!(told, 1);
        fleet.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_the_hardware_is_not_written_again() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let (one, two) = (host(&fleet, 1).await, host(&fleet, 2).await);
        let (machine, new) = (sure(&fleet, one).await, sure(&fleet, two).await);
        let known = json!({"hostID": one, "primaryUser": "anna", "sysserial": "old", "mem": "m"});
        fleet
            .good("POST", "/fog/inventory/create", Some(known))
            .await;
        let state = &fleet.controller.ctx().state;
        let rows = |host: u32| {
            state.read(|tables| {
                let rows = tables.of::<Inventory>().by(Inventory::BY_HOST, host.into());
                let rows = rows.map(|row| (row.modified(), Inventory::clone(row)));
                rows.collect::<Vec<_>>()
            })
        };
        let told = json!({"sysserial": "new", "sysman": "Dell", "mem": ""}).to_string();
        let mut seen = Vec::new();
        for _ in 0..2 {
            assert_eq!(
                machine.send("PUT", "/host/inventory", told.clone()).await,
                204
            );
            seen.extend(rows(one));
        }
        assert_eq!(seen.len(), 2);
        assert_eq!(
            seen[0], seen[1],
            "the same row, and the same revision of it"
        );
        let row = &seen[0].1;
        assert_eq!(
            (&*row.sysserial, &*row.sysman, &*row.mem),
            ("new", "Dell", "m")
        );
        assert_eq!(row.primary_user, "anna");
        assert!(rows(two).is_empty());
        assert_eq!(new.send("PUT", "/host/inventory", told).await, 204);
        assert_eq!(rows(two)[0].1.sysman, "Dell");

        let long = "x".repeat(256);
        for (field, wrong) in [
            ("primaryUser", json!({"sysman": "HP", "primaryUser": "eve"})),
            ("hostID", json!({"sysman": "HP", "hostID": two.to_string()})),
            ("disk", json!({"sysman": "HP", "disk": "x"})),
            ("sysman", json!({"sysman": long})),
        ] {
            let answer = machine
                .call("PUT", "/host/inventory", &[], wrong.to_string())
                .await;
            assert_eq!(answer.status, 400);
            assert!(answer.json()["errors"][field].is_string(), "{field}");
        }
        let number = json!({"sysman": 7}).to_string();
        assert_eq!(machine.send("PUT", "/host/inventory", number).await, 400);
        assert_eq!(rows(one), seen[1..]);
        fleet.stop().await;
    }
}

fn event(id: &str, user: &str, action: &str) -> Value {
    json!({"id": id, "user": user, "action": action, "time": AT})
}

#[tokio::test(flavor = "multi_thread")]
async fn log_ins_that_are_told_again_are_stored_once() {
    for kind in BOTH {
        let fleet = fleet(kind).await;
        let one = host(&fleet, 1).await;
        let machine = sure(&fleet, one).await;
        let state = &fleet.controller.ctx().state;
        let rows = || {
            state.read(|tables| {
                let rows = tables
                    .of::<UserTracking>()
                    .by(UserTracking::BY_HOST, one.into());
                let shown = rows.map(|row| format!("{} {}", row.action, row.username));
                shown.collect::<Vec<_>>()
            })
        };
        let batch = |events: &[Value]| json!({"events": events}).to_string();
        let first = [
            event("1", "system", "start"),
            event("2", "anna", "login"),
            event("2", "anna", "login"),
        ];
        let more = [first[1].clone(), event("3", " anna ", "logout")];
        for sent in [batch(&first), batch(&first), batch(&more), batch(&[])] {
            assert_eq!(machine.send("POST", "/host/users", sent).await, 204);
        }
        assert_eq!(rows(), ["99 system", "1 anna", "0 anna"]);

        let many: Vec<Value> = (0..257)
            .map(|number| event(&format!("n{number}"), "bert", "login"))
            .collect();
        let long = "x".repeat(65);
        for (field, wrong) in [
            ("events", batch(&many)),
            (
                "events[1].user",
                batch(&[event("4", "a", "login"), event("5", " ", "login")]),
            ),
            ("events[0].id", batch(&[event("", "a", "login")])),
            ("events[0].id", batch(&[event(&long, "a", "login")])),
            (
                "events[0].time",
                batch(&[json!({"id": "6", "user": "a", "action": "login", "time": "now"})]),
            ),
        ] {
            let answer = machine.call("POST", "/host/users", &[], wrong).await;
            let said = answer.json();
            assert_eq!(answer.status, 400, "{said}");
            assert!(said["errors"][field].is_string(), "{field}: {said}");
        }
        assert_eq!(rows().len(), 3, "nothing of what is refused is stored");
        for _ in 0..2 {
            let sent = batch(&many[..256]);
            assert_eq!(machine.send("POST", "/host/users", sent).await, 204);
            assert_eq!(rows().len(), 259);
        }
        fleet.stop().await;
    }
}
