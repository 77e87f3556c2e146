//! One operation of the document under construction, and the paths that gather them.

use serde_json::{Map, Value, json};

use crate::api::access::Need;

/// `paths` of a document.
#[derive(Default)]
pub(super) struct Paths(Map<String, Value>);

impl Paths {
    /// Adds an operation with the requirements of access control. A pair of path and method that
    /// already exists is a mistake of the program.
    pub(super) fn add(&mut self, method: &str, path: &str, operation: Operation, need: Need) {
        let item = self.0.entry(path).or_insert_with(|| json!({}));
        debug_assert!(
            item.get(method).is_none(),
            "{method} {path} is described twice"
        );
        item[method] = operation.needs(need).0;
    }

    pub(super) fn finish(self) -> Value {
        Value::Object(self.0)
    }
}

/// An operation object.
#[derive(Clone)]
pub(super) struct Operation(Value);

impl Operation {
    pub(super) fn new(tag: &str, id: &str, summary: &str) -> Self {
        Self(json!(
            {"tags": [tag], "operationId": id, "summary": summary, "parameters": [], "responses": {}}
        ))
    }

    pub(super) fn about(mut self, text: &str) -> Self {
        self.0["description"] = text.into();
        self
    }

    /// The same operation at another path.
    pub(super) fn alias(&self, id: &str) -> Self {
        let mut alias = self.clone();
        alias.0["operationId"] = id.into();
        alias.alias_of(self.0["operationId"].as_str().unwrap_or_default())
    }

    /// Says that this is another path of the operation `id`.
    pub(super) fn alias_of(mut self, id: &str) -> Self {
        self.0["x-foghorn-alias-of"] = id.into();
        self
    }

    /// Says which role or scope the caller must have.
    fn needs(mut self, need: Need) -> Self {
        let (needs, key, value) = match need {
            Need::Nothing => return self,
            Need::Role(role) => (
                format!("Needs the role {role}."),
                "x-foghorn-role",
                role.to_string(),
            ),
            Need::Scope(scope) => (
                format!("Needs the scope {scope}."),
                "x-foghorn-scope",
                scope.to_string(),
            ),
        };
        let about = self.0["description"]
            .as_str()
            .map_or_else(|| needs.clone(), |about| format!("{about} {needs}"));
        self.0["description"] = about.into();
        self.0[key] = value.into();
        self
    }

    /// Takes no credentials.
    pub(super) fn open(mut self) -> Self {
        self.0["security"] = json!([]);
        self
    }

    fn parameter(mut self, parameter: Value) -> Self {
        if let Value::Array(parameters) = &mut self.0["parameters"] {
            parameters.push(parameter);
        }
        self
    }

    pub(super) fn in_path(self, name: &str, about: &str, schema: Value) -> Self {
        self.parameter(
            json!({"name": name, "in": "path", "required": true, "description": about,
            "schema": schema}),
        )
    }

    pub(super) fn in_query(self, name: &str, about: &str, schema: Value) -> Self {
        self.parameter(
            json!({"name": name, "in": "query", "required": false, "description": about,
            "schema": schema}),
        )
    }

    /// A parameter of `components/parameters`.
    pub(super) fn shared(self, name: &str) -> Self {
        self.parameter(json!({"$ref": format!("#/components/parameters/{name}")}))
    }

    /// A JSON body.
    pub(super) fn takes(mut self, schema: Value, required: bool) -> Self {
        self.0["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": schema}}});
        self
    }

    /// A body of another type, which is required.
    pub(super) fn takes_as(mut self, media_type: &str, schema: Value) -> Self {
        self.0["requestBody"] =
            json!({"required": true, "content": {media_type: {"schema": schema}}});
        self
    }

    /// An answer with JSON.
    pub(super) fn gives(self, status: u16, about: &str, schema: Value) -> Self {
        self.gives_as(status, about, "application/json", schema)
    }

    pub(super) fn gives_as(
        self,
        status: u16,
        about: &str,
        media_type: &str,
        schema: Value,
    ) -> Self {
        self.answers(
            status,
            json!({"description": about, "content": {media_type: {"schema": schema}}}),
        )
    }

    /// An answer without a body that means anything.
    pub(super) fn gives_nothing(self, status: u16, about: &str) -> Self {
        self.answers(status, json!({"description": about}))
    }

    /// Answers of `components/responses`, by status.
    pub(super) fn may_fail(mut self, failures: &[(u16, &str)]) -> Self {
        for (status, name) in failures {
            self = self.answers(
                *status,
                json!({"$ref": format!("#/components/responses/{name}")}),
            );
        }
        self
    }

    /// Adds headers to the answers of a status that is not shared.
    pub(super) fn with_headers(mut self, status: u16, headers: Value) -> Self {
        self.0["responses"][status.to_string()]["headers"] = headers;
        self
    }

    fn answers(mut self, status: u16, answer: Value) -> Self {
        self.0["responses"][status.to_string()] = answer;
        self
    }
}
