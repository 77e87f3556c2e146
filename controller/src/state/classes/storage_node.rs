//! Storage nodes: each is an agent that keeps images.

use foghorn_types::{StorageGroupId, StorageNodeId};

use super::{StorageGroup, Task};
use crate::state::Refusal;
use crate::state::class::Class;
use crate::state::class::{Body, Clash, Row, Unique, Write};
use crate::state::draft::Draft;
use crate::state::field::Field;
use crate::state::json::JsonObject;
use crate::state::scene::Scene;
use crate::state::value::Flag;

/// An agent that keeps images.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StorageNode {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub is_master: Flag,
    pub storagegroup: u32,
    pub is_enabled: Flag,
    pub is_graph_enabled: Flag,
    pub path: String,
    pub ftppath: String,
    pub bitrate: String,
    pub hello_interval: String,
    pub snapinpath: String,
    pub sslpath: String,
    pub ip: String,
    pub max_clients: i64,
    pub user: String,
    pub pass: String,
    pub key: String,
    pub interface: String,
    pub bandwidth: i64,
    pub webroot: String,
}

impl StorageNode {
    /// Index by storage group.
    pub const BY_GROUP: usize = 0;

    /// The typed id; `None` only for a node that was never stored.
    #[must_use]
    pub fn key(&self) -> Option<StorageNodeId> {
        StorageNodeId::new(self.id)
    }

    /// Its storage group, if it is in one.
    #[must_use]
    pub fn group(&self) -> Option<StorageGroupId> {
        StorageGroupId::new(self.storagegroup)
    }

    /// Whether tasks may be given to it.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.is_enabled.is_yes() && self.max_clients > 0
    }

    /// Hosts that deploy from it now, as a share of those it may serve.
    #[must_use]
    pub fn load(&self, tables: &crate::state::Tables) -> f64 {
        let deploys = tables.tasks().by(Task::BY_NODE, self.id.into()).filter(|task| task.is_deploy()).count();
        if self.max_clients > 0 { deploys as f64 / self.max_clients as f64 } else { 0.0 }
    }
}

impl Class for StorageNode {
    const NAME: &'static str = "storagenode";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c| c.id),
        Field::text("name", 250, |c| &c.name, |c| &mut c.name),
        Field::long_text("description", |c| &c.description, |c| &mut c.description),
        Field::flag("isMaster", |c| &c.is_master, |c| &mut c.is_master),
        Field::reference("storagegroupID", |c| c.storagegroup, |c, id| c.storagegroup = id),
        Field::flag("isEnabled", |c| &c.is_enabled, |c| &mut c.is_enabled),
        Field::flag("isGraphEnabled", |c| &c.is_graph_enabled, |c| &mut c.is_graph_enabled),
        Field::long_text("path", |c: &Self| &c.path, |c| &mut c.path).required(),
        Field::long_text("ftppath", |c: &Self| &c.ftppath, |c| &mut c.ftppath).required(),
        Field::text("bitrate", 25, |c| &c.bitrate, |c| &mut c.bitrate),
        Field::text("helloInterval", 8, |c| &c.hello_interval, |c| &mut c.hello_interval),
        Field::long_text("snapinpath", |c| &c.snapinpath, |c| &mut c.snapinpath),
        Field::long_text("sslpath", |c| &c.sslpath, |c| &mut c.sslpath),
        Field::text("ip", 250, |c: &Self| &c.ip, |c| &mut c.ip).required(),
        Field::number("maxClients", |c| &c.max_clients, |c| &mut c.max_clients),
        Field::text("user", 250, |c: &Self| &c.user, |c| &mut c.user).required(),
        Field::text("pass", 250, |c: &Self| &c.pass, |c| &mut c.pass).required().secret(),
        Field::text("key", 250, |c| &c.key, |c| &mut c.key),
        Field::text("interface", 25, |c| &c.interface, |c| &mut c.interface),
        Field::number("bandwidth", |c| &c.bandwidth, |c| &mut c.bandwidth),
        Field::long_text("webroot", |c| &c.webroot, |c| &mut c.webroot),
    ];
    const RELATIONS: &'static [&'static str] = &["storagegroup"];
    const NAMED: bool = true;
    const INDEXES: usize = 1;

    fn id(&self) -> u32 {
        self.id
    }

    fn set_id(&mut self, id: u32) {
        self.id = id;
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        // A node needs no name, but only one may be without.
        let clash = if self.name.is_empty() { Clash::Merge } else { Clash::Refuse };
        vec![Unique { clash, ..Unique::name(&self.name) }]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.storagegroup.into())
    }

    fn on_write(
        _draft: &mut Draft<'_>,
        object: &mut Self,
        _write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        for path in
            [&mut object.path, &mut object.ftppath, &mut object.snapinpath, &mut object.sslpath, &mut object.webroot]
        {
            path.truncate(path.trim_end_matches('/').len().max(usize::from(path.starts_with('/'))));
        }
        Ok(())
    }

    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let group = row.and_then(|row| scene.tables.of::<StorageGroup>().get(row.storagegroup)).map(AsRef::as_ref);
        out.full("storagegroup", group, scene);
        out.number("clientload", row.map_or(0.0, |row| row.load(scene.tables)));
        out.boolean("online", row.and_then(|row| row.key()).is_some_and(|node| scene.glance.node(node).online));
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
        for name in ["snapinfiles", "logfiles"] {
            if item == name || item == "all" {
                out.texts(name, std::iter::empty::<&str>());
            }
        }
    }
}
