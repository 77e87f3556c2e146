//! Refusals on native routes: a status and a [`Problem`].

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::Problem;
use foghorn_types::chain;
use tracing::warn;

use crate::api::rehearsal;
use crate::app::accounts::AccountError;
use crate::app::boot_tokens::BootTokensError;
use crate::app::check_in::{BootTokenError, CheckInError};
use crate::app::enrolment::EnrolError;
use crate::app::enrolment::vouched::VouchedError;
use crate::app::one_time::TokenError;
use crate::kubernetes::{NotAllowed, ReviewError};
use crate::state::Refusal;
use crate::store::StoreError;

/// What a handler answers when it does not do what it was asked.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    status: StatusCode,
    problem: Problem,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.into(),
                field: None,
            },
        }
    }

    pub(super) fn field(status: StatusCode, field: &str, error: impl Into<String>) -> Self {
        Self {
            status,
            problem: Problem {
                error: error.into(),
                field: Some(field.to_owned()),
            },
        }
    }

    pub(super) fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} {id} does not exist"))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        if self.status.is_success() {
            return rehearsal::answer();
        }
        (self.status, Json(self.problem)).into_response()
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
            Refusal::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, text),
            Refusal::Precondition { .. } => Self::new(StatusCode::PRECONDITION_FAILED, text),
            Refusal::TooLong { field, .. } => {
                Self::field(StatusCode::PAYLOAD_TOO_LARGE, field, text)
            }
            Refusal::Parameter { name, .. } => Self::field(StatusCode::BAD_REQUEST, name, text),
            Refusal::Selector { name, .. } => Self::field(StatusCode::BAD_REQUEST, name, text),
            Refusal::BrokenJson { .. } => Self::new(StatusCode::BAD_REQUEST, text),
            Refusal::BadTaskType => Self::field(StatusCode::BAD_REQUEST, "kind", text),
            Refusal::Missing { field }
            | Refusal::Invalid { field, .. }
            | Refusal::Unusable { field, .. } => Self::field(StatusCode::BAD_REQUEST, field, text),
            Refusal::Taken { field, .. } => Self::field(StatusCode::CONFLICT, field, text),
            Refusal::InUse { .. }
            | Refusal::Protected { .. }
            | Refusal::Unchanged { .. }
            | Refusal::Ended { .. }
            | Refusal::NothingToCancel(_)
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

pub(super) fn token(error: &TokenError, field: &str) -> Refused {
    let field = match error {
        TokenError::NoHost { .. } | TokenError::OtherHosts { .. } => "mac",
        _ => field,
    };
    let status = if matches!(error, TokenError::Form(_)) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::FORBIDDEN
    };
    Refused::field(status, field, error.to_string())
}

/// What a cluster says of a token is told; why it could not be asked is in the log.
fn vouched(error: &VouchedError) -> Refused {
    const FIELD: &str = "service_account_token";
    let text = error.to_string();
    match error {
        VouchedError::NotTaken => Refused::field(StatusCode::FORBIDDEN, FIELD, text),
        VouchedError::NotAllowed(NotAllowed::Account { .. } | NotAllowed::Untold { .. }) => {
            Refused::field(StatusCode::FORBIDDEN, FIELD, text)
        }
        VouchedError::NotAllowed(NotAllowed::Names { .. } | NotAllowed::Other { .. }) => {
            Refused::field(StatusCode::FORBIDDEN, "name", text)
        }
        VouchedError::Review(error) if error.is_of_the_token() => {
            Refused::field(StatusCode::FORBIDDEN, FIELD, text)
        }
        VouchedError::Review(ReviewError::Busy | ReviewError::Aborted) => {
            Refused::new(StatusCode::SERVICE_UNAVAILABLE, text)
        }
        VouchedError::Review(error) => {
            warn!(error = %chain(error), "could not ask the cluster about the token of an agent");
            Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the controller could not ask its Kubernetes cluster about the token; see its log",
            )
        }
    }
}

impl From<EnrolError> for Refused {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Token(error) => token(&error, "join_token"),
            EnrolError::Vouched(error) => vouched(&error),
            EnrolError::NoToken => {
                Self::field(StatusCode::BAD_REQUEST, "join_token", error.to_string())
            }
            EnrolError::TwoTokens => Self::field(
                StatusCode::BAD_REQUEST,
                "service_account_token",
                error.to_string(),
            ),
            EnrolError::NoName => Self::field(StatusCode::BAD_REQUEST, "name", error.to_string()),
            EnrolError::OtherName { .. }
            | EnrolError::OtherNames { .. }
            | EnrolError::Revoked { .. } => {
                Self::field(StatusCode::FORBIDDEN, "name", error.to_string())
            }
            EnrolError::NameTaken { .. }
            | EnrolError::NameOfAnother { .. }
            | EnrolError::NameOfTwo { .. } => {
                Self::field(StatusCode::CONFLICT, "name", error.to_string())
            }
            EnrolError::NoGroup { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            EnrolError::UsedUp { .. } => {
                Self::field(StatusCode::FORBIDDEN, "join_token", error.to_string())
            }
            EnrolError::Request(_) => Self::field(
                StatusCode::BAD_REQUEST,
                "csr_pem",
                chain(&error).to_string(),
            ),
            EnrolError::NodeGone => {
                Self::field(StatusCode::FORBIDDEN, "join_token", error.to_string())
            }
            EnrolError::Issue(_) => internal(&error),
            EnrolError::State(refusal) => refusal.into(),
        }
    }
}

impl From<CheckInError> for Refused {
    fn from(error: CheckInError) -> Self {
        match error {
            CheckInError::Token(error) => token(&error, "boot_token"),
            CheckInError::WrongMac { .. } => {
                Self::field(StatusCode::FORBIDDEN, "mac", error.to_string())
            }
            CheckInError::Ended { .. } => Self::new(StatusCode::GONE, error.to_string()),
            CheckInError::OtherKind { .. } => {
                Self::field(StatusCode::CONFLICT, "options_for", error.to_string())
            }
            CheckInError::Request(_) => Self::field(
                StatusCode::BAD_REQUEST,
                "csr_pem",
                chain(&error).to_string(),
            ),
            CheckInError::Issue(_) => internal(&error),
            CheckInError::NoGateway => Self::new(StatusCode::CONFLICT, error.to_string()),
            CheckInError::Image(_) => Self::new(StatusCode::CONFLICT, chain(&error).to_string()),
            CheckInError::State(refusal) => refusal.into(),
        }
    }
}

impl From<AccountError> for Refused {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Refused(refusal) => refusal.into(),
            AccountError::Random(_) | AccountError::Hash(_) => internal(&error),
        }
    }
}

impl From<BootTokensError> for Refused {
    fn from(error: BootTokensError) -> Self {
        let text = error.to_string();
        match error {
            BootTokensError::NoSuchHost(_) => Self::field(StatusCode::NOT_FOUND, "hosts", text),
            BootTokensError::NoSuchGroup(_) => Self::field(StatusCode::NOT_FOUND, "group", text),
            BootTokensError::EmptyGroup(_) => Self::field(StatusCode::BAD_REQUEST, "group", text),
            BootTokensError::NoTask => Self::new(StatusCode::CONFLICT, text),
            BootTokensError::Code(_) => internal(&error),
            BootTokensError::State(refusal) => refusal.into(),
        }
    }
}

impl From<BootTokenError> for Refused {
    fn from(error: BootTokenError) -> Self {
        match error {
            BootTokenError::NoSuchHost(_) => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            BootTokenError::NoTask(_) => Self::new(StatusCode::CONFLICT, error.to_string()),
            BootTokenError::State(refusal) => refusal.into(),
        }
    }
}
