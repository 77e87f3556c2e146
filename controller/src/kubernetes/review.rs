//! The question to the API server and its answer: a TokenReview of `authentication.k8s.io/v1`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;

/// Where reviews are made.
pub(super) const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// How users are named who are service accounts.
const ACCOUNT: &str = "system:serviceaccount:";
/// Under which a review says what the token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";
const NODE: &str = "authentication.kubernetes.io/node-name";

/// Whose token it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pod {
    pub namespace: String,
    /// The service account.
    pub account: String,
    /// Its name; `None`: the token is not that of a pod.
    pub pod: Option<String>,
    /// The node of Kubernetes on which it runs; older API servers do not say.
    pub node: Option<String>,
}

/// Why it is not known whose token it is.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    #[error("this is no service-account token")]
    NoToken,
    #[error("too many agents enrol at once: try again")]
    Busy,
    #[error("the review of the token was broken off: try again")]
    Aborted,
    #[error("could not read {path}, {what}", path = path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{path} has no certificate of an authority", path = path.display())]
    NoAuthority { path: PathBuf },
    #[error("could not ask the API server {server}")]
    Unreachable {
        server: String,
        source: Box<ureq::Error>,
    },
    #[error(
        "the API server {server} does not know this controller ({status}): {said}. Check the file with its token, `kubernetes.token_file`"
    )]
    Unknown {
        server: String,
        status: u16,
        said: String,
    },
    #[error(
        "the API server {server} does not let this controller review tokens ({status}): {said}. Its service account needs the cluster role system:auth-delegator"
    )]
    Forbidden {
        server: String,
        status: u16,
        said: String,
    },
    #[error("the API server {server} did not review the token ({status}): {said}")]
    Failed {
        server: String,
        status: u16,
        said: String,
    },
    #[error("the API server did not answer with a review of the token")]
    NoReview(#[source] serde_json::Error),
    #[error("the cluster does not take the token: {why}")]
    Refused { why: String },
    #[error("the token is not for the audience {audience:?}, which this controller expects")]
    Audience { audience: String },
    #[error("the token belongs to {user:?}, which is no service account")]
    NoAccount { user: String },
}

impl ReviewError {
    /// Whether the cause is the token, and not the controller or its cluster.
    #[must_use]
    pub const fn is_of_the_token(&self) -> bool {
        matches!(
            self,
            Self::NoToken | Self::Refused { .. } | Self::Audience { .. } | Self::NoAccount { .. }
        )
    }
}

/// What is asked.
pub(super) fn question(token: &str, audience: &str) -> String {
    json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    })
    .to_string()
}

#[derive(Deserialize)]
struct Answer {
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: User,
    audiences: Vec<String>,
    error: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User {
    username: String,
    extra: BTreeMap<String, Vec<String>>,
}

/// What the API server has answered.
///
/// # Errors
/// When the token is not good for `audience`, or not that of a service account.
pub(super) fn read(answer: &str, audience: &str) -> Result<Pod, ReviewError> {
    let Answer { status } = serde_json::from_str(answer).map_err(ReviewError::NoReview)?;
    if !status.authenticated {
        let why = match &*status.error {
            "" => "it is not valid, or has expired, or is for another audience",
            said => said,
        };
        return Err(ReviewError::Refused {
            why: why.to_owned(),
        });
    }
    // An API server that knows nothing of audiences names none.
    if !status.audiences.iter().any(|one| one == audience) {
        return Err(ReviewError::Audience {
            audience: audience.to_owned(),
        });
    }
    let User { username, extra } = status.user;
    let account = username.strip_prefix(ACCOUNT);
    let Some((namespace, account)) = account.and_then(|both| both.split_once(':')) else {
        return Err(ReviewError::NoAccount { user: username });
    };
    let one = |key| match extra.get(key).map(Vec::as_slice) {
        Some([one]) if !one.is_empty() => Some(one.clone()),
        _ => None,
    };
    Ok(Pod {
        namespace: namespace.to_owned(),
        account: account.to_owned(),
        pod: one(POD),
        node: one(NODE),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// As an API server of Kubernetes 1.33 answers.
    fn answer() -> Value {
        json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1",
            "metadata": { "creationTimestamp": null },
            "spec": { "token": "eyJ…", "audiences": ["foghorn"] },
            "status": {
                "authenticated": true,
                "user": {
                    "username": "system:serviceaccount:fog:agent",
                    "uid": "9b2f2d5e-6f2a-4b0e-9e53-5f3b8a0d7c11",
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:fog", "system:authenticated"],
                    "extra": {
                        "authentication.kubernetes.io/credential-id": ["JTI=1b0c"],
                        "authentication.kubernetes.io/node-name": ["worker-1"],
                        "authentication.kubernetes.io/node-uid": ["6f0a"],
                        "authentication.kubernetes.io/pod-name": ["agent-x7"],
                        "authentication.kubernetes.io/pod-uid": ["7f1b"]
                    }
                },
                "audiences": ["foghorn"]
            }
        })
    }

    fn refused(answer: &Value) -> String {
        let error = read(&answer.to_string(), "foghorn").unwrap_err();
        assert!(error.is_of_the_token() || matches!(error, ReviewError::NoReview(_)));
        error.to_string()
    }

    #[test]
    fn a_good_review_says_whose_the_token_is() {
        let pod = read(&answer().to_string(), "foghorn").unwrap();
        assert_eq!((&*pod.namespace, &*pod.account), ("fog", "agent"));
        assert_eq!(pod.pod.as_deref(), Some("agent-x7"));
        assert_eq!(pod.node.as_deref(), Some("worker-1"));
        let mut old = answer();
        old["status"]["user"]["extra"] = json!({});
        let pod = read(&old.to_string(), "foghorn").unwrap();
        assert_eq!((pod.pod, pod.node), (None, None));
    }

    #[test]
    fn nothing_is_taken_for_granted() {
        let mut expired = answer();
        expired["status"] = json!({"user": {}, "error": "[invalid bearer token, service account token has expired]"});
        assert!(refused(&expired).contains("has expired"));
        let mut silent = answer();
        silent["status"] = json!({"user": {}});
        assert!(refused(&silent).contains("another audience"));
        for audiences in [json!(["https://kubernetes.default.svc"]), json!([])] {
            let mut other = answer();
            other["status"]["audiences"] = audiences;
            assert!(refused(&other).contains("\"foghorn\""));
        }
        let mut without = answer();
        without["status"]
            .as_object_mut()
            .unwrap()
            .remove("audiences");
        assert!(refused(&without).contains("audience"));
        for user in [
            "admin",
            "system:node:worker-1",
            "system:serviceaccount:fog",
            "",
        ] {
            let mut person = answer();
            person["status"]["user"]["username"] = json!(user);
            assert!(refused(&person).contains("no service account"));
        }
        assert!(refused(&json!({"kind": "Status", "code": 200})).contains("review"));
    }

    #[test]
    fn a_name_that_is_told_twice_is_not_told() {
        let mut twice = answer();
        twice["status"]["user"]["extra"][NODE] = json!(["worker-1", "worker-2"]);
        assert_eq!(read(&twice.to_string(), "foghorn").unwrap().node, None);
    }
}
