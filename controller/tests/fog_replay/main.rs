//! Replays recordings of a FOG server against the real router on an embedded store and compares status, content type and
//! body. What may differ is written down in `tests/fog-deviations.toml`; everything else that differs fails the test.
//!
//! The recordings lie beside the project. Without them the test says so and passes, except under CI.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "helpers of a test may fail loudly and are seen by this binary only"
)]

#[path = "../fog_support/mod.rs"]
mod fog_support;

mod compare;
mod deviations;
mod recording;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use foghorn_controller::app::accounts::{self, NewUser};
use foghorn_controller::state::Draft;
use foghorn_controller::state::classes::StorageNode;
use serde_json::Value;

use self::compare::Expected;
use self::deviations::Deviations;
use self::fog_support::Server;
use self::recording::Record;

/// Classes that are served now. Records of others are left out and counted.
const CLASSES: &[&str] = &[
    "system",
    "search",
    "unisearch",
    "user",
    "users",
    "hosts",
    "nosuchclass",
    "HOST",
    "Host",
    "host",
    "image",
    "group",
    "storagegroup",
    "storagenode",
    "imagetype",
    "imagepartitiontype",
    "os",
    "tasktype",
    "taskstate",
    "task",
    "imaginglog",
    "nodefailure",
    "groupassociation",
    "imageassociation",
    "macaddressassociation",
    "inventory",
    "hostscreensetting",
    "hostautologout",
    "snapin",
    "snapins",
    "snapinassociation",
    "snapingroupassociation",
    "snapinjob",
    "snapintask",
];

/// Files that are about what is served now.
const FILES: &[&str] = &[
    "class-host",
    "class-image",
    "class-group",
    "class-storagenode",
    "class-imagetype",
    "class-os",
    "class-tasktype",
    "class-taskstate",
    "class-task",
    "class-imaginglog",
    "class-nodefailure",
    "class-imageassociation",
    "class-macaddressassociation",
    "class-inventory",
    "class-hostscreensetting",
    "class-snapin",
    "class-snapinassociation",
    "class-snapinjob",
    "class-snapintask",
    "topic-auth",
    "topic-routes",
    "topic-bodies",
    "topic-filter",
    "topic-search",
    "topic-tasks-host",
    "topic-tasks-group",
    "topic-tasks-errors",
    "topic-tasks-options",
    "topic-cancel",
    "topic-zero-values",
    "topic-host-associations",
    "topic-delete-cascade",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[derive(Default)]
struct Tally {
    same: usize,
    /// Records that differ, each difference by a rule.
    deviations: usize,
    by_rule: BTreeMap<String, usize>,
    left_out: usize,
    different: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fog_server_would_have_answered_the_same() {
    let folder = workspace().join("../shared/fog-recordings");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "the recordings are missing: {}", folder.display());
        eprintln!("skipped: no recordings beside the project");
        return;
    }
    let deviations = Deviations::load(&workspace().join("tests/fog-deviations.toml"));
    let setup = recording::load(&folder.join("00-setup.json"));
    let seed: Value = serde_json::from_slice(&std::fs::read(folder.join("seed-rows.json")).unwrap()).unwrap();
    let only = std::env::var("FOG_REPLAY_ONLY").unwrap_or_default();
    let mut tally = Tally::default();
    for file in FILES.iter().filter(|file| file.contains(&only)) {
        let replay = Replay::prepare(&setup, &seed).await;
        for record in recording::load(&folder.join(format!("{file}.json"))) {
            replay.check(&record, &deviations, &mut tally).await;
        }
    }
    report(&tally);
    assert!(tally.different.is_empty(), "{} answers differ", tally.different.len());
}

fn report(tally: &Tally) {
    for line in &tally.different {
        println!("{line}");
    }
    for (rule, count) in &tally.by_rule {
        println!("deviation {rule}: {count}");
    }
    let deviations = tally.deviations;
    println!(
        "records {}, same {}, deviations {deviations}, different {}, left out {}",
        tally.same + deviations + tally.different.len(),
        tally.same,
        tally.different.len(),
        tally.left_out
    );
}

struct Replay {
    server: Server,
    words: BTreeMap<String, String>,
    own_words: BTreeMap<String, String>,
}

impl Replay {
    /// A fresh server in the state after `00-setup.json`.
    async fn prepare(setup: &[Record], seed: &Value) -> Self {
        let server = Server::start().await;
        let apioff = "b".repeat(128);
        let user = |name: &str, password: &str, token: &str, api, kind| NewUser {
            name: name.to_owned(),
            password: password.to_owned(),
            token: token.to_owned(),
            api,
            kind,
        };
        accounts::add_user(&server.state, user("apioff", "apioffpw", &apioff, false, 0)).await.unwrap();
        accounts::add_user(&server.state, user("mobile", "mobilepw", "", true, 1)).await.unwrap();
        install(&server).await;
        let own_words = own_words(&server, seed).await;
        let words = placeholders(&server, &apioff);
        let replay = Self { server, words, own_words };
        for record in setup.iter().filter(|record| is_served(record)) {
            replay.send(record).await;
        }
        replay
    }

    async fn send(&self, record: &Record) -> fog_support::Reply {
        let mut headers: Vec<(String, String)> = record
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), recording::resolve(value, &self.words, &self.server.first.password)))
            .collect();
        headers.push(("foghorn-secrets".to_owned(), "show".to_owned()));
        let reply = self.server.send(&record.method, &record.path, &headers, record.body.clone()).await;
        // A FOG server does not look whether an image has content; ours does, so every image gets some.
        if record.method == "POST"
            && record.path.starts_with("/fog/image")
            && reply.status == 200
            && let Some(image) = reply.json()["id"].as_str().and_then(|id| id.parse().ok())
        {
            self.server.give_content(image).await;
        }
        reply
    }

    async fn check(&self, record: &Record, deviations: &Deviations, tally: &mut Tally) {
        if !is_served(record) {
            tally.left_out += 1;
            return;
        }
        let reply = self.send(record).await;
        let expected = Expected::new(&record.response, &self.own_words);
        let differences = expected.differences(&reply);
        if differences.is_empty() {
            tally.same += 1;
            return;
        }
        // Each difference needs a rule, so that a rule about one field does not hide another one.
        let mut rules = BTreeSet::new();
        for difference in &differences {
            match deviations.rule(record, &expected, &reply, difference) {
                Some(rule) => {
                    rules.insert(rule);
                }
                None => {
                    tally.different.push(format!("{} {} {}: {difference}", record.id, record.method, record.path));
                    return;
                }
            }
        }
        tally.deviations += 1;
        for rule in rules {
            *tally.by_rule.entry(rule).or_default() += 1;
        }
    }
}

/// What FOG's installer writes into the first node; through the API its paths would lose their last slash.
async fn install(server: &Server) {
    let installed = |node: &StorageNode| StorageNode {
        ip: "127.0.0.1".to_owned(),
        user: "fogproject".to_owned(),
        pass: "fogprojectpw".to_owned(),
        interface: "eth0".to_owned(),
        ..node.clone()
    };
    let write = |draft: &mut Draft<'_>| {
        let row = draft.tables().storage_nodes().get(1).unwrap();
        draft.update(row, &installed(row))
    };
    server.state.write(write).await.unwrap();
}

/// Records about what other classes will bring.
const NOT_YET: &[&str] = &[];

fn is_served(record: &Record) -> bool {
    if NOT_YET.contains(&record.id.as_str()) {
        return false;
    }
    let class = record.path.trim_start_matches("/fog/").split(['/', '?']).next().unwrap_or_default();
    CLASSES.contains(&class)
}

fn placeholders(server: &Server, apioff: &str) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    for (name, token) in
        [("API", server.first.api_token.as_str()), ("USER", &server.first.user_token), ("APIOFF_USER", apioff)]
    {
        words.insert(format!("<{name}_TOKEN_RAW>"), token.to_owned());
        words.insert(format!("<{name}_TOKEN_B64>"), BASE64.encode(token.as_bytes()));
    }
    words
}

/// FOG's texts of default rows, and ours: the rows are the same but for them.
async fn own_words(server: &Server, seed: &Value) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    for class in ["tasktype", "taskstate", "storagegroup", "storagenode"] {
        for row in seed[class].as_array().unwrap() {
            let ours =
                server.call("GET", &format!("/fog/{class}/{}", row["id"].as_str().unwrap()), Value::Null).await.json();
            let texts = (row["description"].as_str().unwrap(), ours["description"].as_str().unwrap());
            words.insert(
                format!("{}/{}", row["name"].as_str().unwrap(), compare::unescape(texts.0)),
                texts.1.to_owned(),
            );
        }
    }
    words
}
