//! Foghorn's own routes, from their declarations.

use serde_json::{Map, Value, json};

use super::operation::{Operation, Paths};
use super::schemas::{Schemas, without_null};
use crate::api::access::Need;
use crate::api::routes::{Answer, Declared, Described, Parameter, Takes};

/// Of every native route, also of those without credentials: the time limit, how a body is packed, and
/// the bounds of requests and connections at a time.
const ALWAYS: &[(u16, &str)] = &[
    (408, "TooSlow"),
    (415, "WrongEncoding"),
    (429, "TooMany"),
    (503, "Unavailable"),
];
/// Of routes that need a role.
const GUARDED: &[(u16, &str)] = &[(401, "Problem"), (403, "Problem")];
/// Of routes that may change something.
const CHANGING: &[(u16, &str)] = &[(500, "Problem"), (503, "Problem")];

const FILE: &str = "application/octet-stream";

/// Adds the operations of these routes to the paths, and their bodies to the schemas.
pub(super) fn add(declared: &[Declared], paths: &mut Paths, bodies: &mut Map<String, Value>) {
    let mut schemas = Schemas::new();
    add_paths(declared, paths, &mut schemas);
    // Shared answers name it, whatever the routes do.
    schemas.answer(|generator| generator.subschema_for::<foghorn_proto::http::Problem>());
    bodies.extend(schemas.finish());
}

/// Adds the operations of these routes, also of another dialect.
pub(super) fn add_paths(declared: &[Declared], paths: &mut Paths, schemas: &mut Schemas) {
    for route in declared {
        let Some(described) = &route.operation else {
            continue;
        };
        let method = route.method.as_str().to_ascii_lowercase();
        paths.add(
            &method,
            // OpenAPI has no word for a parameter with slashes in it.
            &route.path.replace("{*", "{"),
            operation(route, described, schemas),
            route.need,
        );
    }
}

fn operation(route: &Declared, described: &Described, schemas: &mut Schemas) -> Operation {
    let mut operation =
        Operation::new(described.tag, described.id, described.summary).may_fail(ALWAYS);
    if let Some(about) = described.about {
        operation = operation.about(about);
    }
    if let Some(id) = described.alias_of {
        operation = operation.alias_of(id);
    }
    operation = match route.need {
        Need::Nothing => operation.open(),
        Need::Role(_) | Need::Scope(_) => operation.may_fail(GUARDED),
    };
    if !route.method.is_safe() {
        operation = operation.may_fail(CHANGING);
    }
    for parameter in &described.parameters {
        operation = with_parameter(operation, parameter, schemas);
    }
    operation = match &described.takes {
        None => operation,
        Some(Takes::Json { schema, required }) => {
            operation.takes(schemas.request(*schema), *required)
        }
        Some(Takes::File) => operation.takes_as(FILE, binary()),
    };
    // What a route says itself wins over a refusal that follows from something else.
    let (refusals, answers): (Vec<_>, Vec<_>) = described
        .answers
        .iter()
        .partition(|(_, answer)| matches!(answer, Answer::Problem));
    for (status, answer) in refusals.into_iter().chain(answers) {
        operation = with_answer(operation, *status, answer, schemas);
    }
    operation
}

fn with_parameter(operation: Operation, parameter: &Parameter, schemas: &mut Schemas) -> Operation {
    match parameter {
        Parameter::Path {
            name,
            about,
            schema,
        } => operation.in_path(name, about, bare(schemas.request(*schema)).1),
        Parameter::Shared(name) => operation.shared(name),
        Parameter::Query(members) => {
            let members = schemas.request(*members);
            let properties = members["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            properties
                .into_iter()
                .fold(operation, |operation, (name, schema)| {
                    let (about, mut schema) = bare(schema);
                    // A parameter is left out where a member of a body would be null.
                    without_null(&mut schema);
                    operation.in_query(&name, &about, schema)
                })
        }
    }
}

/// A schema without its description, and that.
fn bare(mut schema: Value) -> (String, Value) {
    let about = schema
        .as_object_mut()
        .and_then(|members| members.remove("description"));
    (
        about
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        schema,
    )
}

fn with_answer(
    operation: Operation,
    status: u16,
    answer: &Answer,
    schemas: &mut Schemas,
) -> Operation {
    match answer {
        Answer::Json { about, schema } => operation.gives(status, about, schemas.answer(*schema)),
        Answer::Text { about, media_type } => {
            operation.gives_as(status, about, media_type, json!({"type": "string"}))
        }
        Answer::File { about } => operation.gives_as(status, about, FILE, binary()),
        Answer::Nothing { about } => operation.gives_nothing(status, about),
        Answer::Problem => operation.may_fail(&[(status, "Problem")]),
    }
}

fn binary() -> Value {
    json!({"type": "string", "format": "binary"})
}
