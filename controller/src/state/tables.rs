//! The whole state in memory: one [`Table`] per class, and what the modules beside it keep. Built
//! by the watch cache.

mod machines;

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::authority::Authority;
use super::class::Class;
use super::classes::{CLASSES, Host, Image, Service, StorageNode, Task};
use super::clock::Clock;
use super::content::ImageContent;
use super::controller_record::ControllerRecord;
use super::dynamic::DynamicRows;
use super::enrolment::{EnrolledNode, OneTimeToken};
use super::first_run::FirstCredentials;
use super::given::Given;
use super::imports::{self, Imports};
use super::join_token::ManyToken;
use super::key::{self, Place};
use super::keyed::Keyed;
use super::machines::config::StoredConfig;
use super::machines::denied::DeniedDevice;
use super::machines::device::Device;
use super::machines::group::DeviceGroup;
use super::machines::host_token::HostToken;
use super::machines::identity::IdentityChoice;
use super::machines::policy::RingPolicy;
use super::machines::queue::{EventQueue, QueueMessage};
use super::machines::tags::TargetTags;
use super::machines::tests::DeviceTests;
use super::machines::token::FactoryToken;
use super::machines::updates::DeviceUpdates;
use super::machines::users::DeviceUsers;
use super::multicast::{SessionPlan, Turn};
use super::node_hold::NodeHold;
use super::notify::{Alarm, Message, NodeSeen, Order, Pace, Pending, Target};
use super::removal::Removal;
use super::replica::{ReplicaJob, ReplicaLimit};
use super::run::Run;
use super::schedule::Mark;
use super::settings::ApiSettings;
use super::shelf::Shelf;
use super::site::Site;
use super::snapin_file::SnapinFile;
use super::table::{AnyTable, Table};
use super::wake::Wake;
use crate::store::cache::View;
use crate::store::{Change, Revision};

/// Where the table of each class is; asked several times for every row of a list, so it is not
/// looked up by name.
static PLACES: LazyLock<Vec<(TypeId, usize)>> = LazyLock::new(|| {
    let mut places: Vec<_> = CLASSES
        .iter()
        .enumerate()
        .map(|(place, class)| (class.kind(), place))
        .collect();
    places.sort_unstable();
    places
});

/// See the module.
pub struct Tables {
    /// In the order of [`CLASSES`].
    tables: Vec<Box<dyn AnyTable>>,
    /// Rows of every other class: those of plugins.
    dynamic: DynamicRows,
    sequences: HashMap<String, Sequence>,
    /// When the last object of each announced class was made.
    announced: HashMap<String, Revision>,
    runs: Shelf<Run>,
    contents: Shelf<ImageContent>,
    snapin_files: Shelf<SnapinFile>,
    removals: Shelf<Removal>,
    replica_jobs: Shelf<ReplicaJob>,
    replica_limits: Shelf<ReplicaLimit>,
    tokens: Shelf<OneTimeToken>,
    join_tokens: Shelf<ManyToken>,
    keyed: Shelf<Keyed>,
    enrolled_nodes: Shelf<EnrolledNode>,
    node_holds: Shelf<NodeHold>,
    sites: Shelf<Site>,
    marks: Shelf<Mark>,
    wakes: Shelf<Wake>,
    controllers: Shelf<ControllerRecord>,
    notify_targets: Shelf<Target>,
    notify_pending: Shelf<Pending>,
    notify_messages: Shelf<Message>,
    notify_paces: Shelf<Pace>,
    notify_alarms: Shelf<Alarm>,
    notify_nodes: Shelf<NodeSeen>,
    notify_orders: Shelf<Order>,
    devices: Shelf<Device>,
    denied_devices: Shelf<DeniedDevice>,
    device_groups: Shelf<DeviceGroup>,
    device_configs: Shelf<StoredConfig>,
    device_updates: Shelf<DeviceUpdates>,
    device_tests: Shelf<DeviceTests>,
    device_users: Shelf<DeviceUsers>,
    target_tags: Shelf<TargetTags>,
    ring_policies: Shelf<RingPolicy>,
    factory_tokens: Shelf<FactoryToken>,
    host_tokens: Shelf<HostToken>,
    identity_choices: Shelf<IdentityChoice>,
    event_queues: Shelf<EventQueue>,
    event_messages: Shelf<QueueMessage>,
    session_plans: Shelf<SessionPlan>,
    multicast_turn: Turn,
    api: Shelf<ApiSettings>,
    clock: Shelf<Clock>,
    authority: Shelf<Authority>,
    first_credentials: Shelf<FirstCredentials>,
    given: Shelf<Given>,
    imports: Imports,
}

/// The last id of a class that some controller may give out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sequence {
    pub(crate) last: u32,
    pub(crate) modified: Revision,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            tables: CLASSES.iter().map(|class| class.new_table()).collect(),
            dynamic: DynamicRows::default(),
            sequences: HashMap::new(),
            announced: HashMap::new(),
            runs: Shelf::default(),
            contents: Shelf::default(),
            snapin_files: Shelf::default(),
            removals: Shelf::default(),
            replica_jobs: Shelf::default(),
            replica_limits: Shelf::default(),
            tokens: Shelf::default(),
            join_tokens: Shelf::default(),
            keyed: Shelf::default(),
            enrolled_nodes: Shelf::default(),
            node_holds: Shelf::default(),
            sites: Shelf::default(),
            marks: Shelf::default(),
            wakes: Shelf::default(),
            controllers: Shelf::default(),
            notify_targets: Shelf::default(),
            notify_pending: Shelf::default(),
            notify_messages: Shelf::default(),
            notify_paces: Shelf::default(),
            notify_alarms: Shelf::default(),
            notify_nodes: Shelf::default(),
            notify_orders: Shelf::default(),
            devices: Shelf::default(),
            denied_devices: Shelf::default(),
            device_groups: Shelf::default(),
            device_configs: Shelf::default(),
            device_updates: Shelf::default(),
            device_tests: Shelf::default(),
            device_users: Shelf::default(),
            target_tags: Shelf::default(),
            ring_policies: Shelf::default(),
            factory_tokens: Shelf::default(),
            host_tokens: Shelf::default(),
            identity_choices: Shelf::default(),
            event_queues: Shelf::default(),
            event_messages: Shelf::default(),
            session_plans: Shelf::default(),
            multicast_turn: Turn::default(),
            api: Shelf::default(),
            clock: Shelf::default(),
            authority: Shelf::default(),
            first_credentials: Shelf::default(),
            given: Shelf::default(),
            imports: Imports::default(),
        }
    }
}

impl Tables {
    /// The table of a class.
    ///
    /// # Panics
    /// When the class is not in `CLASSES`, which a test excludes.
    #[must_use]
    pub fn of<C: Class>(&self) -> &Table<C> {
        let found = PLACES.binary_search_by_key(&TypeId::of::<C>(), |(class, _)| *class);
        let place = PLACES[found.expect("every class is in CLASSES")].1;
        self.tables[place]
            .as_any()
            .downcast_ref()
            .expect("the place of a class holds its table")
    }

    #[must_use]
    pub fn hosts(&self) -> &Table<Host> {
        self.of()
    }

    #[must_use]
    pub fn images(&self) -> &Table<Image> {
        self.of()
    }

    #[must_use]
    pub fn tasks(&self) -> &Table<Task> {
        self.of()
    }

    #[must_use]
    pub fn storage_nodes(&self) -> &Table<StorageNode> {
        self.of()
    }

    /// Rows of plugins' classes.
    #[must_use]
    pub fn dynamic(&self) -> &DynamicRows {
        &self.dynamic
    }

    /// Whether there is such an object, of whatever class.
    #[must_use]
    pub fn has_object(&self, class: &str, id: u32) -> bool {
        match CLASSES.iter().position(|known| known.name() == class) {
            Some(place) => self.tables[place].contains(id),
            None => self.dynamic.get(class, id).is_some(),
        }
    }

    /// The name of an object of whatever class, empty when it has none.
    #[must_use]
    pub fn name_of(&self, class: &str, id: u32) -> &str {
        match CLASSES.iter().position(|known| known.name() == class) {
            Some(place) => self.tables[place].name_of(id),
            None => self
                .dynamic
                .get(class, id)
                .and_then(|row| row.get("name"))
                .unwrap_or_default(),
        }
    }

    /// Value of the setting with this name; `None` when there is none or it is blank.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let value = self.of::<Service>().named(name)?.value.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Runs of imaging tasks.
    #[must_use]
    pub fn runs(&self) -> &Shelf<Run> {
        &self.runs
    }

    /// The certificate authority of the installation, once a controller has started.
    #[must_use]
    pub fn authority(&self) -> Option<&Arc<Authority>> {
        self.authority.get(&())
    }

    /// The first credentials, until somebody has used them.
    #[must_use]
    pub fn first_credentials(&self) -> Option<&Arc<FirstCredentials>> {
        self.first_credentials.get(&())
    }

    /// Which credentials were given, once some were.
    #[must_use]
    pub fn given(&self) -> Option<&Arc<Given>> {
        self.given.get(&())
    }

    /// Whether a state is being imported, and when that was done last.
    #[must_use]
    pub fn imports(&self) -> Imports {
        self.imports
    }

    /// The latest time that a controller took for right.
    #[must_use]
    pub fn time_seen(&self) -> Option<&Arc<Clock>> {
        self.clock.get(&())
    }

    /// What nodes are to delete, by order.
    #[must_use]
    pub fn removals(&self) -> &Shelf<Removal> {
        &self.removals
    }

    /// Copies of images that are being made.
    #[must_use]
    pub fn replica_jobs(&self) -> &Shelf<ReplicaJob> {
        &self.replica_jobs
    }

    /// How fast nodes may copy.
    #[must_use]
    pub fn replica_limits(&self) -> &Shelf<ReplicaLimit> {
        &self.replica_limits
    }

    /// Contents of images.
    #[must_use]
    pub fn contents(&self) -> &Shelf<ImageContent> {
        &self.contents
    }

    /// Requests with idempotency keys.
    #[must_use]
    pub fn keyed(&self) -> &Shelf<Keyed> {
        &self.keyed
    }

    /// Files of snapins.
    #[must_use]
    pub fn snapin_files(&self) -> &Shelf<SnapinFile> {
        &self.snapin_files
    }

    /// One-time tokens.
    #[must_use]
    pub fn tokens(&self) -> &Shelf<OneTimeToken> {
        &self.tokens
    }

    /// Join tokens for many nodes.
    #[must_use]
    pub fn join_tokens(&self) -> &Shelf<ManyToken> {
        &self.join_tokens
    }

    /// What keeps storage nodes from taking tasks.
    #[must_use]
    pub fn node_holds(&self) -> &Shelf<NodeHold> {
        &self.node_holds
    }

    /// Storage groups as sites.
    #[must_use]
    pub fn sites(&self) -> &Shelf<Site> {
        &self.sites
    }

    /// Storage nodes whose agents have enrolled.
    #[must_use]
    pub fn enrolled_nodes(&self) -> &Shelf<EnrolledNode> {
        &self.enrolled_nodes
    }

    /// Up to when schedules have been dealt with.
    #[must_use]
    pub fn marks(&self) -> &Shelf<Mark> {
        &self.marks
    }

    /// Wake-ups that wait to be sent.
    #[must_use]
    pub fn wakes(&self) -> &Shelf<Wake> {
        &self.wakes
    }

    /// The controllers that share the store.
    #[must_use]
    pub fn controllers(&self) -> &Shelf<ControllerRecord> {
        &self.controllers
    }

    /// Who is told of what.
    #[must_use]
    pub fn notify_targets(&self) -> &Shelf<Target> {
        &self.notify_targets
    }

    /// What is to be told and is in no message yet.
    #[must_use]
    pub fn notify_pending(&self) -> &Shelf<Pending> {
        &self.notify_pending
    }

    /// Messages, also those that were delivered lately.
    #[must_use]
    pub fn notify_messages(&self) -> &Shelf<Message> {
        &self.notify_messages
    }

    /// How often each target was told lately.
    #[must_use]
    pub fn notify_paces(&self) -> &Shelf<Pace> {
        &self.notify_paces
    }

    /// States that were told and last.
    #[must_use]
    pub fn notify_alarms(&self) -> &Shelf<Alarm> {
        &self.notify_alarms
    }

    /// Storage nodes, as people were told of them.
    #[must_use]
    pub fn notify_nodes(&self) -> &Shelf<NodeSeen> {
        &self.notify_nodes
    }

    /// Orders whose end is to be told.
    #[must_use]
    pub fn notify_orders(&self) -> &Shelf<Order> {
        &self.notify_orders
    }

    /// Plans of multicast sessions, with the groups that they have.
    #[must_use]
    pub fn session_plans(&self) -> &Shelf<SessionPlan> {
        &self.session_plans
    }

    /// Whose turn it is to lease a multicast group.
    #[must_use]
    pub fn multicast_turn(&self) -> Turn {
        self.multicast_turn
    }

    /// Settings of the API, once a first run has made them.
    #[must_use]
    pub fn api(&self) -> Option<&ApiSettings> {
        self.api.get(&()).map(AsRef::as_ref)
    }

    pub(crate) fn sequence(&self, class: &str) -> Option<Sequence> {
        self.sequences.get(class).copied()
    }

    /// Whether there is such an object of one of our own classes.
    pub(crate) fn contains(&self, class: &str, id: u32) -> bool {
        let place = CLASSES.iter().position(|known| known.name() == class);
        place.is_some_and(|place| self.tables[place].contains(id))
    }

    /// When the last object of an announced class was made.
    pub(crate) fn announced(&self, class: &str) -> Option<Revision> {
        self.announced.get(class).copied()
    }

    fn apply_object(&mut self, class: &str, id: u32, change: &Change) -> Result<(), String> {
        let Some(place) = CLASSES.iter().position(|known| known.name() == class) else {
            return self.dynamic.apply(class, id, change);
        };
        match change {
            Change::Put(entry) => self.tables[place].put(id, entry),
            Change::Delete { .. } => {
                self.tables[place].delete(id);
                Ok(())
            }
        }
    }

    fn apply_sequence(&mut self, class: &str, change: &Change) -> Result<(), String> {
        match change {
            Change::Put(entry) => {
                let text = std::str::from_utf8(&entry.value).map_err(|error| error.to_string())?;
                let last = text
                    .parse()
                    .map_err(|_| format!("the last id of {class} is {text:?}"))?;
                self.sequences.insert(
                    class.to_owned(),
                    Sequence {
                        last,
                        modified: entry.modified,
                    },
                );
            }
            Change::Delete { .. } => {
                self.sequences.remove(class);
            }
        }
        Ok(())
    }

    fn apply_announcement(&mut self, class: &str, change: &Change) {
        match change {
            Change::Put(entry) => self.announced.insert(class.to_owned(), entry.modified),
            Change::Delete { .. } => self.announced.remove(class),
        };
    }
}

impl View for Tables {
    fn apply(&mut self, change: &Change) -> Result<(), String> {
        let key = change.key();
        match key::parse(key)? {
            Place::Object { class, id } => self.apply_object(class, id, change),
            Place::Sequence { class } => self.apply_sequence(class, change),
            Place::Announcement { class } => {
                self.apply_announcement(class, change);
                Ok(())
            }
            Place::Setting {
                name: ApiSettings::NAME,
            } => self.api.apply(change),
            Place::Setting { name: Clock::NAME } => self.clock.apply(change),
            Place::Setting {
                name: Authority::NAME,
            } => self.authority.apply(change),
            Place::Setting {
                name: FirstCredentials::NAME,
            } => self.first_credentials.apply(change),
            Place::Setting { name: Given::NAME } => self.given.apply(change),
            Place::Setting {
                name: imports::MARKER_NAME,
            } => {
                self.imports.apply_marker(change);
                Ok(())
            }
            Place::Setting {
                name: imports::IMPORTED_NAME,
            } => {
                self.imports.apply_end(change);
                Ok(())
            }
            Place::Setting { .. } => Ok(()),
            // Guards exist for compares; the tables know the same from the rows themselves.
            Place::Unique => Ok(()),
            Place::Other("run") => self.runs.apply(change),
            Place::Other("content") => self.contents.apply(change),
            Place::Other("snapinfile") => self.snapin_files.apply(change),
            Place::Other("removal") => self.removals.apply(change),
            Place::Other("token") => self.tokens.apply(change),
            Place::Other("join-many") => self.join_tokens.apply(change),
            Place::Other("idem") => self.keyed.apply(change),
            Place::Other("node") => self.enrolled_nodes.apply(change),
            Place::Other("node-hold") => self.node_holds.apply(change),
            Place::Other("site") => self.sites.apply(change),
            Place::Other("schedule") => self.marks.apply(change),
            Place::Other("wake") => self.wakes.apply(change),
            Place::Other("controller") => self.controllers.apply(change),
            Place::Other("notify-target") => self.notify_targets.apply(change),
            Place::Other("notify-pending") => self.notify_pending.apply(change),
            Place::Other("replica-job") => self.replica_jobs.apply(change),
            Place::Other("replica-limit") => self.replica_limits.apply(change),
            Place::Other("notify-message") => self.notify_messages.apply(change),
            Place::Other("notify-pace") => self.notify_paces.apply(change),
            Place::Other("notify-alarm") => self.notify_alarms.apply(change),
            Place::Other("notify-node") => self.notify_nodes.apply(change),
            Place::Other("notify-order") => self.notify_orders.apply(change),
            Place::Other("device") => self.devices.apply(change),
            Place::Other("device-denied") => self.denied_devices.apply(change),
            Place::Other("device-group") => self.device_groups.apply(change),
            Place::Other("device-config") => self.device_configs.apply(change),
            Place::Other("device-updates") => self.device_updates.apply(change),
            Place::Other("device-tests") => self.device_tests.apply(change),
            Place::Other("device-users") => self.device_users.apply(change),
            Place::Other("target-tags") => self.target_tags.apply(change),
            Place::Other("ring-policy") => self.ring_policies.apply(change),
            Place::Other("factory-token") => self.factory_tokens.apply(change),
            Place::Other("host-token") => self.host_tokens.apply(change),
            Place::Other("identity") => self.identity_choices.apply(change),
            Place::Other("event-queue") => self.event_queues.apply(change),
            Place::Other("event-message") => self.event_messages.apply(change),
            Place::Other("multicast") if Turn::is_at(key) => {
                self.multicast_turn.apply(change);
                Ok(())
            }
            Place::Other("multicast") => self.session_plans.apply(change),
            Place::Other(_) => Ok(()),
        }
    }
}
