//! What a device is called. Apart from the record, which the tables hold.

use std::sync::Arc;

use super::device::Device;
use crate::state::classes::Host;
use crate::state::row::Row;
use crate::state::tables::Tables;

impl Device {
    /// The row of its host, if there still is one.
    #[must_use]
    pub fn host_row<'t>(&self, tables: &'t Tables) -> Option<&'t Arc<Row<Host>>> {
        tables.hosts().get(self.host?.to.get())
    }

    /// As a device, else as its host, else by its UUID.
    #[must_use]
    pub fn shown_name(&self, tables: &Tables) -> String {
        let of_host = || self.host_row(tables).map(|row| row.name.clone());
        let name = self.name.clone().or_else(of_host);
        name.unwrap_or_else(|| self.uuid.to_string())
    }
}
