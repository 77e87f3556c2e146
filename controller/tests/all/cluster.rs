//! Three members of etcd as processes, with TLS between them and to clients, and with users.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, Permission, PermissionType, TlsOptions,
};
use foghorn_controller::store::etcd::{EtcdClientIdentity, EtcdLogin, EtcdOptions, EtcdTls};
use foghorn_test_ports::free_port;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

use crate::engine::PATIENCE;

const SIZE: usize = 3;
const USER: &str = "foghorn";
const PASSWORD: &str = "correct horse";

/// Everything ends when it is dropped.
pub(crate) struct Cluster {
    members: Vec<Member>,
    dir: TempDir,
}

struct Member {
    process: Option<Child>,
    client: u16,
    peer: u16,
    /// Counts replacements; each has a folder of its own.
    life: u32,
}

impl Cluster {
    /// Runs, with a user of the controller who may use its keys and nothing else.
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        write_certificates(dir.path());
        std::fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let members = std::iter::repeat_with(|| Member {
            process: None,
            client: free_port().unwrap(),
            peer: free_port().unwrap(),
            life: 0,
        });
        let mut cluster = Self {
            members: members.take(SIZE).collect(),
            dir,
        };
        for index in 0..SIZE {
            cluster.run(index);
        }
        cluster.add_users().await;
        cluster
    }

    pub(crate) fn options(&self) -> EtcdOptions {
        EtcdOptions {
            endpoints: (0..SIZE).map(|index| self.endpoint(index)).collect(),
            tls: Some(EtcdTls {
                ca: self.file("ca.pem"),
                client: Some(EtcdClientIdentity {
                    certificate: self.file("client.pem"),
                    key: self.file("client.key"),
                }),
                server_name: None,
            }),
            login: Some(EtcdLogin {
                user: USER.to_owned(),
                password: None,
                password_file: Some(self.file("password")),
            }),
        }
    }

    /// The same as a section of the configuration.
    pub(crate) fn toml(&self) -> String {
        let endpoints: Vec<String> = (0..SIZE).map(|index| self.endpoint(index)).collect();
        let file = |name: &str| self.file(name).display().to_string();
        format!(
            "[store]\nengine = 'etcd'\nendpoints = {endpoints:?}\n[store.tls]\nca = '{}'\n\
             [store.tls.client]\ncertificate = '{}'\nkey = '{}'\n\
             [store.login]\nuser = '{USER}'\npassword_file = '{}'\n",
            file("ca.pem"),
            file("client.pem"),
            file("client.key"),
            file("password"),
        )
    }

    pub(crate) fn endpoint(&self, index: usize) -> String {
        format!("https://127.0.0.1:{}", self.members[index].client)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a member on the data that it has.
    pub(crate) fn run(&mut self, index: usize) {
        let peers: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(index, member)| format!("m{index}={}", peer(member)))
            .collect();
        let member = &self.members[index];
        let state = if member.life == 0 { "new" } else { "existing" };
        let (client, own_peer) = (self.endpoint(index), peer(member));
        let data = self.file(&format!("m{index}-{}", member.life));
        let file = |name: &str| self.file(name).display().to_string();
        let values = [
            ("name", format!("m{index}")),
            ("data-dir", data.display().to_string()),
            ("listen-client-urls", client.clone()),
            ("advertise-client-urls", client),
            ("listen-peer-urls", own_peer.clone()),
            ("initial-advertise-peer-urls", own_peer),
            ("initial-cluster", peers.join(",")),
            ("initial-cluster-state", state.to_owned()),
            ("heartbeat-interval", "100".to_owned()),
            ("election-timeout", "1000".to_owned()),
            ("logger", "zap".to_owned()),
            ("log-level", "error".to_owned()),
            ("cert-file", file("member.pem")),
            ("key-file", file("member.key")),
            ("trusted-ca-file", file("ca.pem")),
            ("client-cert-auth", "true".to_owned()),
            ("peer-cert-file", file("member.pem")),
            ("peer-key-file", file("member.key")),
            ("peer-trusted-ca-file", file("ca.pem")),
            ("peer-client-cert-auth", "true".to_owned()),
        ];
        let process = Command::new("etcd")
            .args(values.map(|(name, value)| format!("--{name}={value}")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this suite needs `etcd` (Debian: apt install etcd-server)");
        self.members[index].process = Some(process);
    }

    pub(crate) fn kill(&mut self, index: usize) {
        if let Some(mut process) = self.members[index].process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn signal(&self, index: usize, signal: &str) {
        let process = self.members[index].process.as_ref().expect("it runs");
        let pid = process.id().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status();
        assert!(kill.unwrap().success());
    }

    /// Takes a member that is dead out of the cluster, and puts an empty one in its place, at the
    /// same addresses.
    pub(crate) async fn replace(&mut self, index: usize) {
        let mut admin = self.admin((index + 1) % SIZE).await.cluster_client();
        let list = admin.member_list().await.unwrap();
        let name = format!("m{index}");
        let old = list.members().iter().find(|member| member.name() == name);
        admin.member_remove(old.unwrap().id()).await.unwrap();
        let url = peer(&self.members[index]);
        let start = Instant::now();
        // etcd refuses while the others have not met for some seconds.
        while let Err(error) = admin.member_add([url.clone()], None).await {
            assert!(start.elapsed() < PATIENCE, "{error:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        self.members[index].life += 1;
        self.run(index);
    }

    /// As root, once there are users.
    async fn admin(&self, index: usize) -> Client {
        let options = self.connect_options().with_user("root", PASSWORD);
        Client::connect([self.endpoint(index)], Some(options))
            .await
            .unwrap()
    }

    fn connect_options(&self) -> ConnectOptions {
        let read = |name: &str| std::fs::read(self.file(name)).unwrap();
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(read("ca.pem")))
            .identity(Identity::from_pem(read("client.pem"), read("client.key")));
        ConnectOptions::new().with_tls(tls)
    }

    async fn add_users(&self) {
        let options = self.connect_options();
        let anybody = Client::connect([self.endpoint(0)], Some(options))
            .await
            .unwrap();
        let start = Instant::now();
        while let Err(error) = anybody.kv_client().get("/nothing", None).await {
            assert!(start.elapsed() < PATIENCE, "{error:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut users = anybody.auth_client();
        for name in ["root", USER] {
            users.user_add(name, PASSWORD, None).await.unwrap();
            users.role_add(name).await.unwrap();
            users.user_grant_role(name, name).await.unwrap();
        }
        let own = Permission::new(PermissionType::Readwrite, "/foghorn/").with_prefix();
        users.role_grant_permission(USER, own).await.unwrap();
        users.auth_enable().await.unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..SIZE {
            self.kill(index);
        }
    }
}

fn peer(member: &Member) -> String {
    format!("https://127.0.0.1:{}", member.peer)
}

/// An authority of the test's own, one certificate for the members and one for the controller.
fn write_certificates(folder: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "etcd of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let issue = |name: &str, names: &[String]| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    };
    issue("member", &["127.0.0.1".to_owned()]);
    issue("client", &[]);
}
