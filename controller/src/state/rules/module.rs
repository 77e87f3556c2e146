//! Parts of the client on installed machines that can be switched per host.

use super::Rules;
use crate::state::classes::{Module, ModuleAssociation};
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;
use crate::state::row::Row;

impl Rules for Module {
    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let hosts = draft
            .tables()
            .of::<ModuleAssociation>()
            .by(ModuleAssociation::BY_MODULE, row.id.into());
        draft.delete_each(hosts);
        Ok(())
    }
}
