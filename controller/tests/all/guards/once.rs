//! What there may be once, and what may happen once.

use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::app::boot_tokens::{self, Whom, Wish};
use foghorn_controller::app::enrolment::many::{self, Terms};
use foghorn_controller::app::{check_in, enrolment, power};
use foghorn_controller::background::Report;
use foghorn_controller::scheduler::Scheduler;
use foghorn_controller::state::class::Class;
use foghorn_controller::state::classes::{
    Group, GroupAssociation, Host, Inventory, MacAddressAssociation, MulticastSession, SnapinJob,
    StorageNode, Task,
};
use foghorn_proto::http::{CheckInRequest, EnrolRequest};
use foghorn_types::{HostId, NamePattern, NodeName, Timestamp};
use futures_util::FutureExt as _;
use serde_json::json;

use super::fleet::{Act, After, Fleet, Pair};
use crate::native::fleet::Keys;

const TTL: Duration = Duration::from_secs(600);

/// The rows of `C` for which this holds are `expected` many.
fn rows<C: Class>(
    after: &After<'_>,
    expected: usize,
    which: impl Fn(&C) -> bool,
) -> Result<(), String> {
    let found = after
        .tables
        .of::<C>()
        .iter()
        .filter(|row| which(row))
        .count();
    if found == expected {
        return Ok(());
    }
    Err(format!(
        "{found} of class {}, accepted: {:?}",
        C::NAME,
        after.accepted
    ))
}

pub(super) async fn one_name(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (one, other) = (fleet.fresh(), fleet.fresh());
    let name = format!("pc{one}");
    let create = |server, mac: u32| {
        fleet.create(
            server,
            "host",
            json!({"name": name, "macs": [Fleet::mac(mac)]}),
        )
    };
    Pair::new(create(0, one), create(1, other), move |after| {
        after.one()?;
        rows(after, 1, |row: &Host| row.name == name)
    })
}

pub(super) async fn one_address(fleet: Arc<Fleet>, _: usize) -> Pair {
    let number = fleet.fresh();
    let mac = Fleet::mac(number);
    let create = |server| {
        let name = format!("pc{number}-{server}");
        fleet.create(server, "host", json!({"name": name, "macs": [mac]}))
    };
    Pair::new(create(0), create(1), move |after| {
        after.one()?;
        rows(after, 1, |row: &MacAddressAssociation| row.mac == mac)
    })
}

pub(super) async fn one_pair(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, group) = (fleet.host().await, fleet.named("group").await);
    let body = json!({"hostID": host, "groupID": group});
    let create = |server| fleet.create(server, "groupassociation", body.clone());
    Pair::new(create(0), create(1), move |after| {
        rows(after, 1, |row: &GroupAssociation| {
            (row.host, row.group) == (host, group)
        })
    })
}

pub(super) async fn one_inventory(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = fleet.host().await;
    let create = |server: usize| {
        let body = json!({"hostID": host, "sysserial": server.to_string()});
        fleet.create(server, "inventory", body)
    };
    Pair::new(create(0), create(1), move |after| {
        rows(after, 1, |row: &Inventory| row.host == host)
    })
}

pub(super) async fn one_session_of_a_name(fleet: Arc<Fleet>, _: usize) -> Pair {
    let name = format!("s{}", fleet.fresh());
    let create = |server| fleet.create(server, "multicastsession", json!({"name": name}));
    Pair::new(create(0), create(1), move |after| {
        after.one()?;
        rows(after, 1, |row: &MulticastSession| row.name == name)
    })
}

pub(super) async fn one_new_name(fleet: Arc<Fleet>, _: usize) -> Pair {
    let name = format!("s{}", fleet.fresh());
    let mut acts = Vec::new();
    for server in 0..2 {
        let session = fleet.named("multicastsession").await;
        acts.push(fleet.edit(server, "multicastsession", session, json!({"name": name})));
    }
    let (other, one) = (acts.pop().unwrap(), acts.pop().unwrap());
    Pair::new(one, other, move |after| {
        after.one()?;
        rows(after, 1, |row: &MulticastSession| row.name == name)
    })
}

fn send(
    fleet: &Fleet,
    server: usize,
    method: &str,
    path: &str,
    header: [&str; 2],
    body: &str,
) -> Act {
    let server = fleet.servers[server].clone();
    let mut headers = server.tokens();
    headers.push((header[0].to_owned(), header[1].to_owned()));
    let (method, path, body) = (method.to_owned(), path.to_owned(), body.to_owned());
    async move {
        server
            .send(&method, &path, &headers, body.into_bytes())
            .await
            .status
            == 200
    }
    .boxed()
}

pub(super) async fn one_answer_for_a_key(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = fleet.host().await;
    let key = format!("k{}", fleet.fresh());
    let body = json!({"hostID": host, "stateID": 1}).to_string();
    let create = |server| {
        send(
            &fleet,
            server,
            "POST",
            "/fog/snapinjob/create",
            ["idempotency-key", &key],
            &body,
        )
    };
    Pair::new(create(0), create(1), move |after| {
        rows(after, 1, |row: &SnapinJob| row.host == host)
    })
}

pub(super) async fn one_edit_of_a_version(fleet: Arc<Fleet>, _: usize) -> Pair {
    let group = fleet.named("group").await;
    let path = format!("/fog/group/{group}");
    let reply = fleet.servers[0]
        .call("GET", &path, serde_json::Value::Null)
        .await;
    let tag = reply.header("etag").to_owned();
    let edit = |server: usize| {
        let body = json!({"description": server.to_string()}).to_string();
        send(&fleet, server, "PUT", &path, ["if-match", &tag], &body)
    };
    Pair::new(edit(0), edit(1), move |after| {
        after.one()?;
        let kept = if after.accepted[0] { "0" } else { "1" };
        rows(after, 1, |row: &Group| {
            row.id == group && row.description == kept
        })
    })
}

pub(super) async fn one_use_of_a_join_token(fleet: Arc<Fleet>, _: usize) -> Pair {
    let name = format!("node{}", fleet.fresh()).parse().unwrap();
    let token = enrolment::join_token(&fleet.servers[0].ctx, &name, None, TTL)
        .await
        .unwrap();
    let enrol = |server: usize| {
        let ctx = fleet.servers[server].ctx.clone();
        let (join_token, csr_pem) = (token.text.clone(), Keys::new().csr_pem);
        async move {
            enrolment::enrol(
                &ctx,
                &EnrolRequest {
                    join_token,
                    csr_pem,
                    ..EnrolRequest::default()
                },
            )
            .await
            .is_ok()
        }
        .boxed()
    };
    Pair::new(enrol(0), enrol(1), |after| after.one())
}

/// A token for so many nodes, made by the first controller.
async fn for_many(fleet: &Fleet, count: u32) -> String {
    let terms = Terms {
        names: NamePattern::any(),
        count,
        group: None,
        ttl: TTL,
    };
    let made = many::create(&fleet.servers[0].ctx, &terms).await;
    made.unwrap().text
}

/// An agent with a key of its own that says this name.
fn enrols_as(fleet: &Fleet, server: usize, name: &NodeName, token: &str) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    let request = EnrolRequest {
        join_token: token.to_owned(),
        csr_pem: Keys::new().csr_pem,
        name: Some(name.clone()),
        service_account_token: None,
    };
    async move { enrolment::enrol(&ctx, &request).await.is_ok() }.boxed()
}

/// Two agents, and one place that is left.
pub(super) async fn one_place_of_a_token_for_many(fleet: Arc<Fleet>, _: usize) -> Pair {
    let token = for_many(&fleet, 2).await;
    let name = || -> NodeName { format!("node{}", fleet.fresh()).parse().unwrap() };
    assert!(enrols_as(&fleet, 0, &name(), &token).await);
    let (one, other) = (name(), name());
    let acts = [
        enrols_as(&fleet, 0, &one, &token),
        enrols_as(&fleet, 1, &other, &token),
    ];
    let [first, second] = acts;
    Pair::new(first, second, move |after| {
        after.one()?;
        rows(after, 1, |row: &StorageNode| {
            row.name == one.as_str() || row.name == other.as_str()
        })
    })
}

/// Two agents that say the same name, with different tokens.
pub(super) async fn one_agent_of_a_name(fleet: Arc<Fleet>, number: usize) -> Pair {
    let (token, another) = (for_many(&fleet, 9).await, for_many(&fleet, 9).await);
    let name: NodeName = format!("node{}", fleet.fresh()).parse().unwrap();
    // Of some the storage node is there already.
    if number.is_multiple_of(2) {
        enrolment::join_token(&fleet.servers[0].ctx, &name, None, TTL)
            .await
            .unwrap();
    }
    let acts = [
        enrols_as(&fleet, 0, &name, &token),
        enrols_as(&fleet, 1, &name, &another),
    ];
    let [first, second] = acts;
    Pair::new(first, second, move |after| {
        after.one()?;
        rows(after, 1, |row: &StorageNode| row.name == name.as_str())
    })
}

/// A check-in of the host with a key of its own.
pub(super) fn checks_in(fleet: &Fleet, server: usize, mac: u32, token: &str) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    let request = CheckInRequest {
        mac: Fleet::mac(mac).parse().unwrap(),
        boot_token: token.to_owned(),
        csr_pem: Keys::new().csr_pem,
        software: "test".to_owned(),
        options_for: None,
        hardware: None,
    };
    async move { check_in::check_in(&ctx, &request, None).await.is_ok() }.boxed()
}

/// A host that has a capture and a boot token for it; the number of its address.
pub(super) async fn awaited(fleet: &Fleet) -> (u32, u32, String) {
    let mac = fleet.fresh();
    let body = json!({"name": format!("pc{mac}"), "macs": [Fleet::mac(mac)],
        "imageID": fleet.image});
    let host = fleet.made("host", body).await;
    assert!(fleet.order(0, host, json!({"taskTypeID": 2})).await);
    let id = HostId::new(host).unwrap();
    let token = check_in::boot_token(&fleet.servers[0].ctx, id, TTL)
        .await
        .unwrap();
    (host, mac, token.text)
}

pub(super) async fn one_use_of_a_boot_token(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (_, mac, token) = awaited(&fleet).await;
    let acts = (
        checks_in(&fleet, 0, mac, &token),
        checks_in(&fleet, 1, mac, &token),
    );
    Pair::new(acts.0, acts.1, |after| after.one())
}

/// Of a room and of its host alone: both are one token.
pub(super) async fn one_use_of_a_room_token(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, mac, _) = awaited(&fleet).await;
    let whom = Whom::Hosts(vec![HostId::new(host).unwrap()]);
    let wish = Wish {
        room: true,
        code: false,
    };
    let made = boot_tokens::create(&fleet.servers[0].ctx, &whom, wish, TTL)
        .await
        .unwrap();
    let acts = (
        checks_in(&fleet, 0, mac, &made.room.unwrap()),
        checks_in(&fleet, 1, mac, &made.hosts[0].text),
    );
    Pair::new(acts.0, acts.1, |after| after.one())
}

pub(super) async fn one_power_action(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = fleet.host().await;
    let rule = json!({"hostID": host, "min": "1", "hour": "1", "dom": "*", "month": "*",
        "dow": "*", "onDemand": "1", "action": "reboot"});
    fleet.made("powermanagement", rule).await;
    let take = |server: usize| {
        let state = fleet.servers[server].state.clone();
        let host = HostId::new(host).unwrap();
        let soon = Timestamp::now() + Duration::from_secs(5);
        async move { power::take(&state, host, soon).await.unwrap().len() == 1 }.boxed()
    };
    Pair::new(take(0), take(1), |after| after.one())
}

/// Both controllers look once, when all sixty schedules are due.
pub(super) async fn one_task_of_a_schedule(fleet: Arc<Fleet>, number: usize) -> Pair {
    let host = fleet.host().await;
    let passed = Timestamp::now().as_millis() / 1000 - 5;
    let body = json!({"name": format!("at{host}"), "type": "S", "taskType": 10, "hostID": host,
        "isActive": 1, "scheduleTime": passed.to_string()});
    fleet.made("scheduledtask", body).await;
    let round = |server: usize| {
        let ctx = fleet.servers[server].ctx.clone();
        async move {
            if number == 0 {
                let mut report = Report::default();
                Scheduler::default()
                    .round(&ctx, Timestamp::now(), &mut report)
                    .await;
            }
            true
        }
        .boxed()
    };
    Pair::new(round(0), round(1), move |after| {
        rows(after, 1, |row: &Task| row.host == host)
    })
}
