//! Creates a task for every host of a group, or for several given hosts.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_types::{GroupId, HostId, ImageId, SessionId, TaskId, TaskTypeId, Timestamp};

use super::{
    Imaging, Origin, Pending, Purpose, Request, Wanted, check_type, imaging, insert, make_room,
    master, title,
};
use crate::agents::health::Health;
use crate::app::sessions::{self, Terms};
use crate::app::wake;
use crate::state::classes::task::state;
use crate::state::classes::{Group, GroupAssociation, Host, MulticastSession, Task};
use crate::state::value::Flag;
use crate::state::{Draft, Refusal, Row, State, Tables, TaskRefusal};

/// Hosts per transaction: an etcd transaction takes 128 compares, and each host needs five with its
/// turn and its snapin job, two for its place in a multicast session, and three more for a task and
/// a job that make room. Snapin tasks are on top of that, as far as there is room.
pub(crate) const HOSTS_AT_ONCE: usize = 11;

/// Multicast sessions of one group's tasks, by image: hosts of one group may have several.
pub(crate) type Sessions = BTreeMap<ImageId, SessionId>;

/// What is created together with the tasks of a group.
pub(crate) struct Brought<'b> {
    pub(crate) pending: &'b mut Pending,
    pub(crate) sessions: &'b mut Sessions,
}

/// The hosts of tasks that belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    Group(GroupId),
    Hosts,
}

/// A host that got no task, although others did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    pub host: HostId,
    pub name: String,
    pub why: String,
}

impl LeftOut {
    fn new(host: &Host, why: impl ToString) -> Option<Self> {
        Some(Self {
            host: host.key()?,
            name: host.name.clone(),
            why: why.to_string(),
        })
    }
}

/// Most hosts that a sentence names.
const MOST_NAMED: usize = 10;

/// A sentence about hosts that got no task; `None` without any.
#[must_use]
pub fn sentence(left_out: &[LeftOut]) -> Option<String> {
    let hosts = match left_out.len() {
        0 => return None,
        1 => "1 host got no task".to_owned(),
        many => format!("{many} hosts got no task"),
    };
    let named = left_out.iter().take(MOST_NAMED);
    let named: Vec<String> = named
        .map(|host| format!("host {} ({}): {}", host.host, host.name, host.why))
        .collect();
    let rest = match left_out.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    Some(format!("{hosts}: {}{rest}", named.join("; ")))
}

/// What was created for several hosts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Created {
    pub tasks: Vec<TaskId>,
    /// Hosts of the group without a task, and why.
    pub left_out: Vec<LeftOut>,
    /// One for each image, when it was a multicast.
    pub sessions: Vec<SessionId>,
}

/// Creates a task for each host of the group that is free, and returns the ids and the other hosts. Each host's task is
/// stored whole; a large group takes several transactions.
///
/// # Errors
/// [`Refusal`] when the group is empty, none of its hosts is free, or an image cannot be deployed.
pub async fn create_for_group(
    state: &State,
    group: GroupId,
    request: &Request,
    origin: &Origin,
) -> Result<Created, Refusal> {
    let Chosen { hosts, left_out } =
        state.read(|tables| free_hosts(tables, &origin.health, group, request))?;
    state
        .write::<_, Refusal>(|draft| {
            wake_group(draft, group, request, origin);
            Ok(())
        })
        .await?;
    create_each(state, For::Group(group), &hosts, left_out, request, origin).await
}

/// Creates a deploy for each of these hosts that is free, as [`create_for_group`] does.
///
/// # Errors
/// [`Refusal`] when one of them does not exist, or none of them can have a task.
pub async fn create_for_hosts(
    state: &State,
    hosts: &[HostId],
    request: &Request,
    origin: &Origin,
) -> Result<Created, Refusal> {
    let Chosen { hosts, left_out } = state
        .read(|tables| {
            check_type(tables, request.kind)?;
            let rows = hosts.iter().map(|host| {
                tables.hosts().get(host.get()).ok_or(Refusal::NotFound {
                    class: "host",
                    id: host.get(),
                })
            });
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            sort_out(tables, &origin.health, rows, request)
        })
        .map_err(|refusal| match refusal {
            Refusal::Task(why @ TaskRefusal::NoFreeHosts) => Refusal::Invalid {
                field: "hosts",
                why: why.to_string(),
            },
            other => other,
        })?;
    create_each(state, For::Hosts, &hosts, left_out, request, origin).await
}

async fn create_each(
    state: &State,
    target: For,
    hosts: &[HostId],
    mut left_out: Vec<LeftOut>,
    request: &Request,
    origin: &Origin,
) -> Result<Created, Refusal> {
    let (mut created, mut sessions) = (Vec::new(), Sessions::new());
    let origin = &origin.for_hosts(hosts.len());
    for part in hosts.chunks(HOSTS_AT_ONCE) {
        let (mut pending, mut made) = (Pending::default(), (Vec::new(), Vec::new()));
        let mut opened = sessions.clone();
        let step = state.write_in_steps::<_, Refusal>(|draft| {
            if !draft.continues() {
                (pending, opened) = (Pending::default(), sessions.clone());
                let brought = Brought {
                    pending: &mut pending,
                    sessions: &mut opened,
                };
                made = create_part(draft, target, part, request, origin, brought)?;
            }
            pending.settle(draft, origin.now)
        });
        step.await?;
        created.extend(made.0);
        left_out.extend(made.1);
        sessions = opened;
    }
    Ok(Created {
        tasks: created,
        left_out,
        sessions: sessions.into_values().collect(),
    })
}

/// Drafts the tasks of up to [`HOSTS_AT_ONCE`] hosts, and what they bring. Gives the hosts back that
/// get none.
pub(crate) fn create_part(
    draft: &mut Draft<'_>,
    target: For,
    hosts: &[HostId],
    request: &Request,
    origin: &Origin,
    mut brought: Brought<'_>,
) -> Result<(Vec<TaskId>, Vec<LeftOut>), Refusal> {
    let mut created = Vec::with_capacity(hosts.len());
    let (mut woken, mut left_out) = (Vec::new(), Vec::new());
    for host in hosts {
        match create_in(draft, target, *host, request, origin, &mut brought)? {
            Ok(task) => {
                created.push(task);
                woken.push(*host);
            }
            Err(why) => left_out.push(why),
        }
    }
    if request.wake {
        wake::order(draft, woken, "for their tasks", origin.now);
    }
    Ok((created, left_out))
}

/// Orders all hosts of the group to be woken, when that is what the task is.
pub(crate) fn wake_group(
    draft: &mut Draft<'_>,
    group: GroupId,
    request: &Request,
    origin: &Origin,
) {
    if Purpose::of(request.kind) == Purpose::Wake {
        let members = draft
            .tables()
            .of::<GroupAssociation>()
            .by(GroupAssociation::BY_GROUP, group.get().into());
        let hosts = members.filter_map(|member| HostId::new(member.host));
        let hosts = hosts.collect();
        wake::order(draft, hosts, "asked for", origin.now);
    }
}

fn is_busy(tables: &Tables, host: &Host) -> bool {
    tables
        .tasks()
        .by(Task::ACTIVE_BY_HOST, host.id.into())
        .any(|task| !Purpose::of_task(task).is_snapin())
}

/// Hosts of a group.
#[derive(Debug, Default)]
pub(crate) struct Chosen {
    /// Those that get a task.
    pub(crate) hosts: Vec<HostId>,
    pub(crate) left_out: Vec<LeftOut>,
}

/// The hosts that get a task, and the others. Everything that can be refused is refused here, before the first is
/// stored.
pub(crate) fn free_hosts(
    tables: &Tables,
    health: &Health,
    group: GroupId,
    request: &Request,
) -> Result<Chosen, Refusal> {
    tables
        .of::<Group>()
        .get(group.get())
        .ok_or(Refusal::NotFound {
            class: "group",
            id: group.get(),
        })?;
    check_type(tables, request.kind)?;
    let purpose = Purpose::of(request.kind);
    let members: Vec<_> = tables
        .of::<GroupAssociation>()
        .by(GroupAssociation::BY_GROUP, group.get().into())
        .filter_map(|member| tables.hosts().get(member.host))
        .collect();
    if members.is_empty() {
        return Err(TaskRefusal::NoHosts.into());
    }
    let mut chosen = Chosen::default();
    match purpose {
        // As on a FOG server, nothing is done.
        Purpose::Capture => {
            let why = "many hosts cannot be captured into one image: order a capture of one host";
            let members = members.into_iter();
            chosen.left_out = members.filter_map(|host| LeftOut::new(host, why)).collect();
            return Ok(chosen);
        }
        // Leaves no task.
        Purpose::Wake => return Ok(chosen),
        _ => {}
    }
    sort_out(tables, health, members, request)
}

/// Which of these hosts are free.
fn sort_out(
    tables: &Tables,
    health: &Health,
    hosts: Vec<&Arc<Row<Host>>>,
    request: &Request,
) -> Result<Chosen, Refusal> {
    let (purpose, mut chosen) = (Purpose::of(request.kind), Chosen::default());
    let mut refusal = None;
    for host in hosts {
        let left_out = if is_busy(tables, host) {
            LeftOut::new(host, TaskRefusal::HostBusy)
        } else if let Some(why) = purpose
            .is_imaging()
            .then(|| imaging(tables, health, host, purpose, request.version).err())
            .flatten()
        {
            let left_out = LeftOut::new(host, &why);
            refusal = Some(why);
            left_out
        } else {
            chosen.hosts.extend(host.key());
            continue;
        };
        chosen.left_out.extend(left_out);
    }
    if purpose.is_imaging() && chosen.hosts.is_empty() {
        return Err(refusal.unwrap_or(TaskRefusal::NoFreeHosts.into()));
    }
    Ok(chosen)
}

/// A host that was deleted, got another task or another image since it was chosen is left out.
fn create_in(
    draft: &mut Draft<'_>,
    target: For,
    host: HostId,
    request: &Request,
    origin: &Origin,
    brought: &mut Brought<'_>,
) -> Result<Result<TaskId, LeftOut>, Refusal> {
    let tables = draft.tables();
    let left_out = |name: &str, why: &str| {
        Ok(Err(LeftOut {
            host,
            name: name.to_owned(),
            why: why.to_owned(),
        }))
    };
    let Some(host) = tables.hosts().get(host.get()) else {
        return left_out("deleted", "it was deleted meanwhile");
    };
    let target = match target {
        For::Group(group) => tables
            .of::<Group>()
            .get(group.get())
            .map(|group| group.name.as_str()),
        For::Hosts => Some(host.name.as_str()),
    };
    let Some(target) = target else {
        return left_out(&host.name, "the group was deleted meanwhile");
    };
    if is_busy(tables, host) {
        return left_out(&host.name, &TaskRefusal::HostBusy.to_string());
    }
    let purpose = Purpose::of(request.kind);
    let imaging = match purpose
        .is_imaging()
        .then(|| imaging(tables, &origin.health, host, purpose, request.version))
    {
        None => None,
        Some(Ok(imaging)) => Some(imaging),
        Some(Err(Refusal::Task(why))) => return left_out(&host.name, &why.to_string()),
        Some(Err(refusal)) => return Err(refusal),
    };
    let image = imaging.as_ref().map(|imaging| imaging.image);
    make_room(draft, host, brought.pending)?;
    // As on a FOG server, a multicast task includes all snapins, whatever was requested.
    let snapins = if request.kind == TaskTypeId::MULTICAST {
        &Wanted::All
    } else {
        request.snapins.for_task(request.kind)
    };
    brought
        .pending
        .bring_for_group(draft, host, snapins, origin.now)?;
    let task = row(tables, target, host, request, origin, imaging.as_ref());
    let name = task.name.clone();
    let id = insert(draft, task, host, imaging, origin)?;
    if let Some(image) = image.filter(|_| request.kind == TaskTypeId::MULTICAST) {
        join_session_of_image(
            draft,
            brought.sessions,
            id,
            &name,
            image,
            request.terms,
            origin.now,
        )?;
    }
    Ok(Ok(id))
}

/// Lets a task take part in the session of its image. The first task of an image opens it, under
/// its own name.
pub(super) fn join_session_of_image(
    draft: &mut Draft<'_>,
    sessions: &mut Sessions,
    task: TaskId,
    name: &str,
    image: ImageId,
    terms: Terms,
    now: Timestamp,
) -> Result<(), Refusal> {
    // One that ended since an earlier step of the order is not joined.
    let table = draft.tables().of::<MulticastSession>();
    let known = sessions
        .get(&image)
        .filter(|session| table.get(session.get()).is_none_or(|row| row.is_active()));
    let session = match known {
        Some(session) => *session,
        None => {
            let session = sessions::open(draft, name, image, 0, terms, now)?;
            sessions.insert(image, session);
            session
        }
    };
    sessions::join(draft, session, task)
}

/// FOG leaves some fields of a group's tasks empty: who made them, the storage group, and switches
/// unless they image.
fn row(
    tables: &Tables,
    target: &str,
    host: &Row<Host>,
    request: &Request,
    origin: &Origin,
    imaging: Option<&Imaging>,
) -> Task {
    Task {
        name: title(&request.name, target),
        host: host.id,
        state: state::QUEUED,
        created_time: origin.now.into(),
        is_forced: if imaging.is_some() {
            Flag::No
        } else {
            Flag::Unset
        },
        kind: Some(request.kind),
        storagenode: imaging
            .and_then(|imaging| master(tables, imaging.group))
            .map_or(0, |node| node.id),
        shutdown: request.shutdown_flag(),
        passreset: request.passreset.clone(),
        is_debug: request.debug.into(),
        image: if imaging.is_some() { host.image } else { 0 },
        wol: if request.wake { Flag::Yes } else { Flag::Unset },
        ..Task::default()
    }
}
