//! What a class of objects is: a struct, its fields, what makes its rows unique, what else moves when one is written.

use std::ops::Deref;

use serde_json::{Map, Value};

use super::draft::Draft;
use super::field::Field;
use super::json::JsonObject;
use super::needle::Needle;
use super::refusal::Refusal;
use super::scene::Scene;
use crate::store::Revision;

/// Body of a request: a JSON object, empty when there was none.
pub type Body = Map<String, Value>;

/// A value that only one row of a class may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unique {
    /// Field that a complaint names.
    pub field: &'static str,
    /// The value in the form in which it is compared.
    pub value: String,
    /// What happens to a create whose value another row has.
    pub clash: Clash,
}

impl Unique {
    /// Like [`Unique::name`], for a class whose rows need no name.
    #[must_use]
    pub fn name_unless_empty(name: &str) -> Vec<Self> {
        if name.trim().is_empty() { Vec::new() } else { vec![Self::name(name)] }
    }

    /// A name: compared without case and surrounding blanks, never shared.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self { field: "name", value: super::value::fold(name), clash: Clash::Refuse }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clash {
    /// It is refused.
    Refuse,
    /// The existing row takes the new values; FOG does so for associations and for what a host has one of.
    Merge,
}

/// Whether a row is new or an existing one is edited.
#[derive(Clone, Copy)]
pub enum Write<'a, C: Class> {
    Create,
    Edit(&'a Row<C>),
}

/// See [`Class::CURRENT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Current {
    /// Secondary index that has them under key 0.
    pub index: usize,
    /// The field that makes them current; a filter on it is ignored there.
    pub field: &'static str,
}

/// A member of a rendering that is not stored: see [`Class::COMPUTED`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Computed {
    pub name: &'static str,
    pub shape: Shape,
    pub about: &'static str,
}

/// The JSON that a computed member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Text,
    /// A text, or null where there is none.
    OptionalText,
    Integer,
    Number,
    Boolean,
    Texts,
    /// A list of numbers of objects of the named class.
    Ids(&'static str),
    /// An object without members.
    Empty,
    /// An object of the named class with its stored fields; its own relations are `{}`.
    Plain(&'static str),
    /// An object of the named class as it is when asked for by id.
    Full(&'static str),
    /// The same; of one that is gone little more than its id; no member at all where another member stands for it.
    Sometimes(&'static str),
}

impl Shape {
    /// Whether the member is always there.
    #[must_use]
    pub fn is_sure(self) -> bool {
        !matches!(self, Self::Sometimes(_))
    }
}

/// A class of objects. Adding one is one file in [`super::classes`] and one line in its list.
pub trait Class: Default + Clone + Send + Sync + 'static {
    /// Name in routes and keys.
    const NAME: &'static str;
    /// What an object of the class is, in a sentence, for people who read the API's description.
    const ABOUT: &'static str = "";
    /// Other spellings of the name that routes take.
    const ALIASES: &'static [&'static str] = &[];
    /// Stored fields in the order in which they are sent.
    const FIELDS: &'static [Field<Self>];
    /// What [`Class::extras`] adds to the stored fields, for the API's description.
    const COMPUTED: &'static [Computed] = &[];
    /// What [`Class::item`] can add, for the API's description.
    const ITEMS: &'static [Computed] = &[];
    /// What a create and an edit take beside the stored fields ([`Class::on_write`], [`Class::spread`]), for the API's
    /// description.
    const ACCEPTS: &'static [Computed] = &[];
    /// Names of embedded objects, which a plain (embedded) rendering shows as `{}`.
    const RELATIONS: &'static [&'static str] = &[];
    /// Whether rows have a name: then lists are ordered by it.
    const NAMED: bool = false;
    /// Where the rows are that its `active` route shows; absent for a class without such a route.
    const CURRENT: Option<Current> = None;
    /// Present for a class of which every id but 0 is answered as if it existed: FOG takes an object for valid when its
    /// required fields are there, and such a class has none. A get of an id without a row then shows the id and the fields
    /// named here, an edit stores a row under that id, a delete has nothing to do and says so with success.
    const ANY_ID: Option<&'static [&'static str]> = None;
    /// Whether making an object matters to changes of others, which then use [`Draft::require_no_new`].
    const ANNOUNCED: bool = false;
    /// Number of secondary indexes.
    const INDEXES: usize = 0;

    /// Adds what a get of an id without a row shows besides, in a class with [`Class::ANY_ID`].
    fn bare(_out: &mut JsonObject<'_>) {}

    fn id(&self) -> u32;
    fn set_id(&mut self, id: u32);

    /// The name, empty for a class without one.
    fn name(&self) -> &str {
        ""
    }

    fn uniques(&self) -> Vec<Unique> {
        Vec::new()
    }

    /// Key of this row in the secondary index `number`; `None` keeps it out of the index.
    fn index_key(&self, _number: usize) -> Option<u64> {
        None
    }

    /// Adds computed values and embedded objects to a rendering. `row` is `None` where a missing object is shown as one
    /// whose fields are all empty.
    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, _out: &mut JsonObject<'_>) {}

    /// Adds what `/fog/<class>/<id>/<item>` shows besides.
    fn item(_row: &Row<Self>, _item: &str, _scene: &Scene<'_>, _out: &mut JsonObject<'_>) {}

    /// The row as it is to be shown now, where that differs from what is stored (progress of a running task).
    fn overlay(&self, _scene: &Scene<'_>) -> Option<Self> {
        None
    }

    /// Whether related objects make the row a hit of a search for `needle`.
    fn found_by_relation(_row: &Row<Self>, _scene: &Scene<'_>, _needle: &Needle) -> bool {
        false
    }

    /// Ids of the rows that related objects make hits of a search for `needle`. A class with very many rows finds them from the
    /// related objects; `None` asks [`Class::found_by_relation`] about each row.
    fn found_through(_scene: &Scene<'_>, _needle: &Needle) -> Option<Vec<u32>> {
        None
    }

    /// A text, folded, by which related objects find this row in a search; an index of it is kept.
    fn search_key(&self) -> Option<String> {
        None
    }

    /// Checks and completes an object before it is stored, and changes the few rows that must go with it in the same
    /// transaction. `body` is what the client sent.
    ///
    /// # Errors
    /// [`Refusal`] when the object cannot be stored like this.
    fn on_write(
        _draft: &mut Draft<'_>,
        _object: &mut Self,
        _write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Changes other rows as the body of a create (`is_new`) or an edit of `id` asks; there may be many. Drafts what is not
    /// so yet, as far as there is room ([`Draft::has_room`]), and is called again until all is done.
    ///
    /// # Errors
    /// [`Refusal`] when a row cannot be changed like this.
    fn spread(_draft: &mut Draft<'_>, _id: u32, _is_new: bool, _body: &Body) -> Result<(), Refusal> {
        Ok(())
    }

    /// Deletes what goes with a row, as far as there is room ([`Draft::has_room`]); called again until all is done. The row
    /// itself goes with the last step.
    ///
    /// # Errors
    /// [`Refusal`] when the row is in use.
    fn on_delete(_draft: &mut Draft<'_>, _row: &Row<Self>) -> Result<(), Refusal> {
        Ok(())
    }
}

/// One row in the cache: the typed object, the revision it has, and its stored fields as JSON, rendered once.
pub struct Row<C: Class> {
    object: C,
    modified: Revision,
    shown: Box<str>,
    /// Like `shown` with secrets; absent when there are none.
    revealed: Option<Box<str>>,
}

impl<C: Class> Row<C> {
    pub(crate) fn new(object: C, modified: Revision) -> Self {
        let shown = super::json::stored_fields(&object, false);
        let has_secrets = C::FIELDS.iter().any(|field| field.hides(&object) && !field.show(&object).is_empty());
        let revealed = has_secrets.then(|| super::json::stored_fields(&object, true));
        Self { object, modified, shown, revealed }
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
