//! Names of devices, device groups and tags. Pure.

use foghorn_types::MachineUuid;

/// Longest name, in bytes.
pub const LONGEST: usize = 80;

/// A text that cannot be a name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadName {
    #[error("a name must not be empty")]
    Empty,
    #[error("a name has at most {LONGEST} bytes")]
    Long,
    #[error("{0:?} has a slash, a control character, or a space at an end")]
    Sign(String),
    #[error("{0:?} is a step between folders, not a name")]
    Dots(String),
    #[error("{0} is a UUID, which would be taken for that of another device")]
    Uuid(MachineUuid),
    #[error("{0:?} has a comma, which ends a tag")]
    Comma(String),
}

/// Whether the name can be part of a path.
///
/// # Errors
/// [`BadName`]
pub fn check(name: &str) -> Result<(), BadName> {
    let is_bad = |char: char| char == '/' || char.is_control();
    match name {
        "" => Err(BadName::Empty),
        "." | ".." => Err(BadName::Dots(name.to_owned())),
        _ if name.len() > LONGEST => Err(BadName::Long),
        _ if name.trim() != name || name.contains(is_bad) => Err(BadName::Sign(name.to_owned())),
        _ => Ok(()),
    }
}

/// Whether the device may be called so: devices are also asked for by UUID.
///
/// # Errors
/// [`BadName`]
pub fn check_of_device(name: &str, own: MachineUuid) -> Result<(), BadName> {
    check(name)?;
    match name.parse::<MachineUuid>() {
        Ok(uuid) if uuid != own => Err(BadName::Uuid(uuid)),
        _ => Ok(()),
    }
}

/// Whether it can be a tag: devices send several with commas between them.
///
/// # Errors
/// [`BadName`]
pub fn check_tag(tag: &str) -> Result<(), BadName> {
    check(tag)?;
    match tag.contains(',') {
        true => Err(BadName::Comma(tag.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_part_of_a_path_and_no_uuid_of_another() {
        let uuid = MachineUuid::from_bits(7);
        for name in ["device-1", "Raum 3 · Büro", &uuid.to_string()] {
            assert_eq!(check_of_device(name, uuid), Ok(()), "{name}");
        }
        let long = "x".repeat(LONGEST + 1);
        for name in ["", ".", "..", " a", "a/b", "a\nb", &long] {
            assert!(check(name).is_err(), "{name:?}");
        }
        let other = MachineUuid::from_bits(8);
        let refused = check_of_device(&other.to_string(), uuid);
        assert_eq!(refused, Err(BadName::Uuid(other)));
        assert!(check_tag("lab-stable").is_ok() && check_tag("a,b").is_err());
    }
}
