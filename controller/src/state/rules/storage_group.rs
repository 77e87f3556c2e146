//! Sets of storage nodes that hold the same images.

use foghorn_types::StorageGroupId;

use super::Rules;
use crate::state::class::Class as _;
use crate::state::classes::{StorageGroup, StorageNode};
use crate::state::draft::Draft;
use crate::state::json::JsonObject;
use crate::state::key;
use crate::state::machines::removal;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::scene::Scene;
use crate::store::Op;

impl Rules for StorageGroup {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        let id = row.map_or(0, |row| row.id);
        let mut nodes: Vec<_> = scene
            .tables
            .of::<StorageNode>()
            .by(StorageNode::BY_GROUP, id.into())
            .collect();
        nodes.sort_by_key(|node| crate::state::value::fold(&node.name));
        let serving: Vec<_> = nodes
            .iter()
            .filter(|node| row.is_some() && node.serves())
            .collect();
        out.integer(
            "totalsupportedclients",
            serving.iter().map(|node| node.max_clients).sum(),
        );
        out.texts(
            "enablednodes",
            serving.iter().map(|node| node.id.to_string()),
        );
        out.texts("allnodes", nodes.iter().map(|node| node.id.to_string()));
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let Some(factory) = StorageGroupId::new(row.id) else {
            return Ok(());
        };
        draft.take_turn_of::<Self>(row.id);
        removal::forget_factory(draft, factory)?;
        // The turn goes with the storage group.
        draft.operate(Op::Delete {
            key: key::pointed_at(Self::NAME, row.id),
        });
        Ok(())
    }
}
