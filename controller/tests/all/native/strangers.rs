//! What strangers and careless clients can take: connections, time, and nothing of the others'.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::Config;
use foghorn_controller::config::Patience;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::native::fleet::{Fleet, PATIENCE};

const SHORT: Patience = Patience {
    idle: Duration::from_millis(800),
    stuck: Duration::from_millis(800),
};

async fn impatient() -> Fleet {
    Fleet::with(|config: &mut Config| {
        config.rest.plain_http = true;
        config.rest.patience = SHORT;
        config.rest.max_connections_per_address = 4;
    })
    .await
}

fn address(fleet: &Fleet) -> SocketAddr {
    let url = fleet.controller.rest_url();
    let (_, address) = url.rsplit_once('/').unwrap();
    address.parse().unwrap()
}

/// A connection that comes from another address of this machine.
async fn from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let source = SocketAddr::new(Ipv4Addr::from(source).into(), 0);
    socket.bind(source).unwrap();
    socket.connect(to).await.unwrap()
}

async fn rest_of(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _reset = reading.await.expect("the connection was left open");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_or_ask_are_cut_off_and_one_address_has_its_share() {
    let fleet = impatient().await;
    let to = address(&fleet);

    let mut deaf = from([127, 0, 0, 2], to).await;
    let ask = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
    deaf.write_all(&ask).await.unwrap();
    let cut_off = async {
        while deaf.write_all(b"GET ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, cut_off)
        .await
        .expect("a client that reads nothing keeps its connection");

    // A reader that is slow, but reads, gets all of it.
    let mut slow = from([127, 0, 0, 2], to).await;
    slow.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
    loop {
        match slow.read(&mut buffer).await.expect("it was cut off") {
            0 => break,
            read => answer.extend_from_slice(&buffer[..read]),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let text = String::from_utf8(answer).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(body).unwrap()["paths"].is_object());

    let mut asked = from([127, 0, 0, 2], to).await;
    asked
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = rest_of(&mut asked).await;
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "answered, then closed: {answer}"
    );

    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(from([127, 0, 0, 3], to).await);
    }
    let mut fifth = from([127, 0, 0, 3], to).await;
    fifth
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let answer = rest_of(&mut fifth).await.to_lowercase();
    for part in [
        "http/1.1 429",
        "retry-after: ",
        "connection: close",
        "your address has too many open connections",
    ] {
        assert!(answer.contains(part), "{part} in {answer}");
    }
    assert_eq!(fleet.good("GET", "/healthz", None).await["status"], "ok");
    fleet.stop().await;
}

#[tokio::test]
async fn an_answer_that_leaves_a_body_unread_says_so_and_arrives() {
    let fleet = Fleet::with(|config: &mut Config| config.rest.plain_http = true).await;
    let to = address(&fleet);
    let head = |length: usize, more: &str| {
        format!(
            "PUT /foghorn/v1/snapins/1/file?name=x HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{more}\r\n"
        )
    };
    // Sent in part, sent as a whole, and not at all.
    for (length, sent, more) in [
        (3 << 20, 100_000, ""),
        (3 << 20, 3 << 20, ""),
        (3 << 20, 0, "expect: 100-continue\r\n"),
    ] {
        let mut stream = from([127, 0, 0, 1], to).await;
        stream
            .write_all(head(length, more).as_bytes())
            .await
            .unwrap();
        stream
            .write_all(&vec![b'x'; sent])
            .await
            .expect("the connection was reset before all was sent");
        let answer = rest_of(&mut stream).await.to_lowercase();
        assert!(
            answer.starts_with("http/1.1 403") && answer.contains("connection: close\r\n"),
            "{sent} bytes: {answer}"
        );
        assert!(answer.ends_with('}'), "the whole sentence: {answer}");
    }
    // A small body is read, and the connection goes on.
    let mut stream = from([127, 0, 0, 1], to).await;
    let (stays, ends) = (head(5, ""), head(5, "connection: close\r\n"));
    let both = format!("{stays}small{ends}small");
    stream.write_all(both.as_bytes()).await.unwrap();
    let twice = rest_of(&mut stream).await;
    assert_eq!(twice.matches("HTTP/1.1 403").count(), 2, "{twice}");
    fleet.stop().await;
}

/// curl is the judge: it complains about every stream or connection that does not end well.
#[tokio::test(flavor = "multi_thread")]
async fn refused_uploads_get_their_answer_over_both_versions_of_http() {
    let fleet = Fleet::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (ca, file) = (folder.path().join("ca.pem"), folder.path().join("file"));
    std::fs::write(&ca, fleet.controller.ca_pem()).unwrap();
    std::fs::write(&file, vec![7; 24 << 20]).unwrap();
    let first = fleet.controller.first_run().unwrap().clone();
    let url = format!(
        "{}/foghorn/v1/snapins/9/file?name=x",
        fleet.controller.rest_url()
    );
    for version in ["--http1.1", "--http2"] {
        for (token, status, sentence) in [
            ("wrong", "403", "{\"error\":"),
            (first.api_token.as_str(), "404", "snapin 9 does not exist"),
        ] {
            let mut curl = Command::new("curl");
            curl.args(["-sS", version, "--max-time", "20", "-w", " %{http_code}"])
                .args(["-H", "Expect:", "-H", &format!("fog-api-token: {token}")])
                .args(["-H", &format!("fog-user-token: {}", first.user_token)])
                .arg("--cacert")
                .arg(&ca)
                .arg("-T")
                .arg(&file)
                .arg(&url);
            let said = tokio::task::spawn_blocking(move || curl.output().unwrap())
                .await
                .unwrap();
            let text = String::from_utf8_lossy(&said.stdout);
            assert!(
                text.ends_with(status) && text.contains(sentence),
                "{version}: {text} {said:?}"
            );
            // Over HTTP/1.1 the connection ends while curl is sending: it has the answer by then.
            assert!(
                said.status.success() || version == "--http1.1",
                "{version} {status}: {said:?}"
            );
        }
    }
    fleet.stop().await;
}

/// Handshakes that are begun and not gone on with.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_take_all_handshakes_of_agents() {
    let fleet = Fleet::new().await;
    let link: SocketAddr = fleet.controller.link_address().parse().unwrap();
    let mut begun = Vec::new();
    for _ in 0..64 {
        begun.push(from([127, 0, 0, 2], link).await);
    }
    let mut refused = from([127, 0, 0, 2], link).await;
    assert_eq!(rest_of(&mut refused).await, "");
    let error = begun[0].try_read(&mut [0]).unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::WouldBlock,
        "it was the others' time that ran out"
    );
    let mut other = from([127, 0, 0, 3], link).await;
    let closed = tokio::time::timeout(Duration::from_secs(1), other.read(&mut [0])).await;
    assert!(closed.is_err(), "another address is heard");
    fleet.stop().await;
}

/// A connection that has agreed on HTTP/2 and says nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_2_that_says_nothing_is_given_up() {
    let fleet = Fleet::with(|config: &mut Config| config.rest.patience = SHORT).await;
    let mut roots = rustls::RootCertStore::empty();
    let ca = fleet.controller.ca_pem().as_bytes();
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_slice(ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = from([127, 0, 0, 2], address(&fleet)).await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let mut rest = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
    let _reset = reading.await.expect("the connection was left open");
    fleet.stop().await;
}
