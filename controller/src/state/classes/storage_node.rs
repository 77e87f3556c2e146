//! Storage nodes: each is an agent that keeps images.

use foghorn_types::{StorageGroupId, StorageNodeId};

use crate::state::class::{Clash, Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::Field;
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
}

impl Class for StorageNode {
    const NAME: &'static str = "storagenode";
    const ABOUT: &'static str = "An agent that keeps images.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the node."),
        Field::text("name", 250, |c: &Self| &c.name, |c| &mut c.name)
            .about("Name, unique without case; its agent joins under it."),
        Field::long_text(
            "description",
            |c: &Self| &c.description,
            |c| &mut c.description,
        )
        .about("Free text."),
        Field::flag("isMaster", |c: &Self| &c.is_master, |c| &mut c.is_master)
            .about("Whether captures go to it."),
        Field::reference(
            "storagegroupID",
            |c: &Self| c.storagegroup,
            |c, id| c.storagegroup = id,
        )
        .about("Its storage group."),
        Field::flag("isEnabled", |c: &Self| &c.is_enabled, |c| &mut c.is_enabled)
            .about("Whether tasks may be given to it."),
        Field::flag(
            "isGraphEnabled",
            |c: &Self| &c.is_graph_enabled,
            |c| &mut c.is_graph_enabled,
        )
        .about("Whether pages draw its bandwidth."),
        Field::long_text("path", |c: &Self| &c.path, |c| &mut c.path)
            .required()
            .about("Folder of its images."),
        Field::long_text("ftppath", |c: &Self| &c.ftppath, |c| &mut c.ftppath)
            .required()
            .about("The same folder as FTP shows it; kept for old scripts."),
        Field::text("bitrate", 25, |c: &Self| &c.bitrate, |c| &mut c.bitrate)
            .about("Bit rate for multicast, with its unit."),
        Field::text(
            "helloInterval",
            8,
            |c: &Self| &c.hello_interval,
            |c| &mut c.hello_interval,
        )
        .about("Interval of multicast greetings; kept for old scripts."),
        Field::long_text(
            "snapinpath",
            |c: &Self| &c.snapinpath,
            |c| &mut c.snapinpath,
        )
        .about("Folder of its snapin files."),
        Field::long_text("sslpath", |c: &Self| &c.sslpath, |c| &mut c.sslpath)
            .about("Folder of its keys; kept for old scripts."),
        Field::text("ip", 250, |c: &Self| &c.ip, |c| &mut c.ip)
            .required()
            .about("Its address or host name."),
        Field::number(
            "maxClients",
            |c: &Self| &c.max_clients,
            |c| &mut c.max_clients,
        )
        .about("Hosts that it may serve at a time."),
        Field::text("user", 250, |c: &Self| &c.user, |c| &mut c.user)
            .required()
            .about("Account on the node; kept for old scripts."),
        Field::text("pass", 250, |c: &Self| &c.pass, |c| &mut c.pass)
            .required()
            .secret()
            .about("Password of that account."),
        Field::text("key", 250, |c: &Self| &c.key, |c| &mut c.key)
            .about("Key of that account; kept for old scripts."),
        Field::text(
            "interface",
            25,
            |c: &Self| &c.interface,
            |c| &mut c.interface,
        )
        .about("Its network interface."),
        Field::number("bandwidth", |c: &Self| &c.bandwidth, |c| &mut c.bandwidth)
            .about("Limit for replication in kbit/s; 0 is none."),
        Field::long_text("webroot", |c: &Self| &c.webroot, |c| &mut c.webroot)
            .about("Folder of its web pages; kept for old scripts."),
    ];
    const COMPUTED: &'static [Computed] = &[
        Computed {
            name: "storagegroup",
            shape: Shape::Full("storagegroup"),
            about: "Its storage group.",
        },
        Computed {
            name: "clientload",
            shape: Shape::Number,
            about: "Hosts that deploy from it now, as a share of those it may serve.",
        },
        Computed {
            name: "online",
            shape: Shape::Boolean,
            about: "Whether its agent is connected.",
        },
    ];
    const ITEMS: &'static [Computed] = &[
        Computed {
            name: "images",
            shape: Shape::Texts,
            about: "Paths of the images that it holds.",
        },
        Computed {
            name: "snapinfiles",
            shape: Shape::Texts,
            about: "Names of the snapin files that it holds.",
        },
        Computed {
            name: "logfiles",
            shape: Shape::Texts,
            about: "Names of its log files.",
        },
    ];
    const RELATIONS: &'static [&'static str] = &["storagegroup"];
    const NAMED: bool = true;
    const INDEXES: usize = 1;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        // A node needs no name, but only one may be without.
        let clash = if self.name.is_empty() {
            Clash::Merge
        } else {
            Clash::Refuse
        };
        vec![Unique {
            clash,
            ..Unique::name(&self.name)
        }]
    }

    fn index_key(&self, _number: usize) -> Option<u64> {
        Some(self.storagegroup.into())
    }
}
