//! Remote actions: programs of the image that an operator starts once on a device, by a config file of their own.

/// Begin of the name of the config file that starts an action.
pub const ONE_SHOT_PREFIX: &str = "fioconfig-oneshot-";
/// Name of the handler of such a file, in the folder of handlers.
pub const ONE_SHOT_HANDLER: &str = "fioconfig-oneshot";
/// Name of the config file by which a device tells which actions it has.
pub const ACTIONS_FILE: &str = "fio-remote-actions";

/// What a config file orders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OneShot {
    /// An action runs once for each of these; also the id under which its result is reported.
    pub id: String,
    /// Whether its output is reported.
    pub capture: bool,
}

/// Why a file orders nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadOneShot {
    #[error("{0:?} cannot be the name of an action: it must be that of a file")]
    Action(String),
    #[error("the file has no line COMMAND_ID=…")]
    NoId,
    #[error("COMMAND_ID={0:?} has not 15 to 48 letters, digits, - and _")]
    Id(String),
}

impl OneShot {
    /// Reads the lines of a file. Others than `COMMAND_ID=` and `COMMAND_CAPTURE=` are passed over; of equal ones, the last
    /// counts.
    ///
    /// # Errors
    /// When there is no id that can be one.
    pub fn read(text: &str) -> Result<Self, BadOneShot> {
        let (mut id, mut capture) = (None, false);
        for line in text.lines().map(str::trim) {
            if let Some(value) = line.strip_prefix("COMMAND_ID=") {
                id = Some(value);
            } else if let Some(value) = line.strip_prefix("COMMAND_CAPTURE=") {
                capture = value == "1";
            }
        }
        let id = id.ok_or(BadOneShot::NoId)?.to_owned();
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if (15..=48).contains(&id.len()) && id.bytes().all(is_allowed) {
            Ok(Self { id, capture })
        } else {
            Err(BadOneShot::Id(id))
        }
    }
}

/// Whether this can be the name of an action: that of a file which is not hidden.
///
/// # Errors
/// When not.
pub fn check_action(name: &str) -> Result<(), BadOneShot> {
    let is_control = name.chars().any(char::is_control);
    if name.is_empty() || name.starts_with('.') || name.contains(['/', ',']) || is_control {
        Err(BadOneShot::Action(name.to_owned()))
    } else {
        Ok(())
    }
}

/// The content of [`ACTIONS_FILE`]: sorted, and without what cannot be an action.
#[must_use]
pub fn actions_list(mut names: Vec<String>) -> String {
    names.retain(|name| check_action(name).is_ok());
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_an_id_and_may_want_the_output() {
        let read = OneShot::read("COMMAND_ID=reboot_0123456789\nCOMMAND_CAPTURE=1\nX=y\n").unwrap();
        assert_eq!(
            (read.id.as_str(), read.capture),
            ("reboot_0123456789", true)
        );
        let quiet = OneShot::read("COMMAND_ID=reboot_0123456789\r\nCOMMAND_CAPTURE=0").unwrap();
        assert!(!quiet.capture);
        assert_eq!(OneShot::read("COMMAND_CAPTURE=1"), Err(BadOneShot::NoId));
        for id in ["", "short", "reboot_012345678/", &"x".repeat(49)] {
            let error = OneShot::read(&format!("COMMAND_ID={id}")).unwrap_err();
            assert_eq!(error, BadOneShot::Id(id.to_owned()));
        }
    }

    #[test]
    fn an_action_is_a_file_of_its_folder() {
        for name in ["reboot", "re-image_2"] {
            assert!(check_action(name).is_ok());
        }
        for name in ["", ".", "..", "../sh", "a/b", "a,b", "a\n"] {
            assert!(check_action(name).is_err(), "{name:?}");
        }
        let names = ["reboot", "reimage", ".hidden", "a,b", "reboot"].map(str::to_owned);
        assert_eq!(actions_list(names.into()), "reboot,reimage");
    }
}
