//! Names that appear in certificates and must therefore be harmless in every place a certificate
//! name goes.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{HostId, MachineUuid, TaskId};

/// Longest name of a host: it must also work as a NetBIOS name.
pub const LONGEST_HOST_NAME: usize = 15;

/// A text that cannot be the name of a host.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a host's name has 1 to {LONGEST_HOST_NAME} letters, digits and _!@#$%^()-'{{}}.~, found {0:?}"
)]
pub struct BadHostName(String);

/// Whether a host can have this name.
///
/// # Errors
/// [`BadHostName`].
pub fn check_host_name(name: &str) -> Result<(), BadHostName> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_!@#$%^()-'{}.~".contains(c);
    if !name.is_empty() && name.len() <= LONGEST_HOST_NAME && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(BadHostName(name.to_owned()))
    }
}

/// Name of a storage node: one DNS label (RFC 1123), 1–63 of `a-z`, `0-9` and inner `-`, lower
/// case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(inline)]
pub struct NodeName(
    #[schemars(regex(pattern = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"))] String,
);

/// A text that is not a node name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a node name: 1 to 63 letters, digits and inner hyphens")]
pub struct ParseNodeNameError(String);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a storage node on the machine, or the Kubernetes node or pod, with this name: dots,
    /// which no node name has, become hyphens.
    ///
    /// # Errors
    /// When the rest is no node name either.
    pub fn of_machine(name: &str) -> Result<Self, ParseNodeNameError> {
        name.trim().replace('.', "-").parse()
    }

    /// The name that the node's certificate carries and that its clients verify.
    #[must_use]
    pub fn tls_name(&self) -> String {
        format!("{}.node.foghorn.internal", self.0)
    }
}

impl FromStr for NodeName {
    type Err = ParseNodeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.to_ascii_lowercase();
        let fits = (1..=63).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if fits {
            Ok(Self(name))
        } else {
            Err(ParseNodeNameError(text.to_owned()))
        }
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Who a certificate of our authority names. Its text form is the one URI in the certificate's
/// subject alternative names; what the holder may do follows from it and from nothing else.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the variants say what their fields are")]
pub enum CertificateName {
    /// `foghorn://controller`
    Controller,
    /// `foghorn://node/NAME`
    Node(NodeName),
    /// `foghorn://client/host/7/task/42`: one host, for one task.
    Client { host: HostId, task: TaskId },
    /// `foghorn://device/UUID`: a machine after imaging.
    Device(MachineUuid),
}

/// A text that is not a name of a certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a name that the certificate authority issues")]
pub struct ParseCertificateNameError(String);

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => f.write_str("foghorn://controller"),
            Self::Node(name) => write!(f, "foghorn://node/{name}"),
            Self::Client { host, task } => write!(f, "foghorn://client/host/{host}/task/{task}"),
            Self::Device(uuid) => write!(f, "foghorn://device/{uuid}"),
        }
    }
}

impl FromStr for CertificateName {
    type Err = ParseCertificateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseCertificateNameError(text.to_owned());
        let path = text.strip_prefix("foghorn://").ok_or_else(refuse)?;
        let parts: Vec<&str> = path.split('/').collect();
        let name = match parts.as_slice() {
            ["controller"] => Self::Controller,
            ["node", name] => Self::Node(name.parse().map_err(|_| refuse())?),
            ["client", "host", host, "task", task] => Self::Client {
                host: host.parse().map_err(|_| refuse())?,
                task: task.parse().map_err(|_| refuse())?,
            },
            ["device", uuid] => Self::Device(uuid.parse().map_err(|_| refuse())?),
            _ => return Err(refuse()),
        };
        // One spelling per name: "node/A" and "task/07" must not be second ways to say the same.
        if name.to_string() == text {
            Ok(name)
        } else {
            Err(refuse())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificate_names_have_one_spelling() {
        for text in [
            "foghorn://controller",
            "foghorn://node/north-1",
            "foghorn://client/host/7/task/42",
            "foghorn://device/0a1b2c3d-0000-4000-8000-00000000000f",
        ] {
            assert_eq!(text.parse::<CertificateName>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "foghorn://node/A",
            "foghorn://client/host/07/task/1",
            "foghorn://client/host/0/task/1",
            "foghorn://device/0A1B2C3D-0000-4000-8000-00000000000F",
            "foghorn://device/1",
            "http://controller",
        ] {
            assert!(
                text.parse::<CertificateName>().is_err(),
                "{text:?} was taken"
            );
        }
    }

    #[test]
    fn a_node_name_is_one_dns_label() {
        assert_eq!(
            "DefaultMember".parse::<NodeName>().unwrap().tls_name(),
            "defaultmember.node.foghorn.internal"
        );
        for text in ["", "-a", "a-", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(text.parse::<NodeName>().is_err(), "{text:?} was taken");
        }
        let machine = NodeName::of_machine("IP-10-0-0-1.eu.example").unwrap();
        assert_eq!(machine.as_str(), "ip-10-0-0-1-eu-example");
        assert!(NodeName::of_machine("my_host").is_err());
    }
}
