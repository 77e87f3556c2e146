//! Who a device is, and which host.

use foghorn_controller::app::devices::contact::{
    self, ContactError, Headers, New, RegisterError, register,
};
use foghorn_controller::app::devices::edit::{self, Change, EditError};
use foghorn_controller::app::devices::filter::{Filter, Reach};
use foghorn_controller::app::devices::groups::{self, GroupError, Terms};
use foghorn_controller::app::devices::paging::Page;
use foghorn_controller::app::devices::{denied, list, report};
use foghorn_controller::app::notices::targets::{self, By};
use foghorn_controller::app::objects;
use foghorn_controller::state::Tables;
use foghorn_controller::state::class::Body;
use foghorn_controller::state::classes::{Host, Inventory};
use foghorn_controller::state::machines::device::{BoundBy, Network};
use foghorn_types::{HostId, MachineUuid, NoticeKind, Timestamp};
use serde_json::json;

use super::{Room, factory, identity};
use crate::engine::BOTH;

async fn host(room: &Room, name: &str, mac: &str) -> HostId {
    let mut body = Body::new();
    body.insert("name".to_owned(), json!(name));
    body.insert("macs".to_owned(), json!([mac]));
    let made = objects::create::<Host>(&room.state, &body, "test", None).await;
    HostId::new(made.unwrap()).unwrap()
}

fn network(mac: &str) -> Network {
    Network {
        hostname: "pc".to_owned(),
        mac: mac.to_owned(),
        local_ipv4: "10.0.0.1".to_owned(),
    }
}

fn rename(name: &str) -> Change {
    Change {
        name: Some(name.to_owned()),
        ..Change::default()
    }
}

fn shown(room: &Room, uuid: MachineUuid) -> list::Shown {
    list::show(&room.state, &room.seen, uuid).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_makes_itself_known_once_and_is_refused_with_another_key_and_when_it_was_deleted()
{
    for kind in BOTH {
        let room = Room::start(kind).await;
        let device = room.device(1).await;
        let uuid = device.uuid;
        assert_eq!(shown(&room, uuid).name, uuid.to_string());
        let before = room.stored(uuid).modified;
        let again = room.speaks(1, &Headers::default()).await;
        assert!(!again.is_new && again.changes.is_empty());
        let stored = room.stored(uuid).modified;
        assert_eq!(
            stored, before,
            "{kind:?}: a contact that says nothing new is not stored"
        );
        let mut who = identity(&room.state, 1);
        who.public_key = "another".to_owned();
        let headers = Headers::default();
        let other = contact::contact(&room.state, &room.seen, &who, &headers).await;
        assert!(matches!(other, Err(ContactError::OtherKey(_))));
        edit::delete(&room.state, &room.seen, uuid, 1)
            .await
            .unwrap();
        let who = identity(&room.state, 1);
        let refused = contact::contact(&room.state, &room.seen, &who, &headers).await;
        assert!(matches!(refused, Err(ContactError::Denied(_))));
        let all = denied::list(&room.state, factory(), Page::default());
        assert_eq!(all.items[0].uuid, uuid);
        denied::allow(&room.state, Some(factory()), uuid)
            .await
            .unwrap();
        assert!(room.speaks(1, &headers).await.is_new);
        let mut nowhere = identity(&room.state, 2);
        nowhere.factory = "nowhere".to_owned();
        let refused = contact::contact(&room.state, &room.seen, &nowhere, &headers).await;
        assert!(matches!(refused, Err(ContactError::NoFactory { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_the_host_with_its_address_and_has_its_name_or_makes_one() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let host = host(&room, "pc1", "52:54:00:00:00:01").await;
        let (one, two, three) = (
            room.device(1).await,
            room.device(2).await,
            room.device(3).await,
        );
        let told = network("52:54:00:00:00:01");
        report::network(&room.state, one.uuid, &told).await.unwrap();
        let bound = room.stored(one.uuid).host.unwrap();
        assert_eq!((bound.to, bound.by), (host, BoundBy::Address));
        assert_eq!(shown(&room, one.uuid).name, "pc1");
        // Another one that says the same is not this host.
        report::network(&room.state, two.uuid, &told).await.unwrap();
        assert_eq!(room.stored(two.uuid).host, None);
        let told = network("52:54:00:00:00:03");
        report::network(&room.state, three.uuid, &told)
            .await
            .unwrap();
        let made = room.stored(three.uuid).host.unwrap().to;
        let name = room
            .state
            .read(|tables| tables.hosts().get(made.get()).unwrap().name.clone());
        assert_eq!(name, "525400000003");
        assert_eq!(shown(&room, three.uuid).name, three.uuid.to_string());

        // The host is renamed with the device, where it can have the name.
        edit::edit(&room.state, one.uuid, &rename("room-1"), 1)
            .await
            .unwrap();
        let host_name = |id: HostId| {
            room.state
                .read(|tables| tables.hosts().get(id.get()).unwrap().name.clone())
        };
        assert_eq!(host_name(host), "room-1");
        let long = "the machine beside the door";
        edit::edit(&room.state, one.uuid, &rename(long), 1)
            .await
            .unwrap();
        assert_eq!(host_name(host), "room-1");
        assert_eq!(shown(&room, one.uuid).name, long);
        let found = room.state.read(|tables| {
            let by_name = list::find(tables, &Reach::All, None, long);
            (by_name, list::find(tables, &Reach::All, None, "pc1"))
        });
        assert_eq!(found, (Some(one.uuid), None));
        for taken in ["525400000003", long] {
            let refused = edit::edit(&room.state, two.uuid, &rename(taken), 1).await;
            assert!(
                matches!(refused, Err(EditError::NameTaken(_))),
                "{refused:?}"
            );
        }
        let other = three.uuid.to_string();
        let refused = edit::edit(&room.state, two.uuid, &rename(&other), 1).await;
        assert!(matches!(refused, Err(EditError::BadName(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_record_is_gone_comes_back_bound_by_its_own_word_only() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let host = host(&room, "pc1", "52:54:00:00:00:01").await;
        let uuid = identity(&room.state, 1).uuid;
        let mut body = Body::new();
        body.insert("hostID".to_owned(), json!(host.get()));
        body.insert("sysuuid".to_owned(), json!(uuid.to_string()));
        objects::create::<Inventory>(&room.state, &body, "test", None)
            .await
            .unwrap();
        let registered = |host| New {
            identity: identity(&room.state, 1),
            name: String::new(),
            group: String::new(),
            hardware_id: None,
            host,
            owner: 1,
        };
        for (of, by) in [(None, BoundBy::Uuid), (Some(host), BoundBy::Certificate)] {
            let device = register(&room.state, &registered(of)).await.unwrap();
            let bound = device.host.unwrap();
            assert_eq!((bound.to, bound.by), (host, by), "{kind:?}");
            edit::delete(&room.state, &room.seen, uuid, 1)
                .await
                .unwrap();
            denied::allow(&room.state, Some(factory()), uuid)
                .await
                .unwrap();
            assert!(room.speaks(1, &Headers::default()).await.is_new);
            let bound = room.stored(uuid).host.unwrap();
            assert_eq!((bound.to, bound.by), (host, BoundBy::Address), "{kind:?}");
            edit::delete(&room.state, &room.seen, uuid, 1)
                .await
                .unwrap();
            // Whichever factory it was in.
            denied::allow(&room.state, None, uuid).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_registered_once_with_its_name_group_and_host() {
    let room = Room::start(crate::engine::Kind::Embedded).await;
    let group = room.group("lab").await;
    let host = host(&room, "pc1", "52:54:00:00:00:01").await;
    let new = New {
        identity: identity(&room.state, 1),
        name: "gate".to_owned(),
        group: "lab".to_owned(),
        hardware_id: Some("pc".to_owned()),
        host: Some(host),
        owner: 1,
    };
    let device = register(&room.state, &new).await.unwrap();
    let bound = device.host.unwrap();
    assert_eq!((bound.to, bound.by), (host, BoundBy::Certificate));
    assert_eq!((device.group.unwrap().id, device.owner), (group, 1));
    let shown = shown(&room, device.uuid);
    assert_eq!((shown.name.as_str(), shown.last_seen), ("gate", None));
    let again = register(&room.state, &new).await;
    assert!(matches!(again, Err(RegisterError::Exists(_))));
    let other = New {
        identity: identity(&room.state, 2),
        host: None,
        ..new.clone()
    };
    let same_name = register(&room.state, &other).await;
    assert!(matches!(
        same_name,
        Err(RegisterError::Edit(EditError::NameTaken(_)))
    ));
    let same_host = New {
        identity: identity(&room.state, 3),
        name: String::new(),
        ..new
    };
    let refused = register(&room.state, &same_host).await;
    assert!(matches!(refused, Err(RegisterError::Host(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_when_no_device_is_in_it() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        room.group("lab").await;
        room.group("next").await;
        let device = room.device(1).await;
        let into = |group: &str| Change {
            group: Some(group.to_owned()),
            ..Change::default()
        };
        let state = &room.state;
        edit::edit(state, device.uuid, &into("lab"), 1)
            .await
            .unwrap();
        assert!(room.stored(device.uuid).regrouped.is_some());
        let filter = Filter {
            group: "lab".to_owned(),
            ..Filter::default()
        };
        let page = Page::default();
        let listed = list::list(state, &room.seen, &Reach::All, &filter, &[], page);
        assert_eq!(listed.items[0].group.as_ref().unwrap().name, "lab");
        let in_use = groups::delete(state, factory(), "lab").await;
        assert!(matches!(in_use, Err(GroupError::InUse { devices: 1, .. })));
        let terms = Terms {
            name: Some("next".to_owned()),
            ..Terms::default()
        };
        let taken = groups::edit(state, factory(), "lab", &terms, 1).await;
        assert!(matches!(taken, Err(GroupError::NameTaken(_))));
        let unknown = edit::edit(state, device.uuid, &into("nowhere"), 1).await;
        assert!(matches!(unknown, Err(EditError::NoGroup(_))));
        edit::edit(state, device.uuid, &into(""), 1).await.unwrap();
        groups::delete(state, factory(), "lab").await.unwrap();
        let left = state.read(|tables| groups::list(tables, factory()));
        assert_eq!(left.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_machines_with_one_identity_are_told_once_and_go_on() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let terms = targets::Terms {
            name: Some("pager".to_owned()),
            url: Some("http://127.0.0.1:1/".to_owned()),
            kinds: Some([NoticeKind::DeviceCloned].into()),
            ..targets::Terms::default()
        };
        targets::create(&room.state, &room.trust, By::Webhook, terms)
            .await
            .unwrap();
        let from = |boot: &str| Headers {
            boot: Some(boot.to_owned()),
            ..Headers::default()
        };
        let told = || {
            let all = |tables: &Tables| {
                let pending = tables.notify_pending().iter();
                pending.map(|one| one.event.clone()).collect::<Vec<_>>()
            };
            room.state.read(all)
        };
        let uuid = room.speaks(1, &from("one")).await.device.uuid;
        let is_cloned = || room.stored(uuid).boots.cloned(Timestamp::now()).is_some();
        room.speaks(1, &from("two")).await;
        // One that says nothing, as other programs do, is none of them.
        room.speaks(1, &Headers::default()).await;
        room.speaks(1, &from(" ")).await;
        assert!(!is_cloned() && told().is_empty());
        room.speaks(1, &from("one")).await;
        assert!(is_cloned(), "{kind:?}");
        let stored = room.stored(uuid).modified;
        room.speaks(1, &from("two")).await;
        room.speaks(1, &from("one")).await;
        assert_eq!(room.stored(uuid).modified, stored, "not at every poll");
        let told = told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].kind, NoticeKind::DeviceCloned);
        assert!(told[0].text.contains(&uuid.to_string()), "{}", told[0].text);
    }
}
