//! The state as a file, on the machine of a controller that is not running.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foghorn_types::Timestamp;
use futures_util::StreamExt;

use super::StartError;
use super::ground::{create_data_dir, engine};
use crate::backups::{AUTHORITY_FOLDER, give_to_owner_of};
use crate::config::Config;
use crate::state_file::{self, ExportError, FileError, Header, ImportError, ImportTerms, Imported};
use crate::store::Store;
use crate::store::open::{self, StoreConfig};
use crate::trust::{LoadTrustError, Trust};

/// Why a state was not exported or not imported.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("could not export the state")]
    Export(#[from] ExportError),
    #[error("could not import the state")]
    Import(#[from] ImportError),
    #[error("could not load the certificate authority")]
    Trust(#[from] LoadTrustError),
    #[error("could not write {path}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
}

impl StateFileError {
    /// What whoever starts the program can do about it.
    #[must_use]
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::Start(error) => error.todo(),
            Self::Import(ImportError::NotEmpty { .. } | ImportError::UnderWay) => Some(
                "give the configuration of another store, or --replace to lose what this one holds",
            ),
            Self::Import(ImportError::OtherAuthority { .. }) => Some(
                "copy the folder ca/ of a controller of that state into the data directory first",
            ),
            _ => None,
        }
    }
}

/// Writes the whole state into the new file `to`, which only its owner can read.
///
/// # Errors
/// See [`StateFileError`]; the file is removed then.
pub async fn export_state(
    config: &Config,
    to: &Path,
    passphrase: String,
    with_authority: bool,
) -> Result<Header, StateFileError> {
    let engine = engine(config);
    if let StoreConfig::Embedded { path } = &engine
        && !path.exists()
    {
        let path = config.data_dir.clone();
        return Err(StartError::NoInstallation { path }.into());
    }
    let store = open::open(&engine).await.map_err(StartError::from)?;
    let folder = config.data_dir.join(AUTHORITY_FOLDER);
    let authority = Trust::load_or_create(&folder)?.ca_fingerprint().to_owned();
    let folder = with_authority.then_some(folder.as_path());
    let now = Timestamp::now();
    let exported = state_file::export(&store, passphrase, authority, folder, now).await?;
    let failed = |source| StateFileError::Write {
        path: to.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed)?;
    let mut bytes = exported.bytes;
    let mut written = Ok(());
    while let Some(part) = bytes.next().await {
        written = part
            .map_err(StateFileError::from)
            .and_then(|part| file.write_all(&part).map_err(failed));
        if written.is_err() {
            break;
        }
    }
    let written = written.and_then(|()| file.sync_all().map_err(failed));
    if written.is_err() {
        let _ = fs::remove_file(to);
    }
    written.map(|()| exported.header)
}

/// Puts the state of the file `from` into the store of this configuration.
///
/// # Errors
/// See [`StateFileError`].
pub async fn import_state(
    config: &Config,
    from: &Path,
    passphrase: String,
    replace: bool,
) -> Result<Imported, StateFileError> {
    let file = File::open(from).map_err(|source| StateFileError::Read {
        path: from.to_owned(),
        source,
    })?;
    let checking = tokio::task::spawn_blocking(move || state_file::check(file, &passphrase));
    let checked = checking
        .await
        .map_err(|error| FileError::Read(io::Error::other(error)))
        .and_then(|checked| checked);
    let checked = checked.map_err(ImportError::from)?;
    create_data_dir(&config.data_dir)?;
    let engine = engine(config);
    let store: Arc<dyn Store> = open::open(&engine).await.map_err(StartError::from)?;
    let authority = config.data_dir.join(AUTHORITY_FOLDER);
    let terms = ImportTerms {
        replace,
        authority: &authority,
        now: Timestamp::now(),
    };
    let imported = state_file::import(&store, checked, terms).await?;
    drop(store);
    // What root makes must be readable for the service.
    let mut made = vec![authority];
    if let StoreConfig::Embedded { path } = engine {
        made.push(path);
    }
    for path in made.iter().filter(|path| path.exists()) {
        give_to_owner_of(&config.data_dir, path).map_err(|source| StateFileError::Write {
            path: path.clone(),
            source,
        })?;
    }
    Ok(imported)
}
