//! Check-in against a small HTTP server on loopback that answers as the controller does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use data_encoding::BASE64URL_NOPAD;
use foghorn_client::check_in::{CheckIn, CheckInError, CheckedIn, Desk, OnlyFor, check_in};
use foghorn_proto::http::{
    CA_PATH, CHECK_IN_PATH, CheckInRequest, LOOK_PATH, ORDER_PATH, OptionsFor, OrderKind, TokenText,
};
use foghorn_types::{DiskPart, ManifestId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tokio_util::sync::CancellationToken;

const ORDER: &str = r#"{"task":42,"kind":{"what":"capture"},"image":3,"image_name":"lab","sources":[{"address":"127.0.0.1:1","server_name":"n"}],"disk_rule":"only","traceparent":null}"#;

const LOOK: &str = r#"{"task":42,"host_name":"pc","image_name":"lab","kind":"capture","part":{"what":"everything"},"several":false,"disk_rule":"only","needs":[]}"#;

/// Answers one request per connection until the test process ends.
struct Controller {
    url: String,
    token: TokenText,
    requests: Arc<Mutex<Vec<String>>>,
    /// Bodies of the check-ins.
    bodies: Arc<Mutex<Vec<CheckInRequest>>>,
    /// How many more requests get no answer: the connection is closed after each.
    lost: Arc<AtomicUsize>,
}

fn start(check_in_status: u16, not_yet: usize) -> Controller {
    start_with(check_in_status, not_yet, "")
}

/// `behind`: what somebody in between has put behind the authority's certificate.
fn start_with(check_in_status: u16, not_yet: usize, behind: &str) -> Controller {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let hash = TLS13_AES_128_GCM_SHA256
        .tls13()
        .unwrap()
        .common
        .hash_provider
        .hash(certificate.der());
    let token = TokenText {
        secret: "s".into(),
        ca_fingerprint: BASE64URL_NOPAD.encode(hash.as_ref()),
    };
    let (ca_pem, issuer) = (certificate.pem() + behind, Issuer::new(params, key));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (bodies, lost) = (Arc::default(), Arc::new(AtomicUsize::new(0)));
    let (seen, asked, to_lose) = (requests.clone(), Arc::clone(&bodies), lost.clone());
    let asked: Arc<Mutex<Vec<CheckInRequest>>> = asked;
    std::thread::spawn(move || {
        let mut not_yet = not_yet;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (line, body) = read_request(&stream);
            seen.lock().unwrap().push(line.clone());
            let path = line.split(' ').nth(1).unwrap().split('?').next().unwrap();
            if path == CHECK_IN_PATH {
                let body = serde_json::from_slice(&body).unwrap();
                asked.lock().unwrap().push(body);
            }
            let left = to_lose.load(Ordering::SeqCst);
            if path != CA_PATH && left > 0 {
                to_lose.store(left - 1, Ordering::SeqCst);
                continue;
            }
            let (status, body) = match path {
                CA_PATH => (200, ca_pem.clone()),
                CHECK_IN_PATH if check_in_status != 200 => (
                    check_in_status,
                    r#"{"error":"token is used up"}"#.to_owned(),
                ),
                CHECK_IN_PATH => (200, checked_in(&issuer, &body)),
                LOOK_PATH => (200, LOOK.to_owned()),
                ORDER_PATH if not_yet > 0 => {
                    not_yet -= 1;
                    (204, String::new())
                }
                ORDER_PATH => (200, ORDER.to_owned()),
                other => panic!("{other}"),
            };
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .unwrap();
        }
    });
    Controller {
        url,
        token,
        requests,
        bodies,
        lost,
    }
}

fn read_request(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (first, body)
}

fn checked_in(issuer: &Issuer<'_, KeyPair>, body: &[u8]) -> String {
    let request: CheckInRequest = serde_json::from_slice(body).unwrap();
    assert_eq!(request.boot_token.split('.').next(), Some("fhb1"));
    let csr = CertificateSigningRequestParams::from_pem(&request.csr_pem).unwrap();
    let chain_pem = csr.signed_by(issuer).unwrap().pem();
    serde_json::json!(
        {"host":7,"host_name":"pc","task":42,"chain_pem":chain_pem,"session":"bearer","order":null}
    )
    .to_string()
}

fn run(controller: &Controller, token: TokenText, once: bool) -> Result<CheckedIn, CheckInError> {
    run_with(controller, token, once, None)
}

fn run_with(
    controller: &Controller,
    token: TokenText,
    once: bool,
    only_for: Option<OnlyFor>,
) -> Result<CheckedIn, CheckInError> {
    let mac = "aa:bb:cc:00:01:02".parse().unwrap();
    check_in(
        &CheckIn {
            controller: controller.url.clone(),
            token,
            mac,
            once,
            only_for,
        },
        &CancellationToken::new(),
    )
}

#[test]
fn a_token_buys_a_certificate_and_the_order_is_waited_for() {
    let controller = start(200, 2);
    let checked_in = run(&controller, controller.token.clone(), false).unwrap();
    assert_eq!(checked_in.order.kind, OrderKind::Capture);
    assert_eq!(checked_in.identity.chain.len(), 1);
    assert_eq!(
        controller.requests.lock().unwrap().len(),
        5,
        "authority, check-in, three questions"
    );
}

fn settings(controller: &Controller) -> CheckIn {
    CheckIn {
        controller: controller.url.clone(),
        token: controller.token.clone(),
        mac: "aa:bb:cc:00:01:02".parse().unwrap(),
        once: false,
        only_for: None,
    }
}

#[test]
fn a_lost_answer_is_asked_for_again_with_the_same_token_and_key() {
    let controller = start(200, 0);
    controller.lost.store(2, Ordering::SeqCst);
    run(&controller, controller.token.clone(), false).unwrap();
    let bodies = controller.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 3, "two answers were lost");
    for body in bodies.iter() {
        assert_eq!(
            (&body.boot_token, &body.csr_pem),
            (&bodies[0].boot_token, &bodies[0].csr_pem)
        );
    }
}

#[test]
fn looking_at_the_task_is_no_check_in() {
    let controller = start(200, 0);
    controller.lost.store(1, Ordering::SeqCst);
    let (with, stop) = (settings(&controller), CancellationToken::new());
    let desk = Desk::find(&with, &stop).unwrap();
    let seen = desk.look().unwrap();
    assert_eq!(
        (seen.kind, seen.disk_rule.as_deref()),
        (OptionsFor::Capture, Some("only"))
    );
    assert_eq!(controller.bodies.lock().unwrap().len(), 0);
    desk.check_in().unwrap();
    assert_eq!(controller.bodies.lock().unwrap().len(), 1);
    // Options for the other kind are found out by the look too.
    let deploys = Some(OnlyFor {
        kind: OptionsFor::Deploy,
        options: vec!["--state-dir"],
    });
    let with = CheckIn {
        only_for: deploys,
        ..with
    };
    let refused = Desk::find(&with, &stop).unwrap().look().unwrap_err();
    assert!(
        matches!(refused, CheckInError::OtherTask { .. }),
        "{refused}"
    );
}

#[test]
fn another_authority_gets_no_token() {
    let controller = start(200, 0);
    let token = TokenText {
        ca_fingerprint: "A".repeat(43),
        ..controller.token.clone()
    };
    assert!(matches!(
        run(&controller, token, false),
        Err(CheckInError::OtherAuthority { .. })
    ));
    assert_eq!(controller.requests.lock().unwrap().len(), 1);
}

#[test]
fn an_authority_that_was_put_beside_the_right_one_is_not_trusted() {
    let stranger = CertificateParams::default()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    let controller = start_with(200, 0, &stranger.pem());
    let checked_in = run(&controller, controller.token.clone(), false).unwrap();
    let trusted = checked_in.identity.ca;
    assert!(
        !trusted.contains(stranger.der()),
        "agents of a stranger would be believed"
    );
    assert_eq!(trusted.len(), 1);
}

#[test]
fn refusals_and_missing_tasks_are_told_apart() {
    let controller = start(403, 0);
    let refused = run(&controller, controller.token.clone(), false);
    assert!(matches!(
        refused,
        Err(CheckInError::Refused { status: 403, reason }) if reason == "token is used up"
    ));
    let controller = start(410, 0);
    assert!(matches!(
        run(&controller, controller.token.clone(), false),
        Err(CheckInError::NoTask { .. })
    ));
    let controller = start(200, 9);
    assert!(matches!(
        run(&controller, controller.token.clone(), true),
        Err(CheckInError::NoTask { .. })
    ));
}

/// The order here is a capture.
#[test]
fn a_task_of_the_other_kind_is_not_begun() {
    let only_for = |kind, option| {
        Some(OnlyFor {
            kind,
            options: vec![option],
        })
    };
    // A controller that gives out its orders without looking at the options.
    let controller = start(200, 0);
    let token = || controller.token.clone();
    let deploys = only_for(OptionsFor::Deploy, "--state-dir");
    let refused = run_with(&controller, token(), false, deploys).unwrap_err();
    let CheckInError::OtherTask {
        options,
        task,
        wanted,
    } = &refused
    else {
        panic!("{refused}");
    };
    assert_eq!(
        (options.as_str(), *task, *wanted),
        ("--state-dir", "capture", "deploy")
    );
    let captures = only_for(OptionsFor::Capture, "--raw");
    run_with(&controller, token(), false, captures).unwrap();
}

#[test]
fn an_order_for_a_part_is_of_a_kind_that_older_clients_do_not_know() {
    let manifest = ManifestId::of(b"m");
    let json = |kind: OrderKind| serde_json::to_value(kind).unwrap();
    for (kind, what) in [
        (OrderKind::deploy(manifest, DiskPart::Everything), "deploy"),
        (OrderKind::deploy(manifest, DiskPart::Table), "deploy_part"),
        (OrderKind::capture(DiskPart::Everything, false), "capture"),
        (OrderKind::CaptureDisks, "capture_disks"),
        (
            OrderKind::capture(DiskPart::Everything, true),
            "capture_part",
        ),
    ] {
        assert_eq!(json(kind)["what"], what);
        assert_eq!(
            serde_json::from_value::<OrderKind>(json(kind)).unwrap(),
            kind
        );
    }
    let part = DiskPart::partition(3).unwrap();
    assert_eq!(
        json(OrderKind::deploy(manifest, part))["part"],
        serde_json::json!({"what": "partition", "number": 3})
    );
}
