//! What a class of objects is: a struct, its fields, what makes its rows unique.

use serde_json::{Map, Value};

use super::field::Field;

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
        if name.trim().is_empty() {
            Vec::new()
        } else {
            vec![Self::name(name)]
        }
    }

    /// A name: compared without case and surrounding blanks, never shared.
    #[must_use]
    pub fn name(name: &str) -> Self {
        Self {
            field: "name",
            value: super::value::fold(name),
            clash: Clash::Refuse,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clash {
    /// It is refused.
    Refuse,
    /// The existing row takes the new values; FOG does so for associations and for what a host has
    /// one of.
    Merge,
}

/// An object that another one points at, and that takes it along, or changes it, when it is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    pub class: &'static str,
    /// 0 for none.
    pub id: u32,
}

impl Reference {
    /// To an object of class `C`, which has to be [`Class::POINTED_AT`]; the compiler checks it.
    #[must_use]
    pub fn to<C: Class>(id: u32) -> Self {
        const {
            assert!(
                C::POINTED_AT,
                "a class whose deletion changes what points at it says so: POINTED_AT"
            )
        };
        Self { class: C::NAME, id }
    }

    /// The same, if the class is [`Class::POINTED_AT`].
    #[must_use]
    pub fn maybe<C: Class>(id: u32) -> Option<Self> {
        C::POINTED_AT.then_some(Self { class: C::NAME, id })
    }
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
    /// The same; of one that is gone little more than its id; no member at all where another member
    /// stands for it.
    Sometimes(&'static str),
}

impl Shape {
    /// Whether the member is always there.
    #[must_use]
    pub fn is_sure(self) -> bool {
        !matches!(self, Self::Sometimes(_))
    }
}

/// [`Class::id`] and [`Class::set_id`] of a struct with the field `id`.
macro_rules! id_in_field {
    () => {
        fn id(&self) -> u32 {
            self.id
        }

        fn set_id(&mut self, id: u32) {
            self.id = id;
        }
    };
}
pub(crate) use id_in_field;

/// For a class with the field `name`, which every row has and which no two rows share.
macro_rules! unique_name {
    () => {
        const NAMED: bool = true;

        fn name(&self) -> &str {
            &self.name
        }

        fn uniques(&self) -> Vec<$crate::state::class::Unique> {
            vec![$crate::state::class::Unique::name(&self.name)]
        }
    };
}
pub(crate) use unique_name;

/// What a class of objects is. What it does beside being stored is in [`super::rules::Rules`].
pub trait Class: Default + Clone + Send + Sync + 'static {
    /// Name in routes and keys.
    const NAME: &'static str;
    /// What an object of the class is, in a sentence, for people who read the API's description.
    const ABOUT: &'static str = "";
    /// Other spellings of the name that routes take.
    const ALIASES: &'static [&'static str] = &[];
    /// Stored fields in the order in which they are sent.
    const FIELDS: &'static [Field<Self>];
    /// What [`super::rules::Rules::extras`] adds to the stored fields, for the API's description.
    const COMPUTED: &'static [Computed] = &[];
    /// What [`super::rules::Rules::item`] can add, for the API's description.
    const ITEMS: &'static [Computed] = &[];
    /// Other spellings of fields that a create and an edit take: the spelling, and the field.
    const SPELLINGS: &'static [(&'static str, &'static str)] = &[];
    /// What a create and an edit take beside the stored fields (`Rules::on_write`,
    /// `Rules::spread`), for the API's description.
    const ACCEPTS: &'static [Computed] = &[];
    /// Names of embedded objects, which a plain (embedded) rendering shows as `{}`.
    const RELATIONS: &'static [&'static str] = &[];
    /// Whether rows have a name: then lists are ordered by it.
    const NAMED: bool = false;
    /// Where the rows are that its `active` route shows; absent for a class without such a route.
    const CURRENT: Option<Current> = None;
    /// Present for a class of which every id but 0 is answered as if it existed: FOG takes an
    /// object for valid when its required fields are there, and such a class has none. A get of
    /// an id without a row then shows the id and the fields named here, an edit stores a row
    /// under that id, a delete has nothing to do and says so with success.
    const ANY_ID: Option<&'static [&'static str]> = None;
    /// Whether making an object matters to changes of others, which then use
    /// [`super::draft::Draft::require_no_new`].
    const ANNOUNCED: bool = false;
    /// Whether deleting an object deletes or changes those that point at it ([`Class::points_at`]).
    const POINTED_AT: bool = false;
    /// Number of secondary indexes.
    const INDEXES: usize = 0;

    fn id(&self) -> u32;
    fn set_id(&mut self, id: u32);

    /// The name, empty for a class without one.
    fn name(&self) -> &str {
        ""
    }

    fn uniques(&self) -> Vec<Unique> {
        Vec::new()
    }

    /// The objects whose deletion deletes or changes this one. Whoever begins to point at an object
    /// is noticed by whoever deletes it at the same time.
    fn points_at(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// Key of this row in the secondary index `number`; `None` keeps it out of the index.
    fn index_key(&self, _number: usize) -> Option<u64> {
        None
    }

    /// A text, folded, by which related objects find this row in a search; an index of it is kept.
    fn search_key(&self) -> Option<String> {
        None
    }
}
