//! Storage nodes: each is an agent that keeps images.

use foghorn_types::{StorageGroupId, StorageNodeId};

use crate::state::class::{Clash, Class, Computed, Shape, Unique, id_in_field};
use crate::state::field::{Field, field};
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
        field!(text, "name", 250, name)
            .about("Name, unique without case; its agent joins under it."),
        field!(long_text, "description", description).about("Free text."),
        field!(flag, "isMaster", is_master).about("Whether captures go to it."),
        field!(reference, "storagegroupID", storagegroup).about("Its storage group."),
        field!(flag, "isEnabled", is_enabled).about("Whether tasks may be given to it."),
        field!(flag, "isGraphEnabled", is_graph_enabled).about("Whether pages draw its bandwidth."),
        field!(long_text, "path", path)
            .required()
            .about("Folder of its images."),
        field!(long_text, "ftppath", ftppath)
            .required()
            .about("The same folder as FTP shows it; kept for old scripts."),
        field!(text, "bitrate", 25, bitrate).about("Bit rate for multicast, with its unit."),
        field!(text, "helloInterval", 8, hello_interval)
            .about("Interval of multicast greetings; kept for old scripts."),
        field!(long_text, "snapinpath", snapinpath).about("Folder of its snapin files."),
        field!(long_text, "sslpath", sslpath).about("Folder of its keys; kept for old scripts."),
        field!(text, "ip", 250, ip)
            .required()
            .about("Its address or host name."),
        field!(number, "maxClients", max_clients).about("Hosts that it may serve at a time."),
        field!(text, "user", 250, user)
            .required()
            .about("Account on the node; kept for old scripts."),
        field!(text, "pass", 250, pass)
            .required()
            .secret()
            .about("Password of that account."),
        field!(text, "key", 250, key).about("Key of that account; kept for old scripts."),
        field!(text, "interface", 25, interface).about("Its network interface."),
        field!(number, "bandwidth", bandwidth).about("Limit for replication in kbit/s; 0 is none."),
        field!(long_text, "webroot", webroot)
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
