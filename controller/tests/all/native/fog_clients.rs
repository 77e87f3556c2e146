//! What programs that were written for a FOG server send, each call over real plain HTTP: those
//! that some of them stumbled over.

use foghorn_controller::Config;
use foghorn_controller::config::StoreConfig;
use foghorn_controller::store::etcd::EtcdOptions;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::engine::{BOTH, Engine, Kind};
use crate::native::fleet::{Fleet, PATIENCE};

/// A controller that takes plain HTTP, on an engine of each kind.
async fn plain_on(kind: Kind) -> (Fleet, Option<Engine>) {
    let engine = match kind {
        Kind::Embedded => None,
        Kind::Etcd => Some(Engine::start(kind).await),
    };
    let endpoint = engine.as_ref().map(Engine::endpoint);
    let fleet = Fleet::with(|config: &mut Config| {
        config.rest.plain_http = true;
        if let Some(endpoint) = endpoint {
            config.store = StoreConfig::Etcd(EtcdOptions {
                endpoints: vec![endpoint],
                tls: None,
                login: None,
            });
        }
    })
    .await;
    (fleet, engine)
}

/// Who sends a call.
#[derive(Clone, Copy, PartialEq)]
enum As {
    Tokens,
    /// As an administrator who asks for secrets.
    Secrets,
    Nobody,
}

struct Reply {
    status: u16,
    content_type: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

async fn call(fleet: &Fleet, by: As, method: &str, path: &str, body: &Value) -> Reply {
    let url = fleet.controller.rest_url();
    let first = fleet.controller.first_run().unwrap();
    let mut stream = TcpStream::connect(url.strip_prefix("https://").unwrap())
        .await
        .unwrap();
    let tokens = match by {
        As::Nobody => String::new(),
        As::Tokens | As::Secrets => format!(
            "fog-api-token: {}\r\nfog-user-token: {}\r\nfoghorn-secrets: {}\r\n",
            first.api_token,
            first.user_token,
            if by == As::Secrets { "show" } else { "no" }
        ),
    };
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: fogserver\r\nconnection: close\r\n{tokens}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .expect("the server neither answered nor closed")
        .unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    let header = |wanted: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| *name == wanted)
            .map_or("", |(_, value)| value)
    };
    let chunked = header("transfer-encoding") == "chunked";
    Reply {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        content_type: header("content-type").to_owned(),
        text: if chunked {
            unchunked(text)
        } else {
            text.to_owned()
        },
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut text = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    text
}

/// One call, its status, and what the answer must have: a piece of its text.
type Call = (As, &'static str, &'static str, Value, u16, &'static str);

fn set_up() -> Vec<Call> {
    let post = |path, body| (As::Tokens, "POST", path, body, 200, "");
    vec![
        post(
            "/fog/image",
            json!({"name": "WIN11-Büro 1", "path": "win11", "osID": 9, "imageTypeID": 1,
                "imagePartitionTypeID": 1, "isEnabled": "1"}),
        ),
        post(
            "/fog/host",
            json!({"name": "LAB-PC01", "macs": ["02:00:00:00:00:01", "02:00:00:00:00:02"],
                "imageID": 1, "ADPass": "hunter2", "printers": [1], "modules": [1, 2]}),
        ),
        post(
            "/fog/host",
            json!({"name": "lab-pc02", "macs": ["02:00:00:00:00:03"], "imageID": 1}),
        ),
        post("/fog/group", json!({"name": "Raum Ü1", "hosts": [1, 2]})),
        post(
            "/fog/printer",
            json!({"name": "HP-FLUR", "config": "Local"}),
        ),
        post("/fog/snapin", json!({"name": "FIREFOX", "file": "f.msi"})),
    ]
}

fn stumbled_over() -> Vec<Call> {
    use As::{Nobody, Tokens};
    let none = Value::Null;
    let night = |more: Value| {
        let mut body = json!({"name": "night", "type": "S", "hostID": 1,
            "scheduleTime": 4_000_000_000_u32, "isActive": 1});
        let (Value::Object(body_members), Value::Object(more)) = (&mut body, more) else {
            panic!("not an object")
        };
        body_members.extend(more);
        body
    };
    vec![
        // Whether the server is there, and which version it speaks.
        (Tokens, "GET", "/fog/status", none.clone(), 200, "success"),
        (Tokens, "GET", "/fog/status/", none.clone(), 200, "success"),
        (
            Tokens,
            "GET",
            "/fog/system/status",
            none.clone(),
            200,
            "success",
        ),
        (Nobody, "GET", "/fog/status", none.clone(), 403, ""),
        (
            Nobody,
            "GET",
            "/fog/service/getversion.php",
            none.clone(),
            200,
            "1.5.8",
        ),
        (
            Nobody,
            "POST",
            "/fog/service/getversion.php",
            none.clone(),
            200,
            "1.5.8",
        ),
        (
            Nobody,
            "GET",
            "/fog/service/getversion.php?clientver",
            none.clone(),
            200,
            "0.11.19",
        ),
        (
            Nobody,
            "GET",
            "/fog/service/getversion.php?client",
            none.clone(),
            200,
            "0.11.19",
        ),
        (
            Nobody,
            "GET",
            "/fog/service/getversion.php?url=http://x",
            none.clone(),
            404,
            "does not ask",
        ),
        // Pages of a FOG server that are none of ours.
        (
            Nobody,
            "GET",
            "/fog/management/index.php?sub=requestClientInfo",
            none.clone(),
            404,
            "index.php",
        ),
        (
            Nobody,
            "POST",
            "/fog/service/register.php",
            none.clone(),
            404,
            "boot environment",
        ),
        (
            Nobody,
            "GET",
            "/fog/service/ipxe/boot.php",
            none.clone(),
            404,
            "boot environment",
        ),
        (
            Tokens,
            "GET",
            "/fog/service/list",
            none.clone(),
            200,
            "FOG_TFTP_HOST",
        ),
        (Tokens, "GET", "/fog/service/active", none.clone(), 501, ""),
        (Nobody, "GET", "/fog/service/list", none.clone(), 403, ""),
        // A schedule's type under either name.
        (
            Tokens,
            "POST",
            "/fog/scheduledtask",
            night(json!({"taskTypeID": 10})),
            200,
            "\"taskType\":\"10\"",
        ),
        (
            Tokens,
            "PUT",
            "/fog/scheduledtask/1",
            json!({"taskTypeID": "11"}),
            200,
            "\"taskType\":\"11\"",
        ),
        (
            Tokens,
            "POST",
            "/fog/scheduledtask",
            night(json!({"name": "two", "taskTypeID": 10, "taskType": 1})),
            500,
            "taskTypeID",
        ),
        (
            Tokens,
            "POST",
            "/fog/scheduledtask",
            night(json!({"name": "same", "taskTypeID": 10, "taskType": "10"})),
            200,
            "",
        ),
        (
            Tokens,
            "POST",
            "/fog/host/2/task",
            json!({"taskTypeID": 2, "taskType": 1}),
            500,
            "taskType",
        ),
        // An object's own name is no clash; another's is.
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"name": "LAB-PC01"}),
            200,
            "LAB-PC01",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"name": "Lab-PC01"}),
            200,
            "Lab-PC01",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"name": "LAB-PC02"}),
            500,
            "Already created",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/2",
            json!({"name": "lab-pc01"}),
            500,
            "Already created",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"macs": ["02-00-00-00-00-01", "02:00:00:00:00:02"]}),
            200,
            "",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"macs": ["02:00:00:00:00:01"]}),
            500,
            "macs",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"macs": ["02:00:00:00:00:03"]}),
            500,
            "macs",
        ),
        // A search as it was sent, and decoded when that finds nothing.
        (
            Tokens,
            "GET",
            "/fog/image/search/B%C3%BCro%201",
            none.clone(),
            200,
            "WIN11-B",
        ),
        (
            Tokens,
            "GET",
            "/fog/image/search/b%c3%bcro",
            none.clone(),
            200,
            "WIN11-B",
        ),
        (
            Tokens,
            "GET",
            "/fog/group/search/Raum%20%C3%9C1",
            none.clone(),
            200,
            "\"count\":1",
        ),
        (
            Tokens,
            "GET",
            "/fog/host/search/02%3A00%3A00%3A00%3A00%3A03",
            none.clone(),
            200,
            "lab-pc02",
        ),
        (
            Tokens,
            "GET",
            "/fog/image/search/nothing%20here",
            none.clone(),
            200,
            "\"count\":0",
        ),
        (
            Tokens,
            "GET",
            "/fog/image/search/%ff",
            none.clone(),
            200,
            "\"count\":0",
        ),
        // Printers and modules of hosts.
        (
            Tokens,
            "GET",
            "/fog/printerassociation",
            json!({"hostID": 1}),
            200,
            "\"printerID\":\"1\"",
        ),
        (
            Tokens,
            "GET",
            "/fog/moduleassociation",
            json!({"hostID": 1}),
            200,
            "\"count\":2",
        ),
        (
            Tokens,
            "PUT",
            "/fog/moduleassociation/1",
            json!({"state": 0}),
            200,
            "",
        ),
        (
            Tokens,
            "PUT",
            "/fog/host/1",
            json!({"modules": [1, 3], "printers": []}),
            200,
            "",
        ),
        (
            Tokens,
            "GET",
            "/fog/moduleassociation",
            json!({"hostID": 1, "moduleID": [1, 3], "state": "1"}),
            200,
            "\"count\":2",
        ),
        (
            Tokens,
            "GET",
            "/fog/moduleassociation",
            json!({"hostID": 1}),
            200,
            "\"count\":2",
        ),
        (
            Tokens,
            "GET",
            "/fog/printerassociation",
            json!({"hostID": 1}),
            200,
            "\"count\":0",
        ),
        (
            Tokens,
            "PUT",
            "/fog/group/1",
            json!({"modules": [4], "printers": [1]}),
            200,
            "",
        ),
        (
            Tokens,
            "GET",
            "/fog/moduleassociation",
            json!({"moduleID": 4}),
            200,
            "\"count\":2",
        ),
        (
            Tokens,
            "GET",
            "/fog/moduleassociation",
            none.clone(),
            200,
            "\"count\":2",
        ),
        (
            Tokens,
            "GET",
            "/fog/printerassociation",
            none,
            200,
            "\"count\":2",
        ),
    ]
}

/// Objects as they are shown, of every class whose objects people edit.
const SENT_BACK: &[&str] = &[
    "host",
    "group",
    "image",
    "snapin",
    "printer",
    "scheduledtask",
    "storagegroup",
    "storagenode",
    "groupassociation",
    "imageassociation",
    "snapingroupassociation",
    "printerassociation",
    "moduleassociation",
    "macaddressassociation",
    "module",
    "os",
    "imagetype",
    "imagepartitiontype",
    "tasktype",
    "taskstate",
    "pxemenuoptions",
    "keysequence",
    "usercleanup",
    "service",
];

async fn check(fleet: &Fleet, kind: Kind, (by, method, path, body, status, has): Call) {
    let reply = call(fleet, by, method, path, &body).await;
    let said = format!(
        "{kind:?}: {method} {path} {body}: {} {}",
        reply.status, reply.text
    );
    assert_eq!(reply.status, status, "{said}");
    let problem = reply.text.is_empty() && status != 200;
    assert!(problem || reply.text.contains(has), "{said}");
    if status == 404 && path.contains(".php") {
        let sentence = reply.json()["error"].as_str().unwrap_or_default().len();
        assert!(sentence > 20, "{said}");
    }
    if path.contains("getversion") && status == 200 {
        assert!(reply.content_type.starts_with("text/plain"), "{said}");
    }
}

#[tokio::test]
async fn programs_for_a_fog_server_get_what_they_expect() {
    for kind in BOTH {
        let (fleet, _engine) = plain_on(kind).await;
        for one in set_up().into_iter().chain(stumbled_over()) {
            check(&fleet, kind, one).await;
        }
        for class in SENT_BACK {
            let path = format!("/fog/{class}/list");
            let list = call(&fleet, As::Tokens, "GET", &path, &Value::Null).await;
            let rows = list.json()[format!("{class}s")].clone();
            let rows = rows.as_array().unwrap();
            assert!(!rows.is_empty(), "{kind:?}: no {class}");
            for row in rows.iter().take(3) {
                let path = format!("/fog/{class}/{}", row["id"].as_str().unwrap());
                let before = call(&fleet, As::Tokens, "GET", &path, &Value::Null).await;
                let reply = call(&fleet, As::Tokens, "PUT", &path, &before.json()).await;
                let said = format!("{kind:?}: {path} was sent back: {}", reply.text);
                assert_eq!(reply.status, 200, "{said}");
                // As on a FOG server, an edit takes the last slash off its paths.
                if *class != "storagenode" {
                    assert_eq!(reply.json(), before.json(), "{said}");
                }
            }
        }
        let secret = call(&fleet, As::Secrets, "GET", "/fog/host/1", &Value::Null).await;
        assert_eq!(
            secret.json()["ADPass"],
            "hunter2",
            "it was sent back as empty"
        );
        fleet.stop().await;
    }
}

#[tokio::test]
async fn one_port_takes_https_and_plain_http() {
    let (fleet, _) = plain_on(Kind::Embedded).await;
    assert_eq!(fleet.good("GET", "/fog/host", None).await["count"], 0);
    let plain = call(&fleet, As::Tokens, "GET", "/fog/host", &Value::Null).await;
    assert_eq!(
        (plain.status, plain.json()["count"].as_u64()),
        (200, Some(0))
    );

    let secured = Fleet::new().await;
    let url = secured.controller.rest_url();
    let mut stream = TcpStream::connect(url.strip_prefix("https://").unwrap())
        .await
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("it is closed");
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("use https://"),
        "HTTPS only, unless asked for: {answer}"
    );
}
