//! The routes of `plugin`: rows of the state, and beside them the plugins of the folder, which need
//! no row.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::endpoint::{Endpoint, Look, Of, of};
use super::etag::OnlyIf;
use super::page::Page;
use super::select::Key;
use crate::app::idempotent::Ticket;
use crate::app::objects;
use crate::plugins::{Plugins, Shown};
use crate::state::class::{Body, Class, Computed, Shape};
use crate::state::classes::Plugin;
use crate::state::json::{self, JsonObject};
use crate::state::render::render;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::schema::ClassSchema;
use crate::state::value::fold;
use crate::state::{Refusal, State, Tables};
use crate::store::Revision;

/// Lists the folder as well.
pub(super) struct PluginEndpoint {
    rows: Of<Plugin>,
    plugins: Arc<Plugins>,
}

impl PluginEndpoint {
    pub(super) fn new(plugins: Arc<Plugins>) -> Self {
        Self {
            rows: of(),
            plugins,
        }
    }

    /// The plugins of the folder and the rows without one, by name.
    fn entries<'s>(&self, scene: &Scene<'s>) -> Vec<Entry<'s>> {
        let rows = scene.tables.of::<Plugin>();
        let folder = self.plugins.shown();
        let lone = |row: &&'s Arc<Row<Plugin>>| {
            !folder
                .iter()
                .any(|shown| shown.name.eq_ignore_ascii_case(row.name.trim()))
        };
        let mut entries: Vec<Entry<'s>> = rows
            .iter()
            .filter(lone)
            .map(|row| Entry {
                row: Some(row),
                shown: None,
            })
            .collect();
        entries.extend(folder.into_iter().map(|shown| Entry {
            row: rows.named(&shown.name),
            shown: Some(shown),
        }));
        entries.sort_by_cached_key(|entry| fold(entry.name()));
        entries
    }

    fn list(&self, scene: &Scene<'_>, page: &Page, out: &mut Vec<u8>) -> Result<usize, Refusal> {
        let rows = scene.tables.of::<Plugin>();
        let (mut active, mut installed) = (0_usize, 0_usize);
        for row in rows.iter() {
            match (row.state == "1", row.installed == "1") {
                (true, true) => installed += 1,
                (true, false) => active += 1,
                _ => {}
            }
        }
        let (entries, total) = self::page(self.entries(scene), page)?;
        let (count, rest) = (entries.len(), total - active - installed);
        out.extend_from_slice(format!("{{\"count\":{count},\"plugins\":").as_bytes());
        json::list(out, entries, |entry, out| entry.show(scene, out));
        let counts = format!(
            ",\"count_active\":{active},\"count_installed\":{installed},\"count_not_active\":{rest}}}"
        );
        out.extend_from_slice(counts.as_bytes());
        Ok(total)
    }
}

/// A plugin of the folder, a row, or both.
struct Entry<'s> {
    row: Option<&'s Arc<Row<Plugin>>>,
    shown: Option<Shown>,
}

impl Entry<'_> {
    fn name(&self) -> &str {
        match (&self.shown, self.row) {
            (Some(shown), _) => &shown.name,
            (None, Some(row)) => &row.name,
            (None, None) => "",
        }
    }

    fn show(&self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        match &self.shown {
            Some(shown) => one(self.row.map(AsRef::as_ref), shown, out),
            None => render(self.row.map(AsRef::as_ref), scene, out),
        }
    }
}

/// The page that was asked for, and how many entries there are on all.
fn page<'s>(mut entries: Vec<Entry<'s>>, page: &Page) -> Result<(Vec<Entry<'s>>, usize), Refusal> {
    let field = match page.order_by.as_deref() {
        None | Some("name") => {
            if page.descending {
                entries.reverse();
            }
            return Ok(page.cut(entries.into_iter()));
        }
        Some(name) => Plugin::FIELDS.iter().find(|field| field.name == name),
    };
    let field = field.ok_or_else(|| page.no_such_order(Plugin::NAME))?;
    let value = |entry: &Entry<'_>| {
        entry
            .row
            .map(|row| field.show(row).into_owned())
            .unwrap_or_default()
    };
    Ok(page.cut_by(entries.into_iter(), |entry| {
        Key::of(&value(entry), field.is_number())
    }))
}

/// What [`one`] adds to the members of a row.
const OF_FILES: &[Computed] = &[
    Computed {
        name: "standing",
        shape: Shape::Text,
        about: "How the plugin's file stands: on, off (its row has state 0), broken (it could not be read) or suspended (it failed too often).",
    },
    Computed {
        name: "failures",
        shape: Shape::Integer,
        about: "Calls that failed since the file was read.",
    },
    Computed {
        name: "lastError",
        shape: Shape::OptionalText,
        about: "What went wrong at last; null when nothing did.",
    },
    Computed {
        name: "lastErrorTime",
        shape: Shape::OptionalText,
        about: "When that was, in UTC.",
    },
    Computed {
        name: "classes",
        shape: Shape::Texts,
        about: "Classes that the plugin adds.",
    },
    Computed {
        name: "hooks",
        shape: Shape::Texts,
        about: "Hook events that the plugin listens to.",
    },
];

/// Writes a plugin of the folder, with its row if it has one.
fn one(row: Option<&Row<Plugin>>, shown: &Shown, out: &mut Vec<u8>) {
    let mut object = JsonObject::begin(out);
    match row {
        Some(row) => object.members(row.members(false)),
        None => {
            object.text("name", &shown.name);
            object.text("version", &shown.version);
        }
    }
    let file = format!("plugins/{}.rhai", shown.name);
    object.text("location", &file);
    object.text("description", &shown.description);
    object.text("icon", &shown.icon);
    object.texts("runinclude", [&shown.name, &file]);
    object.text("hash", &Plugin::hash(&shown.name));
    object.text("standing", shown.standing.as_str());
    object.integer(
        "failures",
        i64::try_from(shown.failures).unwrap_or(i64::MAX),
    );
    match &shown.last {
        Some(failure) => {
            object.text("lastError", &failure.what);
            object.text("lastErrorTime", &failure.at.to_fog());
        }
        None => {
            object.null("lastError");
            object.null("lastErrorTime");
        }
    }
    object.texts("classes", &shown.classes);
    object.texts("hooks", shown.events.iter().map(|event| event.name()));
    object.end();
}

/// Whether the plugin, as [`PluginEndpoint::get`] shows it, is a version that the client named.
fn check(
    plugins: &Plugins,
    only_if: &OnlyIf<'_>,
    tables: &Tables,
    row: &Row<Plugin>,
) -> Result<(), Refusal> {
    let shown = plugins.shown_one(row.name.trim());
    only_if.check(
        (Plugin::NAME, row.id()),
        row.modified(),
        tables,
        |scene, out| match &shown {
            Some(shown) => one(Some(row), shown, out),
            None => render(Some(row), scene, out),
        },
    )
}

impl Endpoint for PluginEndpoint {
    fn name(&self) -> &'static str {
        self.rows.name()
    }

    fn schema(&self) -> ClassSchema {
        ClassSchema {
            sometimes: OF_FILES.iter().map(Into::into).collect(),
            ..self.rows.schema()
        }
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.rows.aliases()
    }

    fn has_active(&self) -> bool {
        false
    }

    fn show(
        &self,
        scene: &Scene<'_>,
        look: &Look<'_>,
        page: &Page,
        out: &mut Vec<u8>,
    ) -> Result<usize, Refusal> {
        match look {
            // A FOG server lists its folder whatever the filter says.
            Look::List { .. } => self.list(scene, page, out),
            Look::Active { .. } => Ok(0),
            _ => self.rows.show(scene, look, page, out),
        }
    }

    fn get(&self, scene: &Scene<'_>, id: u32, item: &str, out: &mut Vec<u8>) -> Option<Revision> {
        let row = scene.tables.of::<Plugin>().get(id);
        match row.and_then(|row| Some((row, self.plugins.shown_one(row.name.trim())?))) {
            Some((row, shown)) => {
                one(Some(row.as_ref()), &shown, out);
                Some(row.modified())
            }
            None => self.rows.get(scene, id, item, out),
        }
    }

    fn create<'a>(
        &self,
        state: &'a State,
        body: &'a Body,
        by: &'a str,
        ticket: Option<&'a Ticket>,
    ) -> BoxFuture<'a, Result<u32, Refusal>> {
        self.rows.create(state, body, by, ticket)
    }

    fn edit<'a>(
        &self,
        state: &'a State,
        id: u32,
        body: &'a Body,
        by: &'a str,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let plugins = self.plugins.clone();
        Box::pin(async move {
            let check = |tables: &Tables, row: &Row<Plugin>| check(&plugins, only_if, tables, row);
            let check: &objects::Check<'_, Row<Plugin>> = &check;
            objects::edit(state, id, body, by, only_if.is_asked().then_some(check)).await
        })
    }

    fn delete<'a>(
        &self,
        state: &'a State,
        id: u32,
        only_if: &'a OnlyIf<'a>,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let plugins = self.plugins.clone();
        Box::pin(async move {
            let check = |tables: &Tables, row: &Row<Plugin>| check(&plugins, only_if, tables, row);
            let check: &objects::Check<'_, Row<Plugin>> = &check;
            objects::delete(state, id, only_if.is_asked().then_some(check)).await
        })
    }
}
