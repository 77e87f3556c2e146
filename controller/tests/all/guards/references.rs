//! What goes while something else begins to point at it.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_controller::state::classes::{
    GreenFog, GroupAssociation, Host, HostAutoLogout, HostScreenSetting, ImageAssociation,
    ImagingLog, Inventory, MacAddressAssociation, ModuleAssociation, MulticastSessionAssociation,
    PowerManagement, PrinterAssociation, ScheduledTask, SnapinAssociation, SnapinGroupAssociation,
    SnapinJob, SnapinTask, UserTracking,
};
use serde_json::json;

use super::fleet::{Fleet, Pair};

pub(super) async fn host_goes(fleet: Arc<Fleet>, number: usize) -> Pair {
    let host = fleet.host().await;
    let fresh = fleet.fresh();
    let body = |more: serde_json::Value| {
        let mut body = more;
        body["hostID"] = json!(host);
        body
    };
    let (class, more) = match number % 12 {
        0 => ("inventory", body(json!({"sysserial": "1"}))),
        1 => (
            "macaddressassociation",
            body(json!({"mac": Fleet::mac(fresh)})),
        ),
        2 => (
            "powermanagement",
            body(
                json!({"min": "0", "hour": "3", "dom": "*", "month": "*", "dow": "*",
                "action": "reboot"}),
            ),
        ),
        3 => (
            "scheduledtask",
            body(
                json!({"name": format!("s{fresh}"), "type": "S", "taskType": 1, "isActive": 1,
                "scheduleTime": "4000000000"}),
            ),
        ),
        4 => ("snapinjob", body(json!({"stateID": 1}))),
        5 => ("hostscreensetting", body(json!({"width": 1}))),
        6 => ("hostautologout", body(json!({"time": "5"}))),
        7 => (
            "usertracking",
            body(
                json!({"username": "u", "action": "1", "datetime": "2026-01-01 00:00:00", "date": "2026-01-01"}),
            ),
        ),
        8 => (
            "imaginglog",
            body(
                json!({"start": "2026-01-01 00:00:00", "finish": "2026-01-01 00:00:00",
                "image": "i", "type": "up"}),
            ),
        ),
        9 => ("greenfog", body(json!({"hour": 1}))),
        10 => (
            "groupassociation",
            body(json!({"groupID": fleet.named("group").await})),
        ),
        _ => (
            "snapinassociation",
            body(json!({"snapinID": fleet.named("snapin").await})),
        ),
    };
    let acts = (fleet.create(0, class, more), fleet.delete(1, "host", host));
    Pair::new(acts.0, acts.1, move |after| {
        let gone = ("host", host);
        after.let_go(gone, |row: &Inventory| row.host == host)?;
        after.let_go(gone, |row: &MacAddressAssociation| row.host == host)?;
        after.let_go(gone, |row: &PowerManagement| row.host == host)?;
        after.let_go(gone, |row: &ScheduledTask| row.target == host)?;
        after.let_go(gone, |row: &SnapinJob| row.host == host)?;
        after.let_go(gone, |row: &HostScreenSetting| row.host == host)?;
        after.let_go(gone, |row: &HostAutoLogout| row.host == host)?;
        after.let_go(gone, |row: &UserTracking| row.host == host)?;
        after.let_go(gone, |row: &ImagingLog| row.host == host)?;
        after.let_go(gone, |row: &GreenFog| row.host == host)?;
        after.let_go(gone, |row: &GroupAssociation| row.host == host)?;
        after.let_go(gone, |row: &SnapinAssociation| row.host == host)
    })
}

pub(super) async fn group_goes(fleet: Arc<Fleet>, number: usize) -> Pair {
    let (host, group) = (fleet.host().await, fleet.named("group").await);
    let other = json!({"hostID": host, "groupID": fleet.nobody()});
    fleet.made("groupassociation", other).await;
    let joins = match number % 2 {
        0 => fleet.create(
            0,
            "groupassociation",
            json!({"hostID": host, "groupID": group}),
        ),
        _ => fleet.edit(0, "host", host, json!({"groups": [group]})),
    };
    Pair::new(joins, fleet.delete(1, "group", group), move |after| {
        after.let_go(("group", group), |row: &GroupAssociation| {
            row.group == group
        })
    })
}

pub(super) async fn image_goes(fleet: Arc<Fleet>, number: usize) -> Pair {
    let (host, image) = (fleet.host().await, fleet.named("image").await);
    let takes = match number % 3 {
        0 => fleet.edit(0, "host", host, json!({"imageID": image})),
        1 => fleet.create(
            0,
            "imageassociation",
            json!({"imageID": image, "storagegroupID": 77}),
        ),
        _ => {
            let fresh = fleet.fresh();
            let body = json!({"name": format!("pc{fresh}"), "macs": [Fleet::mac(fresh)],
                "imageID": image});
            fleet.create(0, "host", body)
        }
    };
    Pair::new(takes, fleet.delete(1, "image", image), move |after| {
        after.let_go(("image", image), |row: &Host| row.image == image)?;
        after.let_go(("image", image), |row: &ImageAssociation| {
            row.image == image
        })
    })
}

pub(super) async fn snapin_goes(fleet: Arc<Fleet>, number: usize) -> Pair {
    let (host, snapin) = (fleet.host().await, fleet.named("snapin").await);
    for (class, field) in [
        ("snapinassociation", "hostID"),
        ("snapingroupassociation", "storagegroupID"),
    ] {
        fleet
            .made(class, json!({field: host, "snapinID": fleet.nobody()}))
            .await;
    }
    let takes = match number % 4 {
        0 => fleet.create(
            0,
            "snapinassociation",
            json!({"hostID": host, "snapinID": snapin}),
        ),
        1 => fleet.create(
            0,
            "snapingroupassociation",
            json!({"snapinID": snapin, "storagegroupID": 77}),
        ),
        2 => fleet.edit(0, "host", host, json!({"snapins": [snapin]})),
        _ => fleet.order(0, host, json!({"taskTypeID": 13, "deploySnapins": snapin})),
    };
    Pair::new(takes, fleet.delete(1, "snapin", snapin), move |after| {
        let gone = ("snapin", snapin);
        after.let_go(gone, |row: &SnapinAssociation| row.snapin == snapin)?;
        after.let_go(gone, |row: &SnapinGroupAssociation| row.snapin == snapin)?;
        after.let_go(gone, |row: &SnapinTask| row.snapin == snapin)
    })
}

pub(super) async fn printer_goes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, printer) = (fleet.host().await, fleet.named("printer").await);
    let other = json!({"hostID": host, "printerID": fleet.nobody()});
    fleet.made("printerassociation", other).await;
    let takes = fleet.create(
        0,
        "printerassociation",
        json!({"hostID": host, "printerID": printer}),
    );
    Pair::new(takes, fleet.delete(1, "printer", printer), move |after| {
        after.let_go(("printer", printer), |row: &PrinterAssociation| {
            row.printer == printer
        })
    })
}

pub(super) async fn module_goes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (host, module) = (fleet.host().await, fleet.named("module").await);
    let other = json!({"hostID": host, "moduleID": fleet.nobody(), "state": "1"});
    fleet.made("moduleassociation", other).await;
    let takes = fleet.create(
        0,
        "moduleassociation",
        json!({"hostID": host, "moduleID": module, "state": "1"}),
    );
    Pair::new(takes, fleet.delete(1, "module", module), move |after| {
        after.let_go(("module", module), |row: &ModuleAssociation| {
            row.module == module
        })
    })
}

pub(super) async fn snapin_job_goes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let host = fleet.host().await;
    let job = fleet
        .made("snapinjob", json!({"hostID": host, "stateID": 1}))
        .await;
    let snapin = fleet.named("snapin").await;
    let other = json!({"jobID": fleet.nobody(), "snapinID": snapin, "stateID": 1});
    fleet.made("snapintask", other).await;
    let body = json!({"jobID": job, "snapinID": snapin, "stateID": 1});
    let takes = fleet.create(0, "snapintask", body);
    Pair::new(takes, fleet.delete(1, "snapinjob", job), move |after| {
        after.let_go(("snapinjob", job), |row: &SnapinTask| row.job == job)
    })
}

pub(super) async fn session_goes(fleet: Arc<Fleet>, _: usize) -> Pair {
    let session = fleet.named("multicastsession").await;
    let other = json!({"msID": fleet.nobody(), "taskID": fleet.nobody()});
    fleet.made("multicastsessionassociation", other).await;
    let body = json!({"msID": session, "taskID": fleet.nobody()});
    let takes = fleet.create(0, "multicastsessionassociation", body);
    let goes = fleet.delete(1, "multicastsession", session);
    Pair::new(takes, goes, move |after| {
        after.let_go(
            ("multicastsession", session),
            |row: &MulticastSessionAssociation| row.session == session,
        )
    })
}

/// The members are those of one of the two, not some of each.
pub(super) async fn members_replaced_twice(fleet: Arc<Fleet>, number: usize) -> Pair {
    let group = fleet.named("group").await;
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(fleet.host().await);
    }
    let (ours, theirs) = (hosts[..2].to_vec(), hosts[1..].to_vec());
    let replace = |server, hosts: &[u32]| match number % 2 {
        0 => fleet.edit(server, "group", group, json!({"hosts": hosts})),
        _ => fleet.ask(
            server,
            "PUT",
            &format!("/fog/group/{group}"),
            json!({"hosts": hosts}),
        ),
    };
    let acts = (replace(0, &ours), replace(1, &theirs));
    Pair::new(acts.0, acts.1, move |after| {
        let members = after.tables.of::<GroupAssociation>();
        let members = members.by(GroupAssociation::BY_GROUP, group.into());
        let members: BTreeSet<u32> = members.map(|row| row.host).collect();
        let is = |hosts: &[u32]| members == hosts.iter().copied().collect();
        if is(&ours) || is(&theirs) {
            return Ok(());
        }
        Err(format!("{members:?} of {ours:?} or {theirs:?}"))
    })
}

/// A member that was added before they were replaced is not left.
pub(super) async fn members_replaced_and_added(fleet: Arc<Fleet>, _: usize) -> Pair {
    let (group, host) = (fleet.named("group").await, fleet.host().await);
    let other = fleet.host().await;
    let body = json!({"hostID": host, "groupID": group});
    let adds = fleet.create(0, "groupassociation", body);
    let replaces = fleet.edit(1, "group", group, json!({"hosts": [other]}));
    Pair::new(adds, replaces, move |after| {
        let replaced = after
            .tables
            .of::<foghorn_controller::state::classes::Group>()
            .get(group)
            .map_or(0, |row| row.modified());
        let members = after.tables.of::<GroupAssociation>();
        let mut members = members.by(GroupAssociation::BY_GROUP, group.into());
        match members.find(|row| row.host == host && row.modified() < replaced) {
            Some(row) => Err(format!(
                "member {} was added at {} and not replaced at {replaced}",
                row.id,
                row.modified()
            )),
            None => Ok(()),
        }
    })
}
