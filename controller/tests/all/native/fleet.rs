//! A controller, its operator, and what both need to make hosts, images and tasks.

use std::time::{Duration, Instant};

use foghorn_controller::app::FirstRun;
use foghorn_controller::config::StoreConfig;
use foghorn_controller::state::Refusal;
use foghorn_controller::store::etcd::EtcdOptions;
use foghorn_controller::{Config, Controller};
use foghorn_proto::http::{CHECK_IN_PATH, CheckInResponse, ENROL_PATH, EnrolResponse};
use foghorn_types::TaskId;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::{Engine, Kind};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fleet {
    pub(crate) controller: Controller,
    pub(crate) config: Config,
    _etcd: Option<Engine>,
    _dir: TempDir,
    operator: [(String, String); 2],
}

/// A key and the request for its certificate.
pub(crate) struct Keys {
    pub(crate) key_pem: String,
    pub(crate) csr_pem: String,
    pub(crate) csr_der: Vec<u8>,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        Self {
            key_pem: key.serialize_pem(),
            csr_pem: csr.pem().unwrap(),
            csr_der: csr.der().to_vec(),
        }
    }
}

impl Fleet {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::local(dir.path().join("data"));
        change(&mut config);
        Self::started(config, None, dir).await
    }

    /// On a store of this kind.
    pub(crate) async fn on(kind: Kind, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::local(dir.path().join("data"));
        let mut etcd = None;
        if kind == Kind::Etcd {
            let engine = Engine::start(kind).await;
            config.store = StoreConfig::Etcd(EtcdOptions {
                endpoints: vec![engine.endpoint()],
                tls: None,
                login: None,
            });
            etcd = Some(engine);
        }
        change(&mut config);
        Self::started(config, etcd, dir).await
    }

    async fn started(config: Config, etcd: Option<Engine>, dir: TempDir) -> Self {
        let controller = Controller::start(config.clone()).await.unwrap();
        let first = controller.first_run().expect("the store is new").clone();
        let operator = [
            ("fog-api-token".to_owned(), first.api_token),
            ("fog-user-token".to_owned(), first.user_token),
        ];
        Self {
            controller,
            config,
            _etcd: etcd,
            _dir: dir,
            operator,
        }
    }

    /// Another controller of the same installation, as it runs on another machine: it shares the store
    /// and the certificate authority.
    pub(crate) async fn beside(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let (ca, copy) = (self.config.data_dir.join("ca"), data_dir.join("ca"));
        std::fs::create_dir_all(&copy).unwrap();
        for file in std::fs::read_dir(ca).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
        let config = Config {
            data_dir,
            ..self.config.clone()
        };
        let controller = Controller::start(config.clone()).await.unwrap();
        if let Some(first) = controller.first_run() {
            assert_eq!(first.api_token, self.operator[0].1, "tokens are made once");
        }
        Self {
            controller,
            config,
            _etcd: None,
            _dir: dir,
            operator: self.operator.clone(),
        }
    }

    /// The same installation, after its controller has been stopped and started.
    pub(crate) async fn restarted(self) -> Self {
        self.controller.shutdown().await;
        let mut config = self.config.clone();
        // Agents look for the link where it was.
        config.link.listen = self.config.link.listen;
        let controller = Controller::start(config).await.unwrap();
        if let Some(first) = controller.first_run() {
            assert_eq!(first.api_token, self.operator[0].1, "tokens are made once");
        }
        Self { controller, ..self }
    }

    /// The same installation, after `work` has made new credentials while it was stopped.
    pub(crate) async fn while_stopped(self, work: impl AsyncFnOnce() -> FirstRun) -> Self {
        self.controller.shutdown().await;
        let made = work().await;
        let controller = Controller::start(self.config.clone()).await.unwrap();
        let operator = [
            ("fog-api-token".to_owned(), made.api_token),
            ("fog-user-token".to_owned(), made.user_token),
        ];
        Self {
            controller,
            operator,
            ..self
        }
    }

    /// What its data directory is in, for as long as it is needed.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        self.controller.shutdown().await;
        self._dir
    }

    /// The headers of the operator.
    pub(crate) fn operator(&self) -> &[(String, String); 2] {
        &self.operator
    }

    /// As if the image had been captured.
    pub(crate) async fn content(&self, image: u32) {
        let content = crate::fog_support::content(image);
        let state = &self.controller.ctx().state;
        let stored = state.write::<_, Refusal>(|draft| {
            draft.store(&content);
            Ok(())
        });
        stored.await.unwrap();
    }

    pub(crate) async fn stop(self) {
        self.controller.shutdown().await;
    }

    /// As an operator.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        call(
            self.controller.ca_pem(),
            &self.controller.rest_url(),
            method,
            path,
            &self.operator,
            body,
        )
        .await
    }

    /// As an operator, with the headers of the answer.
    pub(crate) async fn whole(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, ureq::http::HeaderMap, Value) {
        call_whole(
            self.controller.ca_pem(),
            &self.controller.rest_url(),
            method,
            path,
            &self.operator,
            body,
        )
        .await
    }

    /// As somebody without credentials.
    pub(crate) async fn anonymous(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        call(
            self.controller.ca_pem(),
            &self.controller.rest_url(),
            method,
            path,
            &[],
            body,
        )
        .await
    }

    pub(crate) async fn good(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.api(method, path, body).await;
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    pub(crate) async fn order(&self, session: &str, wait: u64) -> (u16, Value) {
        let header = [("authorization".to_owned(), format!("Bearer {session}"))];
        let path = format!("/foghorn/v1/clients/order?wait={wait}");
        call(
            self.controller.ca_pem(),
            &self.controller.rest_url(),
            "GET",
            &path,
            &header,
            None,
        )
        .await
    }

    pub(crate) async fn image(&self, name: &str) -> u32 {
        let body = json!({"name": name, "path": name, "osID": 50, "imageTypeID": 1,
            "imagePartitionTypeID": 1, "isEnabled": "1"});
        id(&self.good("POST", "/fog/image", Some(body)).await)
    }

    pub(crate) async fn host(&self, name: &str, mac: &str, image: u32) -> u32 {
        id(&self
            .good(
                "POST",
                "/fog/host",
                Some(json!({"name": name, "macs": [mac], "imageID": image})),
            )
            .await)
    }

    /// Type 1 deploys, 2 captures.
    pub(crate) async fn task(&self, host: u32, kind: u32) -> TaskId {
        self.good(
            "POST",
            &format!("/fog/host/{host}/task"),
            Some(json!({"taskTypeID": kind})),
        )
        .await;
        let list = self.good("GET", "/foghorn/v1/tasks", None).await;
        let mine = list["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|task| task["host"]["id"] == host)
            .expect("the task is active");
        serde_json::from_value(mine["task"].clone()).unwrap()
    }

    pub(crate) async fn boot_token(&self, host: u32) -> String {
        let answer = self
            .good(
                "POST",
                &format!("/foghorn/v1/hosts/{host}/boot-token"),
                Some(json!({})),
            )
            .await;
        answer["token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn try_check_in(&self, mac: &str, token: &str) -> (u16, Value) {
        let body = json!({"mac": mac, "boot_token": token, "csr_pem": Keys::new().csr_pem,
            "software": "test"});
        self.anonymous("POST", CHECK_IN_PATH, Some(body)).await
    }

    pub(crate) async fn check_in(&self, mac: &str, token: &str) -> CheckInResponse {
        let (status, answer) = self.try_check_in(mac, token).await;
        assert_eq!(status, 200, "{answer}");
        serde_json::from_value(answer).unwrap()
    }

    pub(crate) async fn join_token(&self, name: &str) -> String {
        let answer = self.join_token_of(name).await;
        answer["token"].as_str().unwrap().to_owned()
    }

    /// The same, with the number of its node.
    pub(crate) async fn join_token_of(&self, name: &str) -> Value {
        let body = json!({"name": name});
        self.good("POST", "/foghorn/v1/nodes/join-token", Some(body))
            .await
    }

    pub(crate) async fn enrol(&self, token: &str, keys: &Keys) -> (u16, Value) {
        self.anonymous(
            "POST",
            ENROL_PATH,
            Some(json!({"join_token": token, "csr_pem": keys.csr_pem})),
        )
        .await
    }

    /// An agent that says its own name, with a token for many nodes.
    pub(crate) async fn enrol_as(&self, name: &str, token: &str, keys: &Keys) -> (u16, Value) {
        let body = json!({"join_token": token, "csr_pem": keys.csr_pem, "name": name});
        self.anonymous("POST", ENROL_PATH, Some(body)).await
    }

    /// An agent in a pod, with the token of its service account.
    pub(crate) async fn enrol_pod(&self, name: &str, token: &str, keys: &Keys) -> (u16, Value) {
        let body = json!({"service_account_token": token, "csr_pem": keys.csr_pem, "name": name});
        self.anonymous("POST", ENROL_PATH, Some(body)).await
    }

    /// A node that has joined: its key and what it was given.
    pub(crate) async fn joined(&self, name: &str) -> (Keys, EnrolResponse) {
        let (keys, token) = (Keys::new(), self.join_token(name).await);
        let (status, answer) = self.enrol(&token, &keys).await;
        assert_eq!(status, 200, "{answer}");
        (keys, serde_json::from_value(answer).unwrap())
    }

    pub(crate) async fn status(&self, task: TaskId) -> Value {
        self.good("GET", &format!("/foghorn/v1/tasks/{task}"), None)
            .await
    }

    pub(crate) async fn wait_for_state(&self, task: TaskId, state: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut changed = self.controller.ctx().state.changed();
        loop {
            let status = self.status(task).await;
            if status["state"] == state {
                return status;
            }
            let left = until.saturating_duration_since(Instant::now());
            let news = tokio::time::timeout(left, changed.changed()).await;
            assert!(news.is_ok(), "the task is {status}, expected {state}");
        }
    }
}

pub(crate) fn id(object: &Value) -> u32 {
    let id = &object["id"];
    id.as_u64().map_or_else(
        || id.as_str().unwrap().parse().unwrap(),
        |id| id.try_into().unwrap(),
    )
}

pub(crate) async fn call(
    ca: &str,
    base: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<Value>,
) -> (u16, Value) {
    let (status, _, body) = call_whole(ca, base, method, path, headers, body).await;
    (status, body)
}

/// Also the headers of the answer.
pub(crate) async fn call_whole(
    ca: &str,
    base: &str,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<Value>,
) -> (u16, ureq::http::HeaderMap, Value) {
    let (ca, url) = (ca.to_owned(), format!("{base}{path}"));
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let text = body.map(|body| body.to_string()).unwrap_or_default();
    tokio::task::spawn_blocking(move || {
        let root = ureq::tls::Certificate::from_pem(ca.as_bytes()).unwrap();
        let roots = ureq::tls::RootCerts::new_with_certs(&[root]);
        let config = ureq::config::Config::builder()
            .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(PATIENCE * 2))
            .build();
        let request = request
            .header("content-type", "application/json")
            .body(text)
            .unwrap();
        let mut response = ureq::Agent::new_with_config(config).run(request).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (
            response.status().as_u16(),
            response.headers().clone(),
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    })
    .await
    .unwrap()
}
