//! The declaration of a plugin: the checked result of its function `plugin`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::event::Event;
use crate::state::dynamic::{ClassSpec, FieldSpec, Kind, MemberSpec, TooManyWords, WhenGone, word};

/// Limits of one plugin; a row must fit into one transaction with all its guards.
const MOST_CLASSES: usize = 16;
const MOST_FIELDS: usize = 48;
const MOST_REFERENCES: usize = 8;
const MOST_UNIQUES: usize = 8;
const MOST_MEMBERS: usize = 16;
/// Default maximum length of a text, and of a unique text.
const LONG: usize = 65_535;
const SHORT: usize = 255;

/// A plugin as it describes itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Declaration {
    pub(super) description: String,
    pub(super) version: String,
    pub(super) icon: String,
    /// The classes for which it is called; for an event that is absent, all classes.
    pub(super) hooks: BTreeMap<Event, BTreeSet<String>>,
    pub(super) classes: Vec<ClassSpec>,
    pub(super) members: Vec<MemberSpec>,
}

/// What is wrong with the description.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeclareError {
    #[error("plugin(): {0}")]
    Shape(#[from] serde_json::Error),
    #[error("plugin(): {place}: {why}")]
    Wrong { place: String, why: String },
    #[error(transparent)]
    Words(#[from] TooManyWords),
}

fn wrong(place: impl Into<String>, why: impl Into<String>) -> DeclareError {
    DeclareError::Wrong {
        place: place.into(),
        why: why.into(),
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPlugin {
    name: Option<String>,
    description: String,
    version: String,
    icon: String,
    hooks: BTreeMap<Event, BTreeSet<String>>,
    classes: Vec<RawClass>,
    members: Vec<RawMember>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClass {
    name: String,
    #[serde(default)]
    about: String,
    fields: Vec<RawField>,
    #[serde(default)]
    unique: Vec<Vec<String>>,
    active: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawField {
    name: String,
    #[serde(rename = "type")]
    kind: RawKind,
    #[serde(default)]
    about: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    unique: bool,
    min: Option<i64>,
    max: Option<i64>,
    class: Option<String>,
    when_gone: Option<RawGone>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Text,
    Number,
    Flag,
    Time,
    Reference,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum RawGone {
    Delete,
    Clear,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    of: String,
    name: String,
    through: String,
    own: String,
    other: String,
    #[serde(default)]
    about: String,
}

/// # Errors
/// [`DeclareError`], which contains the place.
pub(super) fn read(plugin: &str, value: Value) -> Result<Declaration, DeclareError> {
    let mut raw: RawPlugin = serde_json::from_value(value)?;
    if raw.name.as_deref().is_some_and(|name| name != plugin) {
        return Err(wrong("name", format!("the file is called {plugin}.rhai")));
    }
    if raw.classes.len() > MOST_CLASSES || raw.members.len() > MOST_MEMBERS {
        return Err(wrong(
            "classes",
            format!("at most {MOST_CLASSES} classes and {MOST_MEMBERS} members"),
        ));
    }
    let classes: Vec<ClassSpec> = std::mem::take(&mut raw.classes)
        .into_iter()
        .map(|class| self::class(plugin, class))
        .collect::<Result<_, _>>()?;
    let members = std::mem::take(&mut raw.members)
        .into_iter()
        .map(|raw| member(&classes, raw))
        .collect::<Result<_, _>>()?;
    let RawPlugin {
        description,
        version,
        icon,
        hooks,
        ..
    } = raw;
    Ok(Declaration {
        description,
        version,
        icon,
        hooks,
        classes,
        members,
    })
}

fn class(plugin: &str, raw: RawClass) -> Result<ClassSpec, DeclareError> {
    let place = format!("class {:?}", raw.name);
    if !is_class_name(&raw.name) {
        return Err(wrong(
            place,
            "a name must have up to 48 characters of a-z and 0-9 and start with a letter",
        ));
    }
    if raw.fields.len() > MOST_FIELDS {
        return Err(wrong(place, format!("at most {MOST_FIELDS} fields")));
    }
    let mut uniques: Vec<Vec<String>> = raw
        .fields
        .iter()
        .filter(|field| field.unique)
        .map(|field| vec![field.name.clone()])
        .collect();
    uniques.extend(raw.unique);
    let mut fields = Vec::with_capacity(raw.fields.len());
    for field in raw.fields {
        if fields
            .iter()
            .any(|known: &FieldSpec| known.name == field.name)
        {
            return Err(wrong(
                place,
                format!("two fields have the name {:?}", field.name),
            ));
        }
        let is_unique = uniques.iter().flatten().any(|name| *name == field.name);
        fields.push(self::field(&place, field, is_unique)?);
    }
    let references = fields
        .iter()
        .filter(|field| matches!(field.kind, Kind::Reference { .. }))
        .count();
    if references > MOST_REFERENCES || uniques.len() > MOST_UNIQUES {
        return Err(wrong(
            place,
            format!("at most {MOST_REFERENCES} references and {MOST_UNIQUES} unique sets"),
        ));
    }
    let known = |name: &str| {
        let field = fields.iter().find(|field| field.name == name);
        field
            .map(|field| field.name)
            .ok_or_else(|| wrong(place.clone(), format!("there is no field {name:?}")))
    };
    let uniques = uniques
        .iter()
        .map(|set| {
            if set.is_empty() {
                Err(wrong(place.clone(), "an empty set cannot be unique"))
            } else {
                Ok(set)
            }?;
            set.iter().map(|name| known(name)).collect()
        })
        .collect::<Result<_, _>>()?;
    let active = raw.active.as_deref().map(known).transpose()?;
    Ok(ClassSpec {
        name: word(&raw.name)?,
        about: raw.about,
        plugin: plugin.to_owned(),
        fields,
        uniques,
        active,
    })
}

fn field(class: &str, raw: RawField, is_unique: bool) -> Result<FieldSpec, DeclareError> {
    let place = format!("{class}, field {:?}", raw.name);
    if !is_field_name(&raw.name) {
        return Err(wrong(
            place,
            "a name must have up to 64 letters, digits and _, start with a letter, and must not be `id`",
        ));
    }
    if raw.class.is_some() != (raw.kind == RawKind::Reference) {
        return Err(wrong(
            place,
            "`class` is required for references and not allowed for other fields",
        ));
    }
    if (raw.min.is_some() && raw.kind != RawKind::Number)
        || (raw.max.is_some() && !matches!(raw.kind, RawKind::Number | RawKind::Text))
        || (raw.when_gone.is_some() && raw.kind != RawKind::Reference)
    {
        return Err(wrong(
            place,
            "`min` is for numbers, `max` for numbers and texts, `when_gone` for references",
        ));
    }
    let kind = match raw.kind {
        RawKind::Text => {
            let most = if is_unique || raw.name == "name" {
                SHORT
            } else {
                LONG
            };
            let max = raw.max.map_or(Some(most), |max| usize::try_from(max).ok());
            match max {
                Some(max) if (1..=most).contains(&max) => Kind::Text { max },
                _ => return Err(wrong(place, format!("`max` must be from 1 to {most}"))),
            }
        }
        RawKind::Number => {
            let (min, max) = (
                raw.min.unwrap_or(i64::from(i32::MIN)),
                raw.max.unwrap_or(i64::from(i32::MAX)),
            );
            if min > max {
                return Err(wrong(place, "`min` is above `max`"));
            }
            Kind::Number { min, max }
        }
        RawKind::Flag => Kind::Flag,
        RawKind::Time => Kind::Time,
        RawKind::Reference => Kind::Reference {
            class: word(raw.class.as_deref().unwrap_or_default())?,
            gone: match raw.when_gone {
                Some(RawGone::Delete) => WhenGone::Delete,
                Some(RawGone::Clear) | None => WhenGone::Clear,
            },
        },
    };
    Ok(FieldSpec {
        name: word(&raw.name)?,
        kind,
        required: raw.required,
        about: raw.about,
    })
}

fn member(classes: &[ClassSpec], raw: RawMember) -> Result<MemberSpec, DeclareError> {
    let place = format!("member {:?} of {:?}", raw.name, raw.of);
    let through = classes.iter().find(|class| class.name == raw.through);
    let through = through.ok_or_else(|| {
        wrong(
            place.clone(),
            format!("`through`: the plugin has no class {:?}", raw.through),
        )
    })?;
    let reference =
        |role: &str, name: &str| match through.field(name).map(|field| (field.name, field.kind)) {
            Some((name, Kind::Reference { class, .. })) => Ok((name, class)),
            _ => Err(wrong(
                place.clone(),
                format!("`{role}`: {name:?} is not a reference of {}", through.name),
            )),
        };
    let ((own, owner), (other, _)) = (reference("own", &raw.own)?, reference("other", &raw.other)?);
    if owner != raw.of {
        return Err(wrong(place, format!("`own`: {own} refers to {owner}")));
    }
    let clashes = classes
        .iter()
        .any(|class| class.name == raw.of && class.field(&raw.name).is_some());
    if !is_field_name(&raw.name) || clashes {
        return Err(wrong(place, "the name is in use or invalid"));
    }
    Ok(MemberSpec {
        of: owner,
        name: word(&raw.name)?,
        through: through.name,
        own,
        other,
        about: raw.about,
    })
}

fn is_class_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 48 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(rest)
}

fn is_field_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name != "id"
        && name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaint(value: Value) -> String {
        read("p", value).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    }

    fn class_with(field: Value) -> Value {
        json!({"classes": [{"name": "thing", "fields": [field]}]})
    }

    #[test]
    fn every_complaint_names_its_place() {
        for (value, word) in [
            (json!({"name": "q"}), "name"),
            (json!({"colour": 1}), "colour"),
            (json!({"hooks": {"API_NONSENSE": []}}), "API_NONSENSE"),
            (
                json!({"classes": [{"name": "Thing", "fields": []}]}),
                "Thing",
            ),
            (class_with(json!({"name": "id", "type": "text"})), "\"id\""),
            (class_with(json!({"name": "a", "type": "blob"})), "blob"),
            (
                class_with(json!({"name": "a", "type": "text", "class": "host"})),
                "\"a\"",
            ),
            (
                class_with(json!({"name": "a", "type": "reference"})),
                "\"a\"",
            ),
            (
                class_with(json!({"name": "a", "type": "text", "unique": true, "max": 256})),
                "`max`",
            ),
            (
                class_with(json!({"name": "a", "type": "number", "min": 2, "max": 1})),
                "`min`",
            ),
            (
                json!({"classes": [{"name": "thing", "fields": [], "active": "on"}]}),
                "\"on\"",
            ),
            (
                json!(
                    {"members": [{"of": "host", "name": "x", "through": "y", "own": "a", "other": "b"}]}
                ),
                "through",
            ),
        ] {
            let complaint = complaint(value.clone());
            assert!(complaint.contains(word), "{value}: {complaint}");
        }
    }

    #[test]
    fn little_is_enough() {
        assert_eq!(complaint(json!({})), "taken");
        assert_eq!(
            complaint(class_with(
                json!({"name": "a", "type": "reference", "class": "host"})
            )),
            "taken"
        );
    }
}
