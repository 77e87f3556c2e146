//! JSON bodies of enrolment and check-in: the few HTTPS calls that agents and clients make before
//! they hold a certificate.
//!
//! They live here and not in `rest-types` because both ends are ours and are released together.

use foghorn_types::{
    ByteCount, DiskPart, HostId, ImageId, MacAddress, ManifestId, NodeName, StorageNodeId, TaskId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the reason ends that a client gets (410) when it asks who serves a task that is complete.
pub const IS_COMPLETE: &str = "it is complete";

/// `GET`, no credentials: the certificate authority as PEM. Trusted only after its SHA-256 was
/// compared with the one in a token.
pub const CA_PATH: &str = "/foghorn/v1/ca";
/// `POST` [`EnrolRequest`] → [`EnrolResponse`].
pub const ENROL_PATH: &str = "/foghorn/v1/agents/enrol";
/// `POST` [`LookRequest`] → [`LookResponse`]: the task behind a boot token, which stays unused.
pub const LOOK_PATH: &str = "/foghorn/v1/clients/look";
/// `POST` [`CodeRequest`] → [`CodeResponse`]: a short code for a boot token.
pub const CODE_PATH: &str = "/foghorn/v1/clients/code";
/// `POST` [`CheckInRequest`] → [`CheckInResponse`].
pub const CHECK_IN_PATH: &str = "/foghorn/v1/clients/check-in";
/// `GET ?wait=SECONDS` with `Authorization: Bearer SESSION` → 200 [`Order`], 204 not yet, 410
/// [`Problem`] when the task has ended.
pub const ORDER_PATH: &str = "/foghorn/v1/clients/order";
/// `POST` [`UnreachedRequest`] with `Authorization: Bearer SESSION` → [`UnreachedResponse`]: a client
/// that gets no answer from the storage node of its order.
pub const UNREACHED_PATH: &str = "/foghorn/v1/clients/unreached";
/// `POST` [`FurtherRequest`] with `Authorization: Bearer SESSION` → [`FurtherResponse`]: a client that
/// would fetch its image from several storage nodes at once.
pub const FURTHER_PATH: &str = "/foghorn/v1/clients/further-sources";
/// Carries the W3C trace context (<https://www.w3.org/TR/trace-context/>).
pub const TRACEPARENT: &str = "traceparent";

/// A one-time join or boot token as people and boot scripts pass it on: `PREFIX.SECRET.CA`, where
/// `SECRET` is random and `CA` is the SHA-256 of the authority's certificate (DER), both base64url
/// without padding. So whoever holds a token also knows whom to trust.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    pub secret: String,
    pub ca_fingerprint: String,
}

/// Prefix of a token that lets one agent join.
pub const JOIN_PREFIX: &str = "fhj1";
/// Prefix of a token that lets many agents join, each under the name that it says.
pub const MANY_JOIN_PREFIX: &str = "fhm1";
/// Prefix of a token that lets one client check in for one task.
pub const BOOT_PREFIX: &str = "fhb1";
/// Prefix of a token that lets machines enrol after imaging.
pub const HOST_PREFIX: &str = "fhh1";

/// Length of the SHA-256 of an authority in a token.
const FINGERPRINT_LENGTH: usize = 43;

/// Why a text is not the token that was expected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum ParseTokenError {
    #[error("this is not a {expected} token: it should look like {expected}.SECRET.AUTHORITY")]
    Form { expected: &'static str },
    #[error("this is a {found}, where a {expected} is needed")]
    OtherKind {
        found: &'static str,
        expected: &'static str,
    },
    #[error(
        "the token is mistyped or not whole: its last part has {found} characters instead of {FINGERPRINT_LENGTH}"
    )]
    Length { found: usize },
    #[error("the token is mistyped: it contains {found:?}, which no token does")]
    Character { found: char },
}

/// What a token with this prefix is called.
const fn kind_of(prefix: &str) -> &'static str {
    match prefix.as_bytes() {
        b"fhj1" => "join token",
        b"fhm1" => "join token for many nodes",
        b"fhb1" => "boot token",
        b"fhh1" => "machine token",
        _ => "token",
    }
}

impl TokenText {
    /// # Errors
    /// When the text does not have the form `prefix.SECRET.CA`.
    pub fn parse(prefix: &'static str, text: &str) -> Result<Self, ParseTokenError> {
        match text.trim().split('.').collect::<Vec<_>>().as_slice() {
            [found, secret, ca] if *found == prefix && !secret.is_empty() && !ca.is_empty() => {
                Ok(Self {
                    secret: (*secret).to_owned(),
                    ca_fingerprint: (*ca).to_owned(),
                })
            }
            [
                found @ (JOIN_PREFIX | MANY_JOIN_PREFIX | BOOT_PREFIX | HOST_PREFIX),
                ..,
            ] if *found != prefix => Err(ParseTokenError::OtherKind {
                found: kind_of(found),
                expected: kind_of(prefix),
            }),
            _ => Err(ParseTokenError::Form { expected: prefix }),
        }
    }

    /// A token that a person has typed or copied: what cannot be one is refused before it is sent
    /// anywhere.
    ///
    /// # Errors
    /// As [`Self::parse`], and when a part has characters or a length that no token has.
    pub fn parse_typed(prefix: &'static str, text: &str) -> Result<Self, ParseTokenError> {
        let token = Self::parse(prefix, text)?;
        let strange = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let mut characters = token.secret.chars().chain(token.ca_fingerprint.chars());
        if let Some(found) = characters.find(strange) {
            return Err(ParseTokenError::Character { found });
        }
        match token.ca_fingerprint.len() {
            FINGERPRINT_LENGTH => Ok(token),
            found => Err(ParseTokenError::Length { found }),
        }
    }

    #[must_use]
    pub fn to_text(&self, prefix: &'static str) -> String {
        format!("{prefix}.{}.{}", self.secret, self.ca_fingerprint)
    }
}

/// A join token: of one node, whose name belongs to it, or for many nodes, which say their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinToken {
    pub token: TokenText,
    pub is_for_many: bool,
}

impl JoinToken {
    const fn prefix(&self) -> &'static str {
        prefix(self.is_for_many)
    }

    fn read(
        text: &str,
        parse: fn(&'static str, &str) -> Result<TokenText, ParseTokenError>,
    ) -> Result<Self, ParseTokenError> {
        let first = text.trim().split('.').next();
        let is_for_many = first == Some(MANY_JOIN_PREFIX);
        let token = parse(prefix(is_for_many), text)?;
        Ok(Self { token, is_for_many })
    }

    /// # Errors
    /// As [`TokenText::parse`].
    pub fn parse(text: &str) -> Result<Self, ParseTokenError> {
        Self::read(text, TokenText::parse)
    }

    /// # Errors
    /// As [`TokenText::parse_typed`].
    pub fn parse_typed(text: &str) -> Result<Self, ParseTokenError> {
        Self::read(text, TokenText::parse_typed)
    }

    #[must_use]
    pub fn to_text(&self) -> String {
        self.token.to_text(self.prefix())
    }
}

const fn prefix(is_for_many: bool) -> &'static str {
    if is_for_many {
        MANY_JOIN_PREFIX
    } else {
        JOIN_PREFIX
    }
}

/// An agent that requests enrolment.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The complete join token; empty where a service-account token is given in its place.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub join_token: String,
    /// PKCS#10 as PEM; only its public key is used, the names are the controller's choice.
    pub csr_pem: String,
    /// Name of the storage node, where the token does not belong to one: with a join token for many
    /// nodes, and with a service-account token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<NodeName>,
    /// Token of a Kubernetes service account, for the audience that the controller expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<String>,
}

/// What an agent needs to connect.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EnrolResponse {
    /// Name of the storage node.
    pub node: NodeName,
    /// Number of the storage node.
    pub node_id: StorageNodeId,
    /// Certificates as PEM, the agent's own first, without the authority's.
    pub chain_pem: String,
    /// `host:port` of the controller's gRPC link.
    pub link_address: String,
    /// Name that the controller's certificate carries on the link.
    pub link_server_name: String,
}

/// A machine at which somebody has typed a short code. The code itself is not sent, and what is sent
/// tells nothing about it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRequest {
    /// Address of the machine.
    pub mac: MacAddress,
    /// First message of SPAKE2 (Ed25519, side A), base64url without padding.
    pub message: String,
}

/// The boot token of a machine, for whoever knows the code.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CodeResponse {
    /// Second message of SPAKE2 (side B), base64url without padding.
    pub message: String,
    /// The boot token, encrypted with the key of the exchange (ChaCha20-Poly1305), base64url without
    /// padding.
    pub sealed: String,
}

/// A machine that has booted to be imaged and wants to know first whether it can do its task.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookRequest {
    /// Address of the machine.
    pub mac: MacAddress,
    /// The complete boot token. It is not used up.
    pub boot_token: String,
    /// As at check-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options_for: Option<OptionsFor>,
}

/// What a machine must have for its task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LookResponse {
    /// Number of the task.
    pub task: TaskId,
    /// Name of the host.
    pub host_name: String,
    /// Name of the image.
    pub image_name: String,
    /// What the task does.
    pub kind: OptionsFor,
    /// What of the disk is read or written.
    pub part: DiskPart,
    /// Whether the task may be about several disks.
    pub several: bool,
    /// The host's rule for its disk, or its rules for several, if it has one.
    pub disk_rule: Option<String>,
    /// The disks that an image needs that is to be written whole. Empty for other tasks.
    pub needs: Vec<NeededDisk>,
}

/// A disk that an image needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NeededDisk {
    /// Smallest size in bytes.
    pub at_least: ByteCount,
    /// Largest size in bytes: that of the captured disk, where the image is tied to it.
    pub at_most: Option<ByteCount>,
}

/// A machine that has booted to be imaged.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckInRequest {
    /// Address of the machine.
    pub mac: MacAddress,
    /// The complete boot token.
    pub boot_token: String,
    /// PKCS#10 as PEM; only its public key is used.
    pub csr_pem: String,
    /// Name and version of the client's software.
    pub software: String,
    /// The kind of task that the client's options are for, if they have an effect on one kind only.
    /// A task of the other kind refuses the check-in (409), and the token is not used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options_for: Option<OptionsFor>,
    /// What the machine is made of, as far as the client can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Hardware>,
}

/// What options of a client have an effect on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OptionsFor {
    /// Reading a disk into an image.
    Capture,
    /// Writing an image to a disk.
    Deploy,
}

impl OptionsFor {
    /// The kind of task, as a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Deploy => "deploy",
        }
    }
}

/// Hardware of a machine as reported by its firmware and kernel. Unknown values are empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hardware {
    /// The machine as a whole.
    pub system: Part,
    /// Type of the case by its number in the SMBIOS specification, such as 3 for a desktop.
    pub chassis_type: String,
    /// UUID in the firmware.
    pub system_uuid: String,
    /// The firmware.
    pub bios: Part,
    /// As the firmware writes it, usually `MM/DD/YYYY`.
    pub bios_date: String,
    /// The main board.
    pub board: Part,
    /// The case.
    pub chassis: Part,
    /// The first processor.
    pub cpu: Part,
    /// Current clock rate in MHz.
    pub cpu_mhz: String,
    /// Highest clock rate in MHz.
    pub cpu_most_mhz: String,
    /// Main memory available to the kernel, in KiB.
    pub memory_kib: u64,
    /// The disk that a task would use first.
    pub disk: Part,
}

/// One part of a machine.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Part {
    /// Manufacturer.
    pub maker: String,
    /// Product, model or version, whichever identifies the kind of the part.
    pub model: String,
    /// Version of hardware or firmware.
    pub version: String,
    /// Serial number.
    pub serial: String,
    /// Inventory number assigned by the owner.
    pub asset: String,
}

/// The identity of the machine, and its certificate.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct CheckInResponse {
    /// Number of the host.
    pub host: HostId,
    /// Name of the host.
    pub host_name: String,
    /// Number of its task.
    pub task: TaskId,
    /// Certificates as PEM, the client's own first, without the authority's.
    pub chain_pem: String,
    /// Bearer with which the client asks for its order; good as long as the certificate.
    pub session: String,
    /// The order; absent while the task still waits for a storage node.
    pub order: Option<Order>,
}

/// What the client is to do, and where.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// Number of the task.
    pub task: TaskId,
    /// What to do.
    pub kind: OrderKind,
    /// Number of the image.
    pub image: ImageId,
    /// Name of the image.
    pub image_name: String,
    /// Storage nodes that can serve the task, best first. Never empty.
    pub sources: Vec<Source>,
    /// The host's rule for its disk, or its rules for several (FOG calls the field `kernelDevice`), if
    /// it has one.
    pub disk_rule: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// A machine token: once the disk is written and verified, the client enrols with it as this host and puts
    /// the identity on the disk. Absent: the deploy ends before that. Clients that do not know it do as if it
    /// were absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_token: Option<String>,
}

/// What a client is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
#[schemars(inline)]
pub enum OrderKind {
    /// Write an image to the disk.
    Deploy {
        /// BLAKE3 of the image's manifest.
        manifest: ManifestId,
    },
    /// Write a part of an image to the same part of the disk, and nothing else. A client that does
    /// not know this kind refuses the order, where it would otherwise write the whole disk.
    DeployPart {
        /// BLAKE3 of the image's manifest.
        manifest: ManifestId,
        /// What is written.
        part: DiskPart,
    },
    /// Read the disk into an image.
    Capture,
    /// Read the disk into an image, in another way than the usual one.
    CapturePart {
        /// What is read.
        part: DiskPart,
        /// Take every block that is not zero, whatever file systems say is in use.
        raw: bool,
    },
    /// Read the disks that the rules name, one or more, into one image. A client that does not know
    /// this kind refuses the order, where it would otherwise read one disk.
    CaptureDisks,
}

impl OrderKind {
    /// To write `part` of an image.
    #[must_use]
    pub fn deploy(manifest: ManifestId, part: DiskPart) -> Self {
        if part.is_everything() {
            Self::Deploy { manifest }
        } else {
            Self::DeployPart { manifest, part }
        }
    }

    /// To read `part` of a disk.
    #[must_use]
    pub fn capture(part: DiskPart, raw: bool) -> Self {
        if part.is_everything() && !raw {
            Self::Capture
        } else {
            Self::CapturePart { part, raw }
        }
    }

    /// The image to write; `None` for a capture.
    #[must_use]
    pub fn manifest(self) -> Option<ManifestId> {
        match self {
            Self::Deploy { manifest } | Self::DeployPart { manifest, .. } => Some(manifest),
            Self::Capture | Self::CapturePart { .. } | Self::CaptureDisks => None,
        }
    }

    /// Which options have an effect on it.
    #[must_use]
    pub fn options(self) -> OptionsFor {
        match self.manifest() {
            Some(_) => OptionsFor::Deploy,
            None => OptionsFor::Capture,
        }
    }

    /// What of the disk is read or written.
    #[must_use]
    pub fn part(self) -> DiskPart {
        match self {
            Self::Deploy { .. } | Self::Capture | Self::CaptureDisks => DiskPart::Everything,
            Self::DeployPart { part, .. } | Self::CapturePart { part, .. } => part,
        }
    }

    /// Whether a capture may be of several disks.
    #[must_use]
    pub fn is_of_disks(self) -> bool {
        self == Self::CaptureDisks
    }

    /// Whether a capture takes every block that is not zero.
    #[must_use]
    pub fn is_raw(self) -> bool {
        matches!(self, Self::CapturePart { raw: true, .. })
    }
}

/// A storage node that can serve a task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// `host:port`, UDP.
    pub address: String,
    /// Name to verify in the agent's certificate.
    pub server_name: String,
}

/// A client that reaches the controller and not the storage node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnreachedRequest {
    /// The address of the order that does not answer: `host:port`, UDP.
    #[schemars(length(max = 255))]
    pub address: String,
    /// Whether the client tries no longer: the task fails.
    #[serde(default)]
    pub gave_up: bool,
}

/// What the controller knows about that storage node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnreachedResponse {
    /// Its name.
    pub node: NodeName,
    /// Whether its agent is connected to a controller. If it is, something between the machine and
    /// the node drops UDP.
    pub online: bool,
}

/// A client that would fetch its image from several storage nodes at once, because the way to the one
/// that has its task limits it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FurtherRequest {
    /// How many nodes it would use beside the one that has the task; 0 gives all of them back.
    pub wanted: u8,
    /// Nodes that were of no use to it, by the names in their certificates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub without: Vec<String>,
}

/// The storage nodes that serve the client beside the one that has its task. They do so as long as
/// nobody waits for their places.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FurtherResponse {
    /// Fewer than wanted, or none, when no others of the site can.
    pub nodes: Vec<FurtherNode>,
}

/// A storage node that serves a client beside the one that has its task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct FurtherNode {
    /// Its name.
    pub node: NodeName,
    /// Its addresses, best first. Never empty.
    pub sources: Vec<Source>,
}

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What is wrong.
    pub error: String,
    /// The field that is at fault, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_refused_under_another_prefix() {
        let token = TokenText {
            secret: "s3cret".into(),
            ca_fingerprint: "abc".into(),
        };
        let text = token.to_text(JOIN_PREFIX);
        assert_eq!(TokenText::parse(JOIN_PREFIX, &text).unwrap(), token);
        assert!(TokenText::parse(BOOT_PREFIX, &text).is_err());
        assert!(TokenText::parse(JOIN_PREFIX, "fhj1.only").is_err());
    }

    #[test]
    fn a_join_token_says_whether_it_is_for_many() {
        for (text, is_for_many) in [("fhj1.s.abc", false), (" fhm1.s.abc\n", true)] {
            let token = JoinToken::parse(text).unwrap();
            assert_eq!(token.is_for_many, is_for_many);
            assert_eq!(token.to_text(), text.trim());
        }
        assert_eq!(
            JoinToken::parse("fhb1.s.abc").unwrap_err().to_string(),
            "this is a boot token, where a join token is needed"
        );
        assert!(JoinToken::parse_typed("fhm1.s.abc").is_err(), "too short");
        assert_eq!(
            TokenText::parse(HOST_PREFIX, "fhj1.s.abc")
                .unwrap_err()
                .to_string(),
            "this is a join token, where a machine token is needed"
        );
    }

    #[test]
    fn a_typing_error_is_seen_before_anything_is_sent() {
        let typed = |text: &str| TokenText::parse_typed(BOOT_PREFIX, text);
        let authority = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";
        assert!(typed(&format!(" fhb1.secret.{authority}\n")).is_ok());
        assert_eq!(
            typed(&format!("fhj1.secret.{authority}"))
                .unwrap_err()
                .to_string(),
            "this is a join token, where a boot token is needed"
        );
        assert_eq!(
            typed(&format!("fhb1.secret.{}", &authority[1..])),
            Err(ParseTokenError::Length { found: 42 })
        );
        assert_eq!(
            typed(&format!("fhb1.sec ret.{authority}")),
            Err(ParseTokenError::Character { found: ' ' })
        );
    }
}
