//! The controller's certificate authority: who is who on the link, on QUIC and on HTTPS.
//!
//! What a certificate's holder may do follows from one thing, the URI in its subject alternative names
//! ([`CertificateName`](foghorn_types::CertificateName)). So names are always ours: of a request only the public key is used,
//! after its signature has shown that the asker holds the private one.
//!
//! Parts: [`authority`] keeps the key on disk, [`issue`] makes certificates, [`server`] builds the controller's own TLS
//! configurations whose certificates renew by themselves, [`peer`] reads the name of whoever connected.
//! Not here: who may ask for a certificate (tokens, revocation), and the agents' and clients' side.

pub mod authority;
pub mod issue;
pub mod peer;
pub mod server;
mod terms;
#[cfg(test)]
mod tests;

pub use authority::{LoadTrustError, Trust};
pub use issue::{IssueError, Issued, IssuedServer, key_of_request};
pub use peer::{PeerNameError, peer_name};
pub use server::ServerConfigError;
pub use terms::{CLOCK_TOLERANCE, CONTROLLER_TLS_NAME, Lifetimes};
