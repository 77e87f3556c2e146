//! Targets as the API shows them.

use schemars::JsonSchema;
use serde::Serialize;

use super::times;
use crate::app::devices::targets::Target;

/// Stands for targets that fit any hardware: clients want one word at least.
pub(super) const ANY_HARDWARE: &str = "any";

/// One version of an image.
#[derive(Serialize, JsonSchema)]
pub(super) struct TargetView {
    /// Bytes that it takes in the store.
    length: u64,
    /// What it is verified by.
    hashes: TargetHashes,
    /// All else.
    custom: TargetCustom,
}

/// What a target is verified by.
#[derive(Serialize, JsonSchema)]
struct TargetHashes {
    /// Hash of the manifest of the version, 64 hexadecimal digits. In spite of its name it is BLAKE3.
    sha256: String,
}

/// What is said of a target.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TargetCustom {
    /// Name of the image.
    name: String,
    /// Number of the version.
    version: String,
    /// The hardware that it is for; `any` alone for any.
    hardware_ids: Vec<String>,
    /// Its tags: rings that devices follow.
    tags: Vec<String>,
    /// Always `OSTREE`: clients pass over everything else.
    target_format: &'static str,
    /// Always empty: not known.
    arch: &'static str,
    /// Name of the image.
    #[serde(rename = "image-file")]
    image_file: String,
    /// Always empty: it is fetched from storage nodes.
    uri: &'static str,
    /// When it was captured, RFC 3339.
    created_at: String,
    /// When its tags were changed last, else when it was captured, RFC 3339.
    updated_at: String,
    /// Always false: it was captured.
    cli_uploaded: bool,
}

impl TargetView {
    pub(super) fn of(target: &Target) -> Self {
        let mut hardware_ids: Vec<String> = target.is.hardware_ids.iter().cloned().collect();
        if hardware_ids.is_empty() {
            hardware_ids.push(ANY_HARDWARE.to_owned());
        }
        Self {
            length: target.length,
            hashes: TargetHashes {
                sha256: target.is.hash.clone(),
            },
            custom: TargetCustom {
                name: target.image_name.clone(),
                version: target.is.version.to_string(),
                hardware_ids,
                tags: target.is.tags.iter().cloned().collect(),
                target_format: "OSTREE",
                arch: "",
                image_file: target.image_name.clone(),
                uri: "",
                created_at: times::of_target(target.is.made),
                updated_at: times::of_target(target.updated),
                cli_uploaded: false,
            },
        }
    }
}
