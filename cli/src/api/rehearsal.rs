//! Dry runs: the server checks everything and changes nothing.

use serde_json::Value;

use super::{Api, ApiError};
use crate::exit::{Exit, Failure};

/// A request that no server carries out: there is no node 0.
const QUESTION: &str = "/foghorn/v1/nodes/0/scrub?dry_run=true";

impl Api {
    /// The same server; with `dry_run`, requests that would change something are answered with
    /// [`ApiError::Rehearsed`] or a refusal.
    ///
    /// # Errors
    /// When the server does not know dry runs: it would carry the requests out.
    pub fn rehearsing(&self, dry_run: bool) -> Result<Self, Failure> {
        if dry_run {
            match self.text("POST", QUESTION, None::<&Value>) {
                Err(ApiError::Invalid(why)) if why.message.contains("dry_run") => {}
                Err(
                    error @ (ApiError::Forbidden(_)
                    | ApiError::Credentials { .. }
                    | ApiError::Unreachable { .. }),
                ) => return Err(error.into()),
                _ => {
                    return Err(Failure::new(
                        Exit::Failed,
                        format!("{} does not know dry runs; nothing was done", self.base),
                    )
                    .advise("update the server first"));
                }
            }
        }
        Ok(Self {
            rehearses: dry_run,
            ..self.clone()
        })
    }

    /// The path of a request, marked when it is only to be rehearsed.
    pub(super) fn marked(&self, method: &str, path: &str) -> String {
        let sign = if path.contains('?') { '&' } else { '?' };
        if self.rehearses && method != "GET" {
            format!("{path}{sign}dry_run=true")
        } else {
            path.to_owned()
        }
    }

    /// A success as what it is: in a dry run nothing was done.
    pub(super) fn done(&self, method: &str, text: String) -> Result<String, ApiError> {
        if self.rehearses && method != "GET" {
            Err(ApiError::Rehearsed { answer: text })
        } else {
            Ok(text)
        }
    }
}
