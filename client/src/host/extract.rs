//! From a document to files: decrypted as a whole, then carried out step by step.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use foghorn_host_config::ecies::{BadKey, DeviceKey};
use foghorn_host_config::plan::{Before, Plan, Step, plan};
use foghorn_host_config::{
    BadDocument, Document, FileName, OpenError, OpenedFile, has_secrets, open,
};
use foghorn_types::chain;
use tokio_util::sync::CancellationToken;

use super::actions::Actions;
use super::handlers::{Ended, Handlers};
use super::secrets::{FolderError, Secrets};
use super::storage::{Storage, StorageError};

/// Why a config was not taken over. What was there is as it was unless a variant says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    #[error("the gateway sent a config that cannot be used")]
    Document(#[source] BadDocument),
    #[error("could not read the key of this device, {}", path.display())]
    ReadKey {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} cannot decrypt secrets", path.display())]
    Key { path: PathBuf, source: BadKey },
    #[error("the config was not extracted, because a secret of it cannot be read")]
    Open(#[source] OpenError),
    /// Steps before the one that failed are done. The next check-in begins again.
    #[error("the config was extracted in part")]
    Folder(#[from] FolderError),
    /// As with the folder.
    #[error("the config was not taken over to its end")]
    Storage(#[from] StorageError),
    /// As with the folder.
    #[error(
        "the config was not taken over to its end, as this service was told to stop while a handler ran, which runs again"
    )]
    Stopped,
}

/// What extracting has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Extracted {
    pub(super) steps: usize,
    /// A handler ended with 123.
    pub(super) wants_restart: bool,
}

/// What an extraction needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extractor<'a> {
    pub(super) storage: &'a Storage,
    pub(super) secrets: &'a Secrets,
    pub(super) handlers: &'a Handlers,
    pub(super) actions: &'a Actions<'a>,
    /// The private key of this device.
    pub(super) key: &'a Path,
    pub(super) stop: &'a CancellationToken,
}

impl Extractor<'_> {
    /// Makes the disk what the document says, coming from the one before. The caller stores the new document, and then ends
    /// what is pending.
    ///
    /// # Errors
    /// [`ExtractError`].
    pub(super) fn extract(
        &self,
        previous: Option<&Document>,
        new: &Document,
    ) -> Result<Extracted, ExtractError> {
        let opened = self.open(new)?;
        self.secrets.make()?;
        let pending = self.storage.pending()?;
        let plan = plan(&Before {
            previous,
            new: &opened,
            found: &self.secrets.look(&opened)?,
            pending: &pending,
        });
        if plan.is_empty() {
            return Ok(Extracted::default());
        }
        foghorn_faults::point!("host.extract.before");
        self.storage.store_pending(&plan.pending)?;
        foghorn_faults::point!("host.extract.begun");
        self.carry_out(&plan, &opened)
    }

    fn open(&self, document: &Document) -> Result<BTreeMap<FileName, OpenedFile>, ExtractError> {
        let key = if has_secrets(document) {
            Some(self.read_key()?)
        } else {
            None
        };
        open(document, key.as_ref()).map_err(ExtractError::Open)
    }

    fn read_key(&self) -> Result<DeviceKey, ExtractError> {
        let path = || self.key.to_owned();
        let text = fs::read_to_string(self.key).map_err(|source| ExtractError::ReadKey {
            path: path(),
            source,
        })?;
        DeviceKey::from_pem(&text).map_err(|source| ExtractError::Key {
            path: path(),
            source,
        })
    }

    fn carry_out(
        &self,
        plan: &Plan,
        new: &BTreeMap<FileName, OpenedFile>,
    ) -> Result<Extracted, ExtractError> {
        let mut wants_restart = false;
        for step in &plan.steps {
            match step {
                Step::Write(name) => {
                    let content = &new[name].content;
                    self.secrets.write(name, content)?;
                    tracing::info!(%name, bytes = content.len(), "wrote a config file");
                }
                Step::Remove(name) => {
                    self.secrets.remove(name)?;
                    tracing::info!(%name, "removed a config file");
                }
                Step::RemoveEmptyFolders(name) => self.secrets.remove_empty_folders(name),
                Step::Run { name, argv } => wants_restart |= self.run(name, argv)?,
            }
        }
        Ok(Extracted {
            steps: plan.steps.len(),
            wants_restart,
        })
    }

    /// `true` when the handler asks for a restart.
    fn run(&self, name: &FileName, argv: &[String]) -> Result<bool, ExtractError> {
        let file = self.secrets.path(name);
        foghorn_faults::point!("host.handler.before");
        let ended = match self.actions.ordered_by(argv) {
            Some(action) => {
                self.actions.run(action, &file);
                Ended::Well
            }
            None => self.handlers.run(argv, &file, self.stop),
        };
        foghorn_faults::point!("host.handler.ended");
        let program = argv.first().map_or("", String::as_str);
        match &ended {
            Ended::Well => tracing::info!(%name, program, "the handler has run"),
            Ended::WantsRestart => tracing::info!(%name, program, "the handler asks for a restart"),
            Ended::Badly(status) => tracing::error!(%name, program, %status, "the handler failed"),
            Ended::TimedOut => {
                let limit = self.handlers.limit;
                tracing::error!(%name, program, ?limit, "the handler was ended at its time limit, and failed");
            }
            Ended::NotKnown(error) => {
                tracing::error!(%name, program, error = %chain(error), "the handler failed");
            }
            Ended::Stopped => return Err(ExtractError::Stopped),
            Ended::NotAllowed => {
                let folder = self.handlers.folder.display();
                tracing::warn!(%name, program, %folder, "the handler was not run: only programs below that folder are");
            }
        }
        Ok(matches!(ended, Ended::WantsRestart))
    }
}
