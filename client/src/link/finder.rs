//! Who knows further sources, and what it takes to fetch from one.

use std::sync::Arc;

use foghorn_proto::http::FurtherRequest;
use foghorn_transport::{Hello, Identity, SessionKind, Source};

use super::best_first;
use crate::check_in::{CheckInError, Contact};

/// Knows storage nodes that serve a task beside the one that has it.
pub trait Finder: std::fmt::Debug + Send + Sync {
    /// Asks for so many, not for those whose certificates have these names; returns all that there
    /// are from now on, each with its addresses. Blocking.
    ///
    /// # Errors
    /// It cannot be asked, or knows none.
    fn find(&self, wanted: u8, without: &[String]) -> Result<Vec<Vec<Source>>, CheckInError>;
}

impl Finder for Contact {
    fn find(&self, wanted: u8, without: &[String]) -> Result<Vec<Vec<Source>>, CheckInError> {
        let request = FurtherRequest {
            wanted,
            without: without.to_vec(),
        };
        let nodes = self.further(&request)?;
        let nodes = nodes.iter();
        Ok(nodes
            .map(|node| best_first(&node.sources, self))
            .filter(|sources| !sources.is_empty())
            .collect())
    }
}

/// What it takes to fetch from a further source.
#[derive(Clone, Debug)]
pub struct Ways {
    pub finder: Arc<dyn Finder>,
    pub identity: Identity,
    pub hello: Hello,
    pub kind: SessionKind,
}
