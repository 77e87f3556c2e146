//! Real handshakes in memory: what rustls accepts and refuses is what counts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{CertificateName, HostId, NodeName, TaskId, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;

use super::*;

/// An authority whose own certificates live a day, in a directory that outlives the test.
fn authority() -> (TempDir, Arc<Trust>) {
    let dir = TempDir::new().unwrap();
    let trust = Arc::new(Trust::load_or_create(dir.path()).unwrap());
    (dir, trust)
}

fn north() -> NodeName {
    "north-1".parse().unwrap()
}

/// A key with a request that asks for names it must not get.
fn greedy_request() -> (KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([
        "evil.example".to_owned(),
        "south.node.foghorn.internal".to_owned(),
    ])
    .unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names.push(rcgen::SanType::URI(
        "foghorn://controller".try_into().unwrap(),
    ));
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, pem)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn caller(
    trust: &Trust,
    identity: Option<(CertificateDer<'static>, &KeyPair)>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trust.ca_der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match identity {
        Some((der, key)) => config
            .with_client_auth_cert(
                vec![der],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    })
}

/// A server as an agent is one, with one certificate.
fn agent(der: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    Arc::new(
        config
            .with_no_client_auth()
            .with_single_cert(vec![der], key)
            .unwrap(),
    )
}

/// Shakes hands to the end; gives the certificates that the caller and the server saw.
fn handshake(
    caller: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &str,
) -> Result<(CertificateDer<'static>, Option<CertificateDer<'static>>), rustls::Error> {
    let mut caller =
        ClientConnection::new(caller, ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while caller.is_handshaking()
        || server.is_handshaking()
        || caller.wants_write()
        || server.wants_write()
    {
        let mut wire = Vec::new();
        caller.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            caller.read_tls(&mut rest).unwrap();
            caller.process_new_packets()?;
        }
    }
    let first =
        |certificates: Option<&[CertificateDer<'static>]>| certificates.map(|all| all[0].clone());
    Ok((
        first(caller.peer_certificates()).unwrap(),
        first(server.peer_certificates()),
    ))
}

#[test]
fn the_authority_is_made_once_and_its_key_is_its_owners() {
    let (dir, first) = authority();
    let mode = fs::metadata(dir.path().join("ca.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = Trust::load_or_create(dir.path()).unwrap();
    assert_eq!(first.ca_fingerprint(), second.ca_fingerprint());
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert_eq!(
        first.ca_fingerprint().len(),
        43,
        "32 bytes as base64url without padding"
    );
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn half_an_authority_or_a_mixed_one_is_refused() {
    let (a, _) = authority();
    let (b, _) = authority();
    fs::copy(b.path().join("ca.key"), a.path().join("ca.key")).unwrap();
    assert!(matches!(
        Trust::load_or_create(a.path()),
        Err(LoadTrustError::Unusable {
            source: PemError::ForeignKey,
            ..
        })
    ));
    fs::remove_file(a.path().join("ca.key")).unwrap();
    assert!(matches!(
        Trust::load_or_create(a.path()),
        Err(LoadTrustError::Half { .. })
    ));
    fs::write(b.path().join("ca.pem"), "nothing").unwrap();
    assert!(matches!(
        Trust::load_or_create(b.path()),
        Err(LoadTrustError::Unusable {
            source: PemError::Certificate { .. },
            ..
        })
    ));
    fs::write(b.path().join("ca.key"), "nothing").unwrap();
    assert!(matches!(
        Trust::load_or_create(b.path()),
        Err(LoadTrustError::Unusable {
            source: PemError::Key { .. },
            ..
        })
    ));
}

#[test]
fn a_certificate_that_may_not_sign_is_no_authority() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["leaf.example".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    fs::write(dir.path().join("ca.pem"), leaf.pem()).unwrap();
    fs::write(dir.path().join("ca.key"), key.serialize_pem()).unwrap();
    assert!(matches!(
        Trust::load_or_create(dir.path()),
        Err(LoadTrustError::Unusable {
            source: PemError::NotAnAuthority,
            ..
        })
    ));
}

#[test]
fn a_given_authority_is_used() {
    let dir = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(
        dir.path().join("ca.pem"),
        params.self_signed(&key).unwrap().pem(),
    )
    .unwrap();
    fs::write(dir.path().join("ca.key"), key.serialize_pem()).unwrap();
    let trust = Arc::new(Trust::load_or_create(dir.path()).unwrap());
    let rest = Arc::new(trust.rest_config(&["127.0.0.1".to_owned()]).unwrap());
    handshake(caller(&trust, None), rest, "127.0.0.1").unwrap();
}

#[test]
fn a_node_serves_its_name_and_calls_the_link_and_gets_no_name_it_asked_for() {
    let (_dir, trust) = authority();
    let (key, request) = greedy_request();
    let issued = trust.issue_node(&north(), &request).unwrap();
    assert_eq!(
        peer_name(&issued.der).unwrap(),
        CertificateName::Node(north())
    );
    let tls_name = north().tls_name();
    handshake(
        caller(&trust, None),
        agent(issued.der.clone(), &key),
        &tls_name,
    )
    .unwrap();
    for wrong in [
        "evil.example",
        "south.node.foghorn.internal",
        CONTROLLER_TLS_NAME,
    ] {
        let refused =
            handshake(caller(&trust, None), agent(issued.der.clone(), &key), wrong).unwrap_err();
        assert!(
            refused.to_string().contains("not valid for name"),
            "{wrong}: {refused}"
        );
    }
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
    assert!(!parsed.is_ca());

    let link = Arc::new(trust.link_config(&[]).unwrap());
    let (controller, node) = handshake(
        caller(&trust, Some((issued.der, &key))),
        link,
        CONTROLLER_TLS_NAME,
    )
    .unwrap();
    assert_eq!(peer_name(&controller).unwrap(), CertificateName::Controller);
    assert_eq!(
        peer_name(&node.unwrap()).unwrap(),
        CertificateName::Node(north())
    );
}

#[test]
fn the_link_refuses_nobody_strangers_the_expired_and_servers() {
    let (_dir, trust) = authority();
    let (_other_dir, other) = authority();
    let (key, request) = greedy_request();
    let link = Arc::new(trust.link_config(&[]).unwrap());
    let call = |identity| handshake(caller(&trust, identity), link.clone(), CONTROLLER_TLS_NAME);

    let refused = call(None).unwrap_err();
    assert!(
        matches!(refused, rustls::Error::NoCertificatesPresented),
        "{refused}"
    );
    let foreign = other.issue_node(&north(), &request).unwrap();
    let refused = call(Some((foreign.der, &key))).unwrap_err();
    assert!(
        matches!(refused, rustls::Error::InvalidCertificate(_)),
        "{refused}"
    );
    let expired = trust
        .issue_client(
            HostId::new(1).unwrap(),
            TaskId::new(2).unwrap(),
            &request,
            Duration::ZERO,
        )
        .unwrap();
    let start = std::time::Instant::now();
    // X.509 counts whole seconds, and the last one is still good.
    let refused = loop {
        match call(Some((expired.der.clone(), &key))) {
            Err(refused) => break refused,
            Ok(_) => assert!(
                start.elapsed() < Duration::from_secs(5),
                "an expired certificate was taken"
            ),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(
        refused.to_string().to_lowercase().contains("expired"),
        "{refused}"
    );
    let server = trust.issue_server(&[]).unwrap();
    let PrivateKeyDer::Pkcs8(server_key) = server.key else {
        panic!("rcgen writes PKCS#8")
    };
    let server_key = KeyPair::try_from(&server_key).unwrap();
    let refused = call(Some((server.certificate.der, &server_key))).unwrap_err();
    assert!(
        matches!(refused, rustls::Error::InvalidCertificate(_)),
        "a server's certificate called: {refused}"
    );
}

#[test]
fn a_client_certificate_names_host_and_task_and_serves_nothing() {
    let (_dir, trust) = authority();
    let (key, request) = greedy_request();
    let (host, task) = (HostId::new(7).unwrap(), TaskId::new(42).unwrap());
    let issued = trust
        .issue_client(host, task, &request, Duration::from_secs(60))
        .unwrap();
    assert_eq!(
        peer_name(&issued.der).unwrap(),
        CertificateName::Client { host, task }
    );
    assert_eq!(issued.fingerprint(), *blake3::hash(&issued.der).as_bytes());
    assert!(issued.not_after <= Timestamp::now() + Duration::from_secs(60));
    assert!(
        handshake(
            caller(&trust, None),
            agent(issued.der, &key),
            "evil.example"
        )
        .is_err()
    );
}

#[test]
fn a_request_that_is_broken_or_signed_by_another_key_is_refused() {
    let (_dir, trust) = authority();
    let (_, request) = greedy_request();
    for broken in ["", "hello", &request[..request.len() / 2]] {
        let refused = trust.issue_node(&north(), broken).unwrap_err();
        assert!(
            refused.is_bad_request() && matches!(refused, IssueError::Unreadable { .. }),
            "{refused}"
        );
    }
    let der = pem_body(&request);
    let mut forged = der.clone();
    *forged.last_mut().unwrap() ^= 1; // The signature comes last.
    assert!(matches!(
        trust.issue_node_der(&north(), &forged),
        Err(IssueError::BadSignature { .. })
    ));
    let mut longer = der.clone();
    longer.push(0);
    assert!(matches!(
        trust.issue_node_der(&north(), &longer),
        Err(IssueError::Unreadable { .. })
    ));
    assert!(trust.issue_node_der(&north(), &der).is_ok());
}

fn pem_body(pem: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(pem.as_bytes())
        .unwrap()
        .to_vec()
}

#[test]
fn serials_differ_and_clocks_may_be_late() {
    let (_dir, trust) = authority();
    let (_, request) = greedy_request();
    let issue = || trust.issue_node(&north(), &request).unwrap().der;
    let (a, b) = (issue(), issue());
    let parse = |der: &CertificateDer<'static>| {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).unwrap();
        (
            parsed.raw_serial().to_vec(),
            parsed.validity().not_before.timestamp(),
        )
    };
    assert_ne!(parse(&a).0, parse(&b).0);
    assert!(parse(&a).0.len() >= 16);
    assert!(parse(&a).1 <= Timestamp::now().as_millis() / 1000 - 290);
}

#[test]
fn https_answers_to_every_given_name_and_to_no_other() {
    let (_dir, trust) = authority();
    let names = [
        "fog.example".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let rest = Arc::new(trust.rest_config(&names).unwrap());
    for name in ["fog.example", "127.0.0.1", "::1", CONTROLLER_TLS_NAME] {
        let (server, nobody) = handshake(caller(&trust, None), rest.clone(), name).unwrap();
        assert_eq!(peer_name(&server).unwrap(), CertificateName::Controller);
        assert_eq!(nobody, None);
    }
    assert!(handshake(caller(&trust, None), rest.clone(), "127.0.0.2").is_err());
    let (_other_dir, other) = authority();
    assert!(handshake(caller(&other, None), rest, "fog.example").is_err());
    assert!(matches!(
        trust.rest_config(&["no name".to_owned()]),
        Err(ServerConfigError::Issue(IssueError::BadServerName(_)))
    ));
}

#[test]
fn the_controllers_certificate_renews_itself_before_it_ends() {
    let dir = TempDir::new().unwrap();
    let life = Lifetimes {
        server: Duration::from_secs(3),
        ..Lifetimes::default()
    };
    let trust = Arc::new(
        Trust::load_or_create(dir.path())
            .unwrap()
            .with_lifetimes(life),
    );
    let rest = Arc::new(trust.rest_config(&[]).unwrap());
    let started = std::time::Instant::now();
    let (first, _) = handshake(caller(&trust, None), rest.clone(), CONTROLLER_TLS_NAME).unwrap();
    loop {
        // No handshake may fail on the way, or the old certificate was kept for too long.
        let (now, _) = handshake(caller(&trust, None), rest.clone(), CONTROLLER_TLS_NAME).unwrap();
        if now != first {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(3), "never renewed");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn certificates_without_our_name_name_nobody() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["x.example".to_owned()]).unwrap();
    let plain = params.self_signed(&key).unwrap();
    assert!(matches!(
        peer_name(plain.der()),
        Err(PeerNameError::NotOneName(0))
    ));
    params
        .subject_alt_names
        .push(rcgen::SanType::URI("https://x.example".try_into().unwrap()));
    assert!(matches!(
        peer_name(params.self_signed(&key).unwrap().der()),
        Err(PeerNameError::Foreign { .. })
    ));
    params.subject_alt_names.push(rcgen::SanType::URI(
        "foghorn://controller".try_into().unwrap(),
    ));
    assert!(matches!(
        peer_name(params.self_signed(&key).unwrap().der()),
        Err(PeerNameError::NotOneName(2))
    ));
    assert!(matches!(
        peer_name(b"junk"),
        Err(PeerNameError::Unreadable { .. })
    ));
}

#[test]
fn a_lifetime_that_ends_in_whole_seconds_is_never_longer_than_told() {
    let (_dir, trust) = authority();
    let (_, request) = greedy_request();
    let issued = trust.issue_node(&north(), &request).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&issued.der).unwrap();
    assert!(parsed.validity().not_after.timestamp() * 1000 <= issued.not_after.as_millis());
}

#[test]
fn rest_takes_tls_1_3_and_nothing_older() {
    let folder = tempfile::tempdir().unwrap();
    let trust = Arc::new(Trust::load_or_create(folder.path()).unwrap());
    let server = Arc::new(trust.rest_config(&["localhost".to_owned()]).unwrap());
    let with = |version| {
        let mut roots = RootCertStore::empty();
        roots.add(trust.ca_der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        handshake(Arc::new(config), server.clone(), "localhost")
    };
    with(&rustls::version::TLS13).unwrap();
    assert!(with(&rustls::version::TLS12).is_err());
}
