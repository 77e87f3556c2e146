//! Imaging tasks for several hosts. Hosts that cannot have one are left out, or, when that was
//! ordered, none gets a task because of one of them.
//!
//! A transaction of etcd takes 128 operations, which are the tasks of [`HOSTS_AT_ONCE`] hosts. An
//! order for more is checked as a whole, stored in several transactions, each of which checks its
//! own hosts again, and taken back when it cannot be completed.

use std::collections::HashSet;

use foghorn_types::{GroupId, HostId, ImageId, SessionId, TaskId, TaskTypeId, Timestamp, chain};
use tracing::{info, warn};

use super::cancel::cancel_in;
use super::group::{Sessions, join_session_of_image};
use super::{
    Origin, Pending, Purpose, Request, Wanted, active_imaging, host, imaging, insert, make_room,
    take_turn_of_host,
};
use crate::app::sessions::Terms;
use crate::app::{sessions, versions, wake};
use crate::state::classes::{Group, GroupAssociation, Host, Image};
use crate::state::scene::Glance;
use crate::state::{Draft, Refusal, Row, State, Tables, rehearsal};

/// A host needs up to eleven operations: its new image, turn, task, run, snapin job and place in a
/// multicast session, and the end of a task that makes room with its snapin job.
const HOSTS_AT_ONCE: usize = 10;

/// Whom an order is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    Host(HostId),
    Hosts(Vec<HostId>),
    /// Every host that is in the group now.
    Group(GroupId),
}

impl Whom {
    /// The field of a request that names them.
    #[must_use]
    pub fn field(&self) -> &'static str {
        match self {
            Self::Host(_) => "host",
            Self::Hosts(_) => "hosts",
            Self::Group(_) => "group",
        }
    }
}

/// Why none of the tasks was created.
#[derive(Debug, thiserror::Error)]
pub enum OrderTasksError {
    #[error("group {0} does not exist")]
    NoSuchGroup(GroupId),
    #[error("group {0} has no hosts")]
    EmptyGroup(GroupId),
    #[error("host {0} does not exist")]
    NoSuchHost(HostId),
    #[error("image {0} does not exist")]
    NoSuchImage(ImageId),
    /// The image that was asked for cannot be used.
    #[error("image {image}: {why}")]
    BadImage { image: ImageId, why: Refusal },
    /// The image that a host has cannot be used.
    #[error("host {host} ({name}): {why}")]
    BadHostImage {
        host: HostId,
        name: String,
        why: Refusal,
    },
    #[error("host {host} ({name}) already has imaging task {task}, which has not ended")]
    Busy {
        host: HostId,
        name: String,
        task: TaskId,
    },
    #[error(transparent)]
    State(#[from] Refusal),
}

impl OrderTasksError {
    /// Whether only one host is in the way, so that the others may have their tasks.
    fn is_about_one_host(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. } | Self::BadImage { .. } | Self::BadHostImage { .. }
        )
    }

    /// The reason alone, for where the host is named beside it.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Busy { task, .. } => {
                format!("it already has imaging task {task}, which has not ended")
            }
            Self::BadImage { why, .. } | Self::BadHostImage { why, .. } => why.to_string(),
            other => other.to_string(),
        }
    }
}

/// One task that was created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    pub task: TaskId,
    pub host: HostId,
    pub image: ImageId,
    /// The image that the host had before; 0 for none, as in its row.
    before: u32,
}

/// A host that got no task, although others did.
#[derive(Debug)]
pub struct Without {
    pub host: HostId,
    pub name: String,
    pub why: OrderTasksError,
}

/// A task as a dry run would have created it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Planned {
    pub host: HostId,
    pub image: ImageId,
}

/// What was created.
#[derive(Debug, Default)]
pub struct AllMade {
    /// One for each host, in the order of the hosts.
    pub tasks: Vec<Made>,
    /// Multicast sessions, one for each image.
    pub sessions: Vec<SessionId>,
    pub left_out: Vec<Without>,
    /// Instead of tasks, in a dry run.
    pub planned: Vec<Planned>,
}

/// The tasks that are wanted, for all hosts alike.
pub struct Wish<'w> {
    /// Becomes the image of each host; `None` for the image that each host has.
    pub image: Option<ImageId>,
    /// Whether nobody gets a task when one of the hosts cannot have one.
    pub all_or_nothing: bool,
    pub request: &'w Request,
    pub origin: &'w Origin,
    pub glance: &'w dyn Glance,
}

/// Creates an imaging task for each of the hosts that can have one. A host that is named twice gets
/// one task. In a dry run ([`rehearsal`]) everything is checked and nothing is created.
///
/// # Errors
/// [`OrderTasksError`] when the order itself is wrong, when none of the hosts can have a task, or,
/// with `all_or_nothing`, when one cannot. Then no task is left and no host has another image,
/// unless the store itself failed while a large order was being taken back, which the log says.
pub async fn create_for_all(
    state: &State,
    whom: &Whom,
    wish: &Wish<'_>,
) -> Result<AllMade, OrderTasksError> {
    let (hosts, mut left_out) =
        state.read(|tables| choose(tables, hosts_of(tables, whom)?, wish))?;
    let mut all = AllMade::default();
    let mut sessions = Sessions::new();
    let origin = &wish.origin.for_hosts(hosts.len());
    let wish = &Wish { origin, ..*wish };
    for part in hosts.chunks(HOSTS_AT_ONCE) {
        let stored = store(state, part, wish, &mut sessions).await;
        all.tasks.extend(stored.made);
        left_out.extend(stored.left_out);
        match stored.error {
            None => {}
            Some(OrderTasksError::State(Refusal::Rehearsed)) => {
                let planned = part
                    .iter()
                    .filter(|host| !left_out.iter().any(|without| without.host == **host));
                all.planned.extend(state.read(|tables| {
                    planned
                        .filter_map(|host| planned_for(tables, *host, wish))
                        .collect::<Vec<_>>()
                }));
            }
            Some(error) => {
                take_back(state, &all.tasks, &sessions).await;
                return Err(error);
            }
        }
    }
    if all.tasks.is_empty() && all.planned.is_empty() && !left_out.is_empty() {
        return Err(left_out.remove(0).why);
    }
    all.sessions = sessions
        .into_values()
        .filter(|_| !rehearsal::is_on())
        .collect();
    all.left_out = left_out;
    Ok(all)
}

fn planned_for(tables: &Tables, host: HostId, wish: &Wish<'_>) -> Option<Planned> {
    let own = || ImageId::new(tables.hosts().get(host.get())?.image);
    let image = wish.image.or_else(own)?;
    Some(Planned { host, image })
}

/// The hosts that can have a task, and the others.
fn choose(
    tables: &Tables,
    hosts: Vec<HostId>,
    wish: &Wish<'_>,
) -> Result<(Vec<HostId>, Vec<Without>), OrderTasksError> {
    let (mut chosen, mut left_out) = (Vec::with_capacity(hosts.len()), Vec::new());
    for host in hosts {
        match check(tables, host, wish) {
            Ok(_) => chosen.push(host),
            Err(why) => left_out.push(without(tables, host, why, wish)?),
        }
    }
    if chosen.is_empty() && !left_out.is_empty() {
        return Err(left_out.remove(0).why);
    }
    Ok((chosen, left_out))
}

/// The host as one that is left out, or the refusal of the whole order.
fn without(
    tables: &Tables,
    host: HostId,
    why: OrderTasksError,
    wish: &Wish<'_>,
) -> Result<Without, OrderTasksError> {
    if wish.all_or_nothing || !why.is_about_one_host() {
        return Err(why);
    }
    let row = tables.hosts().get(host.get());
    let name = row.map(|row| row.name.clone()).unwrap_or_default();
    Ok(Without { host, name, why })
}

/// The hosts that are meant, each once.
fn hosts_of(tables: &Tables, whom: &Whom) -> Result<Vec<HostId>, OrderTasksError> {
    match whom {
        Whom::Host(host) => Ok(vec![*host]),
        Whom::Hosts(hosts) => {
            let mut seen = HashSet::new();
            Ok(hosts
                .iter()
                .copied()
                .filter(|host| seen.insert(*host))
                .collect())
        }
        Whom::Group(group) => {
            tables
                .of::<Group>()
                .get(group.get())
                .ok_or(OrderTasksError::NoSuchGroup(*group))?;
            let members = tables
                .of::<GroupAssociation>()
                .by(GroupAssociation::BY_GROUP, group.get().into());
            let members = members.filter_map(|member| HostId::new(member.host));
            let mut hosts: Vec<HostId> = members.collect();
            hosts.retain(|host| tables.hosts().get(host.get()).is_some());
            hosts.sort_unstable();
            if hosts.is_empty() {
                Err(OrderTasksError::EmptyGroup(*group))
            } else {
                Ok(hosts)
            }
        }
    }
}

/// A host that may have the task, as it is and as it will be.
struct Ready<'t> {
    row: &'t Row<Host>,
    host: Host,
    imaging: super::Imaging,
}

/// Everything about a host that can be refused.
fn check<'t>(
    tables: &'t Tables,
    id: HostId,
    wish: &Wish<'_>,
) -> Result<Ready<'t>, OrderTasksError> {
    let row = tables
        .hosts()
        .get(id.get())
        .ok_or(OrderTasksError::NoSuchHost(id))?;
    let mut host = Host::clone(row);
    if let Some(image) = wish.image {
        tables
            .of::<Image>()
            .get(image.get())
            .ok_or(OrderTasksError::NoSuchImage(image))?;
        host.image = image.get();
    }
    if let Some(task) = active_imaging(tables, row).and_then(|task| task.key()) {
        return Err(OrderTasksError::Busy {
            host: id,
            name: row.name.clone(),
            task,
        });
    }
    let bad_image = |why: Refusal| match wish.image {
        Some(image) => OrderTasksError::BadImage { image, why },
        None => OrderTasksError::BadHostImage {
            host: id,
            name: row.name.clone(),
            why,
        },
    };
    let purpose = Purpose::of(wish.request.kind);
    let imaging = imaging(
        tables,
        &wish.origin.health,
        &host,
        purpose,
        wish.request.version,
    )
    .map_err(bad_image)?;
    if purpose == Purpose::Capture {
        host::refuse_unknown(tables, wish.glance, &imaging).map_err(|why| bad_image(why.into()))?;
    }
    Ok(Ready { row, host, imaging })
}

/// What became of a part of the hosts. Tasks may have been stored and their snapins not.
struct Stored {
    made: Vec<Made>,
    left_out: Vec<Without>,
    error: Option<OrderTasksError>,
}

async fn store(
    state: &State,
    hosts: &[HostId],
    wish: &Wish<'_>,
    sessions: &mut Sessions,
) -> Stored {
    let (mut pending, mut made, mut opened) = (Pending::default(), Vec::new(), sessions.clone());
    let (mut is_stored, mut left_out) = (false, Vec::new());
    let result = state
        .write_in_steps(|draft| {
            is_stored = draft.continues();
            if !is_stored {
                (pending, opened) = (Pending::default(), sessions.clone());
                left_out.clear();
                let left_out = &mut left_out;
                made = create_part(draft, hosts, wish, &mut pending, &mut opened, left_out)?;
            }
            Ok::<_, OrderTasksError>(pending.settle(draft, wish.origin.now)?)
        })
        .await;
    let error = result.err();
    // What this controller has not seen yet was stored all the same.
    is_stored |= matches!(error, Some(OrderTasksError::State(Refusal::Lagging)));
    if error.is_none() || is_stored {
        *sessions = opened;
    } else {
        made.clear();
    }
    Stored {
        made,
        left_out,
        error,
    }
}

fn create_part(
    draft: &mut Draft<'_>,
    hosts: &[HostId],
    wish: &Wish<'_>,
    pending: &mut Pending,
    sessions: &mut Sessions,
    left_out: &mut Vec<Without>,
) -> Result<Vec<Made>, OrderTasksError> {
    let Wish {
        request,
        origin,
        glance,
        ..
    } = *wish;
    let (tables, mut made) = (draft.tables(), Vec::with_capacity(hosts.len()));
    let snapins = if request.snapins == Wanted::Nothing {
        &Wanted::Nothing
    } else {
        request.snapins.for_task(request.kind)
    };
    for id in hosts {
        let Ready { row, host, imaging } = match check(tables, *id, wish) {
            Ok(ready) => ready,
            Err(why) => {
                left_out.push(without(tables, *id, why, wish)?);
                continue;
            }
        };
        if host.image != row.image {
            draft.update(row, &host)?;
        }
        make_room(draft, &host, pending)?;
        pending.bring_for_group(draft, &host, snapins, origin.now)?;
        let task = host::row(tables, &host, request, origin, glance, Some(&imaging));
        let name = task.name.clone();
        let image = imaging.image;
        let terms = Terms {
            fixed: versions::named(imaging.kind),
            ..request.terms
        };
        let task = insert(draft, task, &host, Some(imaging), origin)?;
        if request.kind == TaskTypeId::MULTICAST {
            join_session_of_image(draft, sessions, task, &name, image, terms, origin.now)?;
        }
        made.push(Made {
            task,
            host: *id,
            image,
            before: row.image,
        });
    }
    if request.wake {
        let hosts = made.iter().map(|made| made.host).collect();
        wake::order(draft, hosts, "for their tasks", origin.now);
    }
    Ok(made)
}

/// Ends the tasks that were created before another was refused, and gives the hosts the images back
/// that they had.
async fn take_back(state: &State, made: &[Made], opened: &Sessions) {
    if made.is_empty() {
        return;
    }
    let tasks: Vec<u32> = made.iter().map(|made| made.task.get()).collect();
    info!(
        ?tasks,
        "cancelled tasks that were already created, because the order could not be completed"
    );
    if let Err(refusal) = try_to_take_back(state, made, opened).await {
        warn!(?tasks, error = %chain(&refusal), "could not cancel tasks that were already created");
    }
}

/// The task of a host and its image change in one transaction: between two, another order could take
/// the image that is about to be taken back for the host's own.
async fn try_to_take_back(state: &State, made: &[Made], opened: &Sessions) -> Result<(), Refusal> {
    for part in made.chunks(HOSTS_AT_ONCE) {
        let (now, mut pending) = (Timestamp::now(), Pending::default());
        state
            .write_in_steps(|draft| {
                if !draft.continues() {
                    pending = Pending::default();
                    part.iter()
                        .try_for_each(|made| take_one_back(draft, made, &mut pending))?;
                }
                pending.settle(draft, now)
            })
            .await?;
    }
    for session in opened.values() {
        sessions::cancel(state, *session).await?;
    }
    Ok(())
}

fn take_one_back(draft: &mut Draft<'_>, made: &Made, pending: &mut Pending) -> Result<(), Refusal> {
    let tables = draft.tables();
    let task = tables.tasks().get(made.task.get()).cloned();
    if let Some(task) = task {
        cancel_in(draft, &task, "the order could not be completed", pending)?;
    }
    let host = tables.hosts().get(made.host.get());
    // What somebody else has changed or ordered since is theirs.
    let host = host.filter(|host| {
        let other = active_imaging(tables, host).filter(|task| task.id != made.task.get());
        host.image == made.image.get() && host.image != made.before && other.is_none()
    });
    let Some(host) = host else {
        return Ok(());
    };
    // An order that has not been seen yet may already count on the image.
    take_turn_of_host(draft, host.id);
    draft.update(
        host,
        &Host {
            image: made.before,
            ..Host::clone(host)
        },
    )
}
