//! Kinds of tasks.

use foghorn_types::TaskTypeId;

use super::Rules;
use crate::state::classes::TaskType;
use crate::state::json::JsonObject;
use crate::state::row::Row;
use crate::state::scene::Scene;

impl Rules for TaskType {
    fn extras(row: Option<&Row<Self>>, _scene: &Scene<'_>, out: &mut JsonObject<'_>) {
        out.boolean(
            "isSnapinTasking",
            row.and_then(|row| TaskTypeId::new(row.id))
                .is_some_and(TaskTypeId::is_snapins_only),
        );
    }
}
