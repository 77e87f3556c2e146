//! Agents for whose names a Kubernetes cluster vouches (decision 25): its API server says which pod a
//! service-account token belongs to, and the configuration which pods are which storage nodes.
//!
//! Where the cluster vouches for the very name, a new agent takes the place of the one before: its pod
//! was made again, and its key is lost. Its certificate is refused from then on. An agent that has joined
//! with a token is no pod: its place is never taken so.

use std::time::Duration;

use foghorn_types::{NodeName, StorageGroupId, Timestamp};

use super::place::{NewKey, Place};
use super::{EnrolError, Entry};
use crate::app::holds;
use crate::ctx::Ctx;
use crate::kubernetes::{NotAllowed, ReviewError};
use crate::state::Draft;
use crate::state::classes::StorageGroup;

/// How much later an enrolment counts that takes the place of another one. Certificates that the agent of
/// before has renewed in the same second, or at a controller that saw it a moment later, are refused, too;
/// the new agent does not renew its own so soon.
const COUNTS_AFTER: Duration = Duration::from_secs(5);

/// Why the word of a cluster does not count.
#[derive(Debug, thiserror::Error)]
pub enum VouchedError {
    #[error(
        "this controller takes no service-account tokens: its configuration has no `enrol = true` in the section `kubernetes`"
    )]
    NotTaken,
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
}

/// An agent that may come in under this name.
#[derive(Clone, Debug)]
pub struct Vouched {
    pub name: NodeName,
    /// Name of the storage group in which its node is made; `None`: the first one.
    pub group: Option<String>,
    /// Whether no other pod can have this name, so that the agent takes the place of the one before.
    pub is_its_name: bool,
    /// What the cluster calls the node or pod that the name is of.
    pub named_after: Option<String>,
}

/// Asks the cluster whose the token is, and the configuration whether he may have the name.
pub(super) async fn ask(ctx: &Ctx, token: &str, name: &NodeName) -> Result<Vouched, VouchedError> {
    let cluster = ctx.cluster.as_ref().ok_or(VouchedError::NotTaken)?;
    let pod = cluster.review(token).await?;
    let granted = cluster.grant(&pod, name)?;
    Ok(Vouched {
        name: name.clone(),
        group: granted.storage_group,
        is_its_name: granted.is_its_name,
        named_after: granted.named_after,
    })
}

impl Vouched {
    pub(super) const fn name(&self) -> &NodeName {
        &self.name
    }

    pub(super) fn enter(
        &self,
        draft: &mut Draft<'_>,
        key: &str,
        now: Timestamp,
    ) -> Result<Entry, EnrolError> {
        let (tables, name) = (draft.tables(), &self.name);
        let place = Place::of(tables, name);
        if let Some((node, _)) = place.enrolled_with(key) {
            // The answer was lost.
            return Ok(Entry {
                node,
                replaces: false,
            });
        }
        if place.is_revoked() {
            return Err(EnrolError::Revoked { name: name.clone() });
        }
        let replaces = place.is_taken();
        // Two names of the cluster can become one name here.
        if let (true, Some(own), Some(other)) = (replaces, &self.named_after, place.named_after())
            && own != other
        {
            return Err(EnrolError::NameOfTwo {
                name: name.clone(),
                own: own.clone(),
                other: other.to_owned(),
            });
        }
        let may_replace = self.is_its_name && place.is_vouched();
        if place.is_of_another() || (replaces && !may_replace) {
            return Err(EnrolError::NameTaken { name: name.clone() });
        }
        let group = match place.is_new() {
            true => self.group_in(draft)?,
            false => None,
        };
        let since = match replaces {
            true => now + COUNTS_AFTER,
            false => now,
        };
        let key = NewKey {
            hash: key,
            since,
            vouched: true,
            named_after: self.named_after.as_deref(),
        };
        let node = place.take(draft, group, &key)?;
        if replaces {
            // Two machines had one certificate: both are refused with it from now on.
            holds::end_cloned(draft, node)?;
        }
        Ok(Entry { node, replaces })
    }

    fn group_in(&self, draft: &Draft<'_>) -> Result<Option<StorageGroupId>, EnrolError> {
        let Some(group) = &self.group else {
            return Ok(None);
        };
        let row = draft.tables().of::<StorageGroup>().named(group);
        let id = row.and_then(|row| StorageGroupId::new(row.id));
        let no_group = || EnrolError::NoGroup {
            name: self.name.clone(),
            group: group.clone(),
        };
        id.ok_or_else(no_group).map(Some)
    }
}
