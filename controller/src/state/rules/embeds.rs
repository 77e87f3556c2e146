//! Classes whose only rule is to show what they refer to.

use super::Rules;
use crate::state::class::Class;
use crate::state::classes::{
    Host, ImageAssociation, ImagingLog, NodeFailure, SnapinGroupAssociation, UserTracking,
};
use crate::state::json::JsonObject;
use crate::state::row::Row;
use crate::state::scene::Scene;

/// Shows each relation as an object without members, as a FOG server does in these classes.
fn empty_relations<C: Class>(out: &mut JsonObject<'_>) {
    C::RELATIONS
        .iter()
        .for_each(|relation| out.nothing(relation));
}

fn host(id: Option<u32>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
    out.full::<Host>(
        "host",
        id.and_then(|id| scene.tables.hosts().get(id))
            .map(AsRef::as_ref),
        scene,
    );
}

impl Rules for ImageAssociation {
    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        empty_relations::<Self>(out);
    }
}

impl Rules for SnapinGroupAssociation {
    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        empty_relations::<Self>(out);
    }
}

impl Rules for NodeFailure {
    fn extras(_row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        empty_relations::<Self>(out);
    }
}

impl Rules for ImagingLog {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        host(row.map(|row| row.host), scene, out);
    }
}

impl Rules for UserTracking {
    fn extras(row: Option<&Row<Self>>, scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        host(row.map(|row| row.host), scene, out);
    }
}
