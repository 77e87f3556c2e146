//! Users, the switch and the token of the API, the audit log: routes for administrators.

use serde_json::{Value, json};

use super::bodies::{closed, count, has, id, list, may, object, or_null, text, time, yes_or_no};
use super::classes::schema_ref;
use super::native::{Native, WITH_BODY, WRITING, numbered};
use super::operation::Operation;

const FAILS: &[(u16, &str)] = &[(400, "Problem"), (404, "Problem"), (409, "Problem")];

fn role() -> Value {
    json!({"type": "string", "enum": ["administrator", "operator", "read-only"]})
}

fn user() -> Vec<super::bodies::Member> {
    vec![
        has("id", id(), "Number of the user."),
        has("name", text(), "Name to log in with."),
        has("role", role(), "What the user may do."),
        has("api", yes_or_no(), "Whether the user's token is accepted."),
        has("has_token", yes_or_no(), "Whether the user has a token."),
        has(
            "password",
            json!({"type": "string", "enum": ["none", "set", "imported"]}),
            "What is known of the password.",
        ),
        has("created", text(), "When the user was made, RFC 3339 in UTC; empty when nobody knows."),
    ]
}

/// Bodies by name.
pub(super) fn bodies() -> Vec<(&'static str, Value)> {
    let optional =
        |name| may(name, or_null(text()), "A password of at least 8 bytes, or a bcrypt hash of another server.");
    let mut created = user();
    created.push(has("token", text(), "The user's token, shown once."));
    vec![
        ("UserView", object("A user of the API.", user())),
        ("UserCreated", object("A new user with its token.", created)),
        ("UserList", object("Users.", vec![has("users", list(schema_ref("UserView")), "By name.")])),
        (
            "NewUser",
            closed(
                "A user to be made.",
                vec![
                    has("name", text(), "1 to 40 characters, no colon and no control characters."),
                    has("role", role(), "What the user may do."),
                    may("api", or_null(yes_or_no()), "Whether the token is accepted; yes when absent."),
                    optional("password"),
                    optional("password_hash"),
                ],
            ),
        ),
        (
            "UserEdit",
            closed(
                "What is to change; what is absent stays.",
                vec![
                    may("role", json!({"type": ["string", "null"]}), "administrator, operator or read-only."),
                    may("api", or_null(yes_or_no()), "Whether the token is accepted."),
                ],
            ),
        ),
        ("PasswordChange", closed("A password or a hash.", vec![optional("password"), optional("password_hash")])),
        (
            "TokenMade",
            object("A new token.", vec![has("token", text(), "Shown once; the old one is refused from now on.")]),
        ),
        (
            "ApiSwitch",
            closed(
                "The switch of the API.",
                vec![has("enabled", yes_or_no(), "Whether dialects of other servers are served.")],
            ),
        ),
        (
            "AuditPage",
            object(
                "A part of the audit log, the newest first.",
                vec![
                    has("entries", list(schema_ref("AuditEntry")), "Who changed what."),
                    may("next", text(), "Where to go on, as the parameter before; absent at the end of the log."),
                ],
            ),
        ),
        ("AuditEntry", entry()),
        (
            "AuditChange",
            object(
                "One object that was changed, never with a value.",
                vec![
                    has("class", text(), "Class of the object."),
                    has("id", text(), "Its number, or the name of a setting; empty for what has neither."),
                    has("what", json!({"type": "string", "enum": ["created", "changed", "deleted"]}), "What happened."),
                    has("fields", list(text()), "Fields that changed; those of a new object that are not empty."),
                ],
            ),
        ),
    ]
}

/// Parameters of the audit log by name.
const AUDIT_PARAMETERS: &[(&str, &str)] = &[
    ("class", "Only changes of this class."),
    ("id", "Only changes of the object with this number, or of the setting with this name."),
    ("user", "Only what this user did, by number or name."),
    ("since", "Only what was done since then, RFC 3339."),
    ("before", "Where to go on: `next` of an earlier answer."),
    ("limit", "Most entries in the answer, 1 to 1000; 100 when absent."),
];

fn entry() -> Value {
    object(
        "One change as somebody asked for it.",
        vec![
            has("at", time(), "When."),
            has("user", count(), "Number of the user."),
            has("name", text(), "Name of the user."),
            has("from", text(), "Address that asked."),
            has("method", text(), "Method of the request."),
            has("path", text(), "Path of the request."),
            has("request", text(), "Name of the request in logs and traces; empty when it had none."),
            may("idempotency_key", text(), "Key of the request, when it had one."),
            has("changes", list(schema_ref("AuditChange")), "What was changed."),
            has("more", count(), "Changes beside those that are listed."),
        ],
    )
}

impl Native<'_> {
    fn user_route(&mut self, method: &str, path: &str, operation: Operation) {
        self.paths.add(method, path, operation.may_fail(WRITING));
    }

    /// Adds the routes.
    pub(super) fn accounts(&mut self) {
        let view = || schema_ref("UserView");
        let one = |id: &str, summary: &str| numbered(self_closed(id, summary), "user").may_fail(FAILS);
        self.user_route(
            "get",
            "/foghorn/v1/users",
            self_closed("users", "List users").gives(200, "By name.", schema_ref("UserList")),
        );
        let create = self_closed("create_user", "Make a user").takes(schema_ref("NewUser"), true);
        let create = create.gives(201, "The user, with a token shown once.", schema_ref("UserCreated"));
        self.user_route("post", "/foghorn/v1/users", create.may_fail(WITH_BODY).may_fail(FAILS));
        self.user_route("get", "/foghorn/v1/users/{id}", one("user", "Show a user").gives(200, "The user.", view()));
        let edit =
            one("edit_user", "Change a user").takes(schema_ref("UserEdit"), true).gives(200, "The user.", view());
        self.user_route("patch", "/foghorn/v1/users/{id}", edit.may_fail(WITH_BODY));
        let remove = one("remove_user", "Remove a user").gives_nothing(204, "Removed.");
        self.user_route("delete", "/foghorn/v1/users/{id}", remove);
        let password = one("user_password", "Set a user's password").takes(schema_ref("PasswordChange"), true);
        let password = password.gives_nothing(204, "Set.").may_fail(WITH_BODY);
        self.user_route("put", "/foghorn/v1/users/{id}/password", password);
        let token = one("user_token", "Replace a user's token").gives(200, "The token.", schema_ref("TokenMade"));
        self.user_route("post", "/foghorn/v1/users/{id}/token", token);
        let switch = || schema_ref("ApiSwitch");
        self.user_route(
            "get",
            "/foghorn/v1/api",
            self_closed("api", "Show the switch").gives(200, "The switch.", switch()),
        );
        let set = self_closed("set_api", "Switch the API").takes(switch(), true).gives(200, "The switch.", switch());
        self.user_route("put", "/foghorn/v1/api", set.may_fail(WITH_BODY));
        let token = self_closed("api_token", "Replace the API token").gives(200, "The token.", schema_ref("TokenMade"));
        self.user_route("post", "/foghorn/v1/api/token", token);
        let mut audit = self_closed("audit", "Show the audit log").gives(200, "Entries.", schema_ref("AuditPage"));
        for (name, about) in AUDIT_PARAMETERS {
            audit = audit.in_query(name, about, text());
        }
        self.user_route("get", "/foghorn/v1/audit", audit.may_fail(&[(400, "Problem")]));
    }
}

fn self_closed(id: &str, summary: &str) -> Operation {
    super::native::closed("users", id, summary)
}
