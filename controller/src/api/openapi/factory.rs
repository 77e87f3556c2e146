//! The document of the FoundriesFactory dialect, from the declarations of its routes.

use serde_json::{Value, json};

use super::native;
use super::operation::Paths;
use super::schemas::Schemas;
use crate::api::foundries::FactoryError;
use crate::api::routes::Declared;
use crate::state::machines::scope::Scope;

const TAGS: [(&str, &str); 6] = [
    ("devices", "Machines that have an identity of their own."),
    (
        "configurations",
        "Files for devices, at three levels: those of a device are before those of its group, and these before those of \
         the factory.",
    ),
    (
        "device groups",
        "Devices of one factory that share a configuration.",
    ),
    (
        "targets",
        "Versions of images, and the rings that follow them.",
    ),
    (
        "factories",
        "Storage groups as sites, who works there, and how their devices are getting on.",
    ),
    (
        "event queues",
        "What happens to devices, told to programs: sent to a URL, or fetched.",
    ),
];

const INTRODUCTION: &str = "\
The API of a FoundriesFactory over the state of this Foghorn: a factory is a storage group, a device a machine with an \
identity of its own, a target a version of an image. Paths are served with a slash at the end and without one. \
`foghorn factory-token create` makes a token.";

/// The description of these routes, as OpenAPI 3.1.
pub(super) fn build(routes: &[Declared]) -> Value {
    let (mut paths, mut schemas) = (Paths::default(), Schemas::new());
    native::add_paths(routes, &mut paths, &mut schemas);
    // Shared answers name it, whatever the routes do.
    let error = schemas.answer(|generator| generator.subschema_for::<FactoryError>());
    let tags = TAGS.map(|(name, about)| json!({"name": name, "description": about}));
    json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Foghorn: the API of a FoundriesFactory",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT"},
        },
        "servers": [{"url": "/", "description": "The controller that serves this page."}],
        "security": [{"osf_token": []}, {"bearer": []}],
        "tags": tags,
        "paths": paths.finish(),
        "components": {
            "securitySchemes": security(),
            "parameters": parameters(),
            "responses": responses(&error),
            "schemas": schemas.finish(),
        },
    })
}

fn security() -> Value {
    let scopes: Vec<&str> = Scope::ALL.into_iter().map(Scope::as_str).collect();
    let scopes = scopes.join(", ");
    json!({
        "osf_token": {
            "type": "apiKey", "in": "header", "name": "OSF-TOKEN",
            "description": format!("A factory token. Its scopes are some of {scopes}."),
        },
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "The same token, as it is or in base64.",
        },
    })
}

/// Parameters that many operations share.
fn parameters() -> Value {
    json!({
        "DryRun": {
            "name": "dry_run", "in": "query", "required": false,
            "description": "Check everything that can be refused and store nothing; the answer is a refusal, or 200 with the \
                            header `foghorn-dry-run`.",
            "schema": {"type": "boolean"},
        },
    })
}

/// Answers that many operations share.
fn responses(error: &Value) -> Value {
    let refused = |about: &str| json!({"description": about, "content": {"application/json": {"schema": error}}});
    json!({
        "TooSlow": {"description": "The request took too long.",
            "content": {"text/plain": {"schema": {"type": "string"}}}},
        "WrongEncoding": refused("Content-Encoding is neither gzip nor zstd."),
        "TooMany": refused("Too many wrong tokens or requests at a time; try again after Retry-After."),
        "Unavailable": refused("The state store did not answer, or too many requests are under way; the same request may \
            succeed later."),
        "Problem": refused("Refused; the body says why."),
    })
}
