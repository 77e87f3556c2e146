//! Foghorn's own routes.

use foghorn_proto::http::{CA_PATH, CHECK_IN_PATH, ENROL_PATH, ORDER_PATH};
use serde_json::json;

use super::classes::schema_ref;
use super::operation::{Operation, Paths};

/// Adds operations.
pub(super) struct Native<'a> {
    pub(super) paths: &'a mut Paths,
}

/// Of every native route: the time limit, and how a body is packed.
const ALWAYS: &[(u16, &str)] = &[(408, "TooSlow"), (415, "WrongEncoding")];
/// Of routes for people: credentials.
const CLOSED: &[(u16, &str)] = &[(401, "Problem"), (403, "Problem"), (429, "TooMany")];
/// Of routes that take a body.
pub(super) const WITH_BODY: &[(u16, &str)] = &[(400, "Problem"), (413, "Problem")];
/// Of routes that write.
pub(super) const WRITING: &[(u16, &str)] = &[(500, "Problem"), (503, "Problem")];

impl Native<'_> {
    /// Adds every native route.
    pub(super) fn add(mut self) {
        self.health();
        self.agents();
        self.clients();
        self.schedules();
        self.snapins();
        self.nodes();
        self.tasks();
        self.multicast();
        self.images();
        self.accounts();
        self.events();
    }

    fn open(&self, tag: &str, id: &str, summary: &str) -> Operation {
        Operation::new(tag, id, summary).open().may_fail(ALWAYS)
    }

    fn closed(&self, tag: &str, id: &str, summary: &str) -> Operation {
        closed(tag, id, summary)
    }

    fn health(&mut self) {
        let alive = json!({
            "type": "object", "required": ["status"],
            "properties": {"status": {"type": "string", "const": "ok", "description": "The process answers."}},
        });
        let ready = json!({
            "type": "object", "required": ["store", "cache"],
            "properties": {
                "store": {"type": "boolean", "description": "The state store answers."},
                "cache": {"type": "boolean", "description": "What is in memory follows the store."},
            },
        });
        let operation = self.open("health", "alive", "Tell whether the process runs").gives(200, "It does.", alive);
        self.paths.add("get", "/healthz", operation);
        let operation = self
            .open("health", "ready", "Tell whether requests can be served")
            .gives(200, "They can.", ready.clone())
            .gives(503, "Not now.", ready);
        self.paths.add("get", "/readyz", operation);
        let operation = self.open("health", "metrics", "Show metrics in Prometheus' text format").gives_as(
            200,
            "Metrics.",
            "text/plain",
            json!({"type": "string"}),
        );
        self.paths.add("get", "/metrics", operation);
    }

    fn agents(&mut self) {
        let operation = self.open("enrolment", "authority", "Show the certificate authority").gives_as(
            200,
            "The authority's certificate as PEM. Trust it only after comparing its SHA-256 with the one in a token.",
            "application/x-pem-file",
            json!({"type": "string"}),
        );
        self.paths.add("get", CA_PATH, operation);
        let (takes, gives) = (schema_ref("EnrolRequest"), schema_ref("EnrolResponse"));
        let operation = self
            .open("enrolment", "enrol", "Enrol an agent with a join token")
            .takes(takes, true)
            .gives(200, "The agent's certificate and where to connect.", gives)
            .may_fail(WITH_BODY)
            .may_fail(WRITING)
            .may_fail(&[(403, "Problem")]);
        self.paths.add("post", ENROL_PATH, operation);
    }

    fn clients(&mut self) {
        let (takes, gives) = (schema_ref("CheckInRequest"), schema_ref("CheckInResponse"));
        let operation = self
            .open("enrolment", "check_in", "Check in with a boot token")
            .takes(takes, true)
            .gives(200, "The client's certificate and, when there is one already, its order.", gives)
            .may_fail(WITH_BODY)
            .may_fail(WRITING)
            .may_fail(&[(403, "Problem"), (404, "Problem"), (410, "Problem")]);
        self.paths.add("post", CHECK_IN_PATH, operation);
        let gives = schema_ref("Order");
        let operation = self
            .open("enrolment", "order", "Wait for the order of a checked-in client")
            .about("Takes the session of the check-in as `Authorization: Bearer SESSION`.")
            .in_query("wait", "Seconds to wait, at most 30.", json!({"type": "integer", "minimum": 0}))
            .gives(200, "The order.", gives)
            .gives_nothing(204, "None yet.")
            .gives_as(400, "A parameter that is no number.", "text/plain", json!({"type": "string"}))
            .may_fail(&[(401, "Problem"), (403, "Problem"), (410, "Problem")]);
        self.paths.add("get", ORDER_PATH, operation);
        let (takes, gives) = (schema_ref("BootTokenRequest"), schema_ref("BootTokenResponse"));
        let operation =
            numbered(self.closed("hosts", "boot_token", "Make a boot token for a host's active task"), "host")
                .takes(takes, false)
                .gives(200, "The token, shown once.", gives)
                .may_fail(WITH_BODY)
                .may_fail(WRITING)
                .may_fail(&[(404, "Problem"), (409, "Problem")]);
        self.paths.add("post", "/foghorn/v1/hosts/{id}/boot-token", operation);
    }

    fn nodes(&mut self) {
        let gives = schema_ref("NodeList");
        let operation = self.closed("nodes", "nodes", "List storage nodes as they are now").gives(200, "By id.", gives);
        self.paths.add("get", "/foghorn/v1/nodes", operation);
        let (takes, gives) = (schema_ref("JoinTokenRequest"), schema_ref("JoinTokenResponse"));
        let operation = self
            .closed("nodes", "join_token", "Make a join token for a storage node")
            .takes(takes, true)
            .gives(200, "The token, shown once.", gives)
            .may_fail(WITH_BODY)
            .may_fail(WRITING)
            .may_fail(&[(404, "Problem"), (409, "Problem")]);
        self.paths.add("post", "/foghorn/v1/nodes/join-token", operation);
        let operation =
            numbered(self.closed("nodes", "revoke_node", "Revoke the certificate of a node's agent"), "node")
                .gives_nothing(204, "It is revoked.")
                .may_fail(WRITING)
                .may_fail(&[(400, "Problem"), (404, "Problem")]);
        self.paths.add("post", "/foghorn/v1/nodes/{id}/revoke", operation);
        let job = schema_ref("JobCreated");
        let operation = numbered(self.closed("nodes", "scrub_node", "Check every chunk that a node holds"), "node")
            .gives(202, "The job.", job)
            .may_fail(&[(400, "Problem"), (404, "Problem"), (503, "Problem")]);
        self.paths.add("post", "/foghorn/v1/nodes/{id}/scrub", operation);
        let gives = schema_ref("JobStatus");
        let operation = self
            .closed("nodes", "job", "Show a job of a storage node")
            .in_path("id", "Number of the job.", json!({"type": "integer", "minimum": 0}))
            .gives(200, "The job.", gives)
            .may_fail(&[(400, "Problem"), (404, "Problem")]);
        self.paths.add("get", "/foghorn/v1/jobs/{id}", operation);
    }

    fn tasks(&mut self) {
        let gives = schema_ref("TaskStatus");
        let operation =
            numbered(self.closed("tasks", "imaging_task", "Show an imaging task with its progress"), "task")
                .gives(200, "The task.", gives)
                .may_fail(&[(400, "Problem"), (404, "Problem")]);
        self.paths.add("get", "/foghorn/v1/tasks/{id}", operation);
        let gives = schema_ref("TaskList");
        let operation = self
            .closed("tasks", "imaging_tasks", "List imaging tasks with their progress")
            .in_query(
                "ids",
                "At most 1000 ids with commas between; without them, the tasks that have not ended.",
                json!({"type": "string"}),
            )
            .gives(200, "In the order of the ids.", gives)
            .may_fail(&[(400, "Problem")]);
        self.paths.add("get", "/foghorn/v1/tasks", operation);
    }

    fn events(&mut self) {
        let operation = self
            .closed("events", "events", "Listen to changes of objects and to progress of tasks")
            .about(
                "Events are ready, create, edit, delete, progress and reset; the data of each is a JSON object. The id of \
                 an event is a revision: who comes back with it is told what it has missed.",
            )
            .in_query(
                "class",
                "Classes to be told of, with commas between; all when absent.",
                json!({"type": "string"}),
            )
            .in_query(
                "since",
                "Revision after which changes are told.",
                json!({"type": "integer", "format": "int64", "minimum": 0}),
            )
            .shared("LastEventId")
            .gives_as(200, "Events, without an end.", "text/event-stream", json!({"type": "string"}))
            .may_fail(&[(400, "Problem"), (503, "Problem")]);
        self.paths.add("get", "/events", operation.alias("events_short"));
        self.paths.add("get", "/foghorn/v1/events", operation);
    }

    fn images(&mut self) {
        let gives = schema_ref("ImageStatus");
        let operation =
            numbered(self.closed("images", "image_content", "Show what an image contains and where it is"), "image")
                .gives(200, "The image.", gives)
                .may_fail(&[(400, "Problem"), (404, "Problem")]);
        self.paths.add("get", "/foghorn/v1/images/{id}", operation);
        let job = schema_ref("JobCreated");
        let operation =
            numbered(self.closed("images", "verify_image", "Verify an image on a node that holds it"), "image")
                .gives(202, "The job.", job)
                .may_fail(&[(400, "Problem"), (404, "Problem"), (409, "Problem"), (503, "Problem")]);
        self.paths.add("post", "/foghorn/v1/images/{id}/verify", operation);
    }
}

/// An operation for people, who need credentials.
pub(super) fn closed(tag: &str, id: &str, summary: &str) -> Operation {
    Operation::new(tag, id, summary).may_fail(ALWAYS).may_fail(CLOSED)
}

pub(super) fn numbered(operation: Operation, what: &str) -> Operation {
    let schema = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    operation.in_path("id", &format!("Number of the {what}."), schema)
}
