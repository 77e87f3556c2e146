//! Entries of the boot menu.

use crate::state::class::{Class, id_in_field, unique_name};
use crate::state::field::{Field, field};
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
        field!(text, "name", 100, name).required().about("Name of the entry in the menu's script; no two share one."),
        field!(long_text, "description", description).about("What the menu shows for it."),
        field!(long_text, "params", params).about("iPXE commands that run when it is chosen."),
        field!(number, "default", default).about("1 for the entry that is taken when nobody chooses."),
        field!(number, "regMenu", reg_menu).about("To whom it is shown: 0 unknown hosts, 1 known hosts, 2 all, 3 in debug mode, 4 advanced menu, 5 advanced menu with log-in, 6 hosts that wait for approval."),
        field!(text, "args", 250, args).about("Kernel arguments that it adds."),
        field!(flag, "hotkey", hotkey).about("Whether a key chooses it."),
        field!(text, "keysequence", 255, keysequence).about("Code of that key in iPXE."),
    ];

    id_in_field!();
    unique_name!();
}
