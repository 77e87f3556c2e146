//! What a handler answers when it does not do what it was asked.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use foghorn_host_config::BadRequest;
use foghorn_types::chain;
use tracing::warn;

use super::shape::{self, FactoryError};
use crate::api::rehearsal;
use crate::app::devices::config::ConfigError;
use crate::app::devices::denied::AllowError;
use crate::app::devices::edit::{DeleteError, EditError};
use crate::app::devices::filter::BadSort;
use crate::app::devices::groups::GroupError;
use crate::app::devices::queues::QueueError;
use crate::app::devices::reimage::ReimageError;
use crate::app::devices::targets::{PruneError, TagError};
use crate::app::devices::tokens::Forbidden;
use crate::app::versions::UndoError;
use crate::gateway;
use crate::state::Refusal;
use crate::state::machines::packed::PackError;
use crate::store::StoreError;

/// A status with its reasons.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    error: FactoryError,
}

impl Refused {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            error: FactoryError {
                message,
                errors: BTreeMap::new(),
            },
        }
    }

    /// A value that is no good.
    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message).about(field)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// Says which field or parameter is at fault.
    fn about(mut self, field: &str) -> Self {
        let why = self.error.message.clone();
        self.error.errors.insert(field.to_owned(), why);
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if self.status.is_success() {
            return rehearsal::answer();
        }
        shape::answer(self.status, self.error)
    }
}

/// Our own failure. The caller learns that it was ours, the log learns what it was.
pub(super) fn internal(error: &dyn std::error::Error) -> Refused {
    warn!(error = %chain(error), "a request failed");
    Refused::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the controller could not carry out the request; see its log",
    )
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match &refusal {
            // No refusal at all; becomes the answer to a dry run.
            Refusal::Rehearsed => Self::new(StatusCode::OK, text),
            Refusal::NotFound { .. } => Self::not_found(text),
            Refusal::TooLong { field, .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, text).about(field)
            }
            Refusal::Missing { field }
            | Refusal::Invalid { field, .. }
            | Refusal::Unusable { field, .. } => Self::field(field, text),
            Refusal::Taken { field, .. } => Self::new(StatusCode::CONFLICT, text).about(field),
            Refusal::InUse { .. }
            | Refusal::Protected { .. }
            | Refusal::Ended { .. }
            | Refusal::Task(_) => Self::new(StatusCode::CONFLICT, text),
            refusal if refusal.may_succeed_later() => {
                warn!(error = %chain(refusal), "could not write to the store");
                let text = match refusal {
                    Refusal::Store(StoreError::Unwritable { .. }) => text,
                    _ => "the state store is not available, try again".to_owned(),
                };
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
            }
            refusal => internal(refusal),
        }
    }
}

/// Of the registration, which the gateway has.
impl From<gateway::Refused> for Refused {
    fn from(refused: gateway::Refused) -> Self {
        let (status, message, errors) = refused.into_parts();
        let errors = errors.into_iter().collect();
        Self {
            status,
            error: FactoryError { message, errors },
        }
    }
}

impl From<Forbidden> for Refused {
    fn from(error: Forbidden) -> Self {
        Self::new(StatusCode::FORBIDDEN, error.to_string())
    }
}

impl From<BadSort> for Refused {
    fn from(error: BadSort) -> Self {
        Self::field("sortby", error.to_string())
    }
}

impl From<EditError> for Refused {
    fn from(error: EditError) -> Self {
        let text = error.to_string();
        match error {
            EditError::NotThere(_) => Self::not_found(text),
            EditError::NoGroup(_) => Self::not_found(text).about("group"),
            EditError::NoUser => Self::field("owner", text),
            EditError::NameTaken(_) => Self::new(StatusCode::CONFLICT, text).about("name"),
            EditError::BadName(_) => Self::field("name", text),
            EditError::State(refusal) => refusal.into(),
        }
    }
}

impl From<DeleteError> for Refused {
    fn from(error: DeleteError) -> Self {
        let text = error.to_string();
        match error {
            DeleteError::NotThere(_) => Self::not_found(text),
            DeleteError::State(refusal) => refusal.into(),
        }
    }
}

impl From<AllowError> for Refused {
    fn from(error: AllowError) -> Self {
        let text = error.to_string();
        match error {
            AllowError::NotDenied(_) => Self::not_found(text),
            AllowError::State(refusal) => refusal.into(),
        }
    }
}

impl From<GroupError> for Refused {
    fn from(error: GroupError) -> Self {
        let text = error.to_string();
        match error {
            GroupError::NoFactory | GroupError::NotThere(_) => Self::not_found(text),
            GroupError::NameTaken(_) => Self::new(StatusCode::CONFLICT, text).about("name"),
            GroupError::InUse { .. } | GroupError::TooMany => Self::new(StatusCode::CONFLICT, text),
            GroupError::BadName(_) => Self::field("name", text),
            GroupError::LongDescription => Self::field("description", text),
            GroupError::State(refusal) => refusal.into(),
        }
    }
}

impl From<BadRequest> for Refused {
    fn from(error: BadRequest) -> Self {
        let text = chain(&error).to_string();
        let status = match error.is_too_large() {
            true => StatusCode::PAYLOAD_TOO_LARGE,
            false => StatusCode::BAD_REQUEST,
        };
        match error.field() {
            "" => Self::new(status, text),
            field => Self::new(status, text).about(field),
        }
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        let text = chain(&error).to_string();
        if error.is_too_large() {
            return Self::new(StatusCode::PAYLOAD_TOO_LARGE, text).about("files");
        }
        match error {
            ConfigError::NotThere(_) | ConfigError::NoSuchFile(_) => Self::not_found(text),
            ConfigError::Files(_) | ConfigError::TooLarge(_) => Self::field("files", text),
            ConfigError::Reimage(ReimageError::Task(refusal)) => refusal.into(),
            ConfigError::Reimage(ReimageError::LeftOut(_)) => Self::new(StatusCode::CONFLICT, text),
            ConfigError::Reimage(_) => Self::field("files", text),
            ConfigError::Unreadable(_) => Self::new(StatusCode::CONFLICT, text).about("files"),
            ConfigError::State(refusal) => refusal.into(),
            ConfigError::Seal(_) | ConfigError::Pack(_) => internal(&error),
        }
    }
}

impl From<QueueError> for Refused {
    fn from(error: QueueError) -> Self {
        let text = chain(&error).to_string();
        match error {
            QueueError::NoFactory | QueueError::NotThere(_) => Self::not_found(text),
            QueueError::LabelTaken(_) => Self::new(StatusCode::CONFLICT, text).about("label"),
            QueueError::TooMany | QueueError::NoToken(_) => Self::new(StatusCode::CONFLICT, text),
            QueueError::BadLabel(_) => Self::field("label", text),
            QueueError::Url(_) => Self::field("push-url", text),
            QueueError::Authorities(_) => Self::field("ca-pem", text),
            QueueError::Seal(_) => internal(&error),
            QueueError::State(refusal) => refusal.into(),
        }
    }
}

impl From<PackError> for Refused {
    fn from(error: PackError) -> Self {
        internal(&error)
    }
}

impl From<TagError> for Refused {
    fn from(error: TagError) -> Self {
        let text = error.to_string();
        match error {
            TagError::NotThere(_) => Self::not_found(text).about("targets"),
            TagError::Tag(_) => Self::field("tags", text),
            TagError::HardwareId(_) => Self::field("hardwareIds", text),
            TagError::TooMany => Self::field("targets", text),
            TagError::TooManyTagged => Self::new(StatusCode::CONFLICT, text).about("tags"),
            TagError::State(refusal) => refusal.into(),
        }
    }
}

impl From<PruneError> for Refused {
    fn from(error: PruneError) -> Self {
        let text = chain(&error).to_string();
        match error {
            PruneError::NotThere(_) => Self::not_found(text).about("targets"),
            PruneError::IsPresent(_) => Self::new(StatusCode::CONFLICT, text).about("targets"),
            PruneError::Version {
                source: UndoError::State(refusal),
                ..
            }
            | PruneError::State(refusal) => refusal.into(),
            PruneError::Version { .. } => Self::new(StatusCode::CONFLICT, text),
        }
    }
}
