//! The whole document: classes, routes, shared answers, security.

use serde_json::{Map, Value, json};

use super::operation::Paths;
use super::{classes, fog, native, tags};
use crate::api::routes::Declared;
use crate::state::schema::ClassSchema;

/// The description of the API with these classes and these native routes, as OpenAPI 3.1.
pub(super) fn build(described: &[ClassSchema], routes: &[Declared]) -> Value {
    let mut paths = Paths::default();
    let mut schemas = Map::new();
    fog::add_system(&mut paths);
    for class in described {
        fog::add_class(class, &mut paths);
        classes::add(class, &mut schemas);
    }
    fog::add_search(described, &mut paths);
    schemas.insert("task_order".to_owned(), fog::task_order());
    schemas.insert("fog_error".to_owned(), fog_error());
    native::add(routes, &mut paths, &mut schemas);
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Foghorn",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/", "description": "The controller that serves this page."}],
        "security": [{"api_token": [], "user_token": []}, {"api_token": [], "password": []}],
        "tags": tags::all(described),
        "x-tagGroups": tags::groups(described),
        "paths": paths.finish(),
        "components": {
            "securitySchemes": security(),
            "parameters": parameters(),
            "responses": responses(),
            "schemas": schemas,
        },
    })
}

const INTRODUCTION: &str = "\
Foghorn images fleets of computers. Routes under `/fog` speak FOG's dialect: every stored field is a text, lists are \
`{\"count\": …, \"<class>s\": […]}`, and some refusals are 500 or 501 because FOG's are; their body says why. Routes under \
`/foghorn/v1` are Foghorn's own: ids are numbers, sizes are bytes, times are RFC 3339 in UTC.";

fn security() -> Value {
    json!({
        "api_token": {
            "type": "apiKey", "in": "header", "name": "fog-api-token",
            "description": "Token of the installation, as it is or in base64.",
        },
        "user_token": {
            "type": "apiKey", "in": "header", "name": "fog-user-token",
            "description": "Token of a user, as it is or in base64.",
        },
        "password": {
            "type": "http", "scheme": "basic",
            "description": "Name and password of a user; the API token is also required.",
        },
    })
}

/// Parameters that many operations share.
fn parameters() -> Value {
    let query = |name: &str, about: &str, schema: Value| {
        json!({"name": name, "in": "query",
        "required": false, "description": about, "schema": schema})
    };
    let header = |name: &str, about: &str, schema: Value| {
        json!({"name": name, "in": "header",
        "required": false, "description": about, "schema": schema})
    };
    let number = || json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    json!({
        "Secrets": {
            "name": "foghorn-secrets", "in": "header", "required": false,
            "description": "`show` fills in secret fields, for administrators.",
            "schema": {"type": "string", "enum": ["show"]},
        },
        "IfMatch": header(
            "If-Match",
            "Versions of the object that the change applies to, from its ETag, or *; otherwise 412.",
            json!({"type": "string"}),
        ),
        "IfNoneMatch": header(
            "If-None-Match",
            "Versions that the client has; if the answer is one of them, 304.",
            json!({"type": "string"}),
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "For 24 hours the same request with this key gets the first answer again and is not carried out again.",
            json!(
                {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"}
            ),
        ),
        "LastEventId": header(
            "Last-Event-ID",
            "Id of the last received event; takes precedence over since.",
            json!({"type": "string", "pattern": "^[0-9]*$"}),
        ),
        "DryRun": query(
            "dry_run",
            "Check everything that can be refused and store nothing; the answer is a refusal, or 200 with the header \
             `foghorn-dry-run`.",
            json!({"type": "boolean"}),
        ),
        "Start": query("start", "Number of objects to skip.", number()),
        "Length": query("length", "Maximum number of objects in the answer; default: all.",
            number()),
        "OrderBy": query("orderBy", "Stored field to order by; with a leading -, in reverse order.",
            json!({"type": "string"})),
        "OrderDir": query("orderDir", "Direction of orderBy.", json!({"type": "string",
            "enum": ["asc", "desc"]})),
    })
}

fn fog_error() -> Value {
    json!({
        "type": "object",
        "description": "A refusal in the FOG dialect.",
        "required": ["error"],
        "properties": {"error": {"type": "string", "minLength": 1,
            "description": "What is wrong, and with which field."}},
    })
}

/// Answers that many operations share.
fn responses() -> Value {
    let error = |about: &str| {
        json!({
            "description": about,
            "content": {"application/json": {"schema": classes::schema_ref("fog_error")}},
        })
    };
    // FOG answers some refusals without a word. Generated clients would read JSON out of nothing if
    // it were declared.
    let maybe = |about: &str| json!({"description": format!("{about} A body, when there is one, is a `fog_error`.")});
    let problem_header = json!({
        "foghorn-problem": {
            "description": "Details that are not in the body: the field and the reason.",
            "required": false,
            "schema": {"type": "string"},
        },
    });
    let mut all = json!({
        "ApiOff": {
            "description": "The API is turned off.",
            "headers": {"location": {"description": "FOG's page.", "schema": {"type": "string"}}},
        },
        "BrokenJson": error("The body is not JSON, or a parameter is invalid; nothing was changed."),
        "NobodyKnown": {"description": "Neither the user token nor the password is valid. No body."},
        "Forbidden": maybe("The API token is missing or wrong (no body), or the user may not do this."),
        "NotFound": maybe("The object does not exist (no body), or the request cannot be used."),
        "TooSlow": {"description": "The request took too long.",
            "content": {"text/plain": {"schema": {"type": "string"}}}},
        "TooLarge": error("The body is larger than 1 MiB."),
        "NotModified": {
            "description": "The current version is in If-None-Match. No body.",
            "headers": {"etag": {"description": "The version.", "schema": {"type": "string"}}},
        },
        "Changed": error("The version of the object is not in If-Match; nothing was changed."),
        "WrongEncoding": {
            "description": "Content-Encoding is neither gzip nor zstd. No body.",
            "headers": {"accept-encoding": {"description": "Supported encodings.",
                "schema": {"type": "string"}}},
        },
        "Conflict": error("The state of the objects does not allow it, where a FOG server would not refuse it: an image is in use or protected, has no content, or does not fit."),
        "KeyBusy": error("The state of the objects does not allow it; or the same request with this Idempotency-Key is being carried out; try again after Retry-After."),
        "KeyReused": error("The Idempotency-Key was used for a different request; nothing was changed."),
        "TooMany": {"description": "Too many failed log-ins, connections or requests at a time; try again after Retry-After."},
        "MissingField": error("A required field is missing."),
        "Refused": error("Refused, as in FOG: the name is in use, a value is invalid, a task cannot be created."),
        "Unknown": maybe("No such class, route or method (no body), or no such task type."),
        "Unavailable": error("The state store did not answer, or too many requests are under way; the same request may succeed later."),
        "Problem": {
            "description": "Refused; the body names the field.",
            "content": {"application/json": {"schema": classes::schema_ref("Problem")}},
        },
    });
    for name in ["NotFound", "MissingField", "Refused"] {
        all[name]["headers"] = problem_header.clone();
    }
    all
}
