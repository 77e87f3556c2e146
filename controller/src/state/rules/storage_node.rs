//! Storage nodes: each is an agent that keeps images.

use foghorn_types::TaskTypeId;

use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::classes::{Snapin, StorageGroup, StorageNode, Task};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::state::tables::Tables;

impl StorageNode {
    /// Hosts that deploy from it now, as a share of those it may serve.
    #[must_use]
    pub fn load(&self, tables: &Tables) -> f64 {
        let deploys = tables
            .tasks()
            .by(Task::BY_NODE, self.id.into())
            .filter(|task| task.kind.is_some_and(TaskTypeId::is_unicast_deploy))
            .count();
        if self.max_clients > 0 {
            deploys as f64 / self.max_clients as f64
        } else {
            0.0
        }
    }
}

impl Rules for StorageNode {
    fn on_write(
        _draft: &mut Draft<'_>,
        object: &mut Self,
        _write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        for path in [
            &mut object.path,
            &mut object.ftppath,
            &mut object.snapinpath,
            &mut object.sslpath,
            &mut object.webroot,
        ] {
            path.truncate(
                path.trim_end_matches('/')
                    .len()
                    .max(usize::from(path.starts_with('/'))),
            );
        }
        Ok(())
    }

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let group = row
            .and_then(|row| scene.tables.of::<StorageGroup>().get(row.storagegroup))
            .map(AsRef::as_ref);
        out.full("storagegroup", group, scene);
        out.number("clientload", row.map_or(0.0, |row| row.load(scene.tables)));
        out.boolean(
            "online",
            row.and_then(|row| row.key())
                .is_some_and(|node| scene.glance.node(node).online),
        );
    }

    fn item(row: &Row<Self>, item: &str, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        if matches!(item, "images" | "all") {
            let held = scene
                .tables
                .contents()
                .iter()
                .filter(|content| row.key().is_some_and(|node| content.nodes.contains(&node)));
            let images = held.filter_map(|content| scene.tables.images().get(content.image.get()));
            out.texts("images", images.map(|image| &image.path));
        }
        if matches!(item, "snapinfiles" | "all") {
            let files = scene.tables.snapin_files().iter();
            let held =
                files.filter(|file| row.key().is_some_and(|node| file.nodes.contains(&node)));
            let snapins =
                held.filter_map(|file| scene.tables.of::<Snapin>().get(file.snapin.get()));
            out.texts("snapinfiles", snapins.map(|snapin| &snapin.file));
        }
        if matches!(item, "logfiles" | "all") {
            out.texts("logfiles", std::iter::empty::<&str>());
        }
    }
}
