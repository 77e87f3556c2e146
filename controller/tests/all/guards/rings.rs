//! Policies of rings, orders of devices, and what is said of images and hosts for devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_controller::app::devices::contact::{self, Identity, New};
use foghorn_controller::app::devices::reimage::Operator;
use foghorn_controller::app::devices::rings::Parts;
use foghorn_controller::app::devices::targets::{self, Change};
use foghorn_controller::app::devices::{config, factories, identity as chosen, policy};
use foghorn_controller::state::classes::StorageGroup;
use foghorn_controller::state::machines::config::Level;
use foghorn_controller::state::machines::identity::IdentityOf;
use foghorn_controller::state::machines::policy::RingRules;
use foghorn_host_config::ConfigCreate;
use foghorn_types::{HostId, ImageId, MachineUuid, StorageGroupId};
use futures_util::FutureExt as _;
use serde_json::json;

use super::devices::{delete, fresh_factory, number};
use super::fleet::{Act, Fleet, Pair};
use crate::devices::{factory, identity};

/// A host with content to deploy, and the device of a factory of its own that it is by its certificate.
async fn machine(fleet: &Fleet) -> (StorageGroupId, HostId, MachineUuid) {
    let factory = fresh_factory(fleet).await;
    let host = HostId::new(fleet.host().await).unwrap();
    let state = &fleet.servers[0].state;
    let named = state.read(|tables| factories::name_of(tables, factory));
    let new = New {
        identity: Identity {
            factory: named,
            ..identity(state, number(fleet))
        },
        name: String::new(),
        group: String::new(),
        hardware_id: None,
        host: Some(host),
        owner: 1,
    };
    let device = contact::register(state, &new).await.unwrap();
    (factory, host, device.uuid)
}

/// An operator has the machine imaged.
fn order(fleet: &Fleet, server: usize, uuid: MachineUuid) -> Act {
    let ctx = fleet.servers[server].ctx.clone();
    let body = json!({"reason": "reimage", "files": [{
        "name": "fioconfig-oneshot-reimage",
        "value": format!("COMMAND_ID=reimage_000000{server}\n"),
        "unencrypted": true,
    }]});
    let change = ConfigCreate::read(body.to_string().as_bytes()).unwrap();
    async move {
        let operator = Operator {
            name: "anna",
            parts: Parts::of(&ctx),
        };
        let level = Level::Device(uuid);
        config::merge(&ctx.state, &ctx.trust, level, &change, (1, operator))
            .await
            .is_ok()
    }
    .boxed()
}

fn edit(
    fleet: &Fleet,
    server: usize,
    factory: StorageGroupId,
    change: impl Fn(&mut RingRules) + Send + Sync + 'static,
) -> Act {
    let state = fleet.servers[server].state.clone();
    async move { policy::edit(&state, factory, change).await.is_ok() }.boxed()
}

pub(super) async fn two_orders_of_a_machine(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (factory, host, uuid) = machine(&fleet).await;
    Pair::new(
        order(&fleet, 0, uuid),
        order(&fleet, 1, uuid),
        move |after| {
            after.one()?;
            let runs = after.tables.runs().iter();
            let runs = runs.filter(|run| run.host == host).count();
            let policy = after.tables.ring_policies().get(&factory);
            let orders = policy.map_or(0, |policy| policy.orders.len());
            match (runs, orders) {
                (1, 1) => Ok(()),
                both => Err(format!("runs, orders: {both:?}")),
            }
        },
    )
}

pub(super) async fn device_goes_and_is_imaged(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (_, _, uuid) = machine(&fleet).await;
    Pair::new(
        order(&fleet, 0, uuid),
        delete(&fleet, 1, uuid),
        move |after| {
            let tables = after.tables;
            let left = [
                tables.devices().get(&uuid).is_some(),
                tables.device_updates().get(&uuid).is_some(),
                tables.device_configs().of(Level::Device(uuid)).count() > 0,
            ];
            match left {
                [false, false, false] if after.accepted[1] => Ok(()),
                left => Err(format!("device, updates, configuration: {left:?}")),
            }
        },
    )
}

pub(super) async fn two_rules_of_a_policy(fleet: Arc<Fleet>, _: usize) -> Pair {
    let factory = fresh_factory(&fleet).await;
    Pair::new(
        edit(&fleet, 0, factory, |rules| rules.at_most = 3),
        edit(&fleet, 1, factory, |rules| rules.stop_after = 7),
        move |after| {
            let policy = after.tables.ring_policies().get(&factory);
            let rules = policy.map(|policy| (policy.rules.at_most, policy.rules.stop_after));
            match rules {
                Some((3, 7)) if after.accepted == [true; 2] => Ok(()),
                rules => Err(format!("{rules:?}, accepted: {:?}", after.accepted)),
            }
        },
    )
}

pub(super) async fn factory_goes_and_a_policy_comes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let factory = fresh_factory(&fleet).await;
    Pair::new(
        edit(&fleet, 0, factory, |rules| rules.at_most = 3),
        fleet.delete(1, "storagegroup", factory.get()),
        move |after| {
            let row = after.tables.of::<StorageGroup>().get(factory.get());
            let policy = after.tables.ring_policies().get(&factory);
            // A policy goes with its factory.
            match (row.is_some(), policy.is_some()) {
                (true, true) | (false, false) => Ok(()),
                both => Err(format!("factory, policy: {both:?}")),
            }
        },
    )
}

pub(super) async fn image_goes_and_is_tagged(fleet: Arc<Fleet>, _: usize) -> Pair {
    let name = format!("tagged{}", fleet.fresh());
    let body = json!({"name": name, "path": name, "imageTypeID": 1, "osID": 9, "isEnabled": 1,
        "storagegroups": [1]});
    let image = ImageId::new(fleet.made("image", body).await).unwrap();
    fleet.servers[0].give_content(image.get()).await;
    let state = fleet.servers[0].state.clone();
    let target = state.read(|tables| {
        let row = tables.images().get(image.get()).unwrap();
        let content = tables.contents().get(&image).unwrap();
        targets::name_of(row, content.version)
    });
    let change = Change {
        tags: Some(["lab".to_owned()].into()),
        hardware_ids: None,
    };
    let changes = BTreeMap::from([(target, change)]);
    let tag = async move { targets::tag(&state, factory(), &changes).await.is_ok() };
    Pair::new(
        tag.boxed(),
        fleet.delete(1, "image", image.get()),
        move |after| {
            let is_there = after.tables.images().get(image.get()).is_some();
            let is_tagged = after.tables.target_tags().get(&image).is_some();
            match is_tagged && !is_there {
                false => Ok(()),
                true => Err("tags of an image that is gone".to_owned()),
            }
        },
    )
}

pub(super) async fn host_goes_and_gets_an_identity(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = HostId::new(fleet.host().await).unwrap();
    let ctx = fleet.servers[0].ctx.clone();
    let of = IdentityOf::Host(host);
    let choose = async move { chosen::choose(&ctx, of, Some(false)).await.is_ok() };
    Pair::new(
        choose.boxed(),
        fleet.delete(1, "host", host.get()),
        move |after| {
            let is_there = after.tables.hosts().get(host.get()).is_some();
            let is_chosen = after.tables.identity_choices().get(&of).is_some();
            match is_chosen && !is_there {
                false => Ok(()),
                true => Err("the choice of a host that is gone".to_owned()),
            }
        },
    )
}
