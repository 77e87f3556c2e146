//! Every route of a class that a plugin declares.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::endpoint::{Endpoint, Look};
use super::etag::OnlyIf;
use super::filter::{self, Test};
use super::page::Page;
use super::select::Key;
use crate::app::dynamic_objects;
use crate::app::idempotent::Ticket;
use crate::app::objects::Check;
use crate::state::class::Body;
use crate::state::dynamic::{ClassSpec, Declared, DynamicRow, DynamicTable, Kind, MemberSpec};
use crate::state::json::{self, JsonObject};
use crate::state::needle::Needle;
use crate::state::scene::Scene;
use crate::state::schema::ClassSchema;
use crate::state::table::is_listed_name;
use crate::state::{Refusal, State, Tables};
use crate::store::Revision;

/// A class as it was declared when the request came.
#[derive(Clone)]
pub(super) struct DynamicEndpoint {
    class: Arc<ClassSpec>,
    declared: Arc<Declared>,
}

impl DynamicEndpoint {
    pub(super) fn of(state: &State, class: &str) -> Option<Self> {
        let declared = state.declared();
        let class = declared.class(class)?.clone();
        Some(Self { class, declared })
    }

    /// Every class that is declared now.
    pub(super) fn all(state: &State) -> impl Iterator<Item = Self> {
        let declared = state.declared();
        let classes = declared.classes.clone();
        classes.into_iter().map(move |class| Self {
            class,
            declared: declared.clone(),
        })
    }

    fn table<'s>(&self, scene: &Scene<'s>) -> Option<&'s DynamicTable> {
        scene.tables.dynamic().table(self.class.name)
    }

    fn rows<'s>(&self, scene: &Scene<'s>) -> Vec<&'s Arc<DynamicRow>> {
        self.table(scene)
            .map(|table| table.ordered(&self.class))
            .unwrap_or_default()
    }

    fn filtered<'s>(
        &self,
        scene: &Scene<'s>,
        body: &Body,
        without: Option<&str>,
    ) -> Vec<&'s Arc<DynamicRow>> {
        let tests = self.tests(body, without);
        let mut rows = self.rows(scene);
        rows.retain(|row| {
            tests
                .iter()
                .all(|(name, kind, test)| test.fits(&row.show(&self.class, name), kind.0, kind.1))
        });
        rows
    }

    /// Names, whether they are numbers or times, and what they must be.
    fn tests(&self, body: &Body, without: Option<&str>) -> Vec<(&'static str, (bool, bool), Test)> {
        let fields = self
            .class
            .fields
            .iter()
            .map(|field| (field.name, (field.kind.is_number(), field.kind.is_time())));
        std::iter::once(("id", (true, false)))
            .chain(fields)
            .filter(|(name, _)| without != Some(*name))
            .filter_map(|(name, kind)| Some((name, kind, filter::test(body.get(name)?)?)))
            .collect()
    }

    /// The page that was asked for, of rows in the order of lists, and how many rows there are.
    fn page<'s>(
        &self,
        mut rows: Vec<&'s Arc<DynamicRow>>,
        page: &Page,
    ) -> Result<(Vec<&'s Arc<DynamicRow>>, usize), Refusal> {
        match page.order_by.as_deref() {
            Some(name) if name != "name" || !self.class.is_named() => {
                let field = self.class.field(name);
                if name != "id" && field.is_none() {
                    return Err(page.no_such_order(self.class.name));
                }
                let is_number = field.is_none_or(|field| field.kind.is_number());
                Ok(page.cut_by(rows.into_iter(), |row| {
                    Key::of(&row.show(&self.class, name), is_number)
                }))
            }
            _ => {
                if page.descending {
                    rows.reverse();
                }
                Ok(page.cut(rows.into_iter()))
            }
        }
    }

    fn envelope(
        &self,
        mut rows: Vec<&Arc<DynamicRow>>,
        scene: &Scene<'_>,
        page: &Page,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        rows.retain(|row| self.is_listed(row));
        let (rows, total) = self.page(rows, page)?;
        out.extend_from_slice(
            format!("{{\"count\":{},\"{}s\":", rows.len(), self.class.name).as_bytes(),
        );
        json::list(out, rows, |row, out| self.one(row, scene, out));
        out.push(b'}');
        Ok(total)
    }

    /// A list with something of each row, or of none.
    fn each(
        &self,
        any: bool,
        scene: &Scene<'_>,
        page: &Page,
        out: &mut Vec<u8>,
        write: impl Fn(&DynamicRow, &mut Vec<u8>),
    ) -> Result<usize, Refusal> {
        let rows = if any { self.rows(scene) } else { Vec::new() };
        let (rows, total) = self.page(rows, page)?;
        json::list(out, rows, |row, out| write(row, out));
        Ok(total)
    }

    fn is_listed(&self, row: &DynamicRow) -> bool {
        !self.class.is_named() || is_listed_name(row.get("name").unwrap_or_default())
    }

    fn one(&self, row: &DynamicRow, scene: &Scene<'_>, out: &mut Vec<u8>) {
        let mut object = JsonObject::begin(out);
        object.text("id", &row.id().to_string());
        for field in &self.class.fields {
            object.text(field.name, &row.show(&self.class, field.name));
        }
        for member in self.declared.members_of(self.class.name) {
            object.texts(
                member.name,
                members(member, row.id(), scene)
                    .iter()
                    .map(ToString::to_string),
            );
        }
        object.end();
    }

    fn check(
        &self,
        only_if: &OnlyIf<'_>,
        tables: &Tables,
        row: &DynamicRow,
    ) -> Result<(), Refusal> {
        only_if.check(
            (self.class.name, row.id()),
            row.modified(),
            tables,
            |scene, out| self.one(row, scene, out),
        )
    }

    /// Whether a stored value, or the name of an object that it refers to or has in a list, is a
    /// hit.
    fn is_hit(&self, row: &DynamicRow, scene: &Scene<'_>, needle: &Needle) -> bool {
        let names = |class: &str, id: u32| id != 0 && needle.hits(scene.tables.name_of(class, id));
        needle.hits(&row.id().to_string())
            || self.class.fields.iter().any(|field| {
                needle.hits(&row.show(&self.class, field.name))
                    || matches!(field.kind, Kind::Reference { class, .. } if names(class,
                        row.reference(field.name)))
            })
            || self.declared.members_of(self.class.name).any(|member| {
                let class = self
                    .declared
                    .class(member.through)
                    .and_then(|class| class.field(member.other));
                let Some(Kind::Reference { class, .. }) = class.map(|field| field.kind) else {
                    return false;
                };
                members(member, row.id(), scene)
                    .into_iter()
                    .any(|id| names(class, id))
            })
    }
}

/// Ids of the objects in a list of related ones, in order.
fn members(member: &MemberSpec, id: u32, scene: &Scene<'_>) -> Vec<u32> {
    let Some(table) = scene.tables.dynamic().table(member.through) else {
        return Vec::new();
    };
    let mut ids: Vec<u32> = table
        .by(member.own, &id.to_string())
        .iter()
        .map(|row| row.reference(member.other))
        .filter(|id| *id != 0)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl Endpoint for DynamicEndpoint {
    fn name(&self) -> &'static str {
        self.class.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        &[]
    }

    fn schema(&self) -> ClassSchema {
        ClassSchema::declared(&self.class, &self.declared)
    }

    fn has_active(&self) -> bool {
        self.class.active.is_some()
    }

    fn show(
        &self,
        scene: &Scene<'_>,
        look: &Look<'_>,
        page: &Page,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        match *look {
            Look::List { filter, .. } => {
                self.envelope(self.filtered(scene, filter, None), scene, page, out)
            }
            Look::Active { filter } => {
                let Some(active) = self.class.active else {
                    return Ok(0);
                };
                let mut rows = self.filtered(scene, filter, Some(active));
                rows.retain(|row| {
                    !Test::Nothing.fits(&row.show(&self.class, active), false, false)
                });
                self.envelope(rows, scene, page, out)
            }
            Look::Search(text) => {
                let needle = Needle::new(text);
                let mut rows = self.rows(scene);
                rows.retain(|row| self.is_hit(row, scene, &needle));
                self.envelope(rows, scene, page, out)
            }
            Look::Names => self.each(self.class.is_named(), scene, page, out, |row, out| {
                JsonObject::named(out, row.id(), row.get("name").unwrap_or_default());
            }),
            Look::Values(field) => {
                let known = field == "id" || self.class.field(field).is_some();
                self.each(known, scene, page, out, |row, out| {
                    json::string(out, &row.show(&self.class, field));
                })
            }
        }
    }

    fn get(&self, scene: &Scene<'_>, id: u32, _item: &str, out: &mut Vec<u8>) -> Option<Revision> {
        let row = self.table(scene)?.get(id)?;
        self.one(row, scene, out);
        Some(row.modified())
    }

    fn create<'a>(
        &self,
        state: &'a State,
        body: &'a Body,
        _by: &'a str,
        ticket: Option<&'a Ticket>,
    ) -> BoxFuture<'a, Result<u32, Refusal>> {
        Box::pin(dynamic_objects::create(
            state,
            self.class.clone(),
            body,
            ticket,
        ))
    }

    fn edit<'a>(
        &self,
        state: &'a State,
        id: u32,
        body: &'a Body,
        _by: &'a str,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let this = self.clone();
        Box::pin(async move {
            let check = |tables: &Tables, row: &DynamicRow| this.check(only_if, tables, row);
            let check: &Check<'_, DynamicRow> = &check;
            let check = only_if.is_asked().then_some(check);
            dynamic_objects::edit(state, this.class.clone(), id, body, check).await
        })
    }

    fn delete<'a>(
        &self,
        state: &'a State,
        id: u32,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let this = self.clone();
        Box::pin(async move {
            let check = |tables: &Tables, row: &DynamicRow| this.check(only_if, tables, row);
            let check: &Check<'_, DynamicRow> = &check;
            dynamic_objects::delete(
                state,
                this.class.clone(),
                id,
                only_if.is_asked().then_some(check),
            )
            .await
        })
    }
}
