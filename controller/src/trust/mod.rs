//! The controller's certificate authority: it identifies the parties on the link, on QUIC and on
//! HTTPS.
//!
//! What a certificate's holder may do follows from one thing, the URI in its subject alternative
//! names ([`CertificateName`](foghorn_types::CertificateName)). The controller therefore chooses
//! all names: of a request only the public key is used, after its signature has proved that the
//! requester has the private key.
//!
//! Parts: [`authority`] is the key, [`keeping`] says where it is, [`pem`] reads it, [`issue`] issues certificates, [`device`] those of devices, `token` signs what others check, [`server`] builds
//! the controller's own TLS configurations with automatically renewed certificates, [`peer`] reads
//! the name of a connected peer. Not here: who may request a certificate (tokens, revocation), and
//! the side of agents and clients.

pub mod authority;
pub mod device;
pub mod issue;
pub mod keeping;
pub mod peer;
pub mod pem;
mod seal;
pub mod server;
mod terms;
#[cfg(test)]
mod tests;
mod token;

pub use authority::Trust;
pub use device::{
    DeviceCertificate, DeviceCertificateError, DeviceName, DeviceRequest, DeviceRequestError,
};
pub use issue::{IssueError, Issued, IssuedServer, key_of_certificate, key_of_request};
pub use keeping::{Keeping, KeySource, StoreKey, StoreKeyError};
pub use peer::{PeerCertificate, PeerNameError, peer_name};
pub use pem::{AuthorityPem, LoadTrustError, PemError};
pub use seal::SealError;
pub use server::{ServerConfigError, ServerNames};
pub use terms::{CLOCK_TOLERANCE, CONTROLLER_TLS_NAME, Lifetimes};
pub use token::{TokenKey, TokenSignError};
