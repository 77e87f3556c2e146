//! One row of a class in memory.

use std::ops::Deref;

use super::class::Class;
use super::json::{JsonObject, string};
use crate::store::Revision;

/// One row in the cache: the typed object, the revision it has, and its stored fields as JSON,
/// rendered once.
pub struct Row<C: Class> {
    object: C,
    modified: Revision,
    shown: Box<str>,
    /// Like `shown` with secrets; absent when there are none.
    revealed: Option<Box<str>>,
}

impl<C: Class> Row<C> {
    pub(crate) fn new(object: C, modified: Revision) -> Self {
        let shown = stored_fields(&object, false);
        let has_secrets = C::FIELDS
            .iter()
            .any(|field| field.hides(&object) && !field.show(&object).is_empty());
        let revealed = has_secrets.then(|| stored_fields(&object, true));
        Self {
            object,
            modified,
            shown,
            revealed,
        }
    }

    /// Revision of the last change, for compares.
    #[must_use]
    pub fn modified(&self) -> Revision {
        self.modified
    }

    /// About how much a change of the row takes in a transaction.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.members(true).len() + 128
    }

    /// The stored fields as members of a JSON object, without braces.
    pub(crate) fn members(&self, secrets: bool) -> &str {
        match &self.revealed {
            Some(revealed) if secrets => revealed,
            _ => &self.shown,
        }
    }
}

impl<C: Class> Deref for Row<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.object
    }
}

/// The stored fields of an object as members without braces.
pub(crate) fn stored_fields<C: Class>(object: &C, secrets: bool) -> Box<str> {
    let mut out = Vec::with_capacity(C::FIELDS.len() * 24);
    for (place, field) in C::FIELDS.iter().filter(|field| !field.shadowed).enumerate() {
        if place != 0 {
            out.push(b',');
        }
        string(&mut out, field.name);
        out.push(b':');
        if !secrets && field.hides(object) {
            string(&mut out, "");
        } else if let Some(display) = field.displayed {
            string(&mut out, &display(&field.show(object)));
        } else {
            string(&mut out, &field.show(object));
        }
    }
    String::from_utf8(out)
        .expect("names and values are UTF-8 and JSON escapes are ASCII")
        .into_boxed_str()
}

/// The stored fields of an object that is missing: all empty.
pub(crate) fn no_fields<C: Class>() -> Box<str> {
    let mut out = Vec::new();
    let mut object = JsonObject::without_braces(&mut out);
    for field in C::FIELDS.iter().filter(|field| !field.shadowed) {
        object.text(field.name, "");
    }
    String::from_utf8(out)
        .expect("names are UTF-8")
        .into_boxed_str()
}
