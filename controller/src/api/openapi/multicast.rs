//! Multicast sessions: routes and bodies.

use serde_json::{Value, json};

use super::bodies::{closed as request, count, has, id, list, may, named, object, or_null, text, time, yes_or_no};
use super::classes::schema_ref;
use super::native::{Native, WITH_BODY, WRITING, closed, numbered};

const LIST: &str = "/foghorn/v1/multicast-sessions";
const ONE: &str = "/foghorn/v1/multicast-sessions/{id}";
const FAILS: &[(u16, &str)] = &[(400, "Problem"), (404, "Problem")];

impl Native<'_> {
    pub(super) fn multicast(&mut self) {
        let operation = closed("multicast", "multicast_sessions", "List multicast sessions as they are now")
            .in_query("all", "Whether those that have ended are shown too.", json!({"type": "boolean"}))
            .gives(200, "The newest first.", schema_ref("MulticastList"))
            .may_fail(&[(400, "Problem")]);
        self.paths.add("get", LIST, operation);
        let operation = closed("multicast", "create_multicast_session", "Deploy to several hosts with one stream")
            .takes(schema_ref("MulticastRequest"), true)
            .gives(201, "The sessions, one for each image, and their tasks.", schema_ref("MulticastCreated"))
            .may_fail(WITH_BODY)
            .may_fail(WRITING)
            .may_fail(&[(404, "Problem"), (409, "Problem")]);
        self.paths.add("post", LIST, operation);
        let operation = closed("multicast", "multicast_session", "Show a multicast session with its receivers");
        let operation =
            numbered(operation, "session").gives(200, "The session.", schema_ref("MulticastStatus")).may_fail(FAILS);
        self.paths.add("get", ONE, operation);
        let operation = closed("multicast", "edit_multicast_session", "Change the rate of a session, or start it now");
        let operation = numbered(operation, "session")
            .takes(schema_ref("MulticastEdit"), true)
            .gives(200, "The session.", schema_ref("MulticastStatus"))
            .may_fail(WITH_BODY)
            .may_fail(WRITING)
            .may_fail(&[(404, "Problem"), (409, "Problem")]);
        self.paths.add("patch", ONE, operation);
        let operation = closed("multicast", "cancel_multicast_session", "Cancel a session and its tasks");
        let operation =
            numbered(operation, "session").gives_nothing(204, "It has ended.").may_fail(WRITING).may_fail(FAILS);
        self.paths.add("delete", ONE, operation);
    }
}

fn phases() -> Value {
    json!({
        "type": "string",
        "enum": ["waiting", "sending", "repairing", "complete", "cancelled"],
        "description": "How far a session is.",
    })
}

fn paths() -> Value {
    json!({
        "type": "string",
        "enum": ["waiting", "multicast", "unicast", "done", "failed"],
        "description": "How a host gets its image.",
    })
}

/// Bodies by name.
pub(super) fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        ("MulticastRequest", order()),
        (
            "MulticastCreated",
            object(
                "What was ordered.",
                vec![
                    has("sessions", list(id()), "Numbers of the sessions, one for each image."),
                    has("tasks", list(id()), "Numbers of their tasks."),
                ],
            ),
        ),
        (
            "MulticastEdit",
            request(
                "What is to change; what is absent stays.",
                vec![
                    may("max_rate_bytes_per_second", count(), "On the wire; 0 for no limit."),
                    may("start_now", yes_or_no(), "Wait for no one any more."),
                ],
            ),
        ),
        (
            "MulticastList",
            object("Sessions.", vec![has("sessions", list(schema_ref("MulticastSummary")), "Sessions.")]),
        ),
        ("MulticastPhase", phases()),
        ("MulticastPath", paths()),
        ("MulticastSummary", summary()),
        ("MulticastStatus", status()),
        ("MulticastSender", sender()),
        ("MulticastReceiver", receiver()),
        (
            "TaskMulticast",
            object(
                "How a deploy that is part of a multicast session gets its image.",
                vec![
                    has("session", id(), "Number of the session."),
                    has("path", schema_ref("MulticastPath"), "How it gets its image."),
                    has("reason", or_null(text()), "Why it is served by unicast."),
                ],
            ),
        ),
    ]
}

fn order() -> Value {
    request(
        "A deploy to several hosts with one stream: to the free hosts of a group, or to those named.",
        vec![
            may("name", text(), "What its tasks are called."),
            may("group", id(), "Number of the group; this or `hosts`."),
            may("hosts", list(id()), "Numbers of the hosts."),
            may("start_receivers", id(), "Start when so many are there; all of them when absent."),
            may("start_at", time(), "Start then, whoever is there."),
            may("max_wait_seconds", count(), "Start so long after the first has come at the latest."),
            may("max_rate_bytes_per_second", count(), "On the wire; 0 for no limit."),
            may("wake", yes_or_no(), "Wake the hosts first."),
            may("shutdown", yes_or_no(), "Power the hosts off afterwards."),
        ],
    )
}

fn summary() -> Value {
    object(
        "A multicast session.",
        vec![
            has("session", id(), "Number of the session."),
            has("name", text(), "Name under which hosts join; empty once it was cancelled."),
            has("phase", schema_ref("MulticastPhase"), "How far it is."),
            has("waiting_for", or_null(text()), "What it waits for, in words."),
            has("image", or_null(named("An image.")), "Its image."),
            has("receivers", count(), "Hosts with a task in it."),
            has("joined", count(), "Of these, those that have checked in."),
            has("done", count(), "Of these, those that are complete."),
            has("by_unicast", count(), "Of these, those that do not listen to the group now."),
            has("percent", count(), "Of the slowest that is under way."),
            has("rate_bytes_per_second", count(), "On the wire at present, of all nodes together."),
            has("created", or_null(time()), "When it was ordered."),
            has("completed", or_null(time()), "When it completed."),
        ],
    )
}

fn status() -> Value {
    object(
        "A multicast session with its senders and receivers.",
        vec![
            has("summary", schema_ref("MulticastSummary"), "The session."),
            has("max_rate_bytes_per_second", or_null(count()), "Set for this session; 0 for no limit."),
            has("start_receivers", or_null(count()), "Starts when so many are there."),
            has("start_at", or_null(time()), "Starts then."),
            has("max_wait_seconds", or_null(count()), "Starts so long after the first has come at the latest."),
            has("senders", list(schema_ref("MulticastSender")), "Nodes that send it, each on its own LAN."),
            has("receivers", list(schema_ref("MulticastReceiver")), "In the order in which they got their tasks."),
        ],
    )
}

fn sender() -> Value {
    object(
        "A session on one storage node.",
        vec![
            has("node", named("A storage node."), "The node."),
            has("group", text(), "Address and port that the stream goes to."),
            has("interface", text(), "Interface that it was told to send from; empty for that of its QUIC address."),
            has("phase", or_null(text()), "waiting, sending, repairing or ended; absent until it reports."),
            has("rate_bytes_per_second", count(), "On the wire at present."),
            has("payload_bytes", count(), "Of chunks, sent for the first time."),
            has("wire_bytes", count(), "All that was sent to the group."),
            has("parity_bytes", count(), "Part of it that was parity."),
        ],
    )
}

fn receiver() -> Value {
    object(
        "A host of a multicast session.",
        vec![
            has("task", id(), "Number of its task."),
            has("host", named("A host."), "The host."),
            has("node", or_null(text()), "Name of the storage node that serves it now."),
            has("path", schema_ref("MulticastPath"), "How it gets its image."),
            has("reason", or_null(text()), "Why it is served by unicast, or has failed."),
            has("percent", count(), "How much is done."),
            has("bytes_done", count(), "Bytes of the image that are done."),
            has("bytes_total", count(), "Bytes of the image to do."),
            has("rate_bytes_per_second", count(), "Speed in bytes a second."),
            has("loss_ppm", count(), "Packets lost of a million, lately."),
            has("parity_used", count(), "Packets repaired by parity."),
            has("forged", count(), "Packets that were not ours."),
            has("limiting_stage", or_null(text()), "What limits the speed: network, compression or disk."),
            has("eta_seconds", or_null(count()), "Seconds to the end."),
            has("next_unicast", yes_or_no(), "Whether it would be the next to be moved to unicast."),
        ],
    )
}
