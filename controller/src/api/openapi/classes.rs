//! JSON Schemas of a class: an object as it is shown by id, embedded, in a list, and what a create,
//! an edit and a filter take. Every stored field is a text on FOG's wire, so the meaning is in
//! pattern and description.

use serde_json::{Map, Value, json};

use crate::state::class::Shape;
use crate::state::schema::{ClassSchema, FieldKind, FieldSchema, MemberSchema};

/// A reference to a schema of the document.
pub(super) fn schema_ref(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object, or what is shown in its place when there is none.
pub(super) fn or_less(class: &str) -> Value {
    let less = json!({
        "type": "object",
        "description": "Shown when the object does not exist.",
        "required": ["id"],
        "properties": {"id": {"type": "string", "pattern": "^[0-9]+$",
            "description": "The requested id."}},
    });
    json!({"anyOf": [schema_ref(class), less]})
}

/// Adds everything that operations of the class refer to.
pub(super) fn add(class: &ClassSchema, schemas: &mut Map<String, Value>) {
    let name = &class.name;
    schemas.insert(name.to_string(), shown(class));
    schemas.insert(format!("{name}_plain"), plain(class));
    schemas.insert(format!("{name}_objects"), list(class));
    schemas.insert(format!("{name}_create"), create(class));
    schemas.insert(format!("{name}_edit"), edit(class));
    schemas.insert(format!("{name}_filter"), filter(class));
}

/// An object by id: stored fields and computed members. A plugin may add members, so others are
/// allowed.
fn shown(class: &ClassSchema) -> Value {
    let mut properties = stored(class);
    for member in class
        .computed
        .iter()
        .chain(&class.sometimes)
        .chain(&class.items)
    {
        properties.insert(member.name.to_string(), computed(member));
    }
    let fields = class.fields.iter().filter(|field| !field.shadowed);
    let sure = class
        .computed
        .iter()
        .filter(|member| member.shape.is_sure())
        .map(|member| &member.name);
    let required = fields.map(|field| &field.name).chain(sure);
    json!({
        "type": "object",
        "description": sentence(&class.about),
        "properties": properties,
        "required": required.collect::<Vec<_>>(),
    })
}

/// An object embedded in another: its own relations are `{}`.
fn plain(class: &ClassSchema) -> Value {
    let mut properties = stored(class);
    for relation in &class.relations {
        properties.insert(
            relation.to_string(),
            json!({"type": "object", "description": "Always empty here."}),
        );
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "type": "object",
        "description": format!("{} As embedded in other objects; all fields are empty if there is none.", sentence(&class.about)),
        "required": required,
        "properties": properties,
    })
}

fn list(class: &ClassSchema) -> Value {
    let plural = format!("{}s", class.name);
    let mut properties = Map::new();
    properties.insert(
        "count".to_owned(),
        json!({"type": "integer", "minimum": 0, "description": "Objects in this answer."}),
    );
    properties.insert(
        plural.clone(),
        json!(
            {"type": "array", "items": schema_ref(&class.name), "description": "The objects, in their order."}
        ),
    );
    json!({
        "type": "object",
        "description": format!("Objects of class {}.", class.name),
        "required": ["count", plural],
        "properties": properties,
    })
}

fn create(class: &ClassSchema) -> Value {
    let mut properties = writable(class);
    let required: Vec<_> = class
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| &field.name)
        .collect();
    for field in class.fields.iter().filter(|field| field.required) {
        if let Some(Value::Object(property)) = properties.get_mut(field.name.as_ref()) {
            // What is null, 0 or empty counts as not sent.
            property.insert("type".to_owned(), json!(["string", "number", "boolean"]));
            property.insert("minLength".to_owned(), json!(1));
        }
    }
    json!({
        "type": "object",
        "description": format!(
            "A new object of class {}. Members that are null, false, 0, \"0\" or empty count as not sent; unknown members are \
             ignored.",
            class.name
        ),
        "required": required,
        "properties": properties,
    })
}

fn edit(class: &ClassSchema) -> Value {
    json!({
        "type": "object",
        "description": format!(
            "Changes of an object of class {}: members that are absent or null stay as they are; unknown members are ignored.",
            class.name
        ),
        "properties": writable(class),
    })
}

fn filter(class: &ClassSchema) -> Value {
    let one = json!({"type": ["string", "number", "boolean", "null"]});
    let properties: Map<String, Value> = class
        .fields
        .iter()
        .map(|field| {
            let property = json!({
                "description": sentence(&field.about),
                "anyOf": [one, {"type": "array", "items": one}],
            });
            (field.name.to_string(), property)
        })
        .collect();
    json!({
        "type": "object",
        "description": format!(
            "Which objects of class {}: every given field must match. A text with % is a pattern, a list means any of its \
             values, an empty value or 0 means empty, null and unknown members are ignored.",
            class.name
        ),
        "properties": properties,
    })
}

fn stored(class: &ClassSchema) -> Map<String, Value> {
    let fields = class.fields.iter().filter(|field| !field.shadowed);
    fields
        .map(|field| (field.name.to_string(), text_of(field)))
        .collect()
}

/// A stored field as an answer shows it. All may be empty, because a missing object is shown with
/// empty fields.
fn text_of(field: &FieldSchema) -> Value {
    let mut property = match &field.kind {
        FieldKind::Id | FieldKind::Reference { .. } => {
            json!({"type": "string", "pattern": "^[0-9]*$"})
        }
        FieldKind::Text { max: Some(max) } => json!({"type": "string", "maxLength": max}),
        FieldKind::Text { max: None } => json!({"type": "string"}),
        FieldKind::Choice { words } => {
            let words: Vec<&str> = std::iter::once("")
                .chain(words.iter().map(AsRef::as_ref))
                .collect();
            json!({"type": "string", "enum": words})
        }
        FieldKind::Number { .. } => json!({"type": "string", "pattern": "^(-?[0-9]+)?$"}),
        FieldKind::Flag => json!({"type": "string", "enum": ["", "0", "1"]}),
        FieldKind::Date => json!({"type": "string", "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"}),
        FieldKind::Time => {
            json!(
                {"type": "string", "pattern": "^([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})?$"}
            )
        }
    };
    property["description"] = described(field).into();
    property
}

/// The meaning, and what the type alone does not say.
fn described(field: &FieldSchema) -> String {
    let mut text = sentence(&field.about);
    match &field.kind {
        FieldKind::Id => text.push_str(" A whole number from 1."),
        FieldKind::Number { min, max, digits } => {
            text.push_str(&format!(" A whole number from {min} to {max}."));
            if *digits > 1 {
                text.push_str(&format!(" Shown with at least {digits} digits."));
            }
        }
        FieldKind::Reference { none } if none.is_empty() => {
            text.push_str(" A number of an object; empty for none.")
        }
        FieldKind::Reference { none } => {
            text.push_str(&format!(" A number of an object; {none} for none."))
        }
        FieldKind::Flag => text.push_str(" 1 is yes, 0 is no, empty is not set."),
        FieldKind::Date => text.push_str(" YYYY-MM-DD; 0000-00-00 means never."),
        FieldKind::Time => {
            text.push_str(" YYYY-MM-DD HH:MM:SS in UTC; 0000-00-00 00:00:00 means never.")
        }
        FieldKind::Text { .. } | FieldKind::Choice { .. } => {}
    }
    if field.secret {
        text.push_str(
            " A secret: empty in answers, unless an administrator sends `foghorn-secrets: show`.",
        );
    }
    text
}

/// A description as a sentence, so that others can follow it.
pub(super) fn sentence(about: &str) -> String {
    let mut characters = about.trim().chars();
    let mut text: String = characters
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(characters)
        .collect();
    if !text.is_empty() && !text.ends_with('.') {
        text.push('.');
    }
    text
}

/// Stored fields as a client may send them: texts, numbers or booleans, and lists of ids beside
/// them.
fn writable(class: &ClassSchema) -> Map<String, Value> {
    let fields = class
        .fields
        .iter()
        .filter(|field| field.kind != FieldKind::Id)
        .map(|field| {
            let mut property = json!({
                "type": ["string", "number", "boolean", "null"],
                "description": described(field),
            });
            if let FieldKind::Text { max: Some(max) } = field.kind {
                property["description"] = format!(
                    "{} At most {max} characters; longer texts are truncated.",
                    described(field)
                )
                .into();
            }
            (field.name.to_string(), property)
        });
    let others = class.accepts.iter().map(|member| {
        let mut property = match member.shape {
            Shape::Ids(_) => json!({"type": "array", "items": {"type": ["integer", "string"]}}),
            Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Shape::Integer => json!({"type": ["integer", "string"]}),
            Shape::Number => json!({"type": ["number", "string"]}),
            Shape::Boolean => json!({"type": ["boolean", "string", "number"]}),
            _ => json!({"type": "string"}),
        };
        property["description"] = sentence(&member.about).into();
        (member.name.to_string(), property)
    });
    fields.chain(others).collect()
}

fn computed(member: &MemberSchema) -> Value {
    let mut property = match member.shape {
        Shape::Text => json!({"type": "string"}),
        Shape::OptionalText => json!({"type": ["string", "null"]}),
        Shape::Integer => json!({"type": "integer"}),
        Shape::Number => json!({"type": "number"}),
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Shape::Ids(_) => {
            json!({"type": "array", "items": {"type": "string", "pattern": "^[0-9]+$"}})
        }
        Shape::Empty => json!({"type": "object"}),
        Shape::Plain(class) => schema_ref(&format!("{class}_plain")),
        Shape::Full(class) => schema_ref(class),
        Shape::Sometimes(class) => or_less(class),
    };
    property["description"] = sentence(&member.about).into();
    property
}
