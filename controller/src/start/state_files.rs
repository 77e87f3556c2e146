//! The state as a file, on the machine of a controller that is not running.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foghorn_types::Timestamp;
use futures_util::StreamExt;

use super::StartError;
use super::ground::{create_data_dir, engine};
use crate::backups::give_to_owner_of;
use crate::config::Config;
use crate::state::kept_authority::{KeptError, present};
use crate::state_file::{
    self, ExportError, Exported, FileError, FolderError, Header, ImportError, ImportTerms, Imported,
};
use crate::store::Store;
use crate::store::open::{self, StoreConfig};
use crate::trust::Keeping;

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
    Trust(#[from] KeptError),
    #[error("there is no certificate authority in {folder} or in the store", folder = folder.display())]
    NoAuthority { folder: PathBuf },
    #[error(transparent)]
    Folder(#[from] FolderError),
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
            Self::NoAuthority { .. } => Some(
                "give the configuration of a controller of this state: of its data directory, `trust.authority_dir` or `trust.store_key_file`",
            ),
            Self::Import(ImportError::GivenAuthority { .. }) => {
                Some("put the certificate authority of that state into the folder first")
            }
            Self::Folder(FolderError::NotWhole { .. }) => {
                Some("check the disk of this folder, and export again")
            }
            Self::Import(ImportError::OtherAuthority { .. }) => Some(
                "copy the folder ca/ of a controller of that state into the data directory first",
            ),
            _ => None,
        }
    }
}

async fn keeping(config: &Config) -> Result<Keeping, StartError> {
    Ok(config.authority.keeping(&config.data_dir).await?)
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
    let (exported, store) = begin(config, passphrase, with_authority).await?;
    let written = write(exported, to).await;
    drop(store);
    written
}

/// A file that was written into a folder of such, and what was removed for it.
#[derive(Debug)]
pub struct Kept {
    pub header: Header,
    pub path: PathBuf,
    pub removed: Vec<PathBuf>,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (revision, path) = (self.header.revision, self.path.display());
        write!(
            f,
            "exported revision {revision} to {path} and read it again"
        )?;
        for removed in &self.removed {
            write!(f, "\nremoved {}", removed.display())?;
        }
        Ok(())
    }
}

/// Writes the whole state into a new file in `folder`, which is named after the time. When it is complete
/// and was read again, the oldest of these files of this installation are removed, so that `keep` are
/// left.
///
/// # Errors
/// See [`StateFileError`]; unless the new file is whole, nothing that was there before is removed.
pub async fn export_state_kept(
    config: &Config,
    folder: &Path,
    keep: NonZeroU32,
    passphrase: String,
    with_authority: bool,
) -> Result<Kept, StateFileError> {
    let (exported, store) = begin(config, passphrase.clone(), with_authority).await?;
    let unfinished = state_file::unfinished(folder)?;
    let header = write(exported, &unfinished).await?;
    drop(store);
    let keep = usize::try_from(keep.get()).unwrap_or(usize::MAX);
    let folder = folder.to_owned();
    let keeping = tokio::task::spawn_blocking(move || keep_in(&folder, header, &passphrase, keep));
    let kept = keeping.await.expect("keeping an export does not panic");
    Ok(kept?)
}

fn keep_in(
    folder: &Path,
    header: Header,
    passphrase: &str,
    keep: usize,
) -> Result<Kept, FolderError> {
    let path = state_file::take(folder, &header, passphrase)?;
    let removed = state_file::forget_old(&path, &header.authority, keep)?;
    Ok(Kept {
        header,
        path,
        removed,
    })
}

/// Begins to read the state of this configuration, from the store that comes with it.
async fn begin(
    config: &Config,
    passphrase: String,
    with_authority: bool,
) -> Result<(Exported, Arc<dyn Store>), StateFileError> {
    let engine = engine(config);
    if let StoreConfig::Embedded { path } = &engine
        && !path.exists()
    {
        let path = config.data_dir.clone();
        return Err(StartError::NoInstallation { path }.into());
    }
    let store: Arc<dyn Store> = open::open_patiently(&engine)
        .await
        .map_err(StartError::from)?;
    let keeping = keeping(config).await?;
    let authority = present(&*store, &keeping).await?;
    let authority = authority.ok_or_else(|| StateFileError::NoAuthority {
        folder: keeping.folder().to_owned(),
    })?;
    let authority = (&authority, with_authority);
    let exported = state_file::export(&store, passphrase, authority, Timestamp::now()).await?;
    Ok((exported, store))
}

/// Writes it into the new file `to`, which is removed when that fails.
async fn write(exported: Exported, to: &Path) -> Result<Header, StateFileError> {
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
    let store: Arc<dyn Store> = open::open_patiently(&engine)
        .await
        .map_err(StartError::from)?;
    let keeping = keeping(config).await?;
    let terms = ImportTerms {
        replace,
        authority: &keeping,
        now: Timestamp::now(),
    };
    let imported = state_file::import(&store, checked, terms).await?;
    drop(store);
    // What root makes must be readable for the service.
    let mut made = vec![];
    if let Keeping::Own(folder) = keeping {
        made.push(folder);
    }
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
