//! Creates imaging tasks: one request for all hosts. Hosts that cannot have a task are left out.

use foghorn_rest_types::fog::{Host, Image, Row};
use foghorn_rest_types::tasks::{TaskKind, TaskRequest, TasksCreated};
use foghorn_types::TaskId;

use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};
use crate::output::Table;

/// Name of this kind of task.
#[must_use]
pub fn word(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Deploy => "deploy",
        TaskKind::Capture => "capture",
    }
}

/// A request for tasks of this kind with the image; the caller adds the hosts.
#[must_use]
pub fn request(kind: TaskKind, image: &Row<Image>) -> TaskRequest {
    let name = Some(format!("{} {}", word(kind), image.view.name));
    TaskRequest {
        image: Some(image.view.id),
        name,
        ..TaskRequest::new(kind)
    }
}

/// Creates the tasks.
///
/// # Errors
/// As the server answers: [`crate::exit::Exit::Conflict`] when no host can have a task because they
/// have some already; then no task was created. In a dry run, the answer contains what would be
/// created.
pub fn order(api: &Api, request: &TaskRequest) -> Result<TasksCreated, Failure> {
    let created: Result<TasksCreated, ApiError> =
        api.native("POST", "/foghorn/v1/tasks", Some(request));
    created.or_else(|error| match error {
        ApiError::Rehearsed { answer } => serde_json::from_str(&answer).map_err(|error| {
            Failure::new(Exit::Failed, "could not read the answer of the server").caused_by(error)
        }),
        error => Err(refused(error)),
    })
}

fn refused(error: ApiError) -> Failure {
    match error {
        ApiError::Conflict(said) if said.message.contains("active task") => Failure::from(ApiError::Conflict(said)).advise(
            "no task was created for any host; wait for the existing task, or cancel it with `foghorn task cancel`",
        ),
        error => error.into(),
    }
}

/// Says which hosts got no task and why.
pub fn tell_left_out(created: &TasksCreated) {
    for host in &created.left_out {
        eprintln!("error: host {} got no task: {}", host.name, host.reason);
    }
    if !created.left_out.is_empty() {
        eprintln!(
            "  to do: `foghorn task list --active` shows the tasks in the way; wait for them or \
             cancel them, then order these hosts again"
        );
    }
}

/// The result of an order that was for some of the hosts only, when the rest went as `exit` says.
#[must_use]
pub fn with_left_out(created: &TasksCreated, exit: Exit) -> Exit {
    match exit {
        Exit::Ok if !created.left_out.is_empty() => Exit::Partly,
        exit => exit,
    }
}

/// A request for the task of one host.
#[must_use]
pub fn for_one(host: &Row<Host>, image: &Row<Image>, kind: TaskKind) -> TaskRequest {
    TaskRequest {
        host: Some(host.view.id),
        ..request(kind, image)
    }
}

/// Creates the task of one host.
///
/// # Errors
/// As [`order`].
pub fn order_one(
    api: &Api,
    host: &Row<Host>,
    image: &Row<Image>,
    kind: TaskKind,
) -> Result<Ordered, Failure> {
    let created = order(api, &for_one(host, image, kind))?;
    let [ordered] = &by_host(&created, std::slice::from_ref(host))[..] else {
        return Err(Failure::new(
            Exit::Failed,
            "the answer of the server does not contain the created task",
        ));
    };
    Ok(ordered.clone())
}

/// A task that was created, with the name of its host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ordered {
    pub task: TaskId,
    pub host: String,
}

/// The tasks of an answer with the names of their hosts.
#[must_use]
pub fn by_host(created: &TasksCreated, hosts: &[Row<Host>]) -> Vec<Ordered> {
    let name = |task: &foghorn_rest_types::tasks::TaskCreated| {
        let host = hosts.iter().find(|host| host.view.id == task.host)?;
        Some(Ordered {
            task: task.task,
            host: host.view.name.clone(),
        })
    };
    created.tasks.iter().filter_map(name).collect()
}

/// The tasks as a table.
#[must_use]
pub fn table(ordered: &[Ordered], image: &Row<Image>) -> Table {
    let mut table = Table::new(&["TASK", "HOST", "IMAGE"]);
    for ordered in ordered {
        table.row([
            ordered.task.to_string(),
            ordered.host.clone(),
            image.view.name.clone(),
        ]);
    }
    table
}
