//! A task for one host.

use foghorn_types::{HostId, TaskId, TaskTypeId};

use super::{
    Imaging, Origin, Pending, Purpose, Request, active_imaging, check_type, imaging, insert,
    least_loaded, make_room, master, title,
};
use crate::app::{orphans, sessions, wake};
use crate::state::classes::task::state;
use crate::state::classes::{Host, StorageNode, Task};
use crate::state::removal::Stored;
use crate::state::scene::Glance;
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, Row, State, Tables, TaskRefusal};

/// Creates a task for a host with its snapins, and returns its id; none for a wake-up, which
/// creates no task.
///
/// # Errors
/// [`Refusal`] when the host or its image does not allow it; then nothing is stored.
pub async fn create_for_host(
    state: &State,
    host: HostId,
    request: &Request,
    origin: &Origin,
    glance: &dyn Glance,
) -> Result<Option<TaskId>, Refusal> {
    let mut pending = Pending::default();
    foghorn_faults::wait!("controller.order.before");
    let created = state
        .write_in_steps::<_, Refusal>(|draft| {
            let mut created = None;
            if !draft.continues() {
                pending = Pending::default();
                let row = draft
                    .tables()
                    .hosts()
                    .get(host.get())
                    .ok_or(Refusal::NotFound {
                        class: "host",
                        id: host.get(),
                    })?;
                created = create_in(draft, row, request, origin, glance, &mut pending)?;
                origin.ticket.as_ref().map_or(Ok(()), |ticket| {
                    ticket.mark(draft, created.map(TaskId::get))
                })?;
            }
            pending.settle(draft, origin.now)?;
            Ok(created)
        })
        .await?;
    match foghorn_faults::lost!("controller.order.stored") {
        true => Err(Refusal::Lagging),
        false => Ok(created),
    }
}

/// Drafts a task for a host; see [`create_for_host`].
///
/// # Errors
/// As there.
pub(crate) fn create_in(
    draft: &mut Draft<'_>,
    host: &Row<Host>,
    request: &Request,
    origin: &Origin,
    glance: &dyn Glance,
    pending: &mut Pending,
) -> Result<Option<TaskId>, Refusal> {
    let tables = draft.tables();
    check_type(tables, request.kind)?;
    let purpose = Purpose::of(request.kind);
    let imaging = if purpose.is_imaging() {
        Some(imaging_unless_busy(
            draft,
            host,
            purpose,
            (request.version, origin),
        )?)
    } else {
        None
    };
    if active_imaging(tables, host).is_some() {
        return Err(TaskRefusal::HostBusy.into());
    }
    if purpose == Purpose::Wake {
        // The id is used up on a FOG server too.
        draft.next_id::<Task>();
        wake::order(
            draft,
            host.key().into_iter().collect(),
            "asked for",
            origin.now,
        );
        return Ok(None);
    }
    let snapins = request.snapins.for_task(request.kind);
    if let Some(merged) = merge_snapins(draft, host, purpose)? {
        pending.bring(draft, host, snapins, origin.now)?;
        return Ok(Some(merged));
    }
    if let Some(imaging) = imaging.as_ref().filter(|_| purpose == Purpose::Capture) {
        refuse_unknown(tables, glance, imaging)?;
    }
    make_room(draft, host, pending)?;
    pending.bring(draft, host, snapins, origin.now)?;
    let task = row(tables, host, request, origin, glance, imaging.as_ref());
    if request.wake {
        wake::order(
            draft,
            host.key().into_iter().collect(),
            "for its task",
            origin.now,
        );
    }
    let name = task.name.clone();
    let image = imaging.as_ref().map(|imaging| imaging.image);
    let id = insert(draft, task, host, imaging, origin)?;
    if let Some(image) = image.filter(|_| request.kind == TaskTypeId::MULTICAST) {
        let session = match request.session.as_str() {
            "" => sessions::open(draft, &name, image, -1, request.terms, origin.now)?,
            name => sessions::named(tables, name, image)?,
        };
        sessions::join(draft, session, id)?;
    }
    Ok(Some(id))
}

/// A capture replaces what its node holds under the number of the image; that must be known here.
pub(super) fn refuse_unknown(
    tables: &Tables,
    glance: &dyn Glance,
    imaging: &Imaging,
) -> Result<(), TaskRefusal> {
    let Some(node) = master(tables, imaging.group).and_then(|row| row.key()) else {
        return Ok(());
    };
    let image = imaging.image;
    let unknown = glance
        .held(node, image)
        .into_iter()
        .any(|manifest| orphans::is_unknown(tables, &Stored::Image(image, manifest)));
    if unknown {
        return Err(TaskRefusal::UnknownContent { node, image });
    }
    Ok(())
}

/// The row of a host's task. The storage node is a guess for people; the dispatcher decides again.
pub(super) fn row(
    tables: &Tables,
    host: &Host,
    request: &Request,
    origin: &Origin,
    glance: &dyn Glance,
    imaging: Option<&Imaging>,
) -> Task {
    let node: Option<&Row<StorageNode>> =
        imaging.and_then(|imaging| match Purpose::of(request.kind) {
            Purpose::Capture => master(tables, imaging.group),
            _ => least_loaded(tables, glance, imaging.group),
        });
    Task {
        name: title(&request.name, &host.name),
        host: host.id,
        state: state::QUEUED,
        created_time: origin.now.into(),
        created_by: origin.by.clone(),
        is_forced: Flag::No,
        kind: Some(request.kind),
        storagegroup: imaging.map_or(0, |imaging| imaging.group.get()),
        storagenode: node.map_or(0, |node| node.id),
        shutdown: request.shutdown_flag(),
        passreset: request.passreset.clone(),
        is_debug: request.debug.into(),
        image: host.image,
        wol: request.wake.into(),
        ..Task::default()
    }
}

/// A busy host is reported first, even when its image has no content.
fn imaging_unless_busy(
    draft: &Draft<'_>,
    host: &Row<Host>,
    purpose: Purpose,
    (version, origin): (Option<u32>, &Origin),
) -> Result<Imaging, Refusal> {
    match imaging(draft.tables(), &origin.health, host, purpose, version) {
        Err(Refusal::Task(
            TaskRefusal::NoContent
            | TaskRefusal::ProtectedImage { .. }
            | TaskRefusal::DamagedImage { .. },
        )) if active_imaging(draft.tables(), host).is_some() => Err(TaskRefusal::HostBusy.into()),
        result => result,
    }
}

/// A single snapin for a host that waits for snapins joins that task.
fn merge_snapins(
    draft: &mut Draft<'_>,
    host: &Row<Host>,
    purpose: Purpose,
) -> Result<Option<TaskId>, Refusal> {
    if purpose != Purpose::SingleSnapin {
        return Ok(None);
    }
    let mut active = draft
        .tables()
        .tasks()
        .by(Task::ACTIVE_BY_HOST, host.id.into());
    let Some(row) = active.find(|task| Purpose::of_task(task).is_snapin()) else {
        return Ok(None);
    };
    let name = title("Several snapins", &host.name);
    draft.update(
        row,
        &Task {
            name,
            kind: Some(TaskTypeId::ALL_SNAPINS),
            ..Task::clone(row)
        },
    )?;
    Ok(row.key())
}
