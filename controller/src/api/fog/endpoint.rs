//! Every route of every class, written once over [`Class`].

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::filter::Filter;
use crate::app::objects;
use crate::state::class::{Body, Class, Row};
use crate::state::json::{self, JsonObject};
use crate::state::needle::Needle;
use crate::state::scene::Scene;
use crate::state::value::fold;
use crate::state::{Refusal, State};

/// A class as a route sees it: only its name is known.
pub(super) trait Endpoint: Send + Sync {
    fn name(&self) -> &'static str;
    /// Whether it has an `active` route.
    fn has_active(&self) -> bool;
    fn list(&self, scene: &Scene<'_>, filter: &Body, item: &str, out: &mut Vec<u8>);
    fn active(&self, scene: &Scene<'_>, filter: &Body, out: &mut Vec<u8>);
    fn search(&self, scene: &Scene<'_>, text: &str, out: &mut Vec<u8>);
    fn names(&self, scene: &Scene<'_>, out: &mut Vec<u8>);
    fn values(&self, scene: &Scene<'_>, field: &str, out: &mut Vec<u8>);
    /// `false` when there is no such object.
    fn get(&self, scene: &Scene<'_>, id: u32, item: &str, out: &mut Vec<u8>) -> bool;
    fn create<'a>(&self, state: &'a State, body: &'a Body, by: &'a str) -> BoxFuture<'a, Result<u32, Refusal>>;
    fn edit<'a>(&self, state: &'a State, id: u32, body: &'a Body) -> BoxFuture<'a, Result<(), Refusal>>;
    fn delete<'a>(&self, state: &'a State, id: u32) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// The endpoint of class `C`.
pub(super) struct Of<C>(PhantomData<fn() -> C>);

pub(super) const fn of<C: Class>() -> Of<C> {
    Of(PhantomData)
}

/// FOG keeps rows whose name has this (not at its start) out of lists and searches.
const HIDDEN: &str = "_API_";

/// Whether a row with this name is listed.
pub(super) fn is_listed_name(name: &str) -> bool {
    let folded = fold(name);
    let mut rest = folded.chars();
    rest.next();
    !rest.as_str().contains(HIDDEN)
}

fn is_listed<C: Class>(row: &Row<C>) -> bool {
    !C::NAMED || is_listed_name(row.name())
}

/// `{"count":N,"<class>s":[…]}`
fn envelope<'r, C: Class>(
    rows: impl Iterator<Item = &'r Arc<Row<C>>>,
    scene: &Scene<'_>,
    item: &str,
    out: &mut Vec<u8>,
) {
    let mut list = Vec::with_capacity(4096);
    let mut count = 0_usize;
    for row in rows.filter(|row| is_listed(row)) {
        if count != 0 {
            list.push(b',');
        }
        count += 1;
        one(row, scene, item, &mut list);
    }
    out.reserve(list.len() + 64);
    out.extend_from_slice(format!("{{\"count\":{count},\"{}s\":[", C::NAME).as_bytes());
    out.append(&mut list);
    out.extend_from_slice(b"]}");
}

fn one<C: Class>(row: &Row<C>, scene: &Scene<'_>, item: &str, out: &mut Vec<u8>) {
    json::render(Some(row), scene, out);
    if !item.is_empty() {
        // Reopens the object that was just closed.
        out.pop();
        let mut object = JsonObject::resume(out);
        C::item(row, item, scene, &mut object);
        object.end();
    }
}

impl<C: Class> Endpoint for Of<C> {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn has_active(&self) -> bool {
        C::CURRENT.is_some()
    }

    fn list(&self, scene: &Scene<'_>, filter: &Body, item: &str, out: &mut Vec<u8>) {
        let filter = Filter::<C>::new(filter, &[]);
        envelope(scene.tables.of::<C>().ordered().filter(|row| filter.fits(row)), scene, item, out);
    }

    fn active(&self, scene: &Scene<'_>, filter: &Body, out: &mut Vec<u8>) {
        let Some(current) = C::CURRENT else { return };
        let filter = Filter::<C>::new(filter, &[current.field]);
        let mut rows: Vec<_> = scene.tables.of::<C>().by(current.index, 0).filter(|row| filter.fits(row)).collect();
        if C::NAMED {
            rows.sort_by_cached_key(|row| fold(row.name()));
        }
        envelope(rows.into_iter(), scene, "", out);
    }

    fn search(&self, scene: &Scene<'_>, text: &str, out: &mut Vec<u8>) {
        let needle = Needle::new(text);
        let hit = |row: &Row<C>| {
            C::FIELDS.iter().filter(|field| !field.secret).any(|field| needle.hits(&field.show(row)))
                || C::found_by_relation(row, scene, &needle)
        };
        envelope(scene.tables.of::<C>().ordered().filter(|row| hit(row)), scene, "", out);
    }

    fn names(&self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        out.push(b'[');
        if C::NAMED {
            for (place, row) in scene.tables.of::<C>().ordered().enumerate() {
                if place != 0 {
                    out.push(b',');
                }
                let mut object = JsonObject::begin(out);
                object.text("id", &row.id().to_string());
                object.text("name", row.name());
                object.end();
            }
        }
        out.push(b']');
    }

    fn values(&self, scene: &Scene<'_>, field: &str, out: &mut Vec<u8>) {
        out.push(b'[');
        if let Some(field) = C::FIELDS.iter().find(|known| known.name == field && (!known.secret || scene.secrets)) {
            for (place, row) in scene.tables.of::<C>().ordered().enumerate() {
                if place != 0 {
                    out.push(b',');
                }
                json::string(out, &field.show(row));
            }
        }
        out.push(b']');
    }

    fn get(&self, scene: &Scene<'_>, id: u32, item: &str, out: &mut Vec<u8>) -> bool {
        match scene.tables.of::<C>().get(id) {
            Some(row) => {
                one(row, scene, item, out);
                true
            }
            None => false,
        }
    }

    fn create<'a>(&self, state: &'a State, body: &'a Body, by: &'a str) -> BoxFuture<'a, Result<u32, Refusal>> {
        Box::pin(objects::create::<C>(state, body, by))
    }

    fn edit<'a>(&self, state: &'a State, id: u32, body: &'a Body) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(objects::edit::<C>(state, id, body))
    }

    fn delete<'a>(&self, state: &'a State, id: u32) -> BoxFuture<'a, Result<(), Refusal>> {
        Box::pin(objects::delete::<C>(state, id))
    }
}
