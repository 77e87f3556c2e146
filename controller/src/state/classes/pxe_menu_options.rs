//! Entries of the boot menu.

use crate::state::class::{Class, Unique, id_in_field};
use crate::state::field::Field;
use crate::state::value::Flag;

/// An entry of the boot menu.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PxeMenuOptions {
    pub id: u32,
    pub name: String,
    pub description: String,
    pub params: String,
    pub default: i64,
    pub reg_menu: i64,
    pub args: String,
    pub hotkey: Flag,
    pub keysequence: String,
}

impl Class for PxeMenuOptions {
    const NAME: &'static str = "pxemenuoptions";
    const ABOUT: &'static str = "An entry of the boot menu.";
    const FIELDS: &'static [Field<Self>] = &[
        Field::id(|c: &Self| c.id).about("Number of the row, given by the server."),
        Field::text("name", 100, |c: &Self| &c.name,
            |c| &mut c.name).required().about("Name of the entry in the menu's script; no two share one."),
        Field::long_text("description", |c: &Self| &c.description,
            |c| &mut c.description).about("What the menu shows for it."),
        Field::long_text("params", |c: &Self| &c.params,
            |c| &mut c.params).about("iPXE commands that run when it is chosen."),
        Field::number("default", |c: &Self| &c.default,
            |c| &mut c.default).about("1 for the entry that is taken when nobody chooses."),
        Field::number("regMenu", |c: &Self| &c.reg_menu,
            |c| &mut c.reg_menu).about("To whom it is shown: 0 unknown hosts, 1 known hosts, 2 all, 3 in debug mode, 4 advanced menu, 5 advanced menu with log-in, 6 hosts that wait for approval."),
        Field::text("args", 250, |c: &Self| &c.args,
            |c| &mut c.args).about("Kernel arguments that it adds."),
        Field::flag("hotkey", |c: &Self| &c.hotkey,
            |c| &mut c.hotkey).about("Whether a key chooses it."),
        Field::text("keysequence", 255, |c: &Self| &c.keysequence,
            |c| &mut c.keysequence).about("Code of that key in iPXE."),
    ];
    const NAMED: bool = true;

    id_in_field!();

    fn name(&self) -> &str {
        &self.name
    }

    fn uniques(&self) -> Vec<Unique> {
        vec![Unique::name(&self.name)]
    }
}
