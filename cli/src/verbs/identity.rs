//! Whether a deploy puts an identity of the machine on its disk: of hosts and of images.

use foghorn_rest_types::native::IdentityEdit;
use serde_json::Value;

use crate::api::Api;
use crate::confirm::Rehearsal;
use crate::exit::Failure;

/// What is said of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum HostIdentity {
    /// Yes, whatever its image says
    True,
    /// No, whatever its image says
    False,
    /// As its image says
    Image,
}

impl HostIdentity {
    pub(super) const fn choice(self) -> Option<bool> {
        match self {
            Self::True => Some(true),
            Self::False => Some(false),
            Self::Image => None,
        }
    }
}

/// Says it of one object of `kind`, which is `hosts` or `images`.
///
/// # Errors
/// As the server answers.
pub(super) fn choose(
    api: &Api,
    rehearsal: Rehearsal,
    kind: &str,
    (id, name): (u32, &str),
    identity: Option<bool>,
) -> Result<(), Failure> {
    let what = match identity {
        Some(true) => "put an identity on the disk at deploys",
        Some(false) => "put no identity on the disk at deploys",
        None => "let the image say whether a deploy puts an identity on the disk",
    };
    rehearsal.tell(&format!("{what}: {kind} {name}"));
    let api = api.rehearsing(rehearsal.dry_run)?;
    let path = format!("/foghorn/v1/{kind}/{id}/identity");
    let _changed: Value = api.native("PUT", &path, Some(&IdentityEdit { identity }))?;
    Ok(())
}
