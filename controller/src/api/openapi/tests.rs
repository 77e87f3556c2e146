//! The document holds what the program does: its references end somewhere, its words are there, it
//! agrees with renderings.

use std::collections::BTreeSet;

use foghorn_types::{ImageId, ManifestId, StorageNodeId};
use serde_json::{Map, Value};

use super::{document, factory, legacy};
use crate::api::access::Need;
use crate::api::{fog, foundries, native};
use crate::state::Tables;
use crate::state::class::Shape;
use crate::state::classes::CLASSES;
use crate::state::render::every_missing;
use crate::state::scene::{Glance, NodeGlance, ProgressGlance, Scene};
use crate::state::schema::{ClassSchema, MemberSchema};

struct Nothing;

impl Glance for Nothing {
    fn node(&self, _: foghorn_types::StorageNodeId) -> NodeGlance {
        NodeGlance::default()
    }

    fn held(&self, _: StorageNodeId, _: ImageId) -> Vec<ManifestId> {
        Vec::new()
    }

    fn progress(&self, _: foghorn_types::TaskId) -> Option<ProgressGlance> {
        None
    }
}

fn built() -> Value {
    document::build(&fog::own_schemas(), native::routes().declared())
}

fn factory() -> Value {
    factory::build(&foundries::declared())
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                found.insert(target.clone());
            }
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_ends_somewhere() {
    let document = built();
    for document in [&document, &legacy::rewrite(&document), &factory()] {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        for target in found {
            let place = target
                .strip_prefix('#')
                .expect("references stay in the document");
            assert!(document.pointer(place).is_some(), "{target}");
        }
    }
}

#[test]
fn operation_ids_are_unique_and_every_operation_says_what_it_does() {
    for document in [built(), factory()] {
        look_at_operations(&document);
    }
}

fn look_at_operations(document: &Value) {
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(
                ids.insert(id.to_owned()),
                "{method} {path}: {id} is there twice"
            );
            assert!(
                operation["summary"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{method} {path}"
            );
            let named = path.matches('{').count();
            let parameters = operation["parameters"].as_array().unwrap();
            assert_eq!(
                parameters
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .count(),
                named,
                "{method} {path}"
            );
        }
    }
}

#[test]
fn every_tag_of_an_operation_has_one_description() {
    for document in [built(), factory()] {
        look_at_tags(&document);
    }
}

fn look_at_tags(document: &Value) {
    let mut described = BTreeSet::new();
    for tag in document["tags"].as_array().unwrap() {
        let (name, about) = (tag["name"].as_str().unwrap(), tag["description"].as_str());
        assert!(about.is_some_and(|text| !text.is_empty()), "{name}");
        assert!(described.insert(name), "{name} is described twice");
    }
    let mut used = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let tags = operation["tags"].as_array().unwrap();
            used.extend(tags.iter().map(|tag| tag.as_str().unwrap()));
        }
    }
    let missing: Vec<_> = used.difference(&described).collect();
    assert!(missing.is_empty(), "without a line in tags(): {missing:?}");
    let unused: Vec<_> = described.difference(&used).collect();
    assert!(unused.is_empty(), "of no operation: {unused:?}");
}

#[test]
fn every_class_and_member_has_a_meaning() {
    let mut missing = Vec::new();
    for class in CLASSES.iter().map(|class| class.schema()) {
        if class.about.trim().is_empty() {
            missing.push(class.name.to_string());
        }
        let fields = class.fields.iter().map(|field| (&field.name, &field.about));
        let members = class
            .computed
            .iter()
            .chain(&class.items)
            .chain(&class.accepts);
        for (name, about) in fields.chain(members.map(|member| (&member.name, &member.about))) {
            if about.trim().is_empty() {
                missing.push(format!("{}.{name}", class.name));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "without a description: {}",
        missing.join(", ")
    );
}

/// What renders must be what is described: a missing object has every member, empty.
#[test]
fn renderings_have_the_members_that_are_described() {
    let tables = Tables::default();
    let scene = Scene {
        tables: &tables,
        glance: &Nothing,
        secrets: false,
        from: std::net::Ipv4Addr::LOCALHOST.into(),
    };
    let (schemas, renderings): (Vec<ClassSchema>, Vec<Value>) =
        every_missing(&scene).into_iter().unzip();
    let mut wrong = Vec::new();
    for (schema, rendering) in schemas.iter().zip(&renderings) {
        let Value::Object(shown) = rendering else {
            panic!("no object")
        };
        compare(schema, shown, &schemas, &mut wrong);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(
    schema: &ClassSchema,
    shown: &Map<String, Value>,
    schemas: &[ClassSchema],
    wrong: &mut Vec<String>,
) {
    let fields = schema
        .fields
        .iter()
        .filter(|field| !field.shadowed)
        .map(|field| field.name.to_string());
    let expected: Vec<String> = fields
        .chain(schema.computed.iter().map(|member| member.name.to_string()))
        .collect();
    let found: Vec<String> = shown.keys().cloned().collect();
    let optional = |name: &String| {
        schema
            .computed
            .iter()
            .any(|member| member.name == *name && !member.shape.is_sure())
    };
    if !expected
        .iter()
        .filter(|name| found.contains(name) || !optional(name))
        .eq(&found)
    {
        wrong.push(format!(
            "{}: shown {found:?}, described {expected:?}",
            schema.name
        ));
    }
    for member in &schema.computed {
        if let Some(value) = shown
            .get(member.name.as_ref())
            .filter(|value| !fits(member, value, schemas))
        {
            wrong.push(format!(
                "{}.{}: {:?} is described, {value} is shown",
                schema.name, member.name, member.shape
            ));
        }
    }
}

fn fits(member: &MemberSchema, value: &Value, schemas: &[ClassSchema]) -> bool {
    let of = |name: &str| {
        schemas
            .iter()
            .find(|schema| schema.name == name)
            .expect("a shape names a class")
    };
    let keys = || {
        value
            .as_object()
            .map(|members| members.keys().cloned().collect::<Vec<_>>())
    };
    let texts = |names: Vec<&str>| Some(names.into_iter().map(str::to_owned).collect::<Vec<_>>());
    match member.shape {
        Shape::Text => value.is_string(),
        Shape::OptionalText => value.is_string() || value.is_null(),
        Shape::Integer => value.is_i64() || value.is_u64(),
        Shape::Number => value.is_number(),
        Shape::Boolean => value.is_boolean(),
        Shape::Texts | Shape::Ids(_) => value.is_array(),
        Shape::Empty => value.as_object().is_some_and(Map::is_empty),
        Shape::Plain(name) => {
            let class = of(name);
            let fields = class
                .fields
                .iter()
                .filter(|field| !field.shadowed)
                .map(|field| field.name.as_ref());
            keys()
                == texts(
                    fields
                        .chain(class.relations.iter().map(AsRef::as_ref))
                        .collect(),
                )
        }
        Shape::Full(name) | Shape::Sometimes(name) => {
            let class = of(name);
            let fields = class
                .fields
                .iter()
                .filter(|field| !field.shadowed)
                .map(|field| field.name.as_ref());
            keys()
                == texts(
                    fields
                        .chain(class.computed.iter().map(|member| member.name.as_ref()))
                        .collect(),
                )
        }
    }
}

/// The members of an object, and of whatever it is one of.
fn properties(schema: &Value) -> Vec<(&String, &Value)> {
    let alternatives = schema["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(properties);
    schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .chain(alternatives)
        .collect()
}

#[test]
fn bodies_and_their_members_have_a_meaning() {
    for document in [built(), factory()] {
        look_at_bodies(&document);
    }
}

fn look_at_bodies(document: &Value) {
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let is_empty = |schema: &Value| {
        schema["description"]
            .as_str()
            .is_none_or(|text| text.trim().is_empty())
    };
    // Bodies of native routes are named as their types are; classes of the FOG dialect have a test
    // of their own.
    let bodies = schemas
        .iter()
        .filter(|(name, _)| name.starts_with(|first: char| first.is_uppercase()));
    let mut missing = Vec::new();
    let mut looked_at = 0;
    for (name, schema) in bodies {
        looked_at += 1;
        if is_empty(schema) {
            missing.push(name.clone());
        }
        // What is in square brackets is a link for readers of the program.
        assert!(
            !schema.to_string().contains("[`"),
            "{name} has a description that nobody can follow"
        );
        let members = properties(schema)
            .into_iter()
            .filter(|(_, schema)| is_empty(schema) && schema["const"].is_null());
        missing.extend(members.map(|(member, _)| format!("{name}.{member}")));
    }
    assert!(
        missing.is_empty(),
        "without a description: {}",
        missing.join(", ")
    );
    assert!(looked_at > 30, "{looked_at} bodies");
}

#[test]
fn every_native_route_is_described_and_says_whether_it_is_open() {
    let document = built();
    for route in native::routes().declared() {
        let (method, path) = (&route.method, route.path);
        let operation = &document["paths"][path][method.as_str().to_ascii_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        let open = operation["security"].as_array().is_some_and(Vec::is_empty);
        assert_eq!(open, route.need == Need::Nothing, "{method} {path}");
    }
}

#[test]
fn every_route_of_a_factory_names_its_scope_and_changes_need_more_than_to_read() {
    for route in foundries::declared() {
        let (method, path) = (&route.method, route.path);
        match route.need {
            Need::Scope(scope) => {
                let reads = scope.as_str().ends_with(":read");
                // Whoever fetches messages takes them from others.
                let takes = path.ends_with("/messages/");
                assert_eq!(reads, method.is_safe() && !takes, "{method} {path}");
            }
            Need::Nothing => {
                let is_public = ["/console.log", "/event-keys/"].map(|end| path.ends_with(end));
                assert!(is_public.contains(&true), "{method} {path}");
            }
            Need::Role(role) => panic!("{method} {path} is for {role}"),
        }
    }
    let document = factory();
    let operation = &document["paths"]["/ota/devices/{dev}/config/{file}"]["delete"];
    assert_eq!(operation["x-foghorn-scope"], "devices:read-update");
}

#[test]
fn nothing_that_changes_is_for_those_who_only_look() {
    for route in native::routes().declared() {
        let look = route.need == Need::Role(foghorn_types::Role::ReadOnly);
        assert!(
            !look || route.method.is_safe(),
            "{} {}",
            route.method,
            route.path
        );
    }
}

#[test]
fn conditions_and_keys_are_where_they_are_read() {
    let document = built();
    let has = |place: &str, parameter: &str, statuses: &[&str]| {
        let operation = document.pointer(place).unwrap_or_else(|| panic!("{place}"));
        let reference = format!("#/components/parameters/{parameter}");
        let named = operation["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["$ref"] == reference);
        assert!(named, "{place}: {parameter}");
        for status in statuses {
            assert!(
                operation["responses"][status].is_object(),
                "{place}: {status}"
            );
        }
    };
    has(
        "/paths/~1fog~1host/get",
        "IfNoneMatch",
        &["304", "400", "415"],
    );
    has("/paths/~1fog~1host~1{id}/get", "IfNoneMatch", &["304"]);
    has(
        "/paths/~1fog~1host~1{id}/put",
        "IfMatch",
        &["412", "408", "413"],
    );
    has("/paths/~1fog~1host~1{id}/delete", "IfMatch", &["412"]);
    has("/paths/~1fog~1host/post", "IdempotencyKey", &["409", "422"]);
    has(
        "/paths/~1fog~1group~1{id}~1task/post",
        "IdempotencyKey",
        &["409", "422"],
    );
    has(
        "/paths/~1foghorn~1v1~1events/get",
        "LastEventId",
        &["400", "503"],
    );
}

/// The bounds of requests and connections at a time hold for everybody.
#[test]
fn every_operation_may_be_refused_for_now() {
    let document = built();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for status in ["429", "503"] {
                let answer = &operation["responses"][status];
                assert!(!answer.is_null(), "{method} {path}: {status}");
            }
        }
    }
}

#[test]
fn every_operation_says_which_role_it_needs() {
    let document = built();
    let role = |method: &str, path: &str| document["paths"][path][method]["x-foghorn-role"].clone();
    for (method, path, needs) in [
        ("get", "/fog/host", Value::from("read-only")),
        ("get", "/fog/host/ids", Value::from("read-only")),
        ("post", "/fog/host/{id}/task", Value::from("operator")),
        ("put", "/fog/host/{id}", Value::from("operator")),
        ("delete", "/fog/service/{id}", Value::from("administrator")),
        ("get", "/foghorn/v1/audit", Value::from("administrator")),
        ("get", "/healthz", Value::Null),
    ] {
        assert_eq!(role(method, path), needs, "{method} {path}");
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            assert_eq!(
                operation["x-foghorn-role"].is_null(),
                open,
                "{method} {path}"
            );
        }
    }
}
