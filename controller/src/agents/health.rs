//! What is damaged on the nodes, for whoever orders a deploy.

use std::collections::{BTreeMap, HashMap};

use foghorn_types::{ManifestId, StorageNodeId};

use super::live::{Live, NodeLive};

/// A node that cannot give out some content, and those that can.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedAt {
    pub node: StorageNodeId,
    pub chunks: u64,
    /// Connected, and whole as far as they know.
    pub whole_on: Vec<StorageNodeId>,
}

/// The content that is damaged somewhere: usually none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health(BTreeMap<ManifestId, DamagedAt>);

impl Health {
    #[must_use]
    pub fn of(&self, manifest: ManifestId) -> Option<&DamagedAt> {
        self.0.get(&manifest)
    }

    /// As nodes have reported it.
    #[must_use]
    pub fn now(live: &Live) -> Self {
        Self::new(&live.nodes())
    }

    fn new(nodes: &HashMap<StorageNodeId, NodeLive>) -> Self {
        let mut damaged: BTreeMap<ManifestId, DamagedAt> = BTreeMap::new();
        let mut sorted: Vec<_> = nodes.iter().collect();
        sorted.sort_unstable_by_key(|(node, _)| **node);
        for (node, live) in &sorted {
            for (manifest, damage) in &live.damaged {
                damaged.entry(*manifest).or_insert(DamagedAt {
                    node: **node,
                    chunks: damage.chunks,
                    whole_on: Vec::new(),
                });
            }
        }
        if damaged.is_empty() {
            return Self::default();
        }
        let connected = sorted
            .iter()
            .filter(|(_, live)| live.online && live.reported);
        for (node, live) in connected {
            for (_, manifest) in &live.manifests {
                if let Some(at) = damaged.get_mut(manifest)
                    && !live.damaged.contains_key(manifest)
                    && !live.unverified.contains_key(manifest)
                    && !at.whole_on.contains(node)
                {
                    at.whole_on.push(**node);
                }
            }
        }
        Self(damaged)
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::{ImageId, Timestamp};

    use super::*;
    use crate::agents::contents::ContentDamage;

    #[test]
    fn who_is_connected_and_has_it_whole_is_named() {
        let manifest = ManifestId::of(b"image");
        let node = |number| StorageNodeId::new(number).unwrap();
        let live = |online, reported, damaged: bool| {
            let damage = ContentDamage {
                chunks: 3,
                record: false,
                found: Timestamp::from_millis(1),
                problem: "bad".to_owned(),
            };
            NodeLive {
                online,
                reported,
                manifests: [(ImageId::new(1).unwrap(), manifest)].into(),
                damaged: damaged.then_some((manifest, damage)).into_iter().collect(),
                ..NodeLive::default()
            }
        };
        let mut nodes = HashMap::from([(node(1), live(true, true, false))]);
        assert_eq!(Health::new(&nodes), Health::default());
        nodes.insert(node(2), live(true, true, true));
        nodes.insert(node(3), live(false, true, false));
        nodes.insert(node(4), live(true, false, false));
        nodes.insert(node(5), live(false, true, true));
        let health = Health::new(&nodes);
        let at = health.of(manifest).unwrap();
        assert_eq!(
            (at.node, at.chunks, &at.whole_on[..]),
            (node(2), 3, &[node(1)][..])
        );
        assert_eq!(health.of(ManifestId::of(b"other")), None);
    }
}
