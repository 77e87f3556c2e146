//! A class as plain data: what its declaration says, without its type. The API's description is
//! made of these.

use std::borrow::Cow;

use super::class::{Class, Computed, Shape};
use super::dynamic::{ClassSpec, Declared, Kind, MemberSpec};
use super::field::{Access, Effect, Field};

/// A text of a declaration: fixed for classes of the program, made at run time for others.
pub type Text = Cow<'static, str>;

/// What a class is, to those who talk about it and not to its objects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClassSchema {
    /// Name in routes.
    pub name: Text,
    pub about: Text,
    /// Other spellings that routes take.
    pub aliases: Vec<Text>,
    /// Stored fields in the order in which they are sent.
    pub fields: Vec<FieldSchema>,
    /// What an object shows beside its stored fields.
    pub computed: Vec<MemberSchema>,
    /// The same of objects that have it: others lack the member.
    pub sometimes: Vec<MemberSchema>,
    /// What `/<class>/<id>/<item>` adds.
    pub items: Vec<MemberSchema>,
    /// What a create and an edit take beside the stored fields.
    pub accepts: Vec<MemberSchema>,
    /// Members that are `{}` where the object is embedded in another.
    pub relations: Vec<Text>,
    /// Objects have names, by which lists are ordered.
    pub named: bool,
    /// The field that makes objects current, for a class with an `active` route.
    pub current: Option<Text>,
    /// An id without an object is answered with little more than the id; see [`Class::ANY_ID`].
    pub any_id: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldSchema {
    pub name: Text,
    pub about: Text,
    pub required: bool,
    /// Empty in answers unless an administrator asks for it.
    pub secret: bool,
    /// Answers show the computed member of the same name in its place.
    pub shadowed: bool,
    pub kind: FieldKind,
}

/// What a stored field holds; on FOG's wire each is a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldKind {
    /// The object's own number; never set by clients.
    Id,
    /// At most `max` characters; `None`: as many as a request may have.
    Text {
        max: Option<usize>,
    },
    /// One of these, or nothing.
    Choice {
        words: Vec<Text>,
    },
    /// Within `min..=max`, shown with at least `digits` digits.
    Number {
        min: i64,
        max: i64,
        digits: usize,
    },
    /// Number of another object; `none` is shown where there is none.
    Reference {
        none: Text,
    },
    Flag,
    /// `YYYY-MM-DD HH:MM:SS` in UTC.
    Time,
    /// `YYYY-MM-DD`.
    Date,
}

/// A member that is not stored with the object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberSchema {
    pub name: Text,
    pub about: Text,
    pub shape: Shape,
}

impl From<&Computed> for MemberSchema {
    fn from(member: &Computed) -> Self {
        Self {
            name: member.name.into(),
            about: member.about.into(),
            shape: member.shape,
        }
    }
}

impl From<&MemberSpec> for MemberSchema {
    fn from(member: &MemberSpec) -> Self {
        Self {
            name: member.name.into(),
            about: member.about.clone().into(),
            shape: Shape::Ids(member.other),
        }
    }
}

fn kind_of(kind: Kind) -> FieldKind {
    match kind {
        Kind::Text { max } => FieldKind::Text { max: Some(max) },
        Kind::Number { min, max } => FieldKind::Number {
            min,
            max,
            digits: 1,
        },
        Kind::Flag => FieldKind::Flag,
        Kind::Time => FieldKind::Time,
        Kind::Reference { .. } => FieldKind::Reference { none: "0".into() },
    }
}

impl ClassSchema {
    /// What a plugin declares.
    #[must_use]
    pub fn declared(class: &ClassSpec, declared: &Declared) -> Self {
        let id = FieldSchema {
            name: "id".into(),
            about: "Number of the object.".into(),
            required: false,
            secret: false,
            shadowed: false,
            kind: FieldKind::Id,
        };
        let fields = class.fields.iter().map(|field| FieldSchema {
            name: field.name.into(),
            about: field.about.clone().into(),
            required: field.required,
            secret: false,
            shadowed: false,
            kind: kind_of(field.kind),
        });
        let mut schema = Self {
            name: class.name.into(),
            about: class.about.clone().into(),
            aliases: Vec::new(),
            fields: std::iter::once(id).chain(fields).collect(),
            computed: declared
                .members_of(class.name)
                .map(MemberSchema::from)
                .collect(),
            sometimes: Vec::new(),
            items: Vec::new(),
            accepts: Vec::new(),
            relations: Vec::new(),
            named: class.is_named(),
            current: class.active.map(Text::from),
            any_id: false,
        };
        schema.accept(declared.members_of(class.name));
        schema
    }

    /// Adds lists of related objects that plugins let clients write with objects of the class.
    pub fn accept<'m>(&mut self, members: impl Iterator<Item = &'m MemberSpec>) {
        self.accepts.extend(members.map(MemberSchema::from));
    }

    /// What the declaration of `C` says.
    #[must_use]
    pub fn of<C: Class>() -> Self {
        let members = |members: &[Computed]| members.iter().map(MemberSchema::from).collect();
        Self {
            name: C::NAME.into(),
            about: C::ABOUT.into(),
            aliases: C::ALIASES.iter().map(|alias| (*alias).into()).collect(),
            fields: C::FIELDS.iter().map(field).collect(),
            computed: members(C::COMPUTED),
            sometimes: Vec::new(),
            items: members(C::ITEMS),
            accepts: members(C::ACCEPTS),
            relations: C::RELATIONS.iter().map(|name| (*name).into()).collect(),
            named: C::NAMED,
            current: C::CURRENT.map(|current| current.field.into()),
            any_id: C::ANY_ID.is_some(),
        }
    }
}

fn field<C>(field: &Field<C>) -> FieldSchema {
    let kind = match &field.access {
        Access::Id { .. } => FieldKind::Id,
        // What is made of the text to show it may be longer.
        Access::Text { .. } if field.displayed.is_some() => FieldKind::Text { max: None },
        Access::Text { max, .. } => FieldKind::Text {
            max: (*max != usize::MAX).then_some(*max),
        },
        Access::Choice { words, .. } => FieldKind::Choice {
            words: words.iter().map(|word| (*word).into()).collect(),
        },
        Access::Number {
            min, max, digits, ..
        } => FieldKind::Number {
            min: *min,
            max: *max,
            digits: *digits,
        },
        Access::Reference { none, .. } => FieldKind::Reference {
            none: (*none).into(),
        },
        Access::Flag { .. } => FieldKind::Flag,
        Access::Time { .. } => FieldKind::Time,
        Access::Date { .. } => FieldKind::Date,
    };
    FieldSchema {
        name: field.name.into(),
        about: match field.effect {
            Effect::Nothing => format!("{} Kept, no effect in Foghorn.", field.about).into(),
            Effect::Used | Effect::Information => field.about.into(),
        },
        required: field.required,
        secret: field.secret || field.secret_in.is_some(),
        shadowed: field.shadowed,
        kind,
    }
}
