//! Rows of the boot menu: its entries and the keys it can wait for.

use crate::state::classes::{KeySequence, PxeMenuOptions};
use crate::state::value::Flag;

/// id, name, title, parameter that its form sends, to whom it is shown, kernel arguments
type EntryRow = (
    u32,
    &'static str,
    &'static str,
    Option<&'static str>,
    i64,
    &'static str,
);

#[rustfmt::skip]
const ENTRIES: &[EntryRow] = &[
    (1, "fog.local", "Boot from hard disk", None, 2, ""),
    (2, "fog.memtest", "Run Memtest86+", None, 2, ""),
    (3, "fog.reginput", "Perform Full Host Registration and Inventory", None, 0, "mode=manreg"),
    (4, "fog.keyreg", "Update Product Key", Some("keyreg"), 1, ""),
    (5, "fog.reg", "Quick Registration and Inventory", None, 0, "mode=autoreg"),
    (6, "fog.deployimage", "Deploy Image", Some("qihost"), 2, ""),
    (7, "fog.multijoin", "Join Multicast Session", Some("sessionJoin"), 2, ""),
    (8, "fog.quickdel", "Quick Host Deletion", Some("delhost"), 1, ""),
    (9, "fog.sysinfo", "Client System Information (Compatibility)", None, 2, "mode=sysinfo"),
    (10, "fog.debug", "Debug Mode", Some("debugAccess"), 3, "mode=onlydebug"),
    (11, "fog.advanced", "Advanced Menu", None, 4, ""),
    (12, "fog.advancedlogin", "Advanced Menu", Some("advLog"), 5, ""),
    (13, "fog.approvehost", "Approve This Host", Some("approveHost"), 6, ""),
];

pub(super) fn entries() -> Vec<PxeMenuOptions> {
    let entry = |&(id, name, title, form, reg_menu, args): &EntryRow| PxeMenuOptions {
        id,
        name: name.to_owned(),
        description: title.to_owned(),
        params: form.map(log_in_form).unwrap_or_default(),
        default: i64::from(id == 1),
        reg_menu,
        args: args.to_owned(),
        hotkey: Flag::No,
        keysequence: String::new(),
    };
    ENTRIES.iter().map(entry).collect()
}

/// The iPXE commands that ask for a name and a password and send them with the machine's addresses
/// and `wish`.
fn log_in_form(wish: &str) -> String {
    let mut lines = vec!["login".to_owned(), "params".to_owned()];
    let sent = [
        ("mac0", "net0/mac"),
        ("arch", "arch"),
        ("username", "username"),
        ("password", "password"),
    ];
    lines.extend(sent.map(|(name, value)| format!("param {name} ${{{value}}}")));
    lines.push(format!("param {wish} 1"));
    lines.extend([1, 2].map(|card| {
        format!("isset ${{net{card}/mac}} && param mac{card} ${{net{card}/mac}} || goto bootme")
    }));
    lines.join("\n")
}

/// Function keys and their codes in iPXE.
#[rustfmt::skip]
const FUNCTION_KEYS: &[(&str, &str)] = &[
    ("F5", "0x107e"), ("F6", "0x127e"), ("F7", "0x137e"), ("F8", "0x147e"),
    ("F9", "0x157e"), ("F10", "0x167e"), ("F11", "0x187e"), ("F12", "0x197e"),
    ("ESC", "0x1b"),
];

/// `CTRL` with each letter, then the function keys.
pub(super) fn keys() -> Vec<KeySequence> {
    let letters = ('A'..='Z')
        .zip(1..)
        .map(|(letter, code): (char, u8)| (format!("CTRL + {letter}"), format!("{code:#04x}")));
    let others = FUNCTION_KEYS
        .iter()
        .map(|(name, code)| ((*name).to_owned(), (*code).to_owned()));
    (1..)
        .zip(letters.chain(others))
        .map(|(id, (name, ascii))| KeySequence { id, name, ascii })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_codes_of_a_terminal() {
        let keys = keys();
        assert_eq!(keys.len(), 35);
        assert_eq!(
            (keys[0].name.as_str(), keys[0].ascii.as_str()),
            ("CTRL + A", "0x01")
        );
        assert_eq!(
            (keys[25].name.as_str(), keys[25].ascii.as_str()),
            ("CTRL + Z", "0x1a")
        );
        assert_eq!((keys[34].id, keys[34].ascii.as_str()), (35, "0x1b"));
    }
}
