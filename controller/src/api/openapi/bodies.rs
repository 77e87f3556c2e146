//! Bodies of Foghorn's own routes. What each is called and holds is in `foghorn-rest-types` and `foghorn-proto`; a test holds
//! the names here against those declarations.

use serde_json::{Map, Value, json};

use super::classes::schema_ref;

/// Adds every body to the schemas of the document.
pub(super) fn add(schemas: &mut Map<String, Value>) {
    let of_areas =
        super::accounts::bodies().into_iter().chain(super::schedules::bodies()).chain(super::snapins::bodies());
    let of_areas = of_areas.chain(super::multicast::bodies());
    let own = enrolment().into_iter().chain(hosts()).chain(nodes()).chain(tasks()).chain(images());
    for (name, schema) in own.chain(of_areas) {
        schemas.insert(name.to_owned(), schema);
    }
}

type Named = Vec<(&'static str, Value)>;

/// A member of an object.
pub(super) struct Member {
    name: &'static str,
    schema: Value,
    required: bool,
}

/// A member that is always there.
pub(super) fn has(name: &'static str, schema: Value, about: &str) -> Member {
    Member { name, schema: with(schema, about), required: true }
}

/// A member that may be left out.
pub(super) fn may(name: &'static str, schema: Value, about: &str) -> Member {
    Member { name, schema: with(schema, about), required: false }
}

fn with(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.into();
    schema
}

pub(super) fn object(about: &str, members: Vec<Member>) -> Value {
    let required: Vec<&str> = members.iter().filter(|member| member.required).map(|member| member.name).collect();
    let properties: Map<String, Value> =
        members.into_iter().map(|member| (member.name.to_owned(), member.schema)).collect();
    json!({"type": "object", "description": about, "required": required, "properties": properties})
}

/// The body of a request: members that are not described are refused.
pub(super) fn closed(about: &str, members: Vec<Member>) -> Value {
    let mut schema = object(about, members);
    schema["additionalProperties"] = false.into();
    schema
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) fn id() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})
}

pub(super) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub(super) fn yes_or_no() -> Value {
    json!({"type": "boolean"})
}

pub(super) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// The schema, or null.
pub(super) fn or_null(schema: Value) -> Value {
    match schema["type"].as_str() {
        Some(kind) => {
            let kinds = json!([kind, "null"]);
            let mut schema = schema;
            schema["type"] = kinds;
            schema
        }
        None => json!({"anyOf": [schema, {"type": "null"}]}),
    }
}

fn digest() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{64}$"})
}

fn mac() -> Value {
    json!({"type": "string", "pattern": "^[0-9A-Fa-f][02468ACEace]([:-][0-9A-Fa-f]{2}){5}$"})
}

fn node_name() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"})
}

fn ttl(most: u32) -> Value {
    json!({"type": ["integer", "null"], "minimum": 1, "maximum": most})
}

fn enrolment() -> Named {
    let chain = "Certificates as PEM, the holder's own first, without the authority's.";
    vec![
        (
            "Problem",
            object(
                "Why a request was refused.",
                vec![has("error", text(), "What is wrong."), may("field", text(), "The field that is at fault.")],
            ),
        ),
        (
            "EnrolRequest",
            closed(
                "An agent that wants to join.",
                vec![
                    has("join_token", text(), "The whole text of a join token."),
                    has("csr_pem", text(), "PKCS#10 as PEM; only its public key is used."),
                ],
            ),
        ),
        (
            "EnrolResponse",
            object(
                "What an agent needs to connect.",
                vec![
                    has("node", node_name(), "Name of the storage node."),
                    has("node_id", id(), "Number of the storage node."),
                    has("chain_pem", text(), chain),
                    has("link_address", text(), "host:port of the controller's link."),
                    has("link_server_name", text(), "Name in the controller's certificate on the link."),
                ],
            ),
        ),
        (
            "CheckInRequest",
            closed(
                "A machine that boots to be imaged.",
                vec![
                    has("mac", mac(), "Address of the machine."),
                    has("boot_token", text(), "The whole text of a boot token."),
                    has("csr_pem", text(), "PKCS#10 as PEM; only its public key is used."),
                    has("software", text(), "Name and version of the client's software."),
                    may("hardware", or_null(schema_ref("Hardware")), "What the machine is made of."),
                ],
            ),
        ),
        ("Hardware", hardware()),
        ("Part", part()),
        (
            "CheckInResponse",
            object(
                "Who the machine is, and its certificate.",
                vec![
                    has("host", id(), "Number of the host."),
                    has("host_name", text(), "Name of the host."),
                    has("task", id(), "Number of its task."),
                    has("chain_pem", text(), chain),
                    has("session", text(), "Bearer with which the client asks for its order."),
                    has("order", or_null(schema_ref("Order")), "The order, if there is one already."),
                ],
            ),
        ),
        ("Order", order()),
        (
            "Source",
            object(
                "A storage node that serves a task.",
                vec![
                    has("address", text(), "host:port, UDP."),
                    has("server_name", text(), "Name in the agent's certificate."),
                ],
            ),
        ),
    ]
}

fn hardware() -> Value {
    let part = |name, about: &str| may(name, schema_ref("Part"), about);
    closed(
        "What a machine is made of, in the words of its firmware and kernel. What is not known is empty.",
        vec![
            part("system", "The machine as a whole."),
            may("chassis_type", text(), "Type of the case by its number in the SMBIOS specification."),
            may("system_uuid", text(), "UUID in the firmware."),
            part("bios", "The firmware."),
            may("bios_date", text(), "Date of the firmware, usually MM/DD/YYYY."),
            part("board", "The main board."),
            part("chassis", "The case."),
            part("cpu", "The first processor."),
            may("cpu_mhz", text(), "Present clock rate in MHz."),
            may("cpu_most_mhz", text(), "Highest clock rate in MHz."),
            may("memory_kib", count(), "Main memory that the kernel has, in KiB."),
            part("disk", "The disk that a task would use first."),
        ],
    )
}

fn part() -> Value {
    closed(
        "One part of a machine.",
        vec![
            may("maker", text(), "Who made it."),
            may("model", text(), "Product, model or version, whichever names the kind of the part."),
            may("version", text(), "Version of hardware or firmware."),
            may("serial", text(), "Serial number."),
            may("asset", text(), "Number that the owner gave it."),
        ],
    )
}

fn order() -> Value {
    let deploy = object(
        "Write an image to the disk.",
        vec![
            has("what", json!({"type": "string", "const": "deploy"}), "A deployment."),
            has("manifest", digest(), "BLAKE3 of the image's manifest."),
        ],
    );
    let capture = object(
        "Read the disk into an image.",
        vec![has("what", json!({"type": "string", "const": "capture"}), "A capture.")],
    );
    object(
        "What a client is to do, and where.",
        vec![
            has("task", id(), "Number of the task."),
            has("kind", json!({"oneOf": [deploy, capture]}), "What to do."),
            has("image", id(), "Number of the image."),
            has("image_name", text(), "Name of the image."),
            has("sources", list(schema_ref("Source")), "Storage nodes that can serve the task, best first."),
            has("disk_rule", or_null(text()), "The host's rule for its disk."),
            has("traceparent", or_null(text()), "W3C trace context."),
        ],
    )
}

/// Number and name of an object of another class.
pub(super) fn named(what: &str) -> Value {
    object(what, vec![has("id", id(), "Number."), has("name", text(), "Name; empty when it is gone.")])
}

fn hosts() -> Named {
    let action = json!({"type": "string", "enum": ["login", "logout", "start"]});
    vec![
        (
            "UserTrackingReport",
            closed(
                "Somebody who begins or ends using a host, or its client that starts.",
                vec![
                    has("action", action, "What happened; `start` is the start of the host's client."),
                    has(
                        "user",
                        json!({"type": "string", "minLength": 1, "maxLength": 50}),
                        "Name of the user on the host.",
                    ),
                    may("time", or_null(time()), "When it happened; now when absent."),
                    may("description", or_null(text()), "More about it; cut off after 250 characters."),
                ],
            ),
        ),
        (
            "UserTrackingStored",
            object("What was stored.", vec![has("id", id(), "Number of the row in `/fog/usertracking`.")]),
        ),
    ]
}

fn nodes() -> Named {
    vec![
        (
            "JoinTokenRequest",
            closed(
                "A storage node that is to join; it is created when there is none with the name.",
                vec![
                    has("name", node_name(), "Name of the node: one DNS label, kept in lower case."),
                    may(
                        "storage_group",
                        or_null(id()),
                        "Group of a node that is created; the default group when absent.",
                    ),
                    may("ttl_seconds", ttl(604_800), "Life of the token in seconds; the server's default when absent."),
                ],
            ),
        ),
        (
            "JoinTokenResponse",
            object(
                "A join token.",
                vec![
                    has("token", text(), "The whole text; shown once, good for one enrolment."),
                    has("node", id(), "Number of the node."),
                    has("name", node_name(), "Name of the node."),
                    has("expires", time(), "When the token ends."),
                ],
            ),
        ),
        ("NodeList", object("Storage nodes.", vec![has("nodes", list(schema_ref("NodeStatus")), "By id.")])),
        (
            "NodeStatus",
            object(
                "A storage node as it was last reported.",
                vec![
                    has("id", id(), "Number of the node."),
                    has("name", text(), "Name of the node."),
                    has("online", yes_or_no(), "Whether its agent is connected."),
                    has("disk_total_bytes", count(), "Size of its file system in bytes."),
                    has("disk_free_bytes", count(), "Free bytes there."),
                    has("stored_bytes", count(), "Compressed bytes of the chunks that it holds."),
                    has("chunks", count(), "Number of chunks that it holds."),
                    has("active_transfers", count(), "Transfers at this moment."),
                ],
            ),
        ),
        ("JobCreated", object("A job of a storage node.", vec![has("job", count(), "Number of the job.")])),
        ("JobStatus", job()),
        (
            "DamagedChunk",
            object(
                "A chunk whose bytes are wrong.",
                vec![
                    has("chunk", digest(), "BLAKE3 that it should have."),
                    has("problem", text(), "What is wrong with it."),
                    has("images", list(named("An image that needs it.")), "Images that need it."),
                ],
            ),
        ),
    ]
}

fn job() -> Value {
    object(
        "A job of a storage node and how far it is.",
        vec![
            has("job", count(), "Number of the job."),
            has("node", named("A storage node."), "The node."),
            has("work", json!({"type": "string", "enum": ["scrub", "verify", "drop"]}), "What it does."),
            has("created", time(), "When it was ordered."),
            has("done", yes_or_no(), "Whether it has ended."),
            has("error", or_null(text()), "Why it could not run."),
            has("chunks_checked", count(), "Chunks checked so far."),
            has("chunks_total", count(), "Chunks to check."),
            has("damaged", list(schema_ref("DamagedChunk")), "What was found."),
        ],
    )
}

fn tasks() -> Named {
    vec![
        (
            "BootTokenRequest",
            closed(
                "A wish for a boot token.",
                vec![may(
                    "ttl_seconds",
                    ttl(86_400),
                    "Life of the token in seconds; the server's default when absent.",
                )],
            ),
        ),
        (
            "BootTokenResponse",
            object(
                "A boot token.",
                vec![
                    has("token", text(), "The whole text; shown once, good for one check-in."),
                    has("host", id(), "Number of the host."),
                    has("task", id(), "Number of the task."),
                    has("expires", time(), "When the token ends."),
                ],
            ),
        ),
        ("TaskList", object("Imaging tasks.", vec![has("tasks", list(schema_ref("TaskStatus")), "The tasks.")])),
        ("TaskStatus", task_status()),
        (
            "TaskPhase",
            json!({
                "type": "string",
                "enum": ["queued", "assigned", "checked_in", "running", "complete", "failed", "cancelled"],
                "description": "How far an imaging task is.",
            }),
        ),
        (
            "TaskProgress",
            object(
                "Progress of a transfer.",
                vec![
                    has("bytes_done", count(), "Bytes of the image that are done."),
                    has("bytes_total", count(), "Bytes of the image to do."),
                    has("bytes_wire", count(), "Bytes that the network carried."),
                    has("rate_bytes_per_second", count(), "Speed in bytes a second."),
                    has("eta_seconds", count(), "Seconds to the end."),
                    has("limiting_stage", or_null(text()), "What limits the speed: network, compression or disk."),
                    has("bytes_reused", count(), "Bytes that the disk held already."),
                ],
            ),
        ),
    ]
}

fn task_status() -> Value {
    object(
        "An imaging task.",
        vec![
            has("task", id(), "Number of the task."),
            has("state", schema_ref("TaskPhase"), "How far it is."),
            has("reason", or_null(text()), "Why it failed or was cancelled."),
            has("host", named("A host."), "Its host."),
            has("image", named("An image."), "Its image."),
            has("node", or_null(text()), "Name of the storage node that has it."),
            has("progress", or_null(schema_ref("TaskProgress")), "Absent before the first report and after the end."),
            has("multicast", or_null(schema_ref("TaskMulticast")), "Absent for one that is in no session under way."),
            has("created", time(), "When it was created."),
            has("started", or_null(time()), "When its transfer began."),
            has("finished", or_null(time()), "When it ended."),
            has("deadline", time(), "When it ends at the latest."),
        ],
    )
}

fn images() -> Named {
    vec![
        (
            "ImageStatus",
            object(
                "An image and its contents.",
                vec![
                    has("image", named("An image."), "The image."),
                    has("content", or_null(schema_ref("ImageContent")), "Absent until it has been captured."),
                ],
            ),
        ),
        (
            "ImageContent",
            object(
                "What an image contains.",
                vec![
                    has("manifest", digest(), "BLAKE3 of its manifest."),
                    has("logical_bytes", count(), "Size of the disk in bytes."),
                    has("used_bytes", count(), "Bytes in use on it."),
                    has("stored_bytes", count(), "Compressed bytes of all its chunks."),
                    has("new_bytes", count(), "Compressed bytes that only its capture added."),
                    has("captured", time(), "When it was captured."),
                    has("nodes", list(named("A storage node.")), "Nodes that hold it whole."),
                ],
            ),
        ),
    ]
}
