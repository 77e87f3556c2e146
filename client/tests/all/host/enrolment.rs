//! Enrolment against a small HTTP server on loopback that answers as the controller does.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use foghorn_client::check_in::CheckInError;
use foghorn_client::exit::Exit;
use foghorn_client::host::{Enrol, EnrolError, Enrolled, Service, Settings, enrol};
use foghorn_proto::http::{CA_PATH, TokenText};
use foghorn_proto::machine::{MACHINE_ENROL_PATH, MachineEnrolRequest};
use rcgen::CertificateSigningRequestParams;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::gateway::{Authority, Gateway};

const DEVICE: &str = "0a1b2c3d-0000-4000-8000-00000000000f";

/// What the controller does with the next requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    /// The first answer is lost.
    Loses,
    Refuses(u16),
    /// Settings that name other files.
    OtherFiles,
}

pub(super) struct Controller {
    url: String,
    authority: Arc<Authority>,
    requests: Arc<Mutex<Vec<MachineEnrolRequest>>>,
}

impl Controller {
    /// `gateway`: what the settings name.
    pub(super) fn start(mood: Mood, gateway: &str, authority: Arc<Authority>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<MachineEnrolRequest>>> = Arc::default();
        let (signer, seen, gateway) = (authority.clone(), requests.clone(), gateway.to_owned());
        std::thread::spawn(move || {
            let mut mood = mood;
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (path, body) = read(&stream);
                let (status, text) = match path.as_str() {
                    CA_PATH => (200, signer.pem().to_owned()),
                    MACHINE_ENROL_PATH => {
                        let asked: MachineEnrolRequest = serde_json::from_slice(&body).unwrap();
                        seen.lock().unwrap().push(asked.clone());
                        if mood == Mood::Loses {
                            mood = Mood::Good;
                            continue;
                        }
                        answer(mood, &signer, &gateway, &asked)
                    }
                    other => panic!("{other}"),
                };
                let length = text.len();
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                stream
                    .write_all(format!("{head}{text}").as_bytes())
                    .unwrap();
            }
        });
        Self {
            url,
            authority,
            requests,
        }
    }

    /// The token as people type it.
    pub(super) fn token(&self) -> String {
        format!("fhh1.s3cret.{}", self.authority.fingerprint())
    }

    pub(super) fn with(&self, root: &Path) -> Enrol {
        Enrol {
            server: self.url.clone(),
            token: TokenText {
                secret: "s3cret".to_owned(),
                ca_fingerprint: self.authority.fingerprint(),
            },
            name: Some("till-1".to_owned()),
            folder: PathBuf::from("/var/sota"),
            root: root.to_owned(),
            tells_hardware: false,
            replaces: false,
        }
    }
}

fn read(stream: &TcpStream) -> (String, Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first).unwrap();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (first.split(' ').nth(1).unwrap().to_owned(), body)
}

fn answer(
    mood: Mood,
    authority: &Authority,
    gateway: &str,
    asked: &MachineEnrolRequest,
) -> (u16, String) {
    if let Mood::Refuses(status) = mood {
        return (status, json!({"error": "the token is unknown"}).to_string());
    }
    let request = CertificateSigningRequestParams::from_pem(&asked.csr_pem).unwrap();
    let folder = match mood {
        Mood::OtherFiles => "/elsewhere",
        _ => asked.folder.as_deref().unwrap(),
    };
    let settings = format!(
        "[tls]\nserver = \"{gateway}\"\n[import]\ntls_cacert_path = \"{folder}/root.crt\"\n\
         tls_pkey_path = \"{folder}/pkey.pem\"\ntls_clientcert_path = \"{folder}/client.pem\"\n\
         [storage]\npath = \"{folder}/\"\n"
    );
    let enrolled = json!({
        "uuid": DEVICE,
        "factory": "north",
        "host": 7,
        "chain_pem": authority.certify(&request.public_key, DEVICE, [0, 100]),
        "sota_toml": settings,
    });
    (200, enrolled.to_string())
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "foghorn-host.lock").collect();
    names.sort();
    names
}

pub(super) fn run(with: &Enrol) -> Result<Enrolled, EnrolError> {
    enrol(with, &CancellationToken::new())
}

#[test]
fn a_machine_enrols_and_is_let_in_by_its_gateway() {
    let authority = Arc::new(Authority::new());
    let gateway = Gateway::start(&authority);
    let controller = Controller::start(Mood::Loses, &gateway.url, authority);
    let root = tempfile::tempdir().unwrap();
    // On this machine itself: the settings name absolute paths.
    let with = Enrol {
        folder: root.path().join("sota"),
        ..controller.with(Path::new("/"))
    };
    let enrolled = run(&with).unwrap();
    assert_eq!(
        (
            enrolled.uuid.to_string().as_str(),
            enrolled.factory.as_str()
        ),
        (DEVICE, "north")
    );
    let asked = controller.requests.lock().unwrap();
    assert_eq!(asked.len(), 2, "the first answer was lost");
    assert_eq!(asked[0].csr_pem, asked[1].csr_pem);
    assert!(asked[0].token.starts_with("fhh1.s3cret."));
    assert_eq!(asked[0].name.as_deref(), Some("till-1"));
    assert_eq!(asked[0].hardware_uuid, None);

    let folder = root.path().join("sota");
    let all = ["client.pem", "pkey.pem", "root.crt", "sota.toml"];
    assert_eq!(names(&folder), all);
    let mode = |name: &str| {
        let metadata = fs::metadata(folder.join(name)).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!((mode("pkey.pem"), mode("client.pem")), (0o600, 0o644));
    let settings = Settings {
        search: vec![folder.join("sota.toml")],
        secrets: root.path().join("secrets"),
        handlers: root.path().join("handlers"),
        unsafe_handlers: false,
        actions: root.path().join("actions"),
        interval: Duration::from_secs(1),
        retry_pauses: Vec::new(),
        handler_limit: Duration::from_secs(60),
        work: None,
    };
    let service = Service::new(settings).unwrap();
    service.check_in(&CancellationToken::new()).unwrap();
    assert_eq!(gateway.requests()[0].line, "GET /config");
}

#[test]
fn an_identity_that_is_there_is_replaced_only_on_demand() {
    let authority = Arc::new(Authority::new());
    let controller = Controller::start(Mood::Good, "https://gateway.example", authority);
    let root = tempfile::tempdir().unwrap();
    let with = controller.with(root.path());
    run(&with).unwrap();
    let folder = root.path().join("var/sota");
    let key = || fs::read_to_string(folder.join("pkey.pem")).unwrap();
    let first = key();
    let error = run(&with).unwrap_err();
    assert!(matches!(error, EnrolError::Known { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Refused);
    assert!(error.advice().unwrap().contains("--replace"));
    assert_eq!(
        (key(), controller.requests.lock().unwrap().len()),
        (first.clone(), 1)
    );

    let document = folder.join("config.encrypted");
    fs::write(&document, "{}").unwrap();
    fs::write(folder.join("logged-in"), "{}").unwrap();
    let modified = || fs::metadata(&document).unwrap().modified().unwrap();
    assert!(modified() > SystemTime::now() - Duration::from_secs(3600));
    let replacing = Enrol {
        replaces: true,
        ..with
    };
    run(&replacing).unwrap();
    assert_ne!(key(), first);
    assert_eq!(modified(), UNIX_EPOCH, "the config is fetched anew");
    assert!(
        !folder.join("logged-in").exists(),
        "nobody else's users are told"
    );

    // So it is on a disk that was copied without the key.
    let copied = tempfile::tempdir().unwrap();
    let folder = copied.path().join("var/sota");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.encrypted"), "{}").unwrap();
    run(&controller.with(copied.path())).unwrap();
    let found = fs::metadata(folder.join("config.encrypted")).unwrap();
    assert_eq!(found.modified().unwrap(), UNIX_EPOCH);
}

#[test]
fn whoever_is_refused_keeps_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/sota");
    let start = |mood| {
        let authority = Arc::new(Authority::new());
        Controller::start(mood, "https://gateway.example", authority)
    };
    for (mood, exit, advice) in [
        (Mood::Refuses(403), Exit::Refused, Some("host token")),
        (Mood::Refuses(409), Exit::Refused, None),
        (Mood::OtherFiles, Exit::Failed, None),
    ] {
        let controller = start(mood);
        let error = run(&controller.with(root.path())).unwrap_err();
        assert_eq!(error.exit(), exit, "{error}");
        let said = error.advice().unwrap_or_default();
        assert!(said.contains(advice.unwrap_or_default()), "{said}");
        assert!(names(&folder).is_empty(), "{error}: {:?}", names(&folder));
    }

    // The token is of another authority: its secret is sent to nobody.
    let controller = start(Mood::Good);
    let mut with = controller.with(root.path());
    with.token.ca_fingerprint = Authority::new().fingerprint();
    let error = run(&with).unwrap_err();
    assert!(
        matches!(
            &error,
            EnrolError::Controller(CheckInError::OtherAuthority { .. })
        ),
        "{error}"
    );
    assert!(controller.requests.lock().unwrap().is_empty());
    assert!(names(&folder).is_empty());
}
