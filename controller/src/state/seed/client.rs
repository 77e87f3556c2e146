//! Rows about the client on installed machines. Names are FOG's, what they mean is said in our own
//! words.

use crate::state::classes::{Module, UserCleanup};

/// id, name, name for the client, description
#[rustfmt::skip]
const MODULES: &[(u32, &str, &str, &str)] = &[
    (1, "Directory Cleaner", "dircleanup", "Empties folders when a user logs off."),
    (2, "User Cleanup", "usercleanup",
        "Removes local accounts that are not on the list of those to keep."),
    (3, "Display Manager", "displaymanager", "Sets the resolution of the screen."),
    (4, "Auto Log Out", "autologout", "Logs a user off who has been away too long."),
    (5, "Green FOG", "greenfog",
        "Switches the machine off or restarts it at set times; power management does it better."),
    (6, "Snapins", "snapinclient", "Installs the host's snapins."),
    (7, "Client Updater", "clientupdater", "Updates the client itself."),
    (8, "Host Registration", "hostregister", "Reports further network cards of the machine."),
    (9, "Hostname Changer", "hostnamechanger",
        "Gives the machine its name and joins it to its domain."),
    (10, "Printer Manager", "printermanager", "Sets up the host's printers."),
    (11, "Task Reboot", "taskreboot", "Restarts the machine when a task waits for it."),
    (12, "User Tracker", "usertracker", "Reports who logs in and out."),
    (13, "Power Management", "powermanagement",
        "Switches the machine off or restarts it when power management says so."),
];

/// Accounts that a clean-up leaves alone.
const KEPT_ACCOUNTS: &[&str] = &[
    "admin",
    "guest",
    "administrator",
    "HelpAssistant",
    "ASPNET",
    "SUPPORT_",
];

pub(super) fn modules() -> Vec<Module> {
    let module = |&(id, name, short_name, about): &(u32, &str, &str, &str)| Module {
        id,
        name: name.to_owned(),
        description: about.to_owned(),
        short_name: short_name.to_owned(),
        is_default: 1,
    };
    MODULES.iter().map(module).collect()
}

pub(super) fn kept_accounts() -> Vec<UserCleanup> {
    (1..)
        .zip(KEPT_ACCOUNTS)
        .map(|(id, name)| UserCleanup {
            id,
            name: (*name).to_owned(),
        })
        .collect()
}
