//! Tokens, scopes, factories, and the form of refusals.

use data_encoding::BASE64;
use foghorn_controller::state::machines::scope::Scope;
use serde_json::{Value, json};

use super::{Factory, assert_refused, token};
use crate::fog_support::Server;

fn header(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_in_both_headers_and_paths_in_both_spellings() {
    let factory = Factory::start().await;
    let token = &factory.token;
    let encoded = BASE64.encode(token.as_bytes());
    for headers in [
        header("OSF-TOKEN", token),
        header("osf-token", token),
        header("Authorization", &format!("Bearer {encoded}")),
        header("Authorization", &format!("Bearer {token}")),
    ] {
        for path in [
            "/ota/devices/",
            "/ota/devices",
            "/ota/devices/?mine=0&name=",
        ] {
            let reply = factory.server.send("GET", path, &headers, Vec::new()).await;
            assert_eq!(reply.status, 200, "{path} {headers:?}: {}", reply.text);
        }
    }
    for headers in [
        Vec::new(),
        header("OSF-TOKEN", "wrong"),
        header("Authorization", "Basic Zm9nOnBhc3N3b3Jk"),
        factory.server.tokens(),
    ] {
        let reply = factory
            .server
            .send("GET", "/ota/devices/", &headers, Vec::new())
            .await;
        assert_refused(&reply, 401);
    }
    // And the token opens nothing else.
    let fog = factory
        .server
        .send("GET", "/fog/host", &header("OSF-TOKEN", token), Vec::new())
        .await;
    assert_eq!(fog.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_tokens_has_to_wait_and_a_good_one_does_not() {
    let factory = Factory::start().await;
    let guess = header("OSF-TOKEN", "guess");
    let mut last = 401;
    for _ in 0..200 {
        let reply = factory
            .server
            .send("GET", "/ota/devices/", &guess, Vec::new())
            .await;
        last = reply.status.as_u16();
        if last != 401 {
            assert_refused(&reply, 429);
            assert!(!reply.header("retry-after").is_empty());
            break;
        }
    }
    assert_eq!(last, 429);
    assert_eq!(factory.get("/ota/devices/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_what_its_scopes_say() {
    let factory = Factory::start().await;
    let uuid = factory.device(1, "", "").await.uuid;
    let reader = token(&factory.server, &[Scope::DevicesRead], &[]).await;
    let one = format!("/ota/devices/{uuid}/");
    let config = format!("/ota/devices/{uuid}/config/");
    let targets = factory.at("targets/");
    for (method, path, status) in [
        ("GET", "/ota/devices/", 200),
        ("GET", &*one, 200),
        ("GET", &*config, 200),
        ("PATCH", &*one, 403),
        ("PATCH", &*config, 403),
        ("DELETE", &*one, 403),
        ("GET", &*targets, 403),
        ("PATCH", &*targets, 403),
    ] {
        let body = if method == "GET" {
            Value::Null
        } else {
            json!({})
        };
        let reply = factory.call_as(&reader, method, path, body).await;
        match status {
            403 => assert_refused(&reply, 403),
            status => assert_eq!(reply.status, status, "{method} {path}: {}", reply.text),
        }
    }
    let editor = token(&factory.server, &[Scope::DevicesReadUpdate], &[]).await;
    let read = factory.call_as(&editor, "GET", &one, Value::Null).await;
    assert_eq!(read.status, 200, "to update includes to read");
    assert_refused(
        &factory.call_as(&editor, "DELETE", &one, Value::Null).await,
        403,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_factory_sees_nothing_of_another() {
    let factory = Factory::start().await;
    let uuid = factory.device(1, "", "").await.uuid;
    let made = factory
        .server
        .call(
            "POST",
            "/fog/storagegroup/create",
            json!({"name": "elsewhere"}),
        )
        .await;
    assert!(made.status.is_success(), "{}", made.text);
    let other = token(&factory.server, &Scope::ALL, &["elsewhere"]).await;
    let get = |path: String| {
        let (factory, other) = (&factory, &other);
        async move { factory.call_as(other, "GET", &path, Value::Null).await }
    };
    assert_eq!(get("/ota/devices/".to_owned()).await.json()["total"], 0);
    assert_refused(&get(format!("/ota/devices/{uuid}/")).await, 404);
    let named = format!("/ota/devices/?factory={}", factory.name);
    assert_refused(&get(named).await, 403);
    for rest in [
        "targets/",
        "config/",
        "device-groups/",
        "users/",
        "status/",
        "denied-devices/",
    ] {
        assert_refused(&get(factory.at(rest)).await, 403);
    }
    assert_refused(
        &get("/ota/factories/nowhere/targets/".to_owned()).await,
        404,
    );
    let seen = get("/ota/factories/".to_owned()).await.json();
    assert_eq!(seen.as_array().unwrap().len(), 1);
    assert_eq!(seen[0]["name"], "elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_from_what_is_left_out() {
    let factory = Factory::start().await;
    for (method, rest) in [
        ("GET", "waves/"),
        ("GET", "teams"),
        ("GET", "wireguard-ips/"),
        ("GET", "certs/"),
        ("PUT", "targets/"),
        ("POST", "targets"),
    ] {
        let reply = factory.call(method, &factory.at(rest), Value::Null).await;
        assert_refused(&reply, 501);
    }
    assert_refused(
        &factory
            .get("/ota/repo/lab/api/v1/user_repo/root.json")
            .await,
        501,
    );
    assert_refused(&factory.get("/ota/nowhere/").await, 404);
    assert_refused(
        &factory
            .call("PUT", &factory.at("status/"), Value::Null)
            .await,
        405,
    );
    let dry = "/ota/factories/x/targets/?dry_run=perhaps";
    assert_refused(
        &factory.call("PATCH", dry, json!({"targets": {}})).await,
        400,
    );
    // Nobody learns without a token what there is.
    let stranger = factory
        .server
        .send("GET", "/ota/nowhere/", &[], Vec::new())
        .await;
    assert_refused(&stranger, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_served_unless_it_is_switched_on() {
    let server = Server::start_without_foundries().await;
    let token = token(&server, &Scope::ALL, &[]).await;
    for headers in [header("OSF-TOKEN", &token), server.tokens()] {
        let reply = server
            .send("GET", "/ota/devices/", &headers, Vec::new())
            .await;
        assert!(
            [403, 404].contains(&reply.status.as_u16()),
            "{}",
            reply.text
        );
    }
    for path in ["/openapi-factory.json", "/docs/factory.html"] {
        assert_eq!(
            server.send("GET", path, &[], Vec::new()).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_a_document_of_its_own() {
    let factory = Factory::start().await;
    let reply = factory
        .server
        .send("GET", "/openapi-factory.json", &[], Vec::new())
        .await;
    assert_eq!(reply.status, 200);
    let document = reply.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.contains_key("/ota/devices/{dev}/config/{file}"));
    assert!(paths.keys().all(|path| path.starts_with("/ota/")));
    let page = factory
        .server
        .send("GET", "/docs/factory.html", &[], Vec::new())
        .await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("../openapi-factory.json"));
}
