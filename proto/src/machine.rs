//! JSON bodies of the enrolment of machines after imaging.

use foghorn_types::{HostId, MachineUuid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST` [`MachineEnrolRequest`] → [`MachineEnrolResponse`].
pub const MACHINE_ENROL_PATH: &str = "/foghorn/v1/machines/enrol";

/// A machine that asks for its certificate.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineEnrolRequest {
    /// The complete machine token.
    pub token: String,
    /// PKCS#10 as PEM with a key on P-256; only its public key is used.
    pub csr_pem: String,
    /// What the device is to be called; default: its host's name, or its UUID. A machine that is a host is called
    /// as that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// UUID in the firmware, which the device gets if it is free. Without it, the UUID follows from the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub hardware_uuid: Option<MachineUuid>,
    /// Absolute path of the folder in which the machine keeps its files; default: `/var/sota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// What a machine keeps, beside its key and the authority that its token names.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MachineEnrolResponse {
    /// UUID of the device.
    #[schemars(with = "String")]
    pub uuid: MachineUuid,
    /// Name of its factory, which is a storage group.
    pub factory: String,
    /// The host that it is; null for none.
    pub host: Option<HostId>,
    /// Certificates as PEM, the machine's own first, without the authority's.
    pub chain_pem: String,
    /// Settings of its update agent.
    pub sota_toml: String,
}
