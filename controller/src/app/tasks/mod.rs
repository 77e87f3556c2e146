//! Creates and cancels tasks. The dispatcher then runs imaging tasks
//! ([`crate::state::run`]); its row here and its run are created and cancelled in one transaction.

mod all_or_none;
mod cancel;
mod group;
mod host;
mod part;
mod recheck;
mod request;
mod site;
mod snapins;

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{ImageId, StorageGroupId, TaskId, TaskTypeId, Timestamp};

pub use all_or_none::{
    AllMade, Made, OrderTasksError, Planned, Whom, Wish, Without, create_for_all,
};
pub use cancel::{cancel_active, cancel_group, cancel_host, cancel_task};
pub(crate) use cancel::{cancel_each, cancel_in};
pub(crate) use cancel::{
    cancel_snapin_job, cancel_snapin_jobs, cancel_snapin_task, cancel_snapin_tasks,
};
pub(crate) use group::{Brought, Chosen, For, HOSTS_AT_ONCE, create_part, free_hosts, wake_group};
pub use group::{Created, LeftOut, create_for_group, create_for_hosts, sentence};
pub use host::create_for_host;
pub(crate) use host::create_in as create_on_host;
pub(crate) use part::of as scope_of;
pub(crate) use recheck::recheck;
pub use request::Request;
pub(crate) use snapins::Pending;
pub use snapins::Wanted;

use super::idempotent::Ticket;
use super::{one_time, sites, versions};
use crate::agents::health::Health;
use crate::state::classes::{Host, Image, StorageNode, Task, TaskType};
use crate::state::rules::image;
use crate::state::run::{Home, Run, RunKind, Scope};
use crate::state::scene::Glance;
use crate::state::{Draft, Refusal, Row, Tables, TaskRefusal};

/// Where a task comes from: its creator, and the circumstances of the request.
#[derive(Clone, Debug)]
pub struct Origin {
    pub by: String,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
    /// Time within which an imaging task must end.
    pub deadline: Duration,
    pub now: Timestamp,
    /// What is damaged on storage nodes.
    pub health: Arc<Health>,
    /// Is marked in the transaction that stores the task of a host.
    pub ticket: Option<Ticket>,
    /// Of all tasks of an order for several hosts; 0 for one host.
    pub order: u64,
}

impl Origin {
    /// The same, for the tasks of so many hosts.
    fn for_hosts(&self, hosts: usize) -> Self {
        let order = if hosts > 1 { one_time::number() } else { 0 };
        Self {
            order,
            ..self.clone()
        }
    }
}

/// The meaning of a task type. The rows of [`TaskType`] are for display.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Deploy,
    Capture,
    Snapins,
    SingleSnapin,
    Wake,
    /// The host boots the imaging environment for another purpose.
    Other,
}

impl Purpose {
    pub(crate) fn of(kind: TaskTypeId) -> Self {
        match kind {
            // A multicast deploy is one host's deploy whose stream others receive too.
            kind if kind.is_deploy() => Self::Deploy,
            kind if kind.is_capture() => Self::Capture,
            TaskTypeId::ALL_SNAPINS => Self::Snapins,
            TaskTypeId::SINGLE_SNAPIN => Self::SingleSnapin,
            TaskTypeId::WAKE_UP => Self::Wake,
            _ => Self::Other,
        }
    }

    pub(crate) fn of_task(task: &Task) -> Self {
        task.kind.map_or(Self::Other, Self::of)
    }

    /// Reads or writes an image.
    pub(crate) fn is_imaging(self) -> bool {
        matches!(self, Self::Deploy | Self::Capture)
    }

    /// Needs no imaging environment: the host keeps running.
    pub(crate) fn is_snapin(self) -> bool {
        matches!(self, Self::Snapins | Self::SingleSnapin)
    }
}

/// The inputs of an imaging task.
struct Imaging {
    image: ImageId,
    /// That is likely to serve it.
    group: StorageGroupId,
    of_image: StorageGroupId,
    home: Option<Home>,
    kind: RunKind,
    scope: Scope,
}

/// Checks that the host's image can be deployed or captured.
fn imaging(
    tables: &Tables,
    health: &Health,
    host: &Host,
    purpose: Purpose,
    version: Option<u32>,
) -> Result<Imaging, Refusal> {
    let row = tables
        .images()
        .get(host.image)
        .ok_or(TaskRefusal::NoImage)?;
    let image = row.key().ok_or(TaskRefusal::NoImage)?;
    if !row.is_enabled.is_yes() {
        return Err(TaskRefusal::ImageDisabled.into());
    }
    let group =
        image::storage_group(tables, row.id).and_then(|group| StorageGroupId::new(group.id));
    let group = group.ok_or(TaskRefusal::NoStorageGroup)?;
    let scope = part::of(tables, row)?;
    part::check_rules(host, scope)?;
    if purpose == Purpose::Capture {
        if row.protected != 0 {
            return Err(TaskRefusal::ProtectedImage { image }.into());
        }
        return Ok(Imaging {
            image,
            group,
            of_image: group,
            home: None,
            kind: RunKind::Capture,
            scope,
        });
    }
    let content = tables
        .contents()
        .get(&image)
        .ok_or(TaskRefusal::NoContent)?;
    let (kind, content) = match version {
        None => {
            let kind = RunKind::Deploy {
                manifest: None,
                version: None,
            };
            (kind, &**content)
        }
        Some(version) => {
            let kind = versions::pinned(content, version)?;
            (kind, content.numbered(version).unwrap_or(content))
        }
    };
    part::check_content(content, scope)?;
    part::check_disks(content, host, scope)?;
    let (of_image, home) = (group, sites::assigned(tables, host));
    let group = site::of(tables, home, of_image, content).unwrap_or(group);
    versions::refuse_damaged(tables, health, content, group)?;
    Ok(Imaging {
        image,
        group,
        of_image,
        home,
        kind,
        scope,
    })
}

/// The active imaging task of a host.
fn active_imaging<'t>(tables: &'t Tables, host: &Host) -> Option<&'t Row<Task>> {
    let mut active = tables.tasks().by(Task::ACTIVE_BY_HOST, host.id.into());
    active
        .find(|task| Purpose::of_task(task).is_imaging())
        .map(AsRef::as_ref)
}

/// Stores a task, its run if it has one, and what the run relies on.
fn insert(
    draft: &mut Draft<'_>,
    mut task: Task,
    host: &Host,
    imaging: Option<Imaging>,
    origin: &Origin,
) -> Result<TaskId, Refusal> {
    task.id = draft.next_id::<Task>();
    let task_id = TaskId::new(task.id).expect("ids of rows start at 1");
    if let Some(imaging) = imaging {
        let host_id = host.key().expect("ids of rows start at 1");
        let traceparent = origin.traceparent.clone();
        let run = Run::queued(
            task_id,
            imaging.kind,
            host_id,
            imaging.image,
            imaging.of_image,
            traceparent,
            origin.now,
        );
        let run = run
            .within(imaging.scope)
            .at_home(imaging.home)
            .due_in(origin.deadline)
            .told_apart_by(one_time::number())
            .of_order(origin.order);
        draft.replace(&run);
        // The image must not be deleted, disabled or protected at the same time; its deletion
        // checks the runs.
        match draft.tables().images().get(imaging.image.get()) {
            Some(row) => draft.unchanged(row),
            None => draft.require_present::<Image>(imaging.image.get()),
        }
        if matches!(
            imaging.kind,
            RunKind::Deploy {
                manifest: Some(_),
                ..
            }
        ) {
            draft.require(versions::unchanged(draft.tables(), imaging.image));
        }
    }
    draft.require_present::<Host>(host.id);
    take_turn_of_host(draft, host.id);
    draft.insert(task)?;
    Ok(task_id)
}

/// For whoever has looked at a host's tasks and relies on what was there. Two drafts at once, from any
/// controllers, see each other here: a host never has two imaging tasks.
fn take_turn_of_host(draft: &mut Draft<'_>, host: u32) {
    draft.take_turn_of::<Host>(host);
}

/// Cancels every active task of a host that is not an imaging task, to make room for another.
fn make_room(draft: &mut Draft<'_>, host: &Host, pending: &mut Pending) -> Result<(), Refusal> {
    for task in draft
        .tables()
        .tasks()
        .by(Task::ACTIVE_BY_HOST, host.id.into())
    {
        cancel::cancel_in(draft, task, "replaced by another task", pending)?;
    }
    Ok(())
}

/// The node that is likely to serve a deploy: online before offline, least load, then by name. The
/// dispatcher decides again when the host checks in.
fn least_loaded<'t>(
    tables: &'t Tables,
    glance: &dyn Glance,
    group: StorageGroupId,
) -> Option<&'t Row<StorageNode>> {
    let rank = |node: &Row<StorageNode>| {
        let offline = !node.key().is_some_and(|node| glance.node(node).online);
        (
            offline,
            node.load(tables),
            crate::state::value::fold(&node.name),
        )
    };
    let nodes = tables
        .storage_nodes()
        .by(StorageNode::BY_GROUP, group.get().into())
        .filter(|node| node.serves());
    nodes
        .map(AsRef::as_ref)
        .min_by(|a: &&Row<StorageNode>, b: &&Row<StorageNode>| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2))
        })
}

/// The node that receives the captures of a storage group.
fn master(tables: &Tables, group: StorageGroupId) -> Option<&Row<StorageNode>> {
    let nodes = || {
        tables
            .storage_nodes()
            .by(StorageNode::BY_GROUP, group.get().into())
            .filter(|node| node.serves())
    };
    nodes()
        .find(|node| node.is_master.is_yes())
        .or_else(|| nodes().next())
        .map(AsRef::as_ref)
}

/// Refuses task types that do not exist.
fn check_type(tables: &Tables, kind: TaskTypeId) -> Result<(), Refusal> {
    tables
        .of::<TaskType>()
        .get(kind.get())
        .map(drop)
        .ok_or(Refusal::BadTaskType)
}

/// Name of a task: the name given by the client, and the target.
fn title(name: &str, target: &str) -> String {
    format!("{name} - {target}").trim().to_owned()
}
