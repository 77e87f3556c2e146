//! Creates an imaging task for one host as in FOG: the image is assigned to the host, then a task
//! of the type is created.

use foghorn_rest_types::fog::{Host, HostBody, Image, Row, Task, TaskBody};
use foghorn_types::TaskId;
use serde_json::json;

use crate::api::Api;
use crate::exit::{Exit, Failure};

/// Kind of the task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Deploy,
    Capture,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Deploy => foghorn_rest_types::fog::DEPLOY,
            Self::Capture => foghorn_rest_types::fog::CAPTURE,
        }
    }

    /// Name of this kind of task.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Capture => "capture",
        }
    }
}

/// Assigns the image to the host: the task uses the image of its host.
///
/// # Errors
/// As the server answers.
pub(super) fn give_image(api: &Api, host: &Row<Host>, image: &Row<Image>) -> Result<(), Failure> {
    if host.view.image != Some(image.view.id) {
        let body = HostBody { image: Some(image.view.id), ..HostBody::default() };
        api.edit::<Host>(host.view.id.get(), &body)?;
    }
    Ok(())
}

/// Creates the task and determines its id, which is not part of FOG's answer.
///
/// # Errors
/// [`Exit::Conflict`] when the host already has a task; otherwise as the server answers.
pub fn order(api: &Api, host: &Row<Host>, image: &Row<Image>, kind: Kind) -> Result<TaskId, Failure> {
    let id = host.view.id;
    give_image(api, host, image)?;
    let body = TaskBody { kind: kind.number(), name: format!("{} {}", kind.as_str(), image.view.name) };
    api.text("POST", &format!("/fog/host/{id}/task"), Some(&body))?;
    let active = api.list_at::<Task>("/fog/task/active", Some(json!({ "hostID": id })))?;
    let ours = active.iter().filter(|row| row.view.host == Some(id) && row.view.kind == u64::from(kind.number()));
    ours.map(|row| row.view.id).max().ok_or_else(|| {
        Failure::new(Exit::Failed, format!("the task for host {} ended before it could be seen", host.view.name))
            .advise("see `foghorn task list`")
    })
}
