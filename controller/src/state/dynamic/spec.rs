//! What a plugin declares: classes with fields, and lists of related objects.

use std::sync::Arc;

use crate::state::value::{Flag, FogTime, NEVER};

/// A class that a plugin declares.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassSpec {
    /// Name in routes and keys.
    pub name: &'static str,
    /// What an object of the class is, for people.
    pub about: String,
    /// The plugin that declares it.
    pub plugin: String,
    /// Stored fields in the order in which they are sent, without `id`.
    pub fields: Vec<FieldSpec>,
    /// Sets of fields whose values, together, only one row may have.
    pub uniques: Vec<Vec<&'static str>>,
    /// The field that its `active` route looks at: rows in which it is neither empty nor zero.
    pub active: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldSpec {
    pub name: &'static str,
    pub kind: Kind,
    /// A create without it is refused.
    pub required: bool,
    /// What the value means, and in which unit, for people.
    pub about: String,
}

/// Type of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// At most `max` characters.
    Text {
        max: usize,
    },
    /// A whole number within `min..=max`.
    Number {
        min: i64,
        max: i64,
    },
    Flag,
    Time,
    /// The id of an object of `class`, 0 for none.
    Reference {
        class: &'static str,
        gone: WhenGone,
    },
}

/// What becomes of a row whose reference names an object that is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenGone {
    /// It is deleted, too.
    Delete,
    /// The reference becomes 0.
    Clear,
}

/// A list of related objects that an object of `of` is written with and, for a class of a plugin,
/// shown with. The relation is the rows of `through`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSpec {
    pub of: &'static str,
    /// Name of the list in bodies and answers.
    pub name: &'static str,
    /// Class of a plugin whose rows connect the two.
    pub through: &'static str,
    /// Its reference to the object that has the list.
    pub own: &'static str,
    /// Its reference to the objects in the list.
    pub other: &'static str,
    pub about: String,
}

/// Everything that the plugins that are loaded declare.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    pub classes: Vec<Arc<ClassSpec>>,
    pub members: Vec<MemberSpec>,
}

impl Declared {
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Arc<ClassSpec>> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// Lists of related objects that objects of this class have.
    pub fn members_of(&self, class: &str) -> impl Iterator<Item = &MemberSpec> {
        self.members.iter().filter(move |member| member.of == class)
    }
}

impl ClassSpec {
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&FieldSpec> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// Whether rows have a name: then lists are ordered by it.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.field("name")
            .is_some_and(|field| matches!(field.kind, Kind::Text { .. }))
    }

    /// Whether one value of this field alone is unique.
    #[must_use]
    pub fn is_unique(&self, field: &str) -> bool {
        self.uniques
            .iter()
            .any(|fields| fields.as_slice() == [field])
    }
}

impl Kind {
    /// What a field shows that was never set.
    #[must_use]
    pub const fn nothing(self) -> &'static str {
        match self {
            Self::Text { .. } | Self::Flag => "",
            Self::Number { .. } | Self::Reference { .. } => "0",
            Self::Time => NEVER,
        }
    }

    /// Compared as a number by filters.
    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Number { .. } | Self::Reference { .. })
    }

    #[must_use]
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Time)
    }

    /// The value as it is kept and shown.
    ///
    /// # Errors
    /// Why the text is none of this type.
    pub fn read(self, text: &str) -> Result<String, String> {
        match self {
            Self::Text { max } => {
                let length = text.chars().count();
                if length <= max {
                    Ok(text.to_owned())
                } else {
                    Err(format!("{length} characters, at most {max}"))
                }
            }
            Self::Number { min, max } => match text.parse::<i64>() {
                _ if text.is_empty() => Ok("0".to_owned()),
                Ok(number) if (min..=max).contains(&number) => Ok(number.to_string()),
                _ => Err(format!("{text:?} is not an integer from {min} to {max}")),
            },
            Self::Flag => match (text, Flag::read(text)) {
                ("", _) => Ok(String::new()),
                (_, Flag::Unset) => Err(format!("{text:?} is neither 1 nor 0")),
                (_, flag) => Ok(flag.text().to_owned()),
            },
            Self::Time => match FogTime::read(text) {
                FogTime(None) if !text.is_empty() && text != NEVER => Err(format!(
                    "{text:?} is not a time of the form YYYY-MM-DD HH:MM:SS"
                )),
                time => Ok(time.text().into_owned()),
            },
            Self::Reference { .. } => match text.parse::<u32>() {
                _ if text.is_empty() => Ok("0".to_owned()),
                Ok(id) => Ok(id.to_string()),
                Err(_) => Err(format!(
                    "{text:?} is not an id: ids are integers from 1 to 4294967295, 0 means none"
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_of_their_type_or_refused() {
        let text = Kind::Text { max: 3 };
        let number = Kind::Number { min: -5, max: 5 };
        let reference = Kind::Reference {
            class: "host",
            gone: WhenGone::Clear,
        };
        for (kind, given, kept) in [
            (text, "äöü", Some("äöü")),
            (text, "four", None),
            (number, "-5", Some("-5")),
            (number, "", Some("0")),
            (number, "6", None),
            (number, "1.5", None),
            (Kind::Flag, "1", Some("1")),
            (Kind::Flag, "yes", None),
            (Kind::Time, "2026-03-04", Some("2026-03-04 00:00:00")),
            (Kind::Time, "", Some(NEVER)),
            (Kind::Time, "soon", None),
            (reference, "7", Some("7")),
            (reference, "-7", None),
        ] {
            assert_eq!(kind.read(given).ok().as_deref(), kept, "{kind:?} {given:?}");
        }
    }
}
