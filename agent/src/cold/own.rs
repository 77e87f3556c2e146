//! A prefix belongs to one node, which is written there: two that write under one would delete each
//! other's packs. And an index belongs to one prefix: in another place, nothing of it is true.

use std::time::Instant;

use object_store::UpdateVersion;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::objects::OWNER;
use super::{Cold, ColdError};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Owner {
    format: u32,
    node: String,
    /// Random; tells the place from any other.
    place: String,
}

/// The prefix is not for this node, or not the one that it knows.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClaimError {
    #[error("{bucket} does not exist; create it, or correct `cold.bucket`")]
    NoBucket { bucket: String },
    #[error(
        "the prefix {prefix} in {bucket} belongs to storage node {owner}; choose another \
         `cold.prefix`, or, if that node is gone for good, set `cold.take_over = \"{owner}\"`"
    )]
    Taken {
        prefix: String,
        bucket: String,
        owner: String,
    },
    #[error("another storage node wants the prefix {prefix} in {bucket} in this moment")]
    Contended { prefix: String, bucket: String },
    #[error("the prefix {prefix} in {bucket} was written by a later version; update this node")]
    Later { prefix: String, bucket: String },
    #[error(
        "the prefix {prefix} in {bucket} is not where this node has brought its images: correct \
         `cold.bucket` and `cold.prefix`. If what was there is gone for good, stop the agent, move \
         cold/index.redb in its state folder away, and start it again: what is on its disk is \
         brought there anew"
    )]
    OtherPlace { prefix: String, bucket: String },
}

impl Cold {
    fn place_and_bucket(&self) -> (String, String) {
        let bucket = self.bucket.name().to_owned();
        (self.bucket.prefix().to_owned(), bucket)
    }

    /// Makes the prefix that of this node, if it is nobody's.
    pub(super) async fn claim(&self) -> Result<(), ColdError> {
        let (prefix, bucket) = self.place_and_bucket();
        let known = self.index.home()?;
        let node = self.node.to_string();
        let mut place = format!("{:016x}", getrandom::u64().unwrap_or_default());
        let mut seen = None;
        match self.owner().await? {
            Some((owner, version)) => {
                if known.is_some_and(|known| known != owner.place) {
                    return Err(ClaimError::OtherPlace { prefix, bucket }.into());
                }
                place = owner.place;
                if owner.node == node {
                    return Ok(self.index.set_home(&place)?);
                }
                if self.config.take_over.as_ref() != Some(&owner.node) {
                    let owner = owner.node;
                    return Err(ClaimError::Taken {
                        prefix,
                        bucket,
                        owner,
                    }
                    .into());
                }
                seen = Some(version);
                info!(
                    prefix,
                    from = owner.node,
                    "this node takes over a prefix of the bucket"
                );
            }
            None if known.is_some() => {
                return Err(ClaimError::OtherPlace { prefix, bucket }.into());
            }
            None => {}
        }
        let owner = Owner {
            format: FORMAT,
            node,
            place: place.clone(),
        };
        let bytes = serde_json::to_vec(&owner).unwrap_or_default();
        match self.bucket.put_if(OWNER, bytes.into(), seen).await {
            Ok(true) => Ok(self.index.set_home(&place)?),
            Ok(false) => Err(ClaimError::Contended { prefix, bucket }.into()),
            Err(error) if error.is_not_found() => Err(ClaimError::NoBucket { bucket }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// `None`: nobody has written there.
    async fn owner(&self) -> Result<Option<(Owner, UpdateVersion)>, ColdError> {
        let (bytes, version) = match self.bucket.get_version(OWNER).await {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match serde_json::from_slice::<Owner>(&bytes) {
            Ok(owner) if owner.format == FORMAT => Ok(Some((owner, version))),
            _ => {
                let (prefix, bucket) = self.place_and_bucket();
                Err(ClaimError::Later { prefix, bucket }.into())
            }
        }
    }

    /// Asks whether bucket and prefix are still what they were: an object that is missing says
    /// nothing before this is sure, and a bucket that nobody has used for a while may not answer.
    ///
    /// # Errors
    /// When they are not, or nobody knows.
    pub(super) async fn probe(&self) -> Result<(), ColdError> {
        let owner = self.owner().await?;
        let known = self.index.home()?;
        let (prefix, bucket) = self.place_and_bucket();
        match owner {
            Some((owner, _)) if Some(&owner.place) == known.as_ref() => {
                if owner.node == self.node.to_string() {
                    self.state().probed = Some(Instant::now());
                    return Ok(());
                }
                let owner = owner.node;
                Err(ClaimError::Taken {
                    prefix,
                    bucket,
                    owner,
                }
                .into())
            }
            _ => Err(ClaimError::OtherPlace { prefix, bucket }.into()),
        }
    }

    /// As [`probe`](Self::probe), when something was wrong, or the last time is long ago.
    pub(super) async fn probe_now_and_then(&self) -> Result<(), ColdError> {
        let is_due = {
            let state = self.state();
            let lately = |probed: Instant| probed.elapsed() < self.config.every * 10;
            state.trouble.is_some() || !state.probed.is_some_and(lately)
        };
        match is_due {
            true => self.probe().await,
            false => Ok(()),
        }
    }
}
