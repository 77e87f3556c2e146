//! What the host service does once: check in, or extract what was stored.

use std::path::PathBuf;

use foghorn_host_config::sota::{self, Sota};
use foghorn_host_config::{Document, SETTINGS_FILE};
use foghorn_types::{Timestamp, chain};
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::actions::Actions;
use super::extract::{ExtractError, Extracted, Extractor};
use super::gateway::{Answer, FetchError, Gateway, GatewayError};
use super::handlers::Handlers;
use super::lock::{Lock, LockError};
use super::renewal::renew_when_due;
use super::search::{self, SearchError};
use super::secrets::Secrets;
use super::storage::{Storage, StorageError};
use super::work::{Work, Worked};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("could not find out who this machine is and whom it asks")]
    Search(#[from] SearchError),
    #[error("could not prepare to ask the gateway")]
    Gateway(#[from] GatewayError),
    #[error("could not get the config")]
    Fetch(#[from] FetchError),
    #[error("could not extract the config")]
    Extract(#[from] ExtractError),
    #[error("could not use what lasts on this machine")]
    Storage(#[from] StorageError),
    #[error("it is not this one's turn")]
    Lock(#[from] LockError),
    #[error("could not find out what there is to do for the host")]
    Work(#[source] FetchError),
}

/// What a check-in or an extraction has found and done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckedIn {
    /// There is no config: neither a stored one nor one at the gateway.
    NoConfig,
    /// The gateway has the one that this machine has.
    Unchanged,
    /// A config was extracted.
    Extracted {
        /// Files written or removed, and handlers run; 0 when everything was right already.
        steps: usize,
        /// A handler asks for the service to be started again.
        wants_restart: bool,
    },
}

impl From<Extracted> for CheckedIn {
    fn from(done: Extracted) -> Self {
        Self::Extracted {
            steps: done.steps,
            wants_restart: done.wants_restart,
        }
    }
}

/// This machine, as its settings say. They are read anew for each: files of them come and go.
#[derive(Debug)]
pub struct Service {
    settings: Settings,
    sota: Sota,
    storage: Storage,
    secrets: Secrets,
    handlers: Handlers,
}

impl Service {
    /// # Errors
    /// When the settings of this device cannot be used, or its storage cannot be made.
    pub fn new(settings: Settings) -> Result<Self, HostError> {
        let sota = search::read(&settings.search)?;
        let storage = Storage::new(&sota.storage);
        storage.make()?;
        let handlers = Handlers {
            folder: settings.handlers.clone(),
            all: settings.unsafe_handlers,
            storage: sota.storage.clone(),
            search: search::listed(&settings.search),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("foghorn-host")),
            limit: settings.handler_limit,
        };
        let secrets = Secrets::new(&settings.secrets);
        Ok(Self {
            settings,
            sota,
            storage,
            secrets,
            handlers,
        })
    }

    /// Asks the gateway for the config and takes it over if it is another one. Blocking; `stop` ends the waiting for a
    /// gateway that does not answer.
    ///
    /// # Errors
    /// [`HostError`]; the next check-in begins again where this one ended.
    pub fn check_in(&self, stop: &CancellationToken) -> Result<CheckedIn, HostError> {
        // Before the identity is read: whoever enrols has this lock, and the config of who this machine was before must not be
        // stored over what it has forgotten.
        let _lock = Lock::take(self.storage.folder())?;
        let tags = self.tags();
        let gateway = Gateway::new(&self.sota, tags.clone())?;
        let stored = self.storage.document()?;
        let (previous, date) = match stored {
            Some((document, date)) => (Some(document), date),
            None => (None, None),
        };
        let answer = gateway.config(date, &self.settings.retry_pauses, stop)?;
        // Also when the config cannot be extracted: without a certificate a better one would never come.
        self.renew(&gateway);
        let actions = self.actions(Some(&gateway), stop);
        let done = match answer {
            Answer::Nothing => {
                // Nothing was ordered of whoever was here before: what comes later is meant for this one.
                if previous.is_none() {
                    self.storage.is_settled()?;
                }
                CheckedIn::NoConfig
            }
            Answer::Unchanged => {
                self.finish(previous.as_ref(), &actions)?;
                CheckedIn::Unchanged
            }
            Answer::Config { bytes, date } => {
                let new = Document::read(&bytes).map_err(ExtractError::Document)?;
                let done = self.extractor(&actions).extract(previous.as_ref(), &new)?;
                foghorn_faults::point!("host.document.before");
                self.storage.store_document(&bytes, date)?;
                foghorn_faults::point!("host.document.stored");
                self.storage.end_pending()?;
                self.storage.is_settled()?;
                self.tell_tags(&gateway, &tags, date);
                done.into()
            }
        };
        if let Err(error) = actions.announce() {
            tracing::warn!(error = %chain(&error), "could not note which remote actions the gateway knows");
        }
        Ok(done)
    }

    /// Extracts what was stored by the last check-in, without a network: for the boot, when the folder of extracted files is
    /// empty. Blocking; `stop` ends a handler that runs.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn extract(&self, stop: &CancellationToken) -> Result<CheckedIn, HostError> {
        let _lock = Lock::take(self.storage.folder())?;
        let Some((document, _)) = self.storage.document()? else {
            return Ok(CheckedIn::NoConfig);
        };
        let actions = self.actions(None, stop);
        let done = self
            .extractor(&actions)
            .extract(Some(&document), &document)?;
        self.storage.end_pending()?;
        Ok(done.into())
    }

    /// Does what the host of this machine is to do: its name, its log-ins, its inventory, its snapins, its power rules.
    /// Blocking; `stop` ends a snapin that runs.
    ///
    /// # Errors
    /// [`HostError`], when it is not known what there is to do; the next time begins again where this one ended.
    pub fn work(&self, stop: &CancellationToken) -> Result<Worked, HostError> {
        let Some(settings) = &self.settings.work else {
            return Ok(Worked::SwitchedOff);
        };
        let gateway = Gateway::new(&self.sota, self.tags())?;
        let Some(_lock) = Lock::take_work(self.storage.folder())? else {
            return Ok(Worked::ByAnother);
        };
        let work = Work {
            settings,
            storage: &self.storage,
            gateway: &gateway,
            stop,
        };
        work.carry_out().map_err(HostError::Work)
    }

    /// Which tags this machine follows: as its config says, else as its settings do.
    fn tags(&self) -> String {
        let config = self.settings.secrets.join(SETTINGS_FILE);
        let from_config = std::fs::read_to_string(config).ok();
        let from_config = from_config.and_then(|text| sota::tags(&text));
        let tags = from_config.or_else(|| self.sota.tags.clone());
        let tags = tags.unwrap_or_default().trim().to_owned();
        if tags.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return tags;
        }
        tracing::warn!(
            tags,
            "tags with other characters than those of ASCII are not told to the gateway"
        );
        String::new()
    }

    /// Tags that came with the config are told at once, and not at the next check-in.
    fn tell_tags(&self, gateway: &Gateway, before: &str, date: Option<Timestamp>) {
        let tags = self.tags();
        if tags == before {
            return;
        }
        if let Err(error) = gateway.following(tags).ask(date) {
            tracing::warn!(error = %chain(&error), "could not tell the gateway which tags this machine follows now");
        }
    }

    /// What fails here is tried again at the next check-in: a third of the certificate's life is left for it.
    fn renew(&self, gateway: &Gateway) {
        match renew_when_due(&self.sota, gateway, Timestamp::now()) {
            Ok(true) => tracing::info!("the certificate of this device was renewed"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), "could not renew the certificate of this device");
            }
        }
    }

    /// Ends an extraction of the stored document that did not come to its end, as when the machine lost its power at boot.
    fn finish(&self, stored: Option<&Document>, actions: &Actions<'_>) -> Result<(), HostError> {
        let Some(document) = stored.filter(|_| self.storage.is_pending()) else {
            return Ok(());
        };
        self.extractor(actions).extract(stored, document)?;
        self.storage.end_pending()?;
        Ok(())
    }

    fn actions<'a>(
        &'a self,
        gateway: Option<&'a Gateway>,
        stop: &'a CancellationToken,
    ) -> Actions<'a> {
        Actions {
            folder: &self.settings.actions,
            storage: &self.storage,
            handlers: &self.handlers,
            gateway,
            stop,
            is_newcomer: self.storage.is_newcomer(),
        }
    }

    fn extractor<'a>(&'a self, actions: &'a Actions<'a>) -> Extractor<'a> {
        Extractor {
            storage: &self.storage,
            secrets: &self.secrets,
            handlers: &self.handlers,
            actions,
            key: &self.sota.key,
            stop: actions.stop,
        }
    }
}
