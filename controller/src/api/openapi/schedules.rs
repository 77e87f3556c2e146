//! Schedules as they are kept, what a host's client is to do with the machine's power, and who uses a host.

use serde_json::{Value, json};

use super::bodies::{has, id, list, may, object, or_null, text, time, yes_or_no};
use super::classes::schema_ref;
use super::native::{Native, WITH_BODY, WRITING, closed, numbered};

fn target() -> Value {
    let one = |kind: &str, about: &str| {
        let members = vec![has("kind", json!({"type": "string", "const": kind}), "Which."), has("id", id(), "Number.")];
        object(about, members)
    };
    json!({"oneOf": [one("host", "One host."), one("group", "The hosts that are in a group at that time.")]})
}

/// Bodies by name.
pub(super) fn bodies() -> Vec<(&'static str, Value)> {
    vec![
        (
            "ScheduleList",
            object("Schedules.", vec![has("schedules", list(schema_ref("ScheduleStatus")), "Every scheduled task.")]),
        ),
        (
            "ScheduleStatus",
            object(
                "A scheduled task: when it comes next and how it went last.",
                vec![
                    has("id", id(), "Number of the scheduled task."),
                    has("name", text(), "Its name."),
                    has("task_type", json!({"type": "integer", "minimum": 0}), "Number of the task type it creates."),
                    has("target", target(), "Whose tasks it creates."),
                    has("target_name", text(), "Name of that host or group; empty when it is gone."),
                    has("active", yes_or_no(), "Whether it is switched on."),
                    may("next", or_null(time()), "When it comes next; null when it does not."),
                    may("last", or_null(time()), "The moment for which it came last."),
                    has("outcome", text(), "How that went, in words; empty before the first time."),
                ],
            ),
        ),
        (
            "PowerActions",
            object(
                "What a host's client is to do now.",
                vec![has("actions", list(schema_ref("PowerAction")), "Each thing is told once.")],
            ),
        ),
        (
            "PowerAction",
            object(
                "One thing to do.",
                vec![
                    has("rule", id(), "Number of the rule of power management."),
                    has("action", json!({"type": "string", "enum": ["shutdown", "reboot"]}), "What to do."),
                    has("due", time(), "Since when."),
                ],
            ),
        ),
    ]
}

impl Native<'_> {
    /// Adds the routes.
    pub(super) fn schedules(&mut self) {
        let operation = closed("tasks", "schedules", "List scheduled tasks: when they come next and how they went")
            .gives(200, "In the order of names.", schema_ref("ScheduleList"));
        self.paths.add("get", "/foghorn/v1/schedules", operation);
        let operation = numbered(closed("hosts", "power", "Take what a host's client is to do with its power"), "host")
            .about("What is told is not told again, so this is for the host's client, or for who stands in for it.")
            .gives(200, "What is to be done.", schema_ref("PowerActions"))
            .may_fail(WRITING)
            .may_fail(&[(400, "Problem"), (404, "Problem")]);
        self.paths.add("get", "/foghorn/v1/hosts/{id}/power", operation);
        let (takes, gives) = (schema_ref("UserTrackingReport"), schema_ref("UserTrackingStored"));
        let operation = numbered(closed("hosts", "track_user", "Report who uses a host"), "host")
            .takes(takes, true)
            .gives(201, "It is stored.", gives)
            .may_fail(WITH_BODY)
            .may_fail(WRITING)
            .may_fail(&[(404, "Problem")]);
        self.paths.add("post", "/foghorn/v1/hosts/{id}/user-tracking", operation);
    }
}
