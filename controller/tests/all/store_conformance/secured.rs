//! etcd behind TLS, client certificates and a log-in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{Client, ConnectOptions, TlsOptions};
use foghorn_controller::store::etcd::{
    ConnectEtcdError, EtcdClientIdentity, EtcdLogin, EtcdOptions, EtcdStore, EtcdTls,
};
use foghorn_controller::store::{Store, StoreError};
use foghorn_controller::trust::Trust;
use foghorn_types::{HostId, TaskId};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

use crate::engine::{Etcd, PATIENCE};
use crate::store_conformance::single_calls::{put, write};

const PASSWORD: &str = "correct horse";

/// Certificates in files, as an operator has them.
struct Files {
    dir: TempDir,
    trust: Arc<Trust>,
}

impl Files {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let trust = Arc::new(Trust::load_or_create(dir.path()).unwrap());
        Self { dir, trust }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn server(&self) -> [PathBuf; 2] {
        let issued = self.trust.issue_server(&["127.0.0.1".to_owned()]).unwrap();
        let PrivateKeyDer::Pkcs8(key) = issued.key else {
            panic!("rcgen writes PKCS#8")
        };
        let key = KeyPair::try_from(&key).unwrap().serialize_pem();
        [
            self.write("server.pem", &issued.certificate.chain_pem),
            self.write("server.key", &key),
        ]
    }

    fn client(&self) -> EtcdClientIdentity {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap()
            .pem()
            .unwrap();
        let (host, task) = (HostId::new(1).unwrap(), TaskId::new(1).unwrap());
        let issued = self
            .trust
            .issue_client(host, task, &request, Duration::from_secs(600))
            .unwrap();
        EtcdClientIdentity {
            certificate: self.write("client.pem", &issued.chain_pem),
            key: self.write("client.key", &key.serialize_pem()),
        }
    }

    fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

#[tokio::test]
async fn etcd_with_certificates_and_users_serves_whom_it_knows_and_nobody_else() {
    let files = Files::new();
    let [certificate, key] = files.server();
    let client = files.client();
    let etcd = Etcd::start_with_tls(files.dir.path(), &certificate, &key, &files.ca());
    let options =
        |ca: &Path, client: Option<&EtcdClientIdentity>, password: Option<&str>| EtcdOptions {
            endpoints: vec![etcd.endpoint()],
            tls: Some(EtcdTls {
                ca: ca.to_owned(),
                client: client.cloned(),
                server_name: None,
            }),
            login: password.map(|password| EtcdLogin {
                user: "root".to_owned(),
                password: Some(password.to_owned()),
                password_file: None,
            }),
        };

    let plain = EtcdStore::connect(&options(&files.ca(), Some(&client), None))
        .await
        .unwrap();
    let start = Instant::now();
    while let Err(error) = plain.get("/k").await {
        assert!(start.elapsed() < PATIENCE, "{error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    write(&plain, [put("/k", "1")]).await;

    let strangers = Files::new();
    for stranger in [
        options(&files.ca(), None, None),
        options(&strangers.ca(), Some(&client), None),
        options(&files.ca(), Some(&strangers.client()), None),
    ] {
        let refused = EtcdStore::connect(&stranger).await.unwrap().get("/k").await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable { .. })),
            "{stranger:?}: {refused:?}"
        );
    }

    turn_users_on(&etcd.endpoint(), &files.ca(), &client).await;
    let nameless = plain.get("/k").await;
    assert!(
        matches!(nameless, Err(StoreError::Unavailable { .. })),
        "{nameless:?}"
    );
    let wrong = EtcdStore::connect(&options(&files.ca(), Some(&client), Some("wrong"))).await;
    assert!(matches!(wrong, Err(ConnectEtcdError::Connect { .. })));
    let known = EtcdStore::connect(&options(&files.ca(), Some(&client), Some(PASSWORD)))
        .await
        .unwrap();
    write(&known, [put("/k", "2")]).await;
    assert_eq!(known.get("/k").await.unwrap().unwrap().value.as_ref(), b"2");
    assert!(
        !format!("{:?}", options(&files.ca(), None, Some(PASSWORD))).contains(PASSWORD),
        "a password in a log"
    );
}

async fn turn_users_on(endpoint: &str, ca: &Path, client: &EtcdClientIdentity) {
    let read = |path: &Path| std::fs::read(path).unwrap();
    let tls = TlsOptions::new()
        .ca_certificate(etcd_client::Certificate::from_pem(read(ca)))
        .identity(etcd_client::Identity::from_pem(
            read(&client.certificate),
            read(&client.key),
        ));
    let admin = Client::connect([endpoint], Some(ConnectOptions::new().with_tls(tls)))
        .await
        .unwrap();
    let mut users = admin.auth_client();
    users.user_add("root", PASSWORD, None).await.unwrap();
    users.role_add("root").await.unwrap();
    users.user_grant_role("root", "root").await.unwrap();
    users.auth_enable().await.unwrap();
}
