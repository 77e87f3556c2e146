//! The FOG dialect: every route of every class that has routes, with FOG's aliases as paths of
//! their own.

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::classes::{or_less, schema_ref};
use super::operation::{Operation, Paths};
use super::tags;
use crate::api::fog::needed;
use crate::state::schema::ClassSchema;

/// Statuses of every operation under `/fog`: FOG's, and those of a server that bounds what it does.
const ALWAYS: &[(u16, &str)] = &[
    (302, "ApiOff"),
    (401, "NobodyKnown"),
    (403, "Forbidden"),
    (408, "TooSlow"),
    (413, "TooLarge"),
    (415, "WrongEncoding"),
    (429, "TooMany"),
    (501, "Unknown"),
    (503, "Unavailable"),
];

const CHANGES: &[(u16, &str)] = &[
    (400, "BrokenJson"),
    (404, "NotFound"),
    (409, "Conflict"),
    (500, "Refused"),
];

/// Adds the routes of a class.
pub(super) fn add_class(class: &ClassSchema, paths: &mut Paths) {
    for name in std::iter::once(&class.name).chain(&class.aliases) {
        Routes { class, name, paths }.add();
    }
}

/// Adds an operation with the role that the dialect's own rule gives its path.
fn add(paths: &mut Paths, method: &str, path: &str, operation: Operation) {
    let verb = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap_or_default();
    paths.add(
        method,
        path,
        operation,
        needed(&verb, &path.replace("{id}", "1")),
    );
}

/// Adds what belongs to no class.
pub(super) fn add_system(paths: &mut Paths) {
    for word in ["info", "status"] {
        let operation = Operation::new(
            tags::system(),
            &format!("system_{word}"),
            "Test whether the API works for the caller",
        )
        .gives_nothing(
            200,
            "The word `success` and a line feed, sent as application/json, as FOG does.",
        )
        .may_fail(ALWAYS);
        if word == "status" {
            add(paths, "get", "/fog/status", operation.alias("status"));
        }
        add(paths, "get", &format!("/fog/system/{word}"), operation);
    }
    let text = json!({"type": "string"});
    let version = Operation::new(
        tags::system(),
        "get_version",
        "The version of FOG's dialect",
    )
    .about(
        "A version of FOG 1.5, by which clients tell its routes from those of 1.6. With \
             `clientver` or `client` in the query, that of FOG's client for installed machines.",
    )
    .open()
    .in_query(
        "clientver",
        "Ask for the version of the client.",
        text.clone(),
    )
    .gives_as(200, "The version, such as `1.5.8`.", "text/plain", text)
    .may_fail(&[(404, "NotFound"), (429, "TooMany"), (503, "Unavailable")]);
    add(paths, "get", "/fog/service/getversion.php", version);
}

/// Search in every class.
pub(super) fn add_search(described: &[ClassSchema], paths: &mut Paths) {
    let results: Map<String, Value> = described
        .iter()
        .map(|class| {
            let total = json!({
                "type": "object",
                "required": ["total"],
                "properties": {
                    "total": {"type": "integer", "minimum": 0,
                        "description": "Number of matches, including those that are not shown."},
                },
            });
            (
                class.name.to_string(),
                json!({"allOf": [total, schema_ref(&format!("{}_objects",
                class.name))]}),
            )
        })
        .collect();
    let answer = json!({
        "type": "object",
        "required": ["query", "count", "results"],
        "properties": {
            "query": {"type": "string", "description": "The text, decoded."},
            "count": {"type": "integer", "minimum": 0,
                "description": "Number of matches in all classes, including those that are not shown."},
            "results": {"type": "object", "description": "Matches of each class that has some.",
                "properties": results},
        },
    });
    let length = json!({"type": "integer", "minimum": 0, "maximum": 100, "default": 20});
    let search = Operation::new(tags::system(), "search_all", "Search in every class")
        .shared("Secrets")
        .in_path(
            "text",
            "Text to search for.",
            json!({"type": "string", "minLength": 1}),
        )
        .in_query(
            "length",
            "Maximum number of matches per class in the answer.",
            length,
        )
        .gives(200, "The matches.", answer)
        .may_fail(ALWAYS)
        .may_fail(&[(400, "BrokenJson")]);
    add(
        paths,
        "get",
        "/fog/unisearch/{text}",
        search.alias("search_all_unisearch"),
    );
    add(paths, "get", "/fog/search/{text}", search);
}

struct Routes<'a> {
    class: &'a ClassSchema,
    /// The class's name or another spelling of it.
    name: &'a str,
    paths: &'a mut Paths,
}

impl Routes<'_> {
    fn add(&mut self) {
        self.lists();
        self.columns();
        self.objects();
        self.changes();
        self.deletes();
        self.tasks();
    }

    fn operation(&self, id: &str, summary: &str) -> Operation {
        let operation = Operation::new(
            tags::of_class(&self.class.name),
            &format!("{}_{id}", self.class.name),
            summary,
        )
        .may_fail(ALWAYS);
        if self.name == self.class.name {
            operation
        } else {
            operation.alias(&format!("{}_{id}", self.name))
        }
    }

    /// One operation at several paths below the class; the first is the usual one.
    fn put(&mut self, method: &str, id: &str, spellings: &[&str], operation: &Operation) {
        for (place, spelling) in spellings.iter().enumerate() {
            let path = format!("/fog/{}{spelling}", self.name);
            let operation = match place {
                0 => operation.clone(),
                _ => {
                    let word = spelling.rsplit('/').next().unwrap_or_default();
                    operation.alias(&format!("{}_{id}_{word}", self.name))
                }
            };
            add(self.paths, method, &path, operation);
        }
    }

    fn list(&self, id: &str, summary: &str) -> Operation {
        paged(self.operation(id, summary).shared("Secrets").gives(
            200,
            "The objects.",
            schema_ref(&format!("{}_objects", self.class.name)),
        ))
    }

    fn lists(&mut self) {
        let filter = schema_ref(&format!("{}_filter", self.class.name));
        let name = &self.class.name;
        let list = self
            .list("list", &format!("List objects of class {name}"))
            .about(if self.class.named {
                "Ordered by name, ignoring case."
            } else {
                "Ordered by id."
            })
            .takes(filter.clone(), false);
        self.put("get", "list", &["", "/list", "/all", "/details"], &list);
        if self.class.current.is_some() {
            let active = self
                .list(
                    "active",
                    &format!("List the active objects of class {name}"),
                )
                .takes(filter, false);
            self.put("get", "active", &["/active", "/current"], &active);
        }
        let search = self
            .list("search", &format!("Search objects of class {name}"))
            .about("Finds objects with a stored field, or a related object, that contains the text. % and + stand for any text.")
            .in_path("text", "Text to search for; not decoded.", json!({"type": "string",
                "minLength": 1}));
        self.put("get", "search", &["/search/{text}"], &search);
    }

    fn columns(&mut self) {
        let name = self.class.name.clone();
        let pair = json!({
            "type": "object",
            "required": ["id", "name"],
            "properties": {
                "id": {"type": "string", "description": "Id of the object."},
                "name": {"type": "string", "description": "Name of the object."},
            },
        });
        let names = self
            .operation("names", &format!("List ids and names of class {name}"))
            .gives(
                200,
                "Ids and names; empty for a class without names.",
                json!({"type": "array", "items": pair}),
            );
        self.put("get", "names", &["/names"], &paged(names));
        let texts = json!({"type": "array", "items": {"type": "string"}});
        let ids = self
            .operation("ids", &format!("List the ids of class {name}"))
            .gives(200, "The ids.", texts.clone());
        self.put("get", "ids", &["/ids"], &paged(ids));
        let fields: Vec<_> = self.class.fields.iter().map(|field| &field.name).collect();
        let values = self
            .operation(
                "values",
                &format!("List one field of all objects of class {name}"),
            )
            .shared("Secrets")
            .in_path(
                "filler",
                "Any word: FOG's routes have one here.",
                json!({"type": "string", "minLength": 1}),
            )
            .in_path(
                "field",
                "The field.",
                json!({"type": "string", "enum": fields}),
            )
            .gives(200, "The values; empty for an unknown field.", texts);
        self.put("get", "values", &["/ids/{filler}/{field}"], &paged(values));
    }

    fn one(&self, id: &str, summary: &str) -> Operation {
        self.operation(id, summary)
            .gives(200, "The object.", schema_ref(&self.class.name))
    }

    fn objects(&mut self) {
        let name = &self.class.name;
        let shown = if self.class.any_id {
            or_less(name)
        } else {
            schema_ref(name)
        };
        let get = numbered(self.operation("get", &format!("Show one object of class {name}")))
            .gives(200, "The object.", shown)
            .shared("Secrets")
            .may_fail(&[(404, "NotFound"), (429, "TooMany"), (503, "Unavailable")]);
        let get = tagged(get);
        let items: Vec<&str> = self
            .class
            .items
            .iter()
            .map(|item| item.name.as_ref())
            .chain(["all"])
            .collect();
        let item = numbered(self.one(
            "item",
            &format!("Show one object of class {name} with further details"),
        ))
        .shared("Secrets")
        .in_path(
            "item",
            "The details to add, or all of them.",
            json!({"type": "string", "enum": items}),
        )
        .may_fail(&[(404, "NotFound"), (429, "TooMany"), (503, "Unavailable")]);
        let item = tagged(item);
        self.put("get", "get", &["/{id}"], &get);
        if !self.class.items.is_empty() {
            self.put("get", "item", &["/{id}/{item}"], &item);
        }
    }

    fn changes(&mut self) {
        let name = &self.class.name;
        let create = self
            .one("create", &format!("Create an object of class {name}"))
            .takes(schema_ref(&format!("{name}_create")), true)
            .may_fail(CHANGES)
            .may_fail(&[(417, "MissingField")])
            .with_headers(
                200,
                json!({"etag": etag(), "idempotency-replayed": replayed()}),
            );
        let create = keyed(create);
        let edit = numbered(self.one("edit", &format!("Change an object of class {name}")))
            .takes(schema_ref(&format!("{name}_edit")), true)
            .may_fail(CHANGES)
            .shared("IfMatch")
            .may_fail(&[(412, "Changed"), (417, "MissingField")])
            .with_headers(200, json!({"etag": etag()}));
        self.put("post", "create", &["", "/create", "/new"], &create);
        self.put(
            "put",
            "edit",
            &["/{id}", "/{id}/edit", "/{id}/update"],
            &edit,
        );
    }

    fn deletes(&mut self) {
        let delete = numbered(self.operation(
            "delete",
            &format!("Delete an object of class {}", self.class.name),
        ))
        .gives_nothing(200, "It was deleted, with everything that belonged to it.")
        .shared("IfMatch")
        .may_fail(&[
            (404, "NotFound"),
            (409, "Conflict"),
            (412, "Changed"),
            (500, "Refused"),
        ]);
        self.put(
            "delete",
            "delete",
            &["/{id}", "/{id}/delete", "/{id}/remove"],
            &delete,
        );
    }

    fn tasks(&mut self) {
        let name = &self.class.name;
        let takes_tasks = crate::api::fog::TASKED.contains(&name.as_ref());
        if takes_tasks {
            let task = numbered(self.operation("task", &format!("Create a task for a {name}")))
                .takes(schema_ref("task_order"), true)
                .gives(
                    200,
                    "The task was created: an empty string or null, as in FOG.",
                    json!({"type": ["string", "null"]}),
                )
                .may_fail(CHANGES)
                .with_headers(
                    200,
                    json!({"idempotency-replayed": replayed(), "foghorn-problem": left_out()}),
                );
            self.put("post", "task", &["/{id}/task"], &keyed(task));
        }
        if !crate::api::fog::CANCELLED.contains(&name.as_ref()) {
            return;
        }
        let cancel =
            numbered(self.operation("cancel", &format!("Cancel the active tasks of a {name}")))
                .gives(200, "Cancelled.", json!({"type": "null"}))
                .may_fail(CHANGES);
        let named = self
            .operation(
                "cancel_named",
                &format!("Cancel the active objects of class {name} that match the body"),
            )
            .about(
                "An empty body cancels nothing and is refused, as is a member that is no field of \
                 the class.",
            )
            .takes(schema_ref(&format!("{name}_filter")), true)
            .gives(200, "Cancelled.", json!({"type": "null"}))
            .may_fail(CHANGES);
        self.put("delete", "cancel", &["/{id}/cancel"], &cancel);
        if !takes_tasks {
            self.put("delete", "cancel_named", &["/cancel"], &named);
        }
    }
}

/// A list that can be had in pages.
fn paged(operation: Operation) -> Operation {
    ["Start", "Length", "OrderBy", "OrderDir"]
        .into_iter()
        .fold(operation, Operation::shared)
        .shared("IfNoneMatch")
        .may_fail(&[(304, "NotModified"), (400, "BrokenJson")])
        .with_headers(
            200,
            json!({
                "etag": etag(),
                "x-total-count": {
                    "description": "Number of objects on all pages, when a page was requested.",
                    "schema": {"type": "integer", "minimum": 0},
                },
                "link": {
                    "description": "Links to the first, previous, next and last page (RFC 8288).",
                    "schema": {"type": "string"},
                },
            }),
        )
}

/// A get whose answer has a version.
fn tagged(operation: Operation) -> Operation {
    operation
        .shared("IfNoneMatch")
        .may_fail(&[(304, "NotModified")])
        .with_headers(200, json!({"etag": etag()}))
}

/// A request that may be sent again under a key.
fn keyed(operation: Operation) -> Operation {
    operation
        .shared("IdempotencyKey")
        .may_fail(&[(409, "KeyBusy"), (422, "KeyReused")])
}

fn etag() -> Value {
    json!({"description": "Version of the answer, in quotes.", "schema": {"type": "string"}})
}

fn left_out() -> Value {
    json!({
        "description": "Hosts of the group that got no task, and why.",
        "required": false,
        "schema": {"type": "string"},
    })
}

fn replayed() -> Value {
    json!({
        "description": "Present when this is the answer of an earlier request with the same key.",
        "schema": {"type": "string", "enum": ["true"]},
    })
}

fn numbered(operation: Operation) -> Operation {
    operation.in_path(
        "id",
        "Id of the object.",
        json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
    )
}

/// The body of `/task`.
pub(super) fn task_order() -> Value {
    let flag = |about: &str| {
        json!({"type": ["boolean", "string", "number", "null"],
        "description": about})
    };
    json!({
        "type": "object",
        "description": "The task. Unknown members are ignored.",
        "properties": {
            "taskTypeID": {"type": ["integer", "string"],
                "description": "Id of the task type: 1 deploy, 2 capture, …; see class tasktype."},
            "taskType": {"type": ["integer", "string"],
                "description": "The same as taskTypeID, as in FOG's documentation."},
            "taskName": {"type": ["string", "null"],
                "description": "Name of the task; the name of the host or group is added to it."},
            "shutdown": flag("Shut the machine down at the end."),
            "debug": flag("Start the machine for debugging; nothing runs automatically."),
            "wol": flag("Wake the machine up first."),
            "passreset": {"type": ["string", "null"],
                "description": "New password, for a password reset."},
            "deploySnapins": {
                "type": ["integer", "string", "boolean", "null"],
                "description": "Id of the snapin to install; true or -1: all snapins of the host.",
            },
        },
    })
}
