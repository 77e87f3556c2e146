//! Files of snapins, and hosts that run them: routes and bodies.

use serde_json::{Value, json};

use super::bodies::{closed as request, count, has, id, list, may, named, object, text, time, yes_or_no};
use super::classes::schema_ref;
use super::native::{Native, WITH_BODY, WRITING, closed, numbered};
use super::operation::Operation;

const FILE: &str = "application/octet-stream";
const FAILS: &[(u16, &str)] = &[(400, "Problem"), (404, "Problem")];

fn content() -> Value {
    json!({"type": "string", "format": "binary"})
}

/// SHA-512; empty where nobody has said it.
fn sha512() -> Value {
    json!({"type": "string", "pattern": "^([0-9A-Fa-f]{128})?$"})
}

/// Bodies by name.
pub(super) fn bodies() -> Vec<(&'static str, Value)> {
    let nothing = object(
        "There is nothing to run now.",
        vec![has(
            "next",
            json!({"type": "string", "enum": ["wait", "nothing"]}),
            "`wait`: the host is being imaged, ask again afterwards.",
        )],
    );
    vec![
        (
            "SnapinNext",
            json!({
                "description": "What a host is to run now.",
                "oneOf": [schema_ref("SnapinStart"), schema_ref("SnapinNone")],
            }),
        ),
        ("SnapinStart", start()),
        ("SnapinNone", nothing),
        ("SnapinRun", run()),
        (
            "SnapinResult",
            request(
                "How a run went.",
                vec![
                    has(
                        "exit_code",
                        json!({"type": "integer", "minimum": i32::MIN, "maximum": i32::MAX}),
                        "What the program ended with.",
                    ),
                    may("details", text(), "For people; 250 characters are kept."),
                ],
            ),
        ),
        (
            "SnapinFileStatus",
            object(
                "The file of a snapin.",
                vec![
                    has("snapin", id(), "Number of the snapin."),
                    has("file", text(), "Name of the file."),
                    has("sha512", sha512(), "SHA-512 of the content."),
                    has("size_bytes", count(), "Size in bytes."),
                    has("uploaded", time(), "When it was uploaded."),
                    has("nodes", list(named("A storage node.")), "Nodes that hold all of it, verified."),
                ],
            ),
        ),
    ]
}

fn run() -> Value {
    object(
        "One snapin to run. It is given again until its result was told.",
        vec![
            has("snapin_task", id(), "Number of the snapin task."),
            has("snapin", id(), "Number of the snapin."),
            has("name", text(), "Name of the snapin."),
            has("file", text(), "Name of the file."),
            has("args", text(), "What follows the file on the command line."),
            has("run_with", text(), "Program that runs the file; empty when the file runs itself."),
            has("run_with_args", text(), "What stands between that program and the file."),
            has("timeout_seconds", count(), "After which the host stops it; 0 for never."),
            has("hide", yes_or_no(), "Whether the user is not to see it."),
            has("unpack", yes_or_no(), "Whether the file is an archive to be unpacked."),
            has("reboot", yes_or_no(), "Whether the host reboots afterwards."),
            has("shutdown", yes_or_no(), "Whether the host is shut down afterwards."),
            has("sha512", sha512(), "SHA-512 of the file; empty when it is not known."),
            has("size_bytes", count(), "Size of the file in bytes."),
            has("url", text(), "Path on this server where the file is."),
        ],
    )
}

/// A run together with the word that there is one: flat, because generators of clients stumble over nesting.
fn start() -> Value {
    let mut start = run();
    start["properties"]["next"] = json!({"type": "string", "enum": ["run"], "description": "Run it now."});
    if let Some(required) = start["required"].as_array_mut() {
        required.push(json!("next"));
    }
    start
}

fn operation(id: &str, summary: &str) -> Operation {
    closed("snapins", id, summary).may_fail(FAILS).may_fail(WRITING)
}

impl Native<'_> {
    /// Adds the routes.
    pub(super) fn snapins(&mut self) {
        let path = crate::api::native::SNAPIN_FILE;
        let upload = numbered(operation("upload_snapin_file", "Upload the file of a snapin"), "snapin")
            .about("Answers when a storage node of the snapin's groups has verified and flushed it; the others follow.")
            .in_query("name", "Name of the file, 1 to 255 bytes without a folder. Required.", text())
            .takes_as(FILE, content())
            .gives(200, "What is stored.", schema_ref("SnapinFileStatus"))
            .may_fail(WITH_BODY);
        self.paths.add("put", path, upload);
        let download = numbered(operation("snapin_file", "Download the file of a snapin"), "snapin").gives_as(
            200,
            "The content, with its SHA-512 as `ETag` and in `Repr-Digest`.",
            FILE,
            content(),
        );
        self.paths.add("get", path, download);
        let next = numbered(operation("next_snapin", "Take the next snapin that a host is to run"), "host").gives(
            200,
            "The snapin, or that there is none.",
            schema_ref("SnapinNext"),
        );
        self.paths.add("get", "/foghorn/v1/hosts/{id}/snapins/next", next);
        let result = numbered(operation("snapin_result", "Tell how a snapin went on a host"), "host")
            .about("Telling the same again changes nothing.")
            .in_path("task", "Number of the snapin task.", id())
            .takes(schema_ref("SnapinResult"), true)
            .gives_nothing(204, "It is recorded.")
            .may_fail(WITH_BODY);
        self.paths.add("post", "/foghorn/v1/hosts/{id}/snapintasks/{task}/result", result);
    }
}
