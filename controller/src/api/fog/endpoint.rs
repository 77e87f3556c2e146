//! Every route of every class, written once over [`Rules`].

use std::marker::PhantomData;

use futures_util::future::BoxFuture;

use super::etag::OnlyIf;
use super::filter::Filter;
use super::page::Page;
use super::select::{Selected, Wanted, select, select_from};
use crate::app::idempotent::Ticket;
use crate::app::objects;
use crate::state::class::Body;
use crate::state::json::{self, JsonObject};
use crate::state::needle::Needle;
use crate::state::render::render;
use crate::state::rules::Rules;
use crate::state::scene::Scene;
use crate::state::schema::ClassSchema;
use crate::state::search;
use crate::state::{Refusal, Row, State, Tables};
use crate::store::Revision;

/// A class as a route sees it: only its name is known.
pub(super) trait Endpoint: Send + Sync {
    fn name(&self) -> &'static str;
    /// Other spellings of the name in routes.
    fn aliases(&self) -> &'static [&'static str];
    /// What the class is, for the API's description.
    fn schema(&self) -> ClassSchema;
    /// Whether it has an `active` route.
    fn has_active(&self) -> bool;
    /// Shows a page of many objects and returns how many there are on all pages.
    fn show(
        &self,
        scene: &Scene<'_>,
        look: &Look<'_>,
        page: &Page,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal>;
    /// The revision of the row that is shown; `None` when there is no such object.
    fn get(&self, scene: &Scene<'_>, id: u32, item: &str, out: &mut Vec<u8>) -> Option<Revision>;
    /// Marks `ticket` in the transaction that creates the object.
    fn create<'a>(
        &self,
        state: &'a State,
        body: &'a Body,
        by: &'a str,
        ticket: Option<&'a Ticket>,
    ) -> BoxFuture<'a, Result<u32, Refusal>>;
    /// Leaves out of an object that is sent back what its sender was shown as empty because it is
    /// secret.
    fn leave_hidden(&self, _tables: &Tables, _id: u32, _body: &mut Body) {}
    fn edit<'a>(
        &self,
        state: &'a State,
        id: u32,
        body: &'a Body,
        by: &'a str,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>>;
    fn delete<'a>(
        &self,
        state: &'a State,
        id: u32,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// What a client wants to see of many objects. A filter is as it was sent.
pub(super) enum Look<'a> {
    List {
        filter: &'a Body,
        item: &'a str,
    },
    Active {
        filter: &'a Body,
    },
    Search(&'a str),
    /// Ids and names.
    Names,
    /// The values of one field.
    Values(&'a str),
}

/// The endpoint of class `C`.
pub(super) struct Of<C>(PhantomData<fn() -> C>);

pub(super) const fn of<C: Rules>() -> Of<C> {
    Of(PhantomData)
}

/// `{"count":N,"<class>s":[…]}`, of the rows of one page. Returns how many there are on all.
fn envelope<C: Rules>(
    (rows, total): Selected<'_, C>,
    scene: &Scene<'_>,
    item: &str,
    out: &mut Vec<u8>,
) -> usize {
    out.extend_from_slice(format!("{{\"count\":{},\"{}s\":", rows.len(), C::NAME).as_bytes());
    json::list(out, rows, |row, out| one(row, scene, item, out));
    out.push(b'}');
    total
}

fn one<C: Rules>(row: &Row<C>, scene: &Scene<'_>, item: &str, out: &mut Vec<u8>) {
    render(Some(row), scene, out);
    if !item.is_empty() {
        // Reopens the object that was just closed.
        out.pop();
        let mut object = JsonObject::resume(out);
        C::item(row, item, scene, &mut object);
        object.end();
    }
}

/// What a get of an id without a row shows in a class where every id is answered; `false` in the
/// others.
fn bare<C: Rules>(id: u32, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
    let Some(shown) = C::ANY_ID else { return false };
    let mut empty = C::default();
    empty.set_id(id);
    let empty = empty.overlay(scene).unwrap_or(empty);
    let mut object = JsonObject::begin(out);
    for field in C::FIELDS
        .iter()
        .filter(|field| field.is_id() || shown.contains(&field.name))
    {
        object.text(field.name, &field.show(&empty));
    }
    C::bare(&mut object);
    object.end();
    true
}

fn list<C: Rules>(
    scene: &Scene<'_>,
    filter: &Body,
    item: &str,
    page: &Page,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let filter = Filter::<C>::new(filter, &[], scene.secrets);
    let fits = |row: &Row<C>| filter.fits(row);
    let wanted = if filter.is_empty() {
        Wanted::Listed
    } else {
        Wanted::Fitting(&fits)
    };
    Ok(envelope(select(scene, page, &wanted)?, scene, item, out))
}

fn active<C: Rules>(
    scene: &Scene<'_>,
    filter: &Body,
    page: &Page,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let Some(current) = C::CURRENT else {
        return Ok(0);
    };
    let filter = Filter::<C>::new(filter, &[current.field], scene.secrets);
    let rows = scene.tables.of::<C>().by(current.index, 0);
    let selected = select_from(scene, page, rows.filter(|row| filter.fits(row)))?;
    Ok(envelope(selected, scene, "", out))
}

fn names<C: Rules>(scene: &Scene<'_>, page: &Page, out: &mut Vec<u8>) -> Result<usize, Refusal> {
    if !C::NAMED {
        out.extend_from_slice(b"[]");
        return Ok(0);
    }
    let (rows, total) = select::<C>(scene, page, &Wanted::All)?;
    json::list(out, rows, |row, out| {
        JsonObject::named(out, row.id(), row.name());
    });
    Ok(total)
}

fn values<C: Rules>(
    scene: &Scene<'_>,
    field: &str,
    page: &Page,
    out: &mut Vec<u8>,
) -> Result<usize, Refusal> {
    let known = C::FIELDS
        .iter()
        .find(|known| known.name == field && (!known.secret || scene.secrets));
    let Some(field) = known else {
        out.extend_from_slice(b"[]");
        return Ok(0);
    };
    let (rows, total) = select::<C>(scene, page, &Wanted::All)?;
    json::list(out, rows, |row, out| {
        if !scene.secrets && field.hides(row) {
            return json::string(out, "");
        }
        let now = row.overlay(scene);
        json::string(out, &field.show(now.as_ref().unwrap_or(row)));
    });
    Ok(total)
}

impl<C: Rules> Endpoint for Of<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn aliases(&self) -> &'static [&'static str] {
        C::ALIASES
    }

    fn schema(&self) -> ClassSchema {
        ClassSchema::of::<C>()
    }

    fn has_active(&self) -> bool {
        C::CURRENT.is_some()
    }

    fn show(
        &self,
        scene: &Scene<'_>,
        look: &Look<'_>,
        page: &Page,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        match *look {
            Look::List { filter, item } => list::<C>(scene, filter, item, page, out),
            Look::Active { filter } => active::<C>(scene, filter, page, out),
            Look::Search(text) => {
                let found = search::rows::<C>(scene, &Needle::new(text));
                let selected = select_from(scene, page, found.into_iter())?;
                Ok(envelope(selected, scene, "", out))
            }
            Look::Names => names::<C>(scene, page, out),
            Look::Values(field) => values::<C>(scene, field, page, out),
        }
    }

    fn get(&self, scene: &Scene<'_>, id: u32, item: &str, out: &mut Vec<u8>) -> Option<Revision> {
        match scene.tables.of::<C>().get(id) {
            Some(row) => {
                one(row, scene, item, out);
                Some(row.modified())
            }
            // What was never stored has no revision.
            None => (id != 0 && bare::<C>(id, scene, out)).then_some(0),
        }
    }

    fn create<'a>(
        &self,
        state: &'a State,
        body: &'a Body,
        by: &'a str,
        ticket: Option<&'a Ticket>,
    ) -> BoxFuture<'a, Result<u32, Refusal>> {
        Box::pin(objects::create::<C>(state, body, by, ticket))
    }

    fn leave_hidden(&self, tables: &Tables, id: u32, body: &mut Body) {
        let Some(row) = tables.of::<C>().get(id) else {
            return;
        };
        for field in C::FIELDS.iter().filter(|field| field.hides(row)) {
            if body.get(field.name).is_some_and(|sent| sent == "") {
                body.remove(field.name);
            }
        }
    }

    fn edit<'a>(
        &self,
        state: &'a State,
        id: u32,
        body: &'a Body,
        by: &'a str,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let check = |tables: &Tables, row: &Row<C>| check(only_if, tables, row);
            let check: &objects::Check<'_, Row<C>> = &check;
            objects::edit::<C>(state, id, body, by, only_if.is_asked().then_some(check)).await
        })
    }

    fn delete<'a>(
        &self,
        state: &'a State,
        id: u32,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(async move {
            let check = |tables: &Tables, row: &Row<C>| check(only_if, tables, row);
            let check: &objects::Check<'_, Row<C>> = &check;
            objects::delete::<C>(state, id, only_if.is_asked().then_some(check)).await
        })
    }
}

fn check<C: Rules>(only_if: &OnlyIf<'_>, tables: &Tables, row: &Row<C>) -> Result<(), Refusal> {
    only_if.check((C::NAME, row.id()), row.modified(), tables, |scene, out| {
        one(row, scene, "", out)
    })
}
