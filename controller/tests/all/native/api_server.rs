//! A real HTTPS server that reviews tokens. What it answers was taken from an API server of Kubernetes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use foghorn_controller::config::{AllowedAccount, KubernetesConfig, NameOf};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::native::notifications::receiver::acceptor;

/// The controller's own token.
const OWN: &str = "token-of-the-controller";

pub(crate) struct ApiServer {
    url: String,
    /// What a pod of the controller finds.
    folder: TempDir,
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    /// The status of a review, by the token.
    known: Arc<Mutex<HashMap<String, Value>>>,
    /// What every question is answered with in place of a review.
    refusal: Arc<Mutex<Option<(u16, &'static str)>>>,
    /// Reviews under way, and the most at a time.
    reviews: Arc<watch::Sender<(usize, usize)>>,
    /// Whether they come to an end.
    goes_on: Arc<watch::Sender<bool>>,
}

impl ApiServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (acceptor, ca_pem) = acceptor();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.crt"), ca_pem).unwrap();
        std::fs::write(folder.path().join("token"), OWN).unwrap();
        let shared = Shared {
            known: Arc::default(),
            refusal: Arc::default(),
            reviews: Arc::default(),
            goes_on: Arc::new(watch::Sender::new(true)),
        };
        let url = format!("https://{}", listener.local_addr().unwrap());
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let router = Router::new()
            .route(path, post(review))
            .with_state(shared.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (router, acceptor) = (router.clone(), acceptor.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = TowerToHyperService::new(router);
                    let server = Builder::new(TokioExecutor::new());
                    let _end = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self {
            url,
            folder,
            shared,
        }
    }

    /// The configuration of a controller that believes it.
    pub(crate) fn config(&self, allowed: Vec<AllowedAccount>) -> KubernetesConfig {
        KubernetesConfig {
            api_server: self.url.clone(),
            ca_file: self.folder.path().join("ca.crt"),
            token_file: self.folder.path().join("token"),
            audience: "foghorn".to_owned(),
            allowed,
        }
    }

    /// A token of a pod of the service account `account` in the namespace `fog`, on this node of Kubernetes.
    pub(crate) fn pod(&self, token: &str, account: &str, node: &str) {
        self.knows(token, status("fog", account, node, "foghorn"));
    }

    /// What a review of this token says.
    pub(crate) fn knows(&self, token: &str, status: Value) {
        let mut known = self.shared.known.lock().unwrap();
        known.insert(token.to_owned(), status);
    }

    /// Answers every question so from now on.
    pub(crate) fn refuses(&self, status: u16, message: &'static str) {
        *self.shared.refusal.lock().unwrap() = Some((status, message));
    }

    /// Holds reviews up, or lets them come to an end.
    pub(crate) fn go_on(&self, goes_on: bool) {
        self.shared.goes_on.send_replace(goes_on);
    }

    /// Waits until so many are under way.
    pub(crate) async fn under_way(&self, count: usize) {
        let mut reviews = self.shared.reviews.subscribe();
        let reached = reviews.wait_for(|(now, _)| *now == count);
        tokio::time::timeout(super::fleet::PATIENCE, reached)
            .await
            .expect("the questions come in time")
            .unwrap();
    }

    /// The most reviews that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.shared.reviews.borrow().1
    }
}

/// The status of a good review.
pub(crate) fn status(namespace: &str, account: &str, node: &str, audience: &str) -> Value {
    json!({
        "authenticated": true,
        "user": {
            "username": format!("system:serviceaccount:{namespace}:{account}"),
            "uid": "0f4d1d39-6a3f-4c7e-9a55-4a3a2f0d6a10",
            "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}"), "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=5f6d1a52-54c7-4b2a-8d93-8a8b1e5b52c4"],
                "authentication.kubernetes.io/node-name": [node],
                "authentication.kubernetes.io/node-uid": ["b8e0d8a6-1d56-4c1b-9ad4-0c2c7f6f7a57"],
                "authentication.kubernetes.io/pod-name": [format!("{account}-0")],
                "authentication.kubernetes.io/pod-uid": ["d3b0a2f2-76a6-4a53-9f76-0f5f4c1f4e0d"]
            }
        },
        "audiences": [audience]
    })
}

/// A service account that may be storage nodes.
pub(crate) fn allowed(account: &str, names: &str, name_of: Option<NameOf>) -> AllowedAccount {
    AllowedAccount {
        namespace: "fog".to_owned(),
        account: account.to_owned(),
        names: names.parse().unwrap(),
        name_of,
        storage_group: None,
    }
}

async fn review(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    shared.reviews.send_modify(|(now, most)| {
        *now += 1;
        *most = (*most).max(*now);
    });
    let mut goes_on = shared.goes_on.subscribe();
    goes_on.wait_for(|goes_on| *goes_on).await.unwrap();
    shared.reviews.send_modify(|(now, _)| *now -= 1);
    let refusal = *shared.refusal.lock().unwrap();
    if let Some((code, message)) = refusal {
        return refused(code, message);
    }
    if headers.get("authorization").map(|value| value.as_bytes())
        != Some(format!("Bearer {OWN}").as_bytes())
    {
        return refused(401, "Unauthorized");
    }
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(asked["apiVersion"], "authentication.k8s.io/v1");
    assert_eq!(asked["kind"], "TokenReview");
    assert_eq!(asked["spec"]["audiences"], json!(["foghorn"]));
    let token = asked["spec"]["token"].as_str().unwrap().to_owned();
    let known = shared.known.lock().unwrap().get(&token).cloned();
    asked["metadata"] = json!({"creationTimestamp": null});
    asked["status"] = known.unwrap_or_else(
        || json!({"user": {}, "error": "[invalid bearer token, square/go-jose: error in cryptographic primitive]"}),
    );
    (StatusCode::CREATED, Json(asked)).into_response()
}

fn refused(code: u16, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Refused", "code": code
    });
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}
