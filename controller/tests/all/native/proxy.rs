//! A real nginx before a real controller, with the example of `docs/operations/reverse-proxy.md`.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use foghorn_controller::Config;
use foghorn_test_ports::free_port;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::native::fleet::{Fleet, PATIENCE};

/// Ends nginx with the test.
struct Nginx {
    process: Child,
    plain: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// The example, with ports and files of the test.
fn example(controller: &str, plain: u16, secured: u16, folder: &str) -> String {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/operations/reverse-proxy.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```nginx\n").unwrap();
    let (mut example, _) = rest.split_once("```").unwrap();
    let mut text = String::new();
    for (documented, ours) in [
        ("listen 80;", format!("listen 127.0.0.1:{plain};")),
        (
            "listen 443 ssl;",
            format!("listen 127.0.0.1:{secured} ssl;"),
        ),
        ("/etc/ssl/fog.pem", format!("{folder}/cert.pem")),
        ("/etc/ssl/fog.key", format!("{folder}/key.pem")),
        ("https://127.0.0.1:8443", controller.to_owned()),
    ] {
        let (before, after) = example
            .split_once(documented)
            .unwrap_or_else(|| panic!("the example has no {documented}"));
        text.push_str(before);
        text.push_str(&ours);
        example = after;
    }
    text.push_str(example);
    text
}

async fn nginx(fleet: &Fleet) -> Nginx {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.path().join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let (plain, secured) = (free_port().unwrap(), free_port().unwrap());
    let server = example(&fleet.controller.rest_url(), plain, secured, &place);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {place}/{name};\n"))
        .collect();
    let config = format!(
        "daemon off; user root; worker_processes 1; pid {place}/pid; error_log {place}/error.log;\n\
         events {{ }}\nhttp {{\naccess_log off;\n{temporary}{server}\n}}\n"
    );
    std::fs::write(folder.path().join("nginx.conf"), config).unwrap();
    let program = ["/usr/sbin/nginx", "nginx"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .unwrap_or("nginx");
    let process = Command::new(program)
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("this test needs nginx (Debian: apt install nginx)");
    let plain = SocketAddr::from(([127, 0, 0, 1], plain));
    let start = Instant::now();
    while tokio::net::TcpStream::connect(plain).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "nginx does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Nginx {
        process,
        plain,
        _folder: folder,
    }
}

/// Sends a request over plain HTTP from an address of this machine.
async fn from(
    source: &str,
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
) -> (u16, String) {
    let socket = TcpSocket::new_v4().unwrap();
    let source: IpAddr = source.parse().unwrap();
    socket.bind(SocketAddr::new(source, 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: fog\r\nconnection: close\r\n{headers}content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .expect("an answer")
        .unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn a_proxy_says_who_calls_and_nobody_else_does() {
    let fleet = Fleet::with(|config: &mut Config| {
        config.rest.plain_http = true;
        config.login.trusted_proxies = vec!["127.0.0.0/31".parse().unwrap()];
        config.login.per_address.burst = 2;
        config.login.per_address.refill = Duration::from_secs(3600);
    })
    .await;
    let nginx = nginx(&fleet).await;
    let first = fleet.controller.first_run().unwrap();
    let tokens = format!(
        "fog-api-token: {}\r\nfog-user-token: {}\r\n",
        first.api_token, first.user_token
    );
    let claim = "x-forwarded-for: 9.9.9.9\r\n";
    let controller: SocketAddr = fleet
        .controller
        .rest_url()
        .trim_start_matches("https://")
        .parse()
        .unwrap();

    // What an object shows of its reader, and the audit log of who changed something.
    for (source, to) in [("127.0.0.2", nginx.plain), ("127.0.0.3", controller)] {
        let said = from(
            source,
            to,
            "GET",
            "/fog/tasklog/7",
            &format!("{tokens}{claim}"),
        )
        .await;
        assert_eq!(said.0, 200, "{}", said.1);
        assert!(said.1.contains(source), "{source}: {}", said.1);
        let said = from(
            source,
            to,
            "PUT",
            "/fog/history/9",
            &format!("{tokens}{claim}"),
        )
        .await;
        assert_eq!(said.0, 200, "{}", said.1);
        let log = fleet.good("GET", "/foghorn/v1/audit?limit=1", None).await;
        assert_eq!(log["entries"][0]["from"], *source, "{log}");
    }

    // Failed log-ins slow down whoever failed, and nobody else behind the same proxy.
    let wrong = "fog-api-token: wrong\r\n";
    let path = "/fog/host";
    for _ in 0..2 {
        let headers = format!("{wrong}{claim}");
        let (status, _) = from("127.0.0.2", nginx.plain, "GET", path, &headers).await;
        assert_eq!(status, 403);
    }
    let slowed = from("127.0.0.2", nginx.plain, "GET", path, wrong).await;
    assert_eq!(slowed.0, 429, "{}", slowed.1);
    let other = from("127.0.0.4", nginx.plain, "GET", path, wrong).await;
    assert_eq!(other.0, 403, "{}", other.1);
    // Somebody who is no proxy cannot choose an address.
    for number in 0..3 {
        let claim = format!("{wrong}x-forwarded-for: 9.9.9.{number}\r\n");
        let (status, _) = from("127.0.0.5", controller, "GET", path, &claim).await;
        assert_eq!(status, if number < 2 { 403 } else { 429 }, "{number}");
    }

    // Events pass the proxy as they happen.
    let events = from_events(nginx.plain, &tokens).await;
    assert!(events.contains("event: ready"), "{events}");
    let list = from(
        "127.0.0.2",
        nginx.plain,
        "GET",
        "/fog/host?length=1",
        &tokens,
    )
    .await;
    let body = list.1.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(
        serde_json::from_str::<Value>(body).unwrap()["count"],
        0,
        "{}",
        list.1
    );
    drop(nginx);
    fleet.stop().await;
}

/// The beginning of the stream of events.
async fn from_events(to: SocketAddr, tokens: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(to).await.unwrap();
    let request = format!("GET /foghorn/v1/events HTTP/1.1\r\nhost: fog\r\n{tokens}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    while !answer.contains("event: ready") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .expect("the stream begins at once")
            .unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    answer
}
