//! Whether a deploy puts an identity of the machine on its disk: what operators have said of images and
//! hosts. What was said of the host counts, else what was said of the image, else it does not.

use foghorn_types::{HostId, ImageId};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, number_in, numbered};
use crate::store::Revision;

/// Keys: one of these and the number.
const IMAGE_PREFIX: &str = "/foghorn/v1/identity/image/";
const HOST_PREFIX: &str = "/foghorn/v1/identity/host/";

/// Of what it was said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum IdentityOf {
    Image(ImageId),
    Host(HostId),
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityChoice {
    pub of: IdentityOf,
    pub wanted: bool,
    /// The store's revision of this record; 0 for one that was never stored.
    pub modified: Revision,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
pub struct ChoiceBody {
    wanted: bool,
}

impl Record for IdentityChoice {
    const WHAT: &'static str = "choice of an identity at deploys";
    type Id = IdentityOf;
    type Body = ChoiceBody;
    type Index = ();

    fn id(&self) -> IdentityOf {
        self.of
    }

    fn key_of(of: &IdentityOf) -> String {
        match of {
            IdentityOf::Image(image) => numbered(IMAGE_PREFIX, image.get()),
            IdentityOf::Host(host) => numbered(HOST_PREFIX, host.get()),
        }
    }

    fn id_in(key: &str) -> Option<IdentityOf> {
        if let Some(image) = number_in(IMAGE_PREFIX, key) {
            return ImageId::new(image).map(IdentityOf::Image);
        }
        let host = number_in(HOST_PREFIX, key)?;
        HostId::new(host).map(IdentityOf::Host)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> ChoiceBody {
        ChoiceBody {
            wanted: self.wanted,
        }
    }

    fn from_body(of: IdentityOf, body: ChoiceBody, modified: Revision) -> Self {
        Self {
            of,
            wanted: body.wanted,
            modified,
        }
    }
}
