//! Declaration of the fields of a class: name on the wire, type, limits, and where in the struct
//! the value is.
//!
//! The declaration is the only place that connects a name with a struct member. Rendering, filters,
//! search, records and edits all go through it, so a class says each of its fields once.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::value::{Flag, FogDate, FogTime, exact_id, leading_number};

/// How a value is kept.
pub(crate) enum Access<C: 'static> {
    Id {
        get: fn(&C) -> u32,
    },
    /// At most `max` characters; more are cut off, as a database column does.
    Text {
        max: usize,
        get: fn(&C) -> &String,
        get_mut: fn(&mut C) -> &mut String,
    },
    /// One of a few words, or nothing.
    Choice {
        words: &'static [&'static str],
        get: fn(&C) -> &String,
        get_mut: fn(&mut C) -> &mut String,
    },
    /// A number within `min..=max`, written with at least `digits` digits.
    Number {
        min: i64,
        max: i64,
        digits: usize,
        get: fn(&C) -> &i64,
        get_mut: fn(&mut C) -> &mut i64,
    },
    /// The id of an object of another class, 0 for none.
    Reference {
        get: fn(&C) -> u32,
        set: fn(&mut C, u32),
        none: &'static str,
    },
    Flag {
        get: fn(&C) -> &Flag,
        get_mut: fn(&mut C) -> &mut Flag,
    },
    Time {
        get: fn(&C) -> &FogTime,
        get_mut: fn(&mut C) -> &mut FogTime,
    },
    Date {
        get: fn(&C) -> &FogDate,
        get_mut: fn(&mut C) -> &mut FogDate,
    },
}

/// What the value of a field does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It is used.
    Used,
    /// It tells people something, or is written by Foghorn itself; it is not meant to do anything.
    Information,
    /// On a FOG server it does something; here it is kept and shown.
    Nothing,
}

/// One stored field of class `C`.
pub struct Field<C: 'static> {
    /// Name in the API.
    pub name: &'static str,
    /// A create without it is refused.
    pub required: bool,
    /// Left out of answers unless an administrator asks for it.
    pub secret: bool,
    /// How answers show the value, where that is not as it is stored.
    pub(crate) displayed: Option<fn(&str) -> String>,
    /// Answers show a computed member of the same name in its place; it is set, filtered and
    /// searched under its name.
    pub shadowed: bool,
    /// Rows in which the field is secret although it is not in others.
    pub(crate) secret_in: Option<fn(&C) -> bool>,
    /// What the value does. `docs/fog-compatibility.md` lists the fields of `image`, `host` and
    /// `task` that do nothing, and a test compares.
    pub effect: Effect,
    /// What the value means, and in which unit, for people.
    pub about: &'static str,
    pub(crate) access: Access<C>,
}

/// A value that a field cannot hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{found:?} is not an id: ids are integers from 1 to 4294967295, 0 means none")]
pub struct BadReference {
    found: String,
}

const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;

/// A field that is stored in a member of the struct: its kind, its name on the wire, the most
/// characters of a `text`, the member.
macro_rules! field {
    (reference, $name:expr, $member:ident) => {
        Field::reference($name, |c: &Self| c.$member, |c, id| c.$member = id)
    };
    (text, $name:expr, $most:expr, $member:ident) => {
        Field::text($name, $most, |c: &Self| &c.$member, |c| &mut c.$member)
    };
    ($kind:ident, $name:expr, $member:ident) => {
        Field::$kind($name, |c: &Self| &c.$member, |c| &mut c.$member)
    };
}
pub(crate) use field;

impl<C> Field<C> {
    const fn new(name: &'static str, access: Access<C>) -> Self {
        Self {
            name,
            required: false,
            secret: false,
            shadowed: false,
            displayed: None,
            secret_in: None,
            effect: Effect::Used,
            about: "",
            access,
        }
    }

    pub(crate) const fn id(get: fn(&C) -> u32) -> Self {
        Self::new("id", Access::Id { get })
    }

    pub(crate) const fn text(
        name: &'static str,
        max: usize,
        get: fn(&C) -> &String,
        get_mut: fn(&mut C) -> &mut String,
    ) -> Self {
        Self::new(name, Access::Text { max, get, get_mut })
    }

    /// A text without a limit that anyone will meet; the size of a request bounds it.
    pub(crate) const fn long_text(
        name: &'static str,
        get: fn(&C) -> &String,
        get_mut: fn(&mut C) -> &mut String,
    ) -> Self {
        Self::text(name, usize::MAX, get, get_mut)
    }

    pub(crate) const fn choice(
        name: &'static str,
        words: &'static [&'static str],
        get: fn(&C) -> &String,
        get_mut: fn(&mut C) -> &mut String,
    ) -> Self {
        Self::new(
            name,
            Access::Choice {
                words,
                get,
                get_mut,
            },
        )
    }

    pub(crate) const fn number(
        name: &'static str,
        get: fn(&C) -> &i64,
        get_mut: fn(&mut C) -> &mut i64,
    ) -> Self {
        Self::new(
            name,
            Access::Number {
                min: INT_MIN,
                max: INT_MAX,
                digits: 1,
                get,
                get_mut,
            },
        )
    }

    pub(crate) const fn reference(
        name: &'static str,
        get: fn(&C) -> u32,
        set: fn(&mut C, u32),
    ) -> Self {
        Self::new(
            name,
            Access::Reference {
                get,
                set,
                none: "0",
            },
        )
    }

    pub(crate) const fn flag(
        name: &'static str,
        get: fn(&C) -> &Flag,
        get_mut: fn(&mut C) -> &mut Flag,
    ) -> Self {
        Self::new(name, Access::Flag { get, get_mut })
    }

    pub(crate) const fn time(
        name: &'static str,
        get: fn(&C) -> &FogTime,
        get_mut: fn(&mut C) -> &mut FogTime,
    ) -> Self {
        Self::new(name, Access::Time { get, get_mut })
    }

    pub(crate) const fn date(
        name: &'static str,
        get: fn(&C) -> &FogDate,
        get_mut: fn(&mut C) -> &mut FogDate,
    ) -> Self {
        Self::new(name, Access::Date { get, get_mut })
    }

    pub(crate) const fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// Kept and shown, without the effect that it has on a FOG server.
    pub(crate) const fn without_effect(mut self) -> Self {
        self.effect = Effect::Nothing;
        self
    }

    /// Tells people something and does nothing.
    pub(crate) const fn information(mut self) -> Self {
        self.effect = Effect::Information;
        self
    }

    pub(crate) const fn displayed(mut self, display: fn(&str) -> String) -> Self {
        self.displayed = Some(display);
        self
    }

    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    pub(crate) const fn shadowed(mut self) -> Self {
        self.shadowed = true;
        self
    }

    /// Secret in the rows that `which` picks.
    pub(crate) const fn secret_in(mut self, which: fn(&C) -> bool) -> Self {
        self.secret_in = Some(which);
        self
    }

    /// Bounds and least width of a number.
    pub(crate) const fn within(mut self, lowest: i64, highest: i64, width: usize) -> Self {
        if let Access::Number {
            min, max, digits, ..
        } = &mut self.access
        {
            *min = lowest;
            *max = highest;
            *digits = width;
        }
        self
    }

    /// What "no object" looks like on the wire where it is not `0`.
    pub(crate) const fn none_as(mut self, text: &'static str) -> Self {
        if let Access::Reference { none, .. } = &mut self.access {
            *none = text;
        }
        self
    }

    /// Whether the value of this object is left out of answers unless an administrator asks for it.
    pub(crate) fn hides(&self, object: &C) -> bool {
        self.secret || self.secret_in.is_some_and(|which| which(object))
    }

    /// Numbers and references: compared as numbers by filters.
    pub(crate) const fn is_number(&self) -> bool {
        matches!(
            self.access,
            Access::Id { .. } | Access::Number { .. } | Access::Reference { .. }
        )
    }

    pub(crate) const fn is_time(&self) -> bool {
        matches!(self.access, Access::Time { .. })
    }

    pub(crate) const fn is_id(&self) -> bool {
        matches!(self.access, Access::Id { .. })
    }

    /// The value as it is on the wire.
    pub(crate) fn show<'c>(&self, object: &'c C) -> Cow<'c, str> {
        match &self.access {
            Access::Id { get } => Cow::Owned(get(object).to_string()),
            Access::Text { get, .. } | Access::Choice { get, .. } => Cow::Borrowed(get(object)),
            Access::Number { digits, get, .. } => {
                let mut text = String::new();
                let _infallible = write!(text, "{:0digits$}", get(object));
                Cow::Owned(text)
            }
            Access::Reference { get, none, .. } => match get(object) {
                0 => Cow::Borrowed(*none),
                id => Cow::Owned(id.to_string()),
            },
            Access::Flag { get, .. } => Cow::Borrowed(get(object).text()),
            Access::Time { get, .. } => get(object).text(),
            Access::Date { get, .. } => get(object).text(),
        }
    }

    /// Sets the value from what a client sent. An id is never set.
    ///
    /// # Errors
    /// When a reference is not 0 and no id. Every other type makes the best of its text, as FOG
    /// does.
    pub(crate) fn read(&self, object: &mut C, text: &str) -> Result<(), BadReference> {
        match &self.access {
            Access::Id { .. } => {}
            Access::Text { max, get_mut, .. } => {
                *get_mut(object) = text.chars().take(*max).collect()
            }
            Access::Choice { words, get_mut, .. } => {
                *get_mut(object) = words
                    .iter()
                    .find(|word| **word == text)
                    .map_or_else(String::new, |word| (*word).to_owned());
            }
            Access::Number {
                min, max, get_mut, ..
            } => *get_mut(object) = leading_number(text).clamp(*min, *max),
            Access::Reference { set, .. } => {
                let id = exact_id(text).ok_or_else(|| BadReference {
                    found: text.to_owned(),
                })?;
                set(object, id);
            }
            Access::Flag { get_mut, .. } => *get_mut(object) = Flag::read(text),
            Access::Time { get_mut, .. } => *get_mut(object) = FogTime::read(text),
            Access::Date { get_mut, .. } => *get_mut(object) = FogDate::read(text),
        }
        Ok(())
    }
}
