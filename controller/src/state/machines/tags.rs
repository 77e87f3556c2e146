//! Tags of targets: rings that devices follow. A target is one version of an image.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_types::{ImageId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, numbered_by, stored_whole};
use crate::store::Revision;

/// Keys of tags: this and the image's id.
const PREFIX: &str = "/foghorn/v1/target-tags/";

/// What is said of the versions of an image beside their content. Versions that are not kept any more
/// may still be in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TargetTags {
    pub image: ImageId,
    /// By number of the version.
    pub versions: BTreeMap<u32, Tagged>,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// What is said of one version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tagged {
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The hardware that it is for; empty: any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub hardware_ids: BTreeSet<String>,
    pub updated_at: Timestamp,
}

impl TargetTags {
    #[must_use]
    pub fn none(image: ImageId) -> Self {
        Self {
            image,
            versions: BTreeMap::new(),
            modified: 0,
        }
    }
}

impl Record for TargetTags {
    const WHAT: &'static str = "tags of an image";
    type Index = ();

    numbered_by!(PREFIX, image: ImageId);
    stored_whole!();
}
