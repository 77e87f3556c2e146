//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A 48-bit Ethernet address of one machine: never all zeros, never a group address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(inline)]
pub struct MacAddress(
    #[schemars(
        with = "String",
        regex(pattern = "^[0-9A-Fa-f][02468ACEace]([:-][0-9A-Fa-f]{2}){5}$")
    )]
    [u8; 6],
);

/// Text that is not the address of one machine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is not a MAC address: {why}")]
pub struct ParseMacError {
    text: String,
    why: &'static str,
}

impl MacAddress {
    /// The six bytes in the order in which they are sent.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for MacAddress {
    type Err = ParseMacError;

    /// Takes `aa:bb:cc:dd:ee:ff`, `aa-bb-cc-dd-ee-ff` and `aabb.ccdd.eeff`, upper or lower case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why| ParseMacError {
            text: text.to_owned(),
            why,
        };
        let trimmed = text.trim();
        let separator = trimmed
            .chars()
            .find(|c| !c.is_ascii_hexdigit())
            .ok_or_else(|| refuse("no separators"))?;
        let width = match separator {
            ':' | '-' => 2,
            '.' => 4,
            _ => return Err(refuse("separators are ':', '-' or '.'")),
        };
        let parts: Vec<&str> = trimmed.split(separator).collect();
        if parts.len() * width != 12
            || parts
                .iter()
                .any(|part| part.len() != width || !part.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            return Err(refuse("expected twelve hexadecimal digits"));
        }
        let digits = parts.concat();
        let mut octets = [0; 6];
        for (octet, place) in octets.iter_mut().zip((0..12).step_by(2)) {
            *octet = u8::from_str_radix(&digits[place..place + 2], 16)
                .map_err(|_| refuse("expected twelve hexadecimal digits"))?;
        }
        if octets == [0; 6] {
            return Err(refuse("all zeros"));
        }
        if octets[0] & 1 == 1 {
            return Err(refuse("a group address belongs to no single machine"));
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for MacAddress {
    /// Lower case with colons, the form FOG stores.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for MacAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_spellings_are_one_address() {
        for text in [
            "AA:bb:cc:00:01:02",
            "aa-bb-cc-00-01-02",
            "aabb.cc00.0102",
            " aa:bb:cc:00:01:02 ",
        ] {
            assert_eq!(
                text.parse::<MacAddress>().unwrap().to_string(),
                "aa:bb:cc:00:01:02"
            );
        }
    }

    #[test]
    fn what_names_no_single_machine_is_refused() {
        for text in [
            "",
            "aabbcc000102",
            "aa:bb:cc:00:01",
            "aa:bb:cc:00:01:0g",
            "00:00:00:00:00:00",
            "01:00:5e:00:00:01",
            "aa:bb-cc:00:01:02",
            "é:bb:cc:00:01:02",
        ] {
            assert!(text.parse::<MacAddress>().is_err(), "{text:?} was taken");
        }
    }
}
