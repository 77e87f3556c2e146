//! Names of machine identities.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// By which a machine is told from all others: the common name of its certificate. Two spellings of
/// one UUID are the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineUuid(u128);

/// A text that is not a UUID.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is not a UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12 with hyphens between them"
)]
pub struct ParseMachineUuidError(String);

/// Digits in each group.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl MachineUuid {
    /// The UUID with these 128 bits.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Whether it tells one machine from others: firmware without a UUID shows all zeros or all ones.
    #[must_use]
    pub const fn is_real(self) -> bool {
        self.0 != 0 && self.0 != u128::MAX
    }
}

impl FromStr for MachineUuid {
    type Err = ParseMachineUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_group = |(group, length): (&str, &usize)| {
            group.len() == *length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let groups: Vec<&str> = text.split('-').collect();
        let is_uuid =
            groups.len() == GROUPS.len() && groups.iter().copied().zip(&GROUPS).all(is_group);
        let bits = u128::from_str_radix(&groups.concat(), 16);
        match bits {
            Ok(bits) if is_uuid => Ok(Self(bits)),
            _ => Err(ParseMachineUuidError(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for MachineUuid {
    /// In lower case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let mut rest = digits.as_str();
        for (number, length) in GROUPS.into_iter().enumerate() {
            let (group, after) = rest.split_at(length);
            f.write_str(if number == 0 { "" } else { "-" })?;
            f.write_str(group)?;
            rest = after;
        }
        Ok(())
    }
}

impl fmt::Debug for MachineUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MachineUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MachineUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_in_any_case_and_written_in_one() {
        let text = "0A1b2c3d-0000-4000-8000-00000000000f";
        let uuid: MachineUuid = text.parse().unwrap();
        assert_eq!(uuid.to_string(), text.to_lowercase());
        assert_eq!(uuid.to_string().parse(), Ok(uuid));
    }

    #[test]
    fn zeros_and_ones_tell_no_machine_from_another() {
        let real = |bits| MachineUuid::from_bits(bits).is_real();
        assert!(!real(0) && !real(u128::MAX) && real(1));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "device-1",
            "0a1b2c3d00004000800000000000000f",
            "0a1b2c3d-0000-4000-8000-00000000000",
            "0a1b2c3d-0000-4000-8000-00000000000g",
            "0a1b2c3d-000-04000-8000-00000000000f",
            "+a1b2c3d-0000-4000-8000-00000000000f",
            "0a1b2c3d-0000-4000-8000-00000000000f-",
        ] {
            assert!(text.parse::<MachineUuid>().is_err(), "{text}");
        }
    }
}
