//! A certificate authority, identities, and both ends on loopback.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use foghorn_transport::{AgentConnection, Hello, Identity, Listener, Session, SessionKind, Source};
use foghorn_types::{ChunkId, TaskId};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

pub(crate) const NODE: &str = "north.node.foghorn.internal";
pub(crate) const CLIENT_URI: &str = "foghorn://client/host/7/task/42";

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for these names that ends `ends_in` seconds from now (negative: has ended).
    pub(crate) fn issue(&self, uri: &str, dns: Option<&str>, ends_in: i64) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params
            .subject_alt_names
            .extend(dns.map(|name| SanType::DnsName(name.try_into().unwrap())));
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let now = SystemTime::now();
        let shift = Duration::from_secs(ends_in.unsigned_abs());
        params.not_before = (now - Duration::from_secs(7200)).into();
        params.not_after = if ends_in < 0 {
            now - shift
        } else {
            now + shift
        }
        .into();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity::from_pem(&self.0.pem(), &certificate.pem(), &key.serialize_pem()).unwrap()
    }

    pub(crate) fn node(&self) -> Identity {
        self.issue("foghorn://node/north", Some(NODE), 3600)
    }

    pub(crate) fn client(&self) -> Identity {
        self.issue(CLIENT_URI, None, 3600)
    }
}

pub(crate) fn task() -> TaskId {
    TaskId::new(42).unwrap()
}

pub(crate) fn hello() -> Hello {
    Hello {
        task: task(),
        software: "test 1".to_owned(),
        traceparent: String::new(),
    }
}

pub(crate) fn listen(identity: &Identity) -> (Listener, Source) {
    let listener = Listener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), identity).unwrap();
    let source = Source {
        address: listener.local_address().unwrap().to_string(),
        server_name: NODE.to_owned(),
    };
    (listener, source)
}

/// Both ends of a session. The listener must be kept.
pub(crate) async fn session(kind: SessionKind) -> (Listener, AgentConnection, Session) {
    let authority = Authority::new();
    let (mut listener, source) = listen(&authority.node());
    let identity = authority.client();
    let (client, session) = tokio::join!(
        AgentConnection::connect(&source, &identity, hello()),
        async {
            listener
                .accept()
                .await
                .unwrap()
                .welcome(kind)
                .await
                .unwrap()
        }
    );
    (listener, client.unwrap(), session)
}

/// Fails a test instead of hanging it.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("this takes too long")
}

/// Bytes that differ from those of any other seed.
pub(crate) fn payload(seed: u32, len: usize) -> (ChunkId, Bytes) {
    let bytes: Bytes = seed
        .to_le_bytes()
        .into_iter()
        .cycle()
        .take(len)
        .collect::<Vec<_>>()
        .into();
    (ChunkId::of(&bytes), bytes)
}
