//! Devices, their groups and their configurations.

use std::sync::Arc;

use foghorn_controller::app::devices::contact::{self, Headers, Identity, New};
use foghorn_controller::app::devices::edit::{self, Change};
use foghorn_controller::app::devices::tests::{self, Begun};
use foghorn_controller::app::devices::{config, groups, queues, report, work};
use foghorn_controller::state::classes::StorageGroup;
use foghorn_controller::state::machines::config::Level;
use foghorn_controller::state::machines::device::Network;
use foghorn_rest_types::host_work::{HostUserEvent, HostUsers};
use foghorn_rest_types::native::TrackedAction;
use foghorn_types::{DeviceGroupId, HostId, MachineUuid, StorageGroupId, Timestamp};
use futures_util::FutureExt as _;

use super::fleet::{Act, Fleet, Pair};
use crate::devices::{factory, file, identity};

pub(super) fn number(fleet: &Fleet) -> u128 {
    fleet.fresh().into()
}

fn speak(fleet: &Fleet, server: usize, who: Identity) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    async move {
        contact::contact(&ctx.state, &ctx.sightings, &who, &Headers::default())
            .await
            .is_ok()
    }
    .boxed()
}

async fn device(fleet: &Fleet) -> MachineUuid {
    let who = identity(&fleet.servers[0].state, number(fleet));
    let uuid = who.uuid;
    assert!(speak(fleet, 0, who).await);
    uuid
}

async fn group(fleet: &Fleet) -> (DeviceGroupId, String) {
    let name = format!("group{}", fleet.fresh());
    let made = groups::create(&fleet.servers[0].state, factory(), &name, "", 1).await;
    let id = made.unwrap().id;
    (id, name)
}

fn change(fleet: &Fleet, server: usize, uuid: MachineUuid, change: Change) -> Act {
    let state = fleet.servers[server].state.clone();
    async move { edit::edit(&state, uuid, &change, 1).await.is_ok() }.boxed()
}

pub(super) fn delete(fleet: &Fleet, server: usize, uuid: MachineUuid) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    async move {
        edit::delete(&ctx.state, &ctx.sightings, uuid, 1)
            .await
            .is_ok()
    }
    .boxed()
}

fn configure(fleet: &Fleet, server: usize, level: Level, name: &str) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    let file = file(name, "value", true);
    async move {
        config::merge(&ctx.state, &ctx.trust, level, &file, 1)
            .await
            .is_ok()
    }
    .boxed()
}

pub(super) async fn one_key_of_a_device(fleet: Arc<Fleet>, _: usize) -> Pair {
    let who = identity(&fleet.servers[0].state, number(&fleet));
    let uuid = who.uuid;
    let with = |server: usize| Identity {
        public_key: format!("key {server}"),
        ..who.clone()
    };
    let (one, other) = (with(0), with(1));
    Pair::new(
        speak(&fleet, 0, one),
        speak(&fleet, 1, other),
        move |after| {
            after.one()?;
            let device = after.tables.devices().get(&uuid);
            device.map(drop).ok_or_else(|| "no device".to_owned())
        },
    )
}

pub(super) async fn one_name_of_a_device(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (one, other) = (device(&fleet).await, device(&fleet).await);
    let name = Change {
        name: Some(format!("the same name {}", fleet.fresh())),
        ..Change::default()
    };
    Pair::new(
        change(&fleet, 0, one, name.clone()),
        change(&fleet, 1, other, name),
        |after| after.one(),
    )
}

pub(super) async fn one_name_of_a_device_group(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (one, other) = (group(&fleet).await.1, group(&fleet).await.1);
    let terms = groups::Terms {
        name: Some(format!("new{}", fleet.fresh())),
        ..groups::Terms::default()
    };
    let rename = |server: usize, name: String| {
        let (state, terms) = (fleet.servers[server].state.clone(), terms.clone());
        async move {
            groups::edit(&state, factory(), &name, &terms, 1)
                .await
                .is_ok()
        }
        .boxed()
    };
    Pair::new(rename(0, one), rename(1, other), |after| after.one())
}

pub(super) async fn device_group_goes_and_a_device_comes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (id, name) = group(&fleet).await;
    let uuid = device(&fleet).await;
    let join = Change {
        group: Some(name.clone()),
        ..Change::default()
    };
    let state = fleet.servers[1].state.clone();
    let go = async move { groups::delete(&state, factory(), &name).await.is_ok() }.boxed();
    Pair::new(change(&fleet, 0, uuid, join), go, move |after| {
        after.one()?;
        let is_there = after.tables.device_groups().get(&id).is_some();
        let is_member = after.tables.devices().in_group(id).count() == 1;
        match is_there == is_member {
            true => Ok(()),
            false => Err(format!("there: {is_there}, with a member: {is_member}")),
        }
    })
}

pub(super) async fn device_goes_and_is_configured(fleet: Arc<Fleet>, _: usize) -> Pair {
    let uuid = device(&fleet).await;
    let level = Level::Device(uuid);
    assert!(configure(&fleet, 0, level, "first").await);
    Pair::new(
        configure(&fleet, 0, level, "second"),
        delete(&fleet, 1, uuid),
        move |after| match after.tables.device_configs().of(level).count() {
            0 if after.accepted[1] => Ok(()),
            left => Err(format!("{left} versions, accepted: {:?}", after.accepted)),
        },
    )
}

pub(super) async fn device_goes_and_speaks(fleet: Arc<Fleet>, _: usize) -> Pair {
    let who = identity(&fleet.servers[0].state, number(&fleet));
    let uuid = who.uuid;
    assert!(speak(&fleet, 0, who.clone()).await);
    // A contact that changes something, so that it is stored.
    let renewed = Identity {
        fingerprint: "11".repeat(32),
        ..who
    };
    Pair::new(
        speak(&fleet, 0, renewed),
        delete(&fleet, 1, uuid),
        move |after| {
            let is_there = after.tables.devices().get(&uuid).is_some();
            let is_denied = after.tables.denied_devices().get(&uuid).is_some();
            match (is_there, is_denied) {
                (false, true) => Ok(()),
                both => Err(format!("there, denied: {both:?}")),
            }
        },
    )
}

pub(super) async fn device_goes_and_tests(fleet: Arc<Fleet>, _: usize) -> Pair {
    let uuid = device(&fleet).await;
    let state = fleet.servers[0].state.clone();
    let begin = async move {
        let begun = Begun {
            name: "reboot".to_owned(),
            ..Begun::default()
        };
        tests::begin(&state, uuid, &begun).await.is_ok()
    };
    Pair::new(
        begin.boxed(),
        delete(&fleet, 1, uuid),
        move |after| match after.tables.device_tests().get(&uuid) {
            None if after.accepted[1] => Ok(()),
            left => Err(format!("{left:?} is left, accepted: {:?}", after.accepted)),
        },
    )
}

pub(super) async fn device_goes_and_tells_of_users(fleet: Arc<Fleet>, _: usize) -> Pair {
    let who = identity(&fleet.servers[0].state, number(&fleet));
    let uuid = who.uuid;
    let new = New {
        identity: who,
        name: String::new(),
        group: String::new(),
        hardware_id: None,
        host: HostId::new(fleet.host().await),
        owner: 1,
    };
    let state = fleet.servers[0].state.clone();
    contact::register(&state, &new).await.unwrap();
    let tell = async move {
        let event = HostUserEvent {
            action: TrackedAction::Login,
            user: "anna".to_owned(),
            time: Timestamp::now().to_string(),
            id: "1".to_owned(),
        };
        let events = vec![event];
        let told = work::tell_users(&state, uuid, HostUsers { events }, Timestamp::now());
        told.await.is_ok()
    };
    Pair::new(
        tell.boxed(),
        delete(&fleet, 1, uuid),
        move |after| match after.tables.device_users().get(&uuid) {
            None if after.accepted[1] => Ok(()),
            left => Err(format!("{left:?} is left, accepted: {:?}", after.accepted)),
        },
    )
}

pub(super) async fn two_files_of_a_configuration(fleet: Arc<Fleet>, _: usize) -> Pair {
    let level = Level::Device(device(&fleet).await);
    Pair::new(
        configure(&fleet, 0, level, "one"),
        configure(&fleet, 1, level, "other"),
        move |after| {
            let latest = after.tables.device_configs().latest(level);
            let files = latest.map(|latest| latest.body.files.open().unwrap());
            match files.map(|files| files.iter().count()) {
                Some(2) if after.accepted == [true; 2] => Ok(()),
                count => Err(format!("{count:?} files")),
            }
        },
    )
}

pub(super) async fn one_device_of_a_host(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = HostId::new(fleet.host().await).unwrap();
    let mac = fleet.servers[0].state.read(|tables| {
        let row = tables.hosts().get(host.get()).unwrap();
        row.addresses(tables)[0].to_string()
    });
    let told = Network {
        hostname: "pc".to_owned(),
        mac,
        local_ipv4: String::new(),
    };
    let devices = [device(&fleet).await, device(&fleet).await];
    let tell = |server: usize| {
        let (state, told) = (fleet.servers[server].state.clone(), told.clone());
        let uuid = devices[server];
        async move { report::network(&state, uuid, &told).await.is_ok() }.boxed()
    };
    Pair::new(tell(0), tell(1), move |after| {
        let bound = devices.iter().filter(|uuid| {
            let device = after.tables.devices().get(*uuid);
            device.is_some_and(|device| device.host.is_some_and(|bound| bound.to == host))
        });
        match bound.count() {
            1 => Ok(()),
            count => Err(format!("{count} devices are this host")),
        }
    })
}

pub(super) async fn factory_goes_and_a_device_comes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let group = fleet.named("storagegroup").await;
    let state = &fleet.servers[0].state;
    let named = state.read(|tables| {
        let row = tables.of::<StorageGroup>().get(group).unwrap();
        row.name.clone()
    });
    let who = Identity {
        factory: named,
        ..identity(state, number(&fleet))
    };
    let uuid = who.uuid;
    Pair::new(
        speak(&fleet, 0, who),
        fleet.delete(1, "storagegroup", group),
        move |after| {
            after.one()?;
            let is_there = after.tables.of::<StorageGroup>().get(group).is_some();
            let has_device = after.tables.devices().get(&uuid).is_some();
            match is_there == has_device {
                true => Ok(()),
                false => Err(format!("factory: {is_there}, device: {has_device}")),
            }
        },
    )
}

fn queue(fleet: &Fleet, server: usize, factory: StorageGroupId) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    async move {
        let terms = queues::Terms {
            label: "erp".to_owned(),
            push: None,
        };
        queues::create(&ctx.state, &ctx.trust, factory, &terms, 1)
            .await
            .is_ok()
    }
    .boxed()
}

pub(super) async fn fresh_factory(fleet: &Fleet) -> StorageGroupId {
    StorageGroupId::new(fleet.named("storagegroup").await).unwrap()
}

pub(super) async fn factory_goes_and_an_event_queue_comes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let factory = fresh_factory(&fleet).await;
    Pair::new(
        queue(&fleet, 0, factory),
        fleet.delete(1, "storagegroup", factory.get()),
        move |after| {
            let row = after.tables.of::<StorageGroup>().get(factory.get());
            let left = after.tables.event_queues().of_factory(factory).count();
            // A queue goes with its factory.
            match (row.is_some(), left) {
                (true, 1) | (false, 0) => Ok(()),
                both => Err(format!("factory, queues: {both:?}")),
            }
        },
    )
}

pub(super) async fn one_label_of_an_event_queue(fleet: Arc<Fleet>, _: usize) -> Pair {
    let factory = fresh_factory(&fleet).await;
    Pair::new(
        queue(&fleet, 0, factory),
        queue(&fleet, 1, factory),
        |after| after.one(),
    )
}
