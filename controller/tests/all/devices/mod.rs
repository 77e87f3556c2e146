//! Devices, their groups, configurations, targets and tokens, without any interface, on both engines.

mod configs;
mod identities;
mod rings;
mod tokens;

use std::sync::Arc;

use foghorn_controller::app;
use foghorn_controller::app::devices::contact::{self, Contact, Headers, Identity};
use foghorn_controller::app::devices::{factories, groups};
use foghorn_controller::state::machines::device::Device;
use foghorn_controller::state::machines::sightings::Sightings;
use foghorn_controller::state::{State, Tables};
use foghorn_controller::trust::Trust;
use foghorn_host_config::{ConfigCreate, FileName};
use foghorn_types::{MachineUuid, StorageGroupId};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Kind};

/// A controller's state without anything around it.
pub(crate) struct Room {
    pub(crate) state: Arc<State>,
    pub(crate) trust: Trust,
    pub(crate) seen: Sightings,
    _engine: Engine,
    cancel: CancellationToken,
    _folder: TempDir,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Room {
    async fn start(kind: Kind) -> Self {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let (state, _) = State::start(engine.store(), cancel.clone()).await.unwrap();
        app::first_run(&state).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self {
            state,
            trust: Trust::load_or_create(folder.path()).unwrap(),
            seen: Sightings::default(),
            _engine: engine,
            cancel,
            _folder: folder,
        }
    }

    /// A device speaks for the first time.
    async fn device(&self, number: u128) -> Arc<Device> {
        let contact = self.speaks(number, &Headers::default()).await;
        assert!(contact.is_new);
        contact.device
    }

    async fn speaks(&self, number: u128, headers: &Headers) -> Contact {
        let who = identity(&self.state, number);
        contact::contact(&self.state, &self.seen, &who, headers)
            .await
            .unwrap()
    }

    fn stored(&self, uuid: MachineUuid) -> Arc<Device> {
        self.state
            .read(|tables| tables.devices().get(&uuid).cloned())
            .unwrap()
    }

    async fn group(&self, name: &str) -> foghorn_types::DeviceGroupId {
        let made = groups::create(&self.state, factory(), name, "", 1).await;
        made.unwrap().id
    }
}

/// The storage group that every installation begins with.
pub(crate) fn factory() -> StorageGroupId {
    StorageGroupId::new(1).unwrap()
}

pub(crate) fn identity(state: &State, number: u128) -> Identity {
    Identity {
        uuid: MachineUuid::from_bits(number),
        factory: state.read(|tables: &Tables| factories::name_of(tables, factory())),
        public_key: format!("key of {number}"),
        fingerprint: "00".repeat(32),
        is_prod: false,
    }
}

/// One file; a secret where `unencrypted` is false.
pub(crate) fn file(name: &str, value: &str, unencrypted: bool) -> ConfigCreate {
    let body = serde_json::json!({
        "reason": "a test",
        "files": [{"name": name, "value": value, "unencrypted": unencrypted}],
    });
    ConfigCreate::read(body.to_string().as_bytes()).unwrap()
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}
