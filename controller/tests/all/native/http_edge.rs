//! What strange, hostile and slow clients get over a real socket: an answer or a closed connection,
//! and nothing that others notice.

use std::time::{Duration, Instant};

use foghorn_controller::Config;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::native::fleet::{Fleet, PATIENCE};

async fn plain() -> Fleet {
    Fleet::with(|config: &mut Config| config.rest.plain_http = true).await
}

async fn connect(fleet: &Fleet) -> TcpStream {
    let url = fleet.controller.rest_url();
    TcpStream::connect(url.strip_prefix("https://").unwrap())
        .await
        .unwrap()
}

/// A request without its body; `more` is further header lines.
fn head(fleet: &Fleet, method: &str, path: &str, more: &str) -> String {
    let first = fleet.controller.first_run().unwrap();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nfog-api-token: {}\r\nfog-user-token: {}\r\n{more}\r\n",
        first.api_token, first.user_token
    )
}

/// Sends bytes and reads until the server has closed or nothing more comes.
async fn exchange(fleet: &Fleet, bytes: &[u8]) -> String {
    let mut stream = connect(fleet).await;
    // A server that refuses early may close while the rest is being sent.
    let _refused_early = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    let _reset = reading
        .await
        .expect("the server neither answered nor closed");
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

async fn post(fleet: &Fleet, path: &str, body: &[u8]) -> (u16, Value) {
    let more = format!("connection: close\r\ncontent-length: {}\r\n", body.len());
    let mut bytes = head(fleet, "POST", path, &more).into_bytes();
    bytes.extend_from_slice(body);
    let answer = exchange(fleet, &bytes).await;
    let (_, text) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (
        status(&answer),
        serde_json::from_str(text).unwrap_or(Value::Null),
    )
}

#[tokio::test]
async fn bodies_that_are_too_large_too_deep_or_broken_are_refused() {
    let fleet = plain().await;
    let of_size = |size: usize| format!("{{\"name\":\"{}\"}}", "x".repeat(size - 11)).into_bytes();
    assert_eq!(
        post(&fleet, "/fog/group", &of_size((1 << 20) + 1)).await.0,
        413
    );
    assert_eq!(
        post(&fleet, "/fog/group", &of_size(1 << 20)).await.0,
        200,
        "exactly a MiB is read"
    );
    let deep = format!("{{\"name\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(post(&fleet, "/fog/group", deep.as_bytes()).await.0, 400);
    assert_eq!(
        post(&fleet, "/fog/group", b"{\"name\":\"\xff\xfe\"}")
            .await
            .0,
        400,
        "no UTF-8"
    );
    let chunked = head(
        &fleet,
        "POST",
        "/fog/group",
        "transfer-encoding: chunked\r\n",
    ) + "zz\r\nno size\r\n0\r\n\r\n";
    assert!([0, 400].contains(&status(&exchange(&fleet, chunked.as_bytes()).await)));
    assert_eq!(fleet.good("GET", "/fog/group", None).await["count"], 1);
}

#[tokio::test]
async fn every_text_comes_back_as_it_was_sent() {
    let fleet = plain().await;
    for (number, text) in [
        "smile \u{1F600} \u{10FFFF}",
        "nul \0 nul",
        "\u{1}\u{7f}\u{2028}<b>&\"'/\\",
    ]
    .iter()
    .enumerate()
    {
        let body = json!({"name": format!("g{number}"), "description": text}).to_string();
        let (status, made) = post(&fleet, "/fog/group", body.as_bytes()).await;
        assert_eq!(
            (status, made["description"].as_str()),
            (200, Some(*text)),
            "{text:?}"
        );
        let (status, named) = post(
            &fleet,
            "/fog/group",
            json!({"name": text}).to_string().as_bytes(),
        )
        .await;
        assert_eq!(
            (status, named["name"].as_str()),
            (200, Some(*text)),
            "{text:?}"
        );
    }
    let (_, twice) = post(&fleet, "/fog/group", br#"{"name":"first","name":"last"}"#).await;
    assert_eq!(twice["name"], "last", "as PHP reads it");
    assert_eq!(fleet.good("GET", "/fog/group", None).await["count"], 7);
}

#[tokio::test]
async fn strange_requests_are_answered() {
    let fleet = plain().await;
    for (path, expected) in [
        ("/fog/host/18446744073709551616", 404),
        ("/fog/host/99999999999999999999999999999999", 404),
        ("/fog/host/4294967296", 404),
        ("/fog/host/%31", 501),
        ("/fog/h%6Fst/1", 501),
        ("/fog/../../etc/passwd", 501),
        ("/fog/host/search/%00%ff%F0%9F%98%80", 200),
        ("/fog/search/%00%ff%F0%9F%98%80", 200),
        ("/fog/host?start=%00", 400),
        ("/nosuch", 403),
    ] {
        let answer = exchange(
            &fleet,
            head(&fleet, "GET", path, "connection: close\r\n").as_bytes(),
        )
        .await;
        assert!(
            status(&answer) == expected || (path == "/nosuch" && status(&answer) == 404),
            "{path}: {answer}"
        );
    }
    let long = format!("/fog/host/search/{}", "a".repeat(60_000));
    let answer = exchange(
        &fleet,
        head(&fleet, "GET", &long, "connection: close\r\n").as_bytes(),
    )
    .await;
    assert_eq!(status(&answer), 200, "long, and still a URL");
    let absurd = format!("/fog/host/search/{}", "a".repeat(1 << 20));
    assert!([0, 414, 431].contains(&status(
        &exchange(&fleet, head(&fleet, "GET", &absurd, "").as_bytes()).await
    )));
    let many: String = (0..5000)
        .map(|number| format!("x-{number}: y\r\n"))
        .collect();
    assert!([0, 431].contains(&status(
        &exchange(&fleet, head(&fleet, "GET", "/fog/host", &many).as_bytes()).await
    )));
    assert!(
        [0, 400].contains(&status(
            &exchange(
                &fleet,
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage\r\n\r\n"
            )
            .await
        ))
    );
    assert_eq!(fleet.good("GET", "/healthz", None).await["status"], "ok");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let fleet = plain().await;
    let mut bytes = String::new();
    for id in 1..=20 {
        let more = if id == 20 {
            "connection: close\r\n"
        } else {
            ""
        };
        bytes += &head(&fleet, "GET", &format!("/fog/tasktype/{id}/x"), more);
    }
    let answer = exchange(&fleet, bytes.as_bytes()).await;
    assert_eq!(
        answer.matches("HTTP/1.1 200").count(),
        19,
        "all but the one that does not exist: {answer}"
    );
    let ids: Vec<_> = answer
        .split("{\"id\":\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let expected: Vec<_> = (1..=20)
        .filter(|id| *id != 9)
        .map(|id| id.to_string())
        .collect();
    assert_eq!(ids, expected);
}

/// Headers must be complete within ten seconds.
#[tokio::test]
async fn a_client_that_says_nothing_is_given_up_and_holds_up_nobody() {
    let fleet = plain().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = connect(&fleet).await;
        stream
            .write_all(b"GET /fog/host HTTP/1.1\r\nhost: x\r\nx-slow: ")
            .await
            .unwrap();
        slow.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(fleet.good("GET", "/fog/host", None).await["count"], 0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    for mut stream in slow {
        let mut rest = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest));
        let _reset = reading.await.expect("the connection was left open");
    }
    assert_eq!(fleet.good("GET", "/healthz", None).await["status"], "ok");
}

/// Events over a real connection, which ends when the controller stops.
#[tokio::test]
async fn events_arrive_and_end_with_the_controller() {
    let fleet = plain().await;
    let mut stream = connect(&fleet).await;
    stream
        .write_all(
            head(
                &fleet,
                "GET",
                "/events?class=group",
                "accept-encoding: gzip\r\n",
            )
            .as_bytes(),
        )
        .await
        .unwrap();
    let mut heard = String::new();
    let mut buffer = [0; 4096];
    while !heard.contains("event: ready") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        heard +=
            std::str::from_utf8(&buffer[..read]).expect("a stream of events is not compressed");
    }
    fleet
        .good("POST", "/fog/group", Some(json!({"name": "lab"})))
        .await;
    while !heard.contains("event: create") || !heard.contains("\"name\":\"lab\"") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        heard += std::str::from_utf8(&buffer[..read]).unwrap();
    }
    let begun = Instant::now();
    fleet.stop().await;
    let mut rest = Vec::new();
    let _reset = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest))
        .await
        .expect("the stream goes on");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "a listener held up the shutdown: {:?}",
        begun.elapsed()
    );
}

/// Every label of a metric is kept as long as the program runs.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_methods_and_paths_are_no_labels() {
    let fleet = plain().await;
    for number in 0..50 {
        let request = format!(
            "MADEUP{number} /nowhere{number} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        );
        let answer = exchange(&fleet, request.as_bytes()).await;
        assert!(status(&answer) >= 400, "{answer}");
    }
    let (_, metrics) = fleet.anonymous("GET", "/metrics", None).await;
    let metrics = metrics.as_str().unwrap();
    assert!(!metrics.contains("MADEUP") && !metrics.contains("nowhere"));
    assert!(metrics.contains("method=\"other\""));
    fleet.stop().await;
}

/// Making the description takes much memory, so it is made once, whoever asks at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn many_first_callers_of_the_description_get_the_same_document() {
    let fleet = plain().await;
    let ask = || async { fleet.anonymous("GET", "/openapi.json", None).await.1 };
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    assert!(one["paths"].is_object() && one == two && two == three && three == four);
    fleet.stop().await;
}
