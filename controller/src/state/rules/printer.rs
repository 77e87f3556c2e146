//! Printers that the client sets up on hosts.

use super::membership;
use super::{Rules, Write};
use crate::state::class::Body;
use crate::state::classes::{Printer, PrinterAssociation};
use crate::state::draft::Draft;
use crate::state::refusal::Refusal;
use crate::state::row::Row;
use crate::state::value::ids;

/// How a printer may be reached; FOG denies that one of another kind exists.
const KINDS: &[&str] = &["local", "network", "iprint", "cups"];

impl Rules for Printer {
    fn on_write(
        _draft: &mut Draft<'_>,
        object: &mut Self,
        _write: Write<'_, Self>,
        _body: &Body,
    ) -> Result<(), Refusal> {
        if KINDS
            .iter()
            .any(|kind| object.config.trim().eq_ignore_ascii_case(kind))
        {
            return Ok(());
        }
        let why = format!(
            "a printer is Local, Network, iPrint or Cups, found {:?}",
            object.config
        );
        Err(Refusal::Unusable {
            field: "config",
            why,
        })
    }

    fn spread(draft: &mut Draft<'_>, id: u32, _is_new: bool, body: &Body) -> Result<(), Refusal> {
        match body.get("hosts").map(ids) {
            Some(hosts) => membership::replace::<PrinterAssociation>(
                draft,
                PrinterAssociation::BY_PRINTER,
                id,
                &hosts,
            ),
            None => Ok(()),
        }
    }

    fn on_delete(draft: &mut Draft<'_>, row: &Row<Self>) -> Result<(), Refusal> {
        let hosts = draft
            .tables()
            .of::<PrinterAssociation>()
            .by(PrinterAssociation::BY_PRINTER, row.id.into());
        draft.delete_each(hosts);
        Ok(())
    }
}
