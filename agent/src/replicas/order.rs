//! What the controller orders, checked once when it arrives.

use foghorn_proto::link::{FetchReplica, ServeReplica, StoredManifest};
use foghorn_types::{ImageId, ManifestId, NodeName, TaskId};

/// A node that can give what is copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Source {
    pub node: NodeName,
    pub addresses: Vec<String>,
}

/// A copy to be made here.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct FetchOrder {
    pub copy: u32,
    pub image: ImageId,
    pub manifest: ManifestId,
    /// As the controller knows it: where the content comes from.
    pub what: StoredManifest,
    pub sources: Vec<Source>,
}

/// A copy that another node makes from here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ServeOrder {
    pub copy: u32,
    pub manifest: ManifestId,
    pub node: NodeName,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the order to copy an image is not valid: {0}")]
pub(super) struct CheckCopyError(&'static str);

impl TryFrom<FetchReplica> for FetchOrder {
    type Error = CheckCopyError;

    fn try_from(wire: FetchReplica) -> Result<Self, CheckCopyError> {
        let what = wire.what.ok_or(CheckCopyError("it names no image"))?;
        let image = ImageId::new(what.image_id).ok_or(CheckCopyError("0 is not an image"))?;
        let sources = wire.sources.into_iter().map(|source| {
            let node = source.node.parse();
            Ok(Source {
                node: node.map_err(|_| CheckCopyError("a source has no name"))?,
                addresses: source.addresses,
            })
        });
        Ok(Self {
            copy: copy(wire.copy_id)?,
            image,
            manifest: manifest(&what.manifest_id)?,
            sources: sources.collect::<Result<_, _>>()?,
            what,
        })
    }
}

impl TryFrom<ServeReplica> for ServeOrder {
    type Error = CheckCopyError;

    fn try_from(wire: ServeReplica) -> Result<Self, CheckCopyError> {
        let node = wire.node.parse();
        Ok(Self {
            copy: copy(wire.copy_id)?,
            manifest: manifest(&wire.manifest_id)?,
            node: node.map_err(|_| CheckCopyError("the node has no name"))?,
        })
    }
}

/// A copy is named in a hello where clients name their task.
pub(super) fn as_task(copy: u32) -> Option<TaskId> {
    TaskId::new(copy)
}

fn copy(number: u32) -> Result<u32, CheckCopyError> {
    as_task(number)
        .map(TaskId::get)
        .ok_or(CheckCopyError("it has no number"))
}

pub(super) fn manifest(bytes: &[u8]) -> Result<ManifestId, CheckCopyError> {
    let digest = bytes.try_into();
    let digest = digest.map_err(|_| CheckCopyError("the manifest id does not have 32 bytes"))?;
    Ok(ManifestId::from_digest(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_orders_are_refused() {
        let good = FetchReplica {
            copy_id: 7,
            what: Some(StoredManifest {
                image_id: 3,
                manifest_id: vec![1; 32],
                ..Default::default()
            }),
            sources: Vec::new(),
        };
        assert!(FetchOrder::try_from(good.clone()).is_ok());
        let nameless = foghorn_proto::link::ReplicaSource::default();
        for bad in [
            FetchReplica {
                copy_id: 0,
                ..good.clone()
            },
            FetchReplica {
                what: None,
                ..good.clone()
            },
            FetchReplica {
                sources: vec![nameless],
                ..good.clone()
            },
        ] {
            assert!(
                FetchOrder::try_from(bad.clone()).is_err(),
                "{bad:?} was taken"
            );
        }
        let serve = ServeReplica {
            copy_id: 7,
            manifest_id: vec![1; 31],
            node: "north".to_owned(),
        };
        assert!(ServeOrder::try_from(serve).is_err());
    }
}
