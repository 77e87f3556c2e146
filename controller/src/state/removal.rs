//! What somebody ordered to be deleted from the nodes: the content of a deleted image, the file of a
//! deleted snapin. Nodes may be off for months, so the order is stored and stays.
//!
//! Nothing else is ever deleted from a node: content that the store does not know may be newer than
//! the store, which was perhaps restored from a backup.

use foghorn_types::{FileId, ImageId, ManifestId, Timestamp};
use serde::{Deserialize, Serialize};

use super::shelf::Record;
use crate::store::Revision;

/// Keys of removals: this, the kind, and what is to be removed.
const PREFIX: &str = "/foghorn/v1/removal/";

/// Something that nodes hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Stored {
    /// One content of an image. Another content of the same image is not meant.
    Image(ImageId, ManifestId),
    /// A file other than an image.
    File(FileId),
}

/// An order to delete something from every node that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removal {
    pub what: Stored,
    pub ordered: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

impl Removal {
    /// An order that is given now.
    #[must_use]
    pub fn new(what: Stored) -> Self {
        Self {
            what,
            ordered: Timestamp::now(),
            modified: 0,
        }
    }
}

/// The stored form.
#[derive(Serialize, Deserialize)]
pub struct RemovalBody {
    ordered: Timestamp,
}

impl Record for Removal {
    const WHAT: &'static str = "order to remove content";
    type Id = Stored;
    type Body = RemovalBody;
    type Index = ();

    fn id(&self) -> Stored {
        self.what
    }

    fn key_of(what: &Stored) -> String {
        match what {
            Stored::Image(image, manifest) => {
                format!("{PREFIX}image/{:010}/{manifest}", image.get())
            }
            Stored::File(file) => format!("{PREFIX}file/{file}"),
        }
    }

    fn id_in(key: &str) -> Option<Stored> {
        let (kind, what) = key.strip_prefix(PREFIX)?.split_once('/')?;
        match kind {
            "image" => {
                let (image, manifest) = what.split_once('/')?;
                let image = ImageId::new(image.parse().ok()?)?;
                Some(Stored::Image(image, manifest.parse().ok()?))
            }
            "file" => Some(Stored::File(what.parse().ok()?)),
            _ => None,
        }
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> RemovalBody {
        RemovalBody {
            ordered: self.ordered,
        }
    }

    fn from_body(what: Stored, body: RemovalBody, modified: Revision) -> Self {
        Self {
            what,
            ordered: body.ordered,
            modified,
        }
    }
}
