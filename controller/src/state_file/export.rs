//! Writes the state into a file while the store works.

use std::sync::Arc;

use bytes::Bytes;
use foghorn_types::Timestamp;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::content::{Content, Digest, FULL, Pair};
use super::key::{Kdf, KeyError, Sealer};
use super::writer::{BlockError, Writer, first_line};
use super::{EVERYTHING, FORMAT, Header, SHORTEST_PASSPHRASE, stays};
use crate::store::{Entry, Snapshot, Store, StoreError};
use crate::trust::Trust;

/// Why nothing, or not all, was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("the passphrase is shorter than {SHORTEST_PASSPHRASE} characters")]
    ShortPassphrase,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the export was broken off")]
    BrokenOff(#[source] std::io::Error),
    #[error("whoever wanted the file is gone")]
    Gone,
}

/// A file that is being written.
pub struct Exported {
    pub header: Header,
    /// The bytes of the file. An error means that what came before is worth nothing.
    pub bytes: BoxStream<'static, Result<Bytes, ExportError>>,
}

/// Begins an export: everything at one revision. `authority` is that of the state, whose key is only
/// in the file if `with_key`.
///
/// # Errors
/// What is found before the first byte.
pub async fn export(
    store: &Arc<dyn Store>,
    passphrase: String,
    (authority, with_key): (&Trust, bool),
    made: Timestamp,
) -> Result<Exported, ExportError> {
    if passphrase.chars().count() < SHORTEST_PASSPHRASE {
        return Err(ExportError::ShortPassphrase);
    }
    let files = with_key.then(|| files_of(authority));
    let mut pages = store.pages(EVERYTHING);
    let first = pages.next().await.transpose()?;
    let first = first.unwrap_or(Snapshot {
        revision: 0,
        entries: Vec::new(),
    });
    let header = Header {
        foghorn_state: FORMAT,
        software: env!("CARGO_PKG_VERSION").to_owned(),
        revision: first.revision,
        made,
        authority: authority.ca_fingerprint().to_owned(),
        has_authority: files.is_some(),
        kdf: Kdf::new()?,
        cipher: "AES-256-GCM".to_owned(),
        compression: "zstd".to_owned(),
    };
    let line = first_line(&header).ok_or(BlockError)?;
    let (kdf, aad) = (header.kdf.clone(), line.clone());
    let deriving = tokio::task::spawn_blocking(move || Sealer::new(&kdf, &passphrase, &aad));
    let sealer = deriving.await.map_err(|_| BlockError)??;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        let (writer, begin) = Writer::new(sealer, &line);
        let mut out = Out { writer, sender };
        let written = out.write(begin, files, first, pages).await;
        match written {
            // Whoever is gone does not want to know.
            Ok(()) | Err(ExportError::Gone) => {}
            Err(error) => drop(out.sender.send(Err(error)).await),
        }
    });
    Ok(Exported {
        header,
        bytes: tokio_stream::wrappers::ReceiverStream::new(receiver).boxed(),
    })
}

fn files_of(authority: &Trust) -> Vec<Pair> {
    let pem = authority.to_pem();
    let bytes = |(name, text): (&str, &str)| (name.into(), text.into());
    pem.files().map(bytes).to_vec()
}

struct Out {
    writer: Writer,
    sender: mpsc::Sender<Result<Bytes, ExportError>>,
}

impl Out {
    async fn write(
        &mut self,
        begin: Vec<u8>,
        authority: Option<Vec<Pair>>,
        first: Snapshot,
        mut pages: BoxStream<'static, Result<Snapshot, StoreError>>,
    ) -> Result<(), ExportError> {
        self.send(begin).await?;
        if let Some(files) = authority {
            self.block(&Content::Authority(files)).await?;
        }
        let mut digest = Digest::default();
        let mut page = Some(first);
        while let Some(found) = page {
            self.page(found.entries, &mut digest).await?;
            page = pages.next().await.transpose()?;
        }
        foghorn_faults::wait_or_fail!("controller.export.before-end")
            .map_err(ExportError::BrokenOff)?;
        self.block(&Content::End(digest.end())).await?;
        let end = self.writer.end();
        self.send(end).await
    }

    async fn page(&mut self, entries: Vec<Entry>, digest: &mut Digest) -> Result<(), ExportError> {
        let (mut pairs, mut size) = (Vec::new(), 0);
        for entry in entries {
            if stays(&entry.key) {
                continue;
            }
            digest.add(entry.key.as_bytes(), &entry.value);
            size += entry.key.len() + entry.value.len();
            pairs.push((entry.key.into_bytes(), entry.value.to_vec()));
            if size >= FULL {
                let full = Content::Entries(std::mem::take(&mut pairs));
                self.block(&full).await?;
                size = 0;
            }
        }
        if !pairs.is_empty() {
            self.block(&Content::Entries(pairs)).await?;
        }
        Ok(())
    }

    async fn block(&mut self, content: &Content) -> Result<(), ExportError> {
        let bytes = self.writer.block(content)?;
        self.send(bytes).await
    }

    async fn send(&self, bytes: Vec<u8>) -> Result<(), ExportError> {
        let sent = self.sender.send(Ok(bytes.into())).await;
        sent.map_err(|_| ExportError::Gone)
    }
}
