//! Ordering an imaging task for one host, the way FOG has it: the host is given the image, then a task of the type.

use foghorn_rest_types::fog::{Host, HostBody, Image, Row, Task, TaskBody};
use foghorn_types::TaskId;
use serde_json::json;

use crate::api::Api;
use crate::exit::{Exit, Failure};

/// What is to be done.
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

    /// What a task of this kind is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Capture => "capture",
        }
    }
}

/// Makes the image the host's own: a task works with that one.
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

/// Creates the task and finds out its number, which FOG's answer does not tell.
///
/// # Errors
/// [`Exit::Conflict`] when the host has a task already; otherwise as the server answers.
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
