//! When hosts are woken, shut down or restarted.

use foghorn_types::Timestamp;

use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::classes::PowerManagement;
use crate::state::cron::Rule;
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::schedule::{Mark, Owner};

impl Rules for PowerManagement {
    fn on_write(
        draft: &mut Draft<'_>,
        object: &mut Self,
        write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        if !object.on_demand.is_yes() {
            Rule::parse(object.calendar()).map_err(|bad| Refusal::Invalid {
                field: bad.field,
                why: bad.to_string(),
            })?;
        }
        if let Write::Edit(row) = write
            && row.calendar() == object.calendar()
            && row.on_demand.is_yes() == object.on_demand.is_yes()
        {
            return Ok(());
        }
        draft.store(&Mark::new(Owner::Power(object.id), Timestamp::now()));
        Ok(())
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        draft.forget::<Mark>(&Owner::Power(row.id));
        Ok(())
    }
}
