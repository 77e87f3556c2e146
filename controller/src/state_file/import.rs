//! Puts the content of a file into a store.
//!
//! A store is written in many transactions, so a crash can leave half of it. What is written first is
//! a marker, what is written last is its removal, and every transaction between them compares it:
//! a store with a marker is no state, no controller works on it, and of two imports one goes on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::Timestamp;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::content::{Content, Digest, End};
use super::reader::Checked;
use super::{EVERYTHING, FileError, Header, stays};
use crate::state::audit;
use crate::state::imports::{IMPORTED, MARKER};
use crate::state::kept_authority::{KeptAuthority, KeptError, present};
use crate::store::{Compare, Entry, Op, Revision, Store, StoreError, Txn, TxnOutcome};
use crate::trust::{AuthorityPem, Keeping, PemError, SealError, Trust};

/// Operations and bytes of one transaction, well below what a store takes.
const OPS: usize = 100;
const BYTES: usize = 512 << 10;
/// What nobody has on a store on which nothing has been done yet: where to look, and what it is
/// called.
const SIGNS_OF_USE: [(&str, &str); 10] = [
    (audit::PREFIX, "changes that somebody made"),
    ("/foghorn/v1/obj/host/", "hosts"),
    ("/foghorn/v1/obj/group/", "groups"),
    ("/foghorn/v1/obj/image/", "images"),
    ("/foghorn/v1/obj/snapin/", "snapins"),
    ("/foghorn/v1/obj/task/", "tasks"),
    ("/foghorn/v1/content/", "contents of images"),
    ("/foghorn/v1/node/", "storage nodes that have joined"),
    ("/foghorn/v1/device/", "devices that have spoken"),
    ("/foghorn/v1/notify-target/", "targets of notifications"),
];

/// How to import.
#[derive(Clone, Copy, Debug)]
pub struct ImportTerms<'a> {
    /// Whether what the store holds may be replaced.
    pub replace: bool,
    /// Where the certificate authority of this controller is.
    pub authority: &'a Keeping,
    pub now: Timestamp,
}

/// What was imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    pub header: Header,
    pub entries: u64,
    /// The last revision of the store now.
    pub revision: Revision,
    /// Whether the certificate authority of this controller is another now.
    pub new_authority: bool,
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { revision, made, .. } = &self.header;
        let entries = self.entries;
        write!(
            f,
            "imported {entries} entries (revision {revision}, of {made})"
        )?;
        if self.new_authority {
            write!(f, "; the certificate authority is that of the file")?;
        }
        Ok(())
    }
}

/// Why nothing was imported, or not all: then the store says so to every controller.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("the file cannot be used; nothing was changed")]
    File(#[from] FileError),
    #[error("the store is not empty: there are {what}; nothing was changed")]
    NotEmpty { what: &'static str },
    #[error(
        "the state belongs to the certificate authority {wanted}, which is not in the file, and this controller has another one; nothing was changed"
    )]
    OtherAuthority { wanted: String },
    #[error("another import into this store is under way, or was broken off; nothing was changed")]
    UnderWay,
    #[error("the import was overtaken by another one")]
    Overtaken,
    #[error("what is stored now is not what the file has: import again")]
    Differs,
    #[error("the certificate authority could not be written to {folder}", folder = folder.display())]
    Authority {
        folder: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("the certificate authority of the file cannot be used; nothing was changed")]
    BadAuthority(#[source] PemError),
    #[error("the certificate authority of this controller cannot be used; nothing was changed")]
    OwnAuthority(#[source] KeptError),
    #[error(
        "the state belongs to the certificate authority {wanted}, and the one in {folder} (`trust.authority_dir`) is another, which is never written; nothing was changed", folder = folder.display()
    )]
    GivenAuthority {
        wanted: String,
        folder: std::path::PathBuf,
    },
    #[error("could not encrypt the certificate authority")]
    Seal(#[source] SealError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a store holds while an import writes to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) started: Timestamp,
    /// Of the file.
    revision: Revision,
    made: Timestamp,
}

/// Replaces everything in the store by what is in the file.
///
/// # Errors
/// See [`ImportError`].
pub async fn import(
    store: &Arc<dyn Store>,
    file: Checked,
    terms: ImportTerms<'_>,
) -> Result<Imported, ImportError> {
    let authority = authority_of(&**store, &file, terms.authority).await?;
    let begun = begin(store, &file, terms).await?;
    let mut work = Work {
        store,
        fence: Compare::ModifiedAt(MARKER.to_owned(), begun),
        ops: Vec::new(),
        bytes: 0,
    };
    foghorn_faults::wait!("controller.import.marked");
    work.clear().await?;
    foghorn_faults::wait!("controller.import.cleared");
    let (header, end) = (file.header.clone(), (file.entries, file.digest));
    work.fill(file).await?;
    foghorn_faults::wait!("controller.import.filled");
    let stored = digest_of(store).await?;
    if (stored.entries, stored.digest) != end {
        return Err(ImportError::Differs);
    }
    let last = match &authority {
        Some(authority) => put_authority(terms, authority)?,
        None => None,
    };
    foghorn_faults::wait!("controller.import.before-end");
    let revision = work.end(terms.now, last).await?;
    foghorn_faults::wait!("controller.import.ended");
    Ok(Imported {
        header,
        entries: end.0,
        revision,
        new_authority: authority.is_some(),
    })
}

/// The authority of the file, if it is another than this controller has.
async fn authority_of(
    store: &dyn Store,
    file: &Checked,
    keeping: &Keeping,
) -> Result<Option<AuthorityPem>, ImportError> {
    let wanted = || file.header.authority.clone();
    let own = match present(store, keeping).await {
        Ok(own) => own,
        Err(error) => return Err(ImportError::OwnAuthority(error)),
    };
    if own.is_some_and(|own| own.ca_fingerprint() == file.header.authority) {
        return Ok(None);
    }
    if let Keeping::Given(folder) = keeping {
        let (wanted, folder) = (wanted(), folder.clone());
        return Err(ImportError::GivenAuthority { wanted, folder });
    }
    if file.authority.is_empty() {
        let found = in_folder_of_before(keeping)?;
        let found = found.filter(|found| found.ca_fingerprint() == file.header.authority);
        let refused = || ImportError::OtherAuthority { wanted: wanted() };
        return found.ok_or_else(refused).map(|found| Some(found.to_pem()));
    }
    let files = file.authority.iter();
    let files = files.map(|(name, content)| (name.as_str(), content.as_slice()));
    let pem = AuthorityPem::from_files(files).ok_or(FileError::Damaged("the authority"))?;
    Trust::from_pem(&pem).map_err(ImportError::BadAuthority)?;
    Ok(Some(pem))
}

/// What somebody has copied into the data directory of a controller whose store is to have it.
fn in_folder_of_before(keeping: &Keeping) -> Result<Option<Trust>, ImportError> {
    let Keeping::Store { before, .. } = keeping else {
        return Ok(None);
    };
    Trust::load(before).map_err(|error| ImportError::OwnAuthority(error.into()))
}

/// Puts the authority of the file where this controller has its own: into its folder, or into the
/// store, by the operation that is returned.
fn put_authority(
    terms: ImportTerms<'_>,
    authority: &AuthorityPem,
) -> Result<Option<Op>, ImportError> {
    let folder = match terms.authority {
        Keeping::Store { key, .. } => {
            let kept = KeptAuthority::of(authority.clone(), key);
            return Ok(Some(kept.map_err(ImportError::Seal)?.put()));
        }
        Keeping::Own(folder) | Keeping::Given(folder) => folder,
    };
    let replaced = replace_authority(folder, authority, terms.now);
    replaced.map_err(|source| {
        let folder = folder.clone();
        ImportError::Authority { folder, source }
    })?;
    Ok(None)
}

/// Writes the marker, if the store may be replaced.
async fn begin(
    store: &Arc<dyn Store>,
    file: &Checked,
    terms: ImportTerms<'_>,
) -> Result<Revision, ImportError> {
    let found = store.get(MARKER).await?;
    if !terms.replace {
        if found.is_some() {
            return Err(ImportError::UnderWay);
        }
        for (prefix, what) in SIGNS_OF_USE {
            // The smallest key after all with this prefix.
            let end = format!("{}0", prefix.trim_end_matches('/'));
            if !store.range(prefix, &end, 1, false).await?.is_empty() {
                return Err(ImportError::NotEmpty { what });
            }
        }
    }
    let marker = Marker {
        started: terms.now,
        revision: file.header.revision,
        made: file.header.made,
    };
    let compare = match found {
        Some(found) => Compare::ModifiedAt(found.key, found.modified),
        None => Compare::Absent(MARKER.to_owned()),
    };
    let put = Op::Put {
        key: MARKER.to_owned(),
        value: serde_json::to_vec(&marker).unwrap_or_default().into(),
    };
    let txn = Txn {
        compares: vec![compare],
        ops: vec![put],
    };
    match store.commit(txn).await? {
        TxnOutcome::Committed(revision) => Ok(revision),
        TxnOutcome::Conflict => Err(ImportError::UnderWay),
    }
}

struct Work<'s> {
    store: &'s Arc<dyn Store>,
    fence: Compare,
    ops: Vec<Op>,
    bytes: usize,
}

impl Work<'_> {
    /// Removes everything but the marker. Nobody adds to it meanwhile: all others compare the marker.
    async fn clear(&mut self) -> Result<(), ImportError> {
        let mut pages = self.store.pages(EVERYTHING);
        while let Some(page) = pages.next().await.transpose()? {
            for Entry { key, .. } in page.entries {
                if !stays(&key) {
                    self.add(Op::Delete { key }).await?;
                }
            }
        }
        self.flush().await
    }

    async fn fill(&mut self, file: Checked) -> Result<(), ImportError> {
        let mut contents = read_ahead(file);
        while let Some(pairs) = contents.recv().await.transpose()? {
            for (key, value) in pairs {
                let key = String::from_utf8(key).map_err(|_| FileError::Damaged("a key"))?;
                let value = Bytes::from(value);
                self.add(Op::Put { key, value }).await?;
            }
        }
        self.flush().await
    }

    async fn add(&mut self, op: Op) -> Result<(), ImportError> {
        let bytes = match &op {
            Op::Put { key, value } => key.len() + value.len(),
            Op::Delete { key } => key.len(),
        };
        if self.ops.len() >= OPS || (self.bytes + bytes > BYTES && !self.ops.is_empty()) {
            self.flush().await?;
        }
        self.bytes += bytes;
        self.ops.push(op);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ImportError> {
        self.bytes = 0;
        let ops = std::mem::take(&mut self.ops);
        if ops.is_empty() {
            return Ok(());
        }
        self.commit(ops).await.map(drop)
    }

    /// The last transaction, with what must not be there before.
    async fn end(&self, now: Timestamp, last: Option<Op>) -> Result<Revision, ImportError> {
        let noted = serde_json::json!({ "at": now }).to_string();
        let mut ops = vec![
            Op::Delete {
                key: MARKER.to_owned(),
            },
            Op::Put {
                key: IMPORTED.to_owned(),
                value: noted.into(),
            },
        ];
        ops.extend(last);
        self.commit(ops).await
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, ImportError> {
        let txn = Txn {
            compares: vec![self.fence.clone()],
            ops,
        };
        loop {
            if let TxnOutcome::Committed(revision) = self.store.commit(txn.clone()).await? {
                return Ok(revision);
            }
            // While the marker is ours, nobody else writes: it was lost on its way, and is known not to
            // come any more.
            let marker = self.store.get(MARKER).await?;
            let marker = marker.map(|found| Compare::ModifiedAt(found.key, found.modified));
            if marker.as_ref() != Some(&self.fence) {
                return Err(ImportError::Overtaken);
            }
        }
    }
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads the blocks of entries on a thread of its own, a block ahead.
fn read_ahead(mut file: Checked) -> mpsc::Receiver<Result<Pairs, FileError>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::task::spawn_blocking(move || {
        let contents = match file.contents() {
            Ok(contents) => contents,
            Err(error) => {
                let _gone = sender.blocking_send(Err(error));
                return;
            }
        };
        for content in contents {
            let sent = match content {
                Ok(Content::Entries(pairs)) => sender.blocking_send(Ok(pairs)),
                Ok(_) => continue,
                Err(error) => sender.blocking_send(Err(error)),
            };
            if sent.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Of everything that an export would take.
async fn digest_of(store: &Arc<dyn Store>) -> Result<End, StoreError> {
    let mut digest = Digest::default();
    let mut pages = store.pages(EVERYTHING);
    while let Some(page) = pages.next().await.transpose()? {
        for entry in page.entries {
            if !stays(&entry.key) {
                digest.add(entry.key.as_bytes(), &entry.value);
            }
        }
    }
    Ok(digest.end())
}

/// Puts the files of an authority into `folder`, and what was there beside it.
fn replace_authority(
    folder: &Path,
    authority: &AuthorityPem,
    now: Timestamp,
) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let beside = |what: &str| folder.with_file_name(format!("{name}.{what}"));
    let next = beside("new");
    let _ = std::fs::remove_dir_all(&next);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&next)?;
    for (name, text) in authority.files() {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(next.join(name))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
    }
    std::fs::File::open(&next)?.sync_all()?;
    foghorn_faults::fail!("controller.import.authority-written")?;
    if folder.exists() {
        std::fs::rename(folder, beside(&format!("before-{}", now.as_millis())))?;
    }
    foghorn_faults::fail!("controller.import.authority-aside")?;
    std::fs::rename(&next, folder)?;
    match folder.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
