//! A Kubernetes cluster whose word counts: whose service-account token is it ([`review`]), and which
//! names may he have ([`rules`])?
//!
//! Whoever can reach the controller can have it ask the API server, so it asks only a few times at
//! once, and not for long.

mod call;
pub mod review;
pub mod rules;

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::NodeName;
use tokio::sync::Semaphore;

use self::call::Call;
pub use self::review::{Pod, ReviewError};
pub use self::rules::{Granted, NotAllowed};
use crate::config::KubernetesConfig;

/// Reviews at a time.
const AT_ONCE: usize = 8;
/// How long one waits for its turn. A whole DaemonSet may start at once.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// Tokens of service accounts have some 1000 characters.
const LONGEST_TOKEN: usize = 16 << 10;

/// See the module.
pub struct Cluster {
    config: KubernetesConfig,
    turns: Arc<Semaphore>,
}

impl Cluster {
    #[must_use]
    pub fn new(config: KubernetesConfig) -> Self {
        Self {
            config,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks the API server whose token this is.
    ///
    /// # Errors
    /// See [`ReviewError`].
    pub async fn review(&self, token: &str) -> Result<Pod, ReviewError> {
        let token = token.trim();
        let is_one = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > LONGEST_TOKEN || !is_one(token) {
            return Err(ReviewError::NoToken);
        }
        let turn = tokio::time::timeout(TURN_WITHIN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ReviewError::Busy);
        };
        let call = Call::new(&self.config, token);
        let answer = tokio::task::spawn_blocking(move || {
            // As long as the call lasts: whoever wanted it may have hung up.
            let _turn = turn;
            call.send()
        })
        .await;
        let answer = answer.map_err(|_| ReviewError::Aborted)??;
        review::read(&answer, &self.config.audience)
    }

    /// What the configuration grants a pod that asks for this name.
    ///
    /// # Errors
    /// See [`NotAllowed`].
    pub fn grant(&self, pod: &Pod, name: &NodeName) -> Result<Granted, NotAllowed> {
        rules::grant(&self.config.allowed, pod, name)
    }
}
