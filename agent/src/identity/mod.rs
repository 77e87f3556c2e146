//! Who this node is: its name, its key, its certificate and the authority it trusts.
//!
//! A key is made on the node and never leaves it. [`enrol`] gets the first certificate, with a join
//! token or that of a service account; [`renew`] makes each later one, with a new key, long before the
//! present one expires. [`file`](self::file) keeps all of it in one file, so that key and certificate
//! cannot come apart in a crash.

mod authority;
mod certificate;
mod enrol;
mod file;
mod obtain;
mod renew;

pub use authority::{AuthorityError, fingerprint};
pub use certificate::CheckCertificateError;
pub use enrol::{EnrolError, enrol};
pub use file::{LoadIdentityError, SaveIdentityError, load};
pub(crate) use obtain::{ObtainError, obtain};
pub(crate) use renew::{RenewError, Renewal};

use std::time::Duration;

use foghorn_types::{NodeName, StorageNodeId, Timestamp};

/// A name, the key and certificate that prove it, and where to use them. `Debug` shows no key.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    pub node: NodeName,
    pub node_id: StorageNodeId,
    /// The authority's certificate; peers must chain to it.
    pub ca_pem: String,
    /// Leaf first, without the authority itself.
    pub chain_pem: String,
    pub key_pem: String,
    /// `host:port` of the controller's gRPC link.
    pub link_address: String,
    /// Name that the controller's certificate carries there.
    pub link_server_name: String,
    /// When this node received the certificate, by its own clock. The certificate's own beginning
    /// lies earlier, to forgive clocks, and would make a short-lived one look old at birth.
    pub received: Timestamp,
    pub expires: Timestamp,
}

impl NodeIdentity {
    /// When two thirds of the lifetime have passed: late enough not to be busy with it, early
    /// enough to survive days without a controller.
    #[must_use]
    pub fn renew_at(&self) -> Timestamp {
        let lifetime = self.expires.since(self.received);
        self.received + (lifetime * 2 / 3).max(Duration::from_secs(1))
    }

    /// The key material as the QUIC listener wants it.
    ///
    /// # Errors
    /// When it is not PEM, which only a damaged file explains.
    pub fn for_transport(
        &self,
    ) -> Result<foghorn_transport::Identity, foghorn_transport::IdentityError> {
        foghorn_transport::Identity::from_pem(&self.ca_pem, &self.chain_pem, &self.key_pem)
    }
}

impl std::fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeIdentity")
            .field("node", &self.node)
            .field("node_id", &self.node_id)
            .field("link_address", &self.link_address)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
