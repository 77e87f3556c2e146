//! Compressed answers and bodies.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::fog_rules::count;
use crate::fog_support::{Reply, Server};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

async fn get(server: &Server, path: &str, accept: &str, condition: &str) -> Reply {
    let mut headers = server.tokens();
    headers.push(("accept-encoding".to_owned(), accept.to_owned()));
    headers.push(("if-none-match".to_owned(), condition.to_owned()));
    server.send("GET", path, &headers, Vec::new()).await
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_take_it() {
    let server = Server::start().await;
    let path = "/fog/tasktype";
    let plain = get(&server, path, "identity", "").await;
    assert_eq!(plain.header("content-encoding"), "");
    for (accept, encoding) in [
        ("gzip", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("br", ""),
    ] {
        let packed = get(&server, path, accept, "").await;
        assert_eq!(
            (packed.status.as_u16(), packed.header("content-encoding")),
            (200, encoding),
            "{accept}"
        );
        let unpacked = match encoding {
            "gzip" => {
                let mut bytes = Vec::new();
                GzDecoder::new(&*packed.bytes)
                    .read_to_end(&mut bytes)
                    .unwrap();
                bytes
            }
            "zstd" => zstd::decode_all(&*packed.bytes).unwrap(),
            _ => packed.bytes.clone(),
        };
        assert_eq!(unpacked, plain.bytes, "{accept}");
        assert!(
            encoding.is_empty() || packed.bytes.len() < plain.bytes.len() / 2,
            "{accept}"
        );
        assert_eq!(
            packed.header("etag") == plain.header("etag"),
            encoding.is_empty(),
            "other bytes, another tag"
        );
        assert_eq!(
            get(&server, path, accept, packed.header("etag"))
                .await
                .status,
            304,
            "{accept}"
        );
        assert!(
            encoding.is_empty() || packed.header("vary").contains("accept-encoding"),
            "{accept}"
        );
    }
    let small = get(&server, "/fog/os/1", "gzip, zstd", "").await;
    assert_eq!(
        small.header("content-encoding"),
        "",
        "{} bytes are not worth it",
        small.bytes.len()
    );
}

#[tokio::test]
async fn compressed_bodies_are_read_within_the_same_limit() {
    let server = Server::start().await;
    let send = async |encoding: &str, body: Vec<u8>| {
        let mut headers = server.tokens();
        headers.push(("content-encoding".to_owned(), encoding.to_owned()));
        server
            .send("POST", "/fog/group/create", &headers, body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(send("gzip", gzip(br#"{"name":"zipped"}"#)).await, 200);
    assert_eq!(send("zstd", zstd(br#"{"name":"standard"}"#)).await, 200);
    // A few kilobytes that become 64 MiB.
    let bomb = format!("{{\"name\":\"{}\"}}", "x".repeat(64 << 20));
    let (gzip_bomb, zstd_bomb) = (gzip(bomb.as_bytes()), zstd(bomb.as_bytes()));
    assert!(gzip_bomb.len() < 1 << 17 && zstd_bomb.len() < 1 << 17);
    assert_eq!(
        [send("gzip", gzip_bomb).await, send("zstd", zstd_bomb).await],
        [413, 413]
    );
    let mut cut = gzip(br#"{"name":"cut"}"#);
    cut.truncate(cut.len() / 2);
    assert_eq!(
        [
            send("gzip", cut).await,
            send("zstd", b"{\"name\":\"no\"}".to_vec()).await
        ],
        [400, 400]
    );
    assert_eq!(send("br", b"x".to_vec()).await, 415);
    assert_eq!(count(&server, "/fog/group").await, 2);
    assert_eq!(
        server.call("GET", "/fog/group/1", Value::Null).await.json()["name"],
        "zipped"
    );
}
