//! A gateway on loopback that only talks to holders of certificates of its authority.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use foghorn_host_config::conditional::{Answer, answer, format_date};
use foghorn_types::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PublicKeyData, SanType};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::hosts::Host;

/// A certificate authority.
pub(super) struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key for whoever has this name.
    pub(super) fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// As tokens name it.
    pub(super) fn fingerprint(&self) -> String {
        let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
        let hash = suite.common.hash_provider.hash(&self.der);
        BASE64URL_NOPAD.encode(hash.as_ref())
    }

    /// A certificate for this key, of a device, which ends in so many days and began so many days before.
    pub(super) fn certify(&self, key: &impl PublicKeyData, device: &str, days: [u64; 2]) -> String {
        let mut params = CertificateParams::default();
        let uri = format!("foghorn://device/{device}");
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let [ended, ends] = days.map(|days| Duration::from_secs(days * 24 * 60 * 60));
        params.not_before = (SystemTime::now() - ended).into();
        params.not_after = (SystemTime::now() + ends).into();
        params.signed_by(key, &self.issuer).unwrap().pem()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Such as `GET /config`.
    pub(super) line: String,
    pub(super) since: Option<String>,
    /// Which start of the machine it is.
    pub(super) boot: Option<String>,
    pub(super) body: Vec<u8>,
}

#[derive(Default)]
struct State {
    config: Option<(String, Timestamp)>,
    /// Statuses that the next questions for the config are answered with instead.
    failures: Vec<u16>,
    /// What is answered to whoever wants a new certificate.
    renewed: Option<String>,
    /// The host that the machine is; `None`: this gateway knows of no work.
    host: Option<Host>,
    requests: Vec<Request>,
}

pub(super) struct Gateway {
    pub(super) url: String,
    state: Arc<Mutex<State>>,
}

impl Gateway {
    pub(super) fn start(authority: &Authority) -> Self {
        let (certificate, key) = authority.issue("127.0.0.1");
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(
                chain,
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (tls, state) = (Arc::new(tls), Arc::new(Mutex::new(State::default())));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (tls, state) = (tls.clone(), shared.clone());
                // What goes wrong here is seen by the machine, which is what is tested.
                std::thread::spawn(move || serve(tls, stream?, &state));
            }
        });
        Self { url, state }
    }

    /// From now on this is the config; it changed at that time.
    pub(super) fn set(&self, document: &str, changed: Timestamp) {
        self.state.lock().unwrap().config = Some((document.to_owned(), changed));
    }

    pub(super) fn renew_with(&self, chain: &str) {
        self.state.lock().unwrap().renewed = Some(chain.to_owned());
    }

    /// From now on the machine is this host.
    pub(super) fn be(&self, host: Host) {
        self.state.lock().unwrap().host = Some(host);
    }

    /// Looks at the host that the machine is, or changes it.
    pub(super) fn host<T>(&self, look: impl FnOnce(&mut Host) -> T) -> T {
        look(self.state.lock().unwrap().host.as_mut().unwrap())
    }

    pub(super) fn fail_with(&self, statuses: &[u16]) {
        self.state.lock().unwrap().failures = statuses.to_vec();
    }

    /// All requests since this was called last.
    pub(super) fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

fn serve(tls: Arc<ServerConfig>, stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let connection = ServerConnection::new(tls).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    let request = read(&mut stream)?;
    let reply = state.lock().unwrap().reply(&request);
    let stream = stream.get_mut();
    stream.write_all(&reply)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn read(
    stream: &mut BufReader<StreamOwned<ServerConnection, TcpStream>>,
) -> std::io::Result<Request> {
    let mut first = String::new();
    stream.read_line(&mut first)?;
    let (mut length, mut since, mut boot) = (0, None, None);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "if-modified-since" => since = Some(value.to_owned()),
            "x-foghorn-boot" => boot = Some(value.to_owned()),
            "transfer-encoding" => panic!("a body of unknown length: {value}"),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let line = [words.next(), words.next()].map(Option::unwrap_or_default);
    Ok(Request {
        line: line.join(" "),
        since,
        boot,
        body,
    })
}

impl State {
    fn reply(&mut self, request: &Request) -> Vec<u8> {
        self.requests.push(request.clone());
        let of_host = self.host.as_mut().and_then(|host| host.reply(request));
        if let Some((status, body)) = of_host {
            return response_bytes(status, "", &body);
        }
        match request.line.as_str() {
            "GET /config" if !self.failures.is_empty() => {
                let status = self.failures.remove(0);
                response(status, "", "because the test wants it")
            }
            "GET /config" => self.config(request),
            "POST /certificate" => match &self.renewed {
                Some(chain) => response(201, "", chain),
                None => response(403, "", "not this one"),
            },
            "PATCH /config" | "POST /tests" => response(201, "", "7"),
            line if line.starts_with("PUT /tests/7") => response(200, "", "{}"),
            _ => response(404, "", ""),
        }
    }

    fn config(&self, request: &Request) -> Vec<u8> {
        let Some((document, changed)) = &self.config else {
            return response(204, "", "");
        };
        match answer(request.since.as_deref(), *changed, Timestamp::now()) {
            Answer::NotModified => response(304, "", ""),
            Answer::Modified { date } => {
                let date = format!("date: {}\r\n", format_date(date));
                response(200, &date, document)
            }
        }
    }
}

fn response(status: u16, headers: &str, body: &str) -> Vec<u8> {
    response_bytes(status, headers, body.as_bytes())
}

fn response_bytes(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} x\r\n{headers}connection: close\r\n");
    match status {
        204 | 304 => format!("{head}\r\n").into_bytes(),
        _ => {
            let head = format!("{head}content-length: {}\r\n\r\n", body.len());
            [head.as_bytes(), body].concat()
        }
    }
}

/// Writes what a device has: its identity and the settings of its agent, which name a gateway.
pub(super) fn write_identity(
    folder: &Path,
    url: &str,
    authority: &Authority,
    identity: &(String, String),
) {
    let sota = folder.join("sota");
    std::fs::create_dir_all(&sota).unwrap();
    std::fs::write(sota.join("root.crt"), authority.pem()).unwrap();
    std::fs::write(sota.join("client.pem"), &identity.0).unwrap();
    std::fs::write(sota.join("pkey.pem"), &identity.1).unwrap();
    let text = format!(
        "[tls]\nserver = \"{url}\"\nca_source = \"file\"\n[import]\ntls_cacert_path = \"root.crt\"\n\
         tls_pkey_path = \"pkey.pem\"\ntls_clientcert_path = \"client.pem\"\n[storage]\npath = \"{}\"\n",
        sota.display()
    );
    std::fs::write(folder.join("sota.toml"), text).unwrap();
}
