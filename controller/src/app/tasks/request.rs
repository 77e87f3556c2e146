//! The request of a client that creates a task.

use foghorn_types::TaskTypeId;
use serde_json::Value;

use super::snapins::Wanted;
use crate::app::objects;
use crate::app::sessions::Terms;
use crate::state::Refusal;
use crate::state::class::Body;
use crate::state::value::{Flag, is_falsy, scalar};

/// The body of `POST /fog/host/<id>/task`, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub kind: TaskTypeId,
    /// May be empty.
    pub name: String,
    /// Power the host off afterwards.
    pub shutdown: bool,
    /// Stop at a shell before and after.
    pub debug: bool,
    /// Wake the host first.
    pub wake: bool,
    /// New password of a password reset.
    pub passreset: String,
    /// Snapins to run with the task.
    pub snapins: Wanted,
    /// Multicast session that a host joins; empty for one of its own.
    pub session: String,
    /// When and how fast a session of its own is sent.
    pub terms: Terms,
    /// Version of the image that a deploy writes; `None` for what the image is when the machine
    /// comes.
    pub version: Option<u32>,
}

/// The task type that a body names: `taskTypeID`, or `taskType` as FOG's documentation has it.
/// Numbers and texts are taken.
///
/// # Errors
/// [`Refusal::BadTaskType`], or [`Refusal::Invalid`] when the two are different.
fn type_of(body: &Body) -> Result<TaskTypeId, Refusal> {
    let named = |name: &str| body.get(name).filter(|value| !value.is_null());
    let value = match (named("taskTypeID"), named("taskType")) {
        (Some(one), Some(other)) => {
            objects::same("taskType", other, "taskTypeID", one)?;
            Some(one)
        }
        (one, other) => one.or(other),
    };
    value
        .and_then(|value| scalar(value).ok().flatten()?.parse().ok())
        .ok_or(Refusal::BadTaskType)
}

impl Request {
    /// # Errors
    /// When the body has no task type, or invalid snapins.
    pub fn read(body: &Body) -> Result<Self, Refusal> {
        let text = |name: &str| {
            let value = body.get(name).filter(|value| !is_falsy(value));
            value
                .and_then(|value| scalar(value).ok().flatten())
                .map(|text| text.into_owned())
                .unwrap_or_default()
        };
        let yes = |name: &str| {
            body.get(name).is_some_and(|value| {
                !is_falsy(value) && *value != Value::String("false".to_owned())
            })
        };
        Ok(Self {
            kind: type_of(body)?,
            name: text("taskName"),
            shutdown: yes("shutdown"),
            debug: yes("debug"),
            wake: yes("wol"),
            passreset: text("passreset"),
            snapins: Wanted::read(body)?,
            session: text("sessionjoin"),
            terms: Terms::default(),
            version: None,
        })
    }

    /// FOG writes an unset switch of a task as nothing, and a set one as 1.
    pub(super) fn shutdown_flag(&self) -> Flag {
        if self.shutdown {
            Flag::Yes
        } else {
            Flag::Unset
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Request, Refusal> {
        let Value::Object(body) = value else {
            panic!("not an object")
        };
        Request::read(&body)
    }

    #[test]
    fn the_type_has_two_names_and_two_spellings() {
        for body in [
            json!({"taskTypeID": 1}),
            json!({"taskTypeID": "1"}),
            json!({"taskType": "1"}),
            json!({"taskTypeID": 1, "taskType": "1"}),
        ] {
            assert_eq!(read(body).unwrap().kind, TaskTypeId::DEPLOY);
        }
        for body in [
            json!({}),
            json!({"taskTypeID": 0}),
            json!({"taskTypeID": -1}),
            json!({"taskTypeID": "deploy"}),
            json!({"taskTypeID": [1]}),
        ] {
            assert!(matches!(read(body), Err(Refusal::BadTaskType)));
        }
    }

    #[test]
    fn two_types_are_none() {
        let refused = read(json!({"taskTypeID": 2, "taskType": 1})).unwrap_err();
        assert!(
            matches!(
                refused,
                Refusal::Invalid {
                    field: "taskType",
                    ..
                }
            ),
            "{refused}"
        );
    }

    #[test]
    fn switches_may_be_booleans_numbers_or_texts() {
        let request = read(
            json!({"taskTypeID": 1, "shutdown": true, "wol": 0, "debug": "1", "taskName": "night"}),
        )
        .unwrap();
        assert_eq!(
            (
                request.shutdown,
                request.wake,
                request.debug,
                request.name.as_str()
            ),
            (true, false, true, "night")
        );
    }
}
