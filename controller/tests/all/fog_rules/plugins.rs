//! Plugins as scripts: they change answers, and whatever goes wrong in them changes nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::host;
use crate::fog_support::Server;

/// Drops a plugin into the folder, or replaces it.
pub(crate) async fn drop_in(server: &Server, name: &str, text: &str) {
    std::fs::create_dir_all(&server.plugins_folder).unwrap();
    std::fs::write(server.plugins_folder.join(format!("{name}.rhai")), text).unwrap();
    server.plugins.reload().await;
}

/// A plugin of the documentation, as it is there.
pub(crate) async fn drop_in_example(server: &Server, name: &str) {
    let path = format!("{}/../docs/plugins/{name}.rhai", env!("CARGO_MANIFEST_DIR"));
    drop_in(server, name, &std::fs::read_to_string(path).unwrap()).await;
}

pub(crate) async fn get(server: &Server, path: &str) -> Value {
    let reply = server.call("GET", path, Value::Null).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

/// The plugin as the list of plugins shows it.
async fn shown(server: &Server, name: &str) -> Value {
    let list = get(server, "/fog/plugin").await;
    let is_it = |plugin: &&Value| {
        plugin["name"]
            .as_str()
            .is_some_and(|shown| shown.eq_ignore_ascii_case(name))
    };
    list["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_it)
        .cloned()
        .unwrap_or_default()
}

async fn with_host() -> Server {
    let server = Server::start().await;
    host(&server, "lab1-pc07", "52:54:00:00:00:01", 0).await;
    server
}

#[tokio::test]
async fn the_computed_field_of_the_documentation_is_on_every_host() {
    let server = with_host().await;
    let plain = server.call("GET", "/fog/host/1", Value::Null).await.text;
    assert!(!plain.contains("room"));
    drop_in_example(&server, "computed-field").await;
    assert_eq!(get(&server, "/fog/host/1").await["room"], "lab1");
    assert_eq!(get(&server, "/fog/host").await["hosts"][0]["room"], "lab1");
    assert_eq!(
        get(&server, "/fog/host/search/lab1").await["hosts"][0]["room"],
        "lab1"
    );
    let edited = server
        .call("PUT", "/fog/host/1", json!({"name": "hall-pc01"}))
        .await;
    assert_eq!(edited.json()["room"], "hall");
    let made = server
        .call(
            "POST",
            "/fog/host/create",
            json!({"name": "alone", "macs": ["52:54:00:00:00:02"]}),
        )
        .await;
    assert_eq!(made.json()["room"], "");
    let plugin = shown(&server, "computed-field").await;
    assert_eq!(
        (&plugin["standing"], &plugin["lastError"]),
        (&json!("on"), &Value::Null)
    );
    // What is stored is not touched, and the answer is as before when the plugin goes.
    server
        .call("PUT", "/fog/host/1", json!({"name": "lab1-pc07"}))
        .await;
    std::fs::remove_file(server.plugins_folder.join("computed-field.rhai")).unwrap();
    server.plugins.reload().await;
    assert_eq!(
        server.call("GET", "/fog/host/1", Value::Null).await.text,
        plain
    );
    assert_eq!(get(&server, "/fog/plugin").await["count"], 0);
}

#[tokio::test]
async fn a_plugin_that_goes_wrong_changes_nothing_and_is_reported() {
    let server = with_host().await;
    let plain = server.call("GET", "/fog/host/1", Value::Null).await.text;
    for (name, body, word) in [
        ("loop", "loop { }", "operations"),
        (
            "memory",
            "let a = \"x\"; loop { a += a; }",
            "Length of string",
        ),
        ("arrays", "let a = []; loop { a.push([a]); }", "too large"),
        ("recursion", "deeper(1)", "Stack overflow"),
        ("exception", "throw \"no luck\"", "no luck"),
        ("garbage", "this.data = 42;", "`data` must be a map"),
        ("nothing", "this = 7;", "`this` must be a map"),
        (
            "pointer",
            "this.data.x = Fn(\"deeper\");",
            "be converted to JSON",
        ),
        ("sleep", "sleep(600)", "sleep"),
        ("time", "timestamp()", "timestamp"),
        ("eval", "this.data.room = eval(\"1\");", "eval"),
        ("file", "import \"/etc/passwd\" as secrets;", "import"),
    ] {
        let text = format!(
            "fn deeper(n) {{ deeper(n + 1) }}\nfn API_GETTER() {{ this.data.room = \"half done\"; {body} }}"
        );
        drop_in(&server, name, &text).await;
        let started = Instant::now();
        assert_eq!(
            server.call("GET", "/fog/host/1", Value::Null).await.text,
            plain,
            "{name}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(4),
            "{name}: {:?}",
            started.elapsed()
        );
        let plugin = shown(&server, name).await;
        let said = |error: &str| error.contains(word) || error.contains("took longer");
        assert!(
            plugin["lastError"].as_str().is_some_and(said),
            "{name}: {plugin}"
        );
        assert!(
            plugin["lastErrorTime"]
                .as_str()
                .is_some_and(|at| at.starts_with("20")),
            "{name}: {plugin}"
        );
        std::fs::remove_file(server.plugins_folder.join(format!("{name}.rhai"))).unwrap();
    }
    server.plugins.reload().await;
    assert_eq!(
        server.call("GET", "/fog/host/1", Value::Null).await.text,
        plain
    );
}

#[tokio::test]
async fn deep_values_and_slow_calls_come_to_an_end() {
    let server = with_host().await;
    let plain = server.call("GET", "/fog/host", Value::Null).await.text;
    for (name, body) in [
        ("nested", "let a = []; loop { a = [a]; }"),
        ("maps", "let m = #{}; loop { m = #{ inner: m }; }"),
        (
            "slow",
            "let a = []; a.pad(15000, 1); loop { for x in a { if x == 2 { throw x; } } a.reverse(); }",
        ),
    ] {
        drop_in(
            &server,
            name,
            &format!("fn API_MASSDATA_MAPPING() {{ {body} }}"),
        )
        .await;
        let started = Instant::now();
        assert_eq!(
            server.call("GET", "/fog/host", Value::Null).await.text,
            plain,
            "{name}"
        );
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            started.elapsed()
        );
        assert_ne!(
            shown(&server, name).await["lastError"],
            Value::Null,
            "{name}"
        );
        std::fs::remove_file(server.plugins_folder.join(format!("{name}.rhai"))).unwrap();
    }
}

#[tokio::test]
async fn one_that_keeps_failing_is_not_asked_until_its_file_changes() {
    let server = with_host().await;
    drop_in(&server, "bad", "fn API_GETTER() { throw \"again\" }").await;
    drop_in(
        &server,
        "good",
        "fn API_GETTER() { this.data.good = true; }",
    )
    .await;
    for _ in 0..8 {
        assert_eq!(get(&server, "/fog/host/1").await["good"], true);
    }
    let plugin = shown(&server, "bad").await;
    assert_eq!(
        (&plugin["standing"], &plugin["failures"]),
        (&json!("suspended"), &json!(5)),
        "{plugin}"
    );
    assert_eq!(shown(&server, "good").await["standing"], "on");
    drop_in(&server, "bad", "fn API_GETTER() { this.data.mended = 1; }").await;
    assert_eq!(get(&server, "/fog/host/1").await["mended"], 1);
    assert_eq!(shown(&server, "bad").await["lastError"], Value::Null);
}

#[tokio::test]
async fn files_that_are_no_plugins_are_reported_and_not_loaded() {
    let server = with_host().await;
    for (name, text, word) in [
        ("syntax", "fn API_GETTER( {", "does not compile"),
        ("describes", "fn plugin() { #{ colour: 1 } }", "colour"),
        ("loops", "fn plugin() { loop {} }", "plugin()"),
        (
            "takes",
            "fn plugin() { #{ classes: [#{ name: \"host\", fields: [] }] } }",
            "the name is in use",
        ),
        (
            "refers",
            "fn plugin() { #{ classes: [#{ name: \"a\", fields: [#{ name: \"b\", type: \"reference\", class: \"c\" }] }] } }",
            "\"c\"",
        ),
    ] {
        drop_in(&server, name, text).await;
        let plugin = shown(&server, name).await;
        assert_eq!(plugin["standing"], "broken", "{name}");
        assert!(
            plugin["lastError"]
                .as_str()
                .is_some_and(|error| error.contains(word)),
            "{name}: {plugin}"
        );
    }
    assert_eq!(server.call("GET", "/fog/a", Value::Null).await.status, 501);
    assert_eq!(get(&server, "/fog/plugin").await["count"], 5);
}

#[tokio::test]
async fn lists_single_objects_and_objects_inside_others_are_told_apart() {
    let server = with_host().await;
    let group = server
        .call(
            "POST",
            "/fog/group/create",
            json!({"name": "lab", "hosts": [1]}),
        )
        .await;
    assert_eq!(group.status, 200);
    let text = r#"
        fn plugin() { #{ hooks: #{ API_INDIVDATA_MAPPING: ["host"], API_MASSDATA_MAPPING: ["host"],
            API_GETTER: ["host"] } } }
        fn API_GETTER() { this.data.got = this.classname + this.class.id; }
        fn API_INDIVDATA_MAPPING() { this.data.single = this.data.got; }
        fn API_MASSDATA_MAPPING() { this.data.listed = this.data.hosts.len(); this.data.hosts[0].first = this.classman.class; }
    "#;
    drop_in(&server, "three", text).await;
    let one = get(&server, "/fog/host/1").await;
    assert_eq!(
        (&one["got"], &one["single"]),
        (&json!("host1"), &json!("host1"))
    );
    let list = get(&server, "/fog/host").await;
    assert_eq!(
        (&list["listed"], &list["hosts"][0]["first"]),
        (&json!(1), &json!("host"))
    );
    assert_eq!(
        (&list["hosts"][0]["got"], &list["hosts"][0]["single"]),
        (&json!("host1"), &Value::Null)
    );
    assert!(
        !server
            .call("GET", "/fog/group/1", Value::Null)
            .await
            .text
            .contains("got")
    );
    assert_eq!(
        get(&server, "/fog/host/names").await,
        json!([{"id": "1", "name": "lab1-pc07"}])
    );
    // A list must stay one.
    drop_in(
        &server,
        "three",
        "fn API_MASSDATA_MAPPING() { this.data.hosts = [1]; }",
    )
    .await;
    assert_eq!(get(&server, "/fog/host").await["hosts"][0]["id"], "1");
    assert_ne!(shown(&server, "three").await["lastError"], Value::Null);
}

#[tokio::test]
async fn plugins_have_a_say_in_which_classes_have_which_routes() {
    let server = with_host().await;
    let text = r#"
        fn API_VALID_CLASSES() { this.validClasses.retain(|name| name != "os"); }
        fn API_TASKING_CLASSES() { this.validTaskingClasses.retain(|name| name != "host"); }
        fn API_ACTIVE_TASK_CLASSES() { this.validActiveTasks.clear(); }
    "#;
    drop_in(&server, "fewer", text).await;
    assert_eq!(shown(&server, "fewer").await["lastError"], Value::Null);
    for (method, path, body) in [
        ("GET", "/fog/os", Value::Null),
        ("GET", "/fog/os/1", Value::Null),
        ("POST", "/fog/os/create", json!({"name": "x"})),
        ("POST", "/fog/host/1/task", json!({"taskTypeID": 14})),
        ("DELETE", "/fog/host/1/cancel", Value::Null),
        ("GET", "/fog/task/active", Value::Null),
    ] {
        assert_eq!(
            server.call(method, path, body).await.status,
            501,
            "{method} {path}"
        );
    }
    get(&server, "/fog/host/1").await;
    drop_in(
        &server,
        "fewer",
        "fn API_VALID_CLASSES() { this.validClasses = \"all\"; }",
    )
    .await;
    assert_eq!(get(&server, "/fog/os").await["count"], 12);
    assert_ne!(shown(&server, "fewer").await["lastError"], Value::Null);
}

#[tokio::test]
async fn a_row_with_state_0_switches_a_plugin_off() {
    let server = with_host().await;
    drop_in_example(&server, "computed-field").await;
    let made = server
        .call(
            "POST",
            "/fog/plugin/create",
            json!({"name": "Computed-Field", "state": 1}),
        )
        .await
        .json();
    assert_eq!(
        (&made["standing"], &made["hash"].as_str().map(str::len)),
        (&json!("on"), &Some(32))
    );
    assert_eq!(get(&server, "/fog/host/1").await["room"], "lab1");
    let list = get(&server, "/fog/plugin").await;
    assert_eq!(
        (
            &list["count"],
            &list["count_active"],
            &list["count_not_active"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );
    server
        .call("PUT", "/fog/plugin/1", json!({"state": 0}))
        .await;
    server.plugins.reload().await;
    assert_eq!(get(&server, "/fog/host/1").await["room"], Value::Null);
    assert_eq!(shown(&server, "computed-field").await["standing"], "off");
    assert_eq!(
        server
            .call("DELETE", "/fog/plugin/1", Value::Null)
            .await
            .status,
        200
    );
    server.plugins.reload().await;
    assert_eq!(get(&server, "/fog/host/1").await["room"], "lab1");
}

#[tokio::test]
async fn the_folder_is_followed() {
    let server = with_host().await;
    let cancel = tokio_util::sync::CancellationToken::new();
    let follower = tokio::spawn(
        server
            .plugins
            .clone()
            .follow(server.ctx.background.clone(), cancel.clone()),
    );
    std::fs::create_dir_all(&server.plugins_folder).unwrap();
    for version in ["one", "two"] {
        let text = format!("fn API_INDIVDATA_MAPPING() {{ this.data.version = \"{version}\"; }}");
        std::fs::write(server.plugins_folder.join("new.rhai"), text).unwrap();
        let arrives = async {
            while get(&server, "/fog/host/1").await["version"] != version {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrives)
            .await
            .expect(version);
    }
    cancel.cancel();
    follower.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_never_ends_does_not_hold_up_others() {
    let server = std::sync::Arc::new(with_host().await);
    let text = "fn plugin() { #{ hooks: #{ API_GETTER: [\"host\"] } } } fn API_GETTER() { loop { this.data.x = 1; } }";
    drop_in(&server, "endless", text).await;
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let server = server.clone();
        requests.spawn(async move { get(&server, "/fog/host/1").await["x"].clone() });
    }
    let started = Instant::now();
    assert_eq!(get(&server, "/fog/os").await["count"], 12);
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    let all = tokio::time::timeout(Duration::from_secs(30), requests.join_all())
        .await
        .unwrap();
    assert!(all.iter().all(Value::is_null), "{all:?}");
}

#[tokio::test]
async fn a_host_inside_another_object_looks_like_the_host_itself() {
    let server = with_host().await;
    let job = server
        .call(
            "POST",
            "/fog/snapinjob/create",
            json!({"hostID": 1, "stateID": 1}),
        )
        .await;
    assert_eq!(job.status, 200, "{}", job.text);
    drop_in_example(&server, "computed-field").await;
    let host = get(&server, "/fog/host/1").await;
    for path in ["/fog/snapinjob/1", "/fog/snapinjob"] {
        let answer = get(&server, path).await;
        let job = if answer["host"].is_null() {
            &answer["snapinjobs"][0]
        } else {
            &answer
        };
        assert_eq!(job["host"], host, "{path}");
    }
    assert_eq!(
        get(&server, "/fog/search/lab1").await["results"]["host"]["hosts"][0]["room"],
        "lab1"
    );
}

#[tokio::test]
async fn the_tag_of_a_changed_answer_is_that_of_its_bytes_and_of_the_stored_version() {
    let server = with_host().await;
    let tag =
        |reply: &crate::fog_support::Reply| reply.headers["etag"].to_str().unwrap().to_owned();
    let plain = tag(&server.call("GET", "/fog/host/1", Value::Null).await);
    drop_in(&server, "new", "fn API_GETTER() { this.data.x = 1; }").await;
    let one = tag(&server.call("GET", "/fog/host/1", Value::Null).await);
    drop_in(&server, "new", "fn API_GETTER() { this.data.x = 2; }").await;
    let two = tag(&server.call("GET", "/fog/host/1", Value::Null).await);
    assert!(
        plain != one && one != two && plain != two,
        "{plain} {one} {two}"
    );
}

#[tokio::test]
async fn a_plugin_with_a_file_has_versions_like_every_object() {
    let server = with_host().await;
    drop_in_example(&server, "computed-field").await;
    server
        .call(
            "POST",
            "/fog/plugin/create",
            json!({"name": "computed-field", "state": 1}),
        )
        .await;
    let seen = server
        .call("GET", "/fog/plugin/1", Value::Null)
        .await
        .header("etag")
        .to_owned();
    let change = async |method: &str, state: u32| {
        let mut headers = server.tokens();
        headers.push(("if-match".to_owned(), seen.clone()));
        let body = if method == "PUT" {
            json!({"state": state}).to_string().into_bytes()
        } else {
            Vec::new()
        };
        server
            .send(method, "/fog/plugin/1", &headers, body)
            .await
            .status
            .as_u16()
    };
    assert_eq!(change("PUT", 0).await, 200);
    assert_eq!(
        (change("PUT", 1).await, change("DELETE", 1).await),
        (412, 412)
    );
    assert_eq!(get(&server, "/fog/plugin/1").await["state"], "0");
}
