//! What the tests put around a real agent: an authority, the controller's end of the wire, clients,
//! images.

pub mod authority;
pub mod client;
pub mod controller;
pub mod enrolment;
pub mod image;

use std::sync::OnceLock;
use std::time::Duration;

use foghorn_agent::{Agent, Config, Timing};
use foghorn_proto::http::JoinToken;
use tempfile::TempDir;

use controller::Controller;

/// Longest wait for anything; a healthy run needs a fraction of it, a loaded machine a little more.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that enrolled with a test controller and has its link up.
pub struct Node {
    pub agent: Agent,
    pub controller: Controller,
    pub folder: TempDir,
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(Controller::start(Duration::from_secs(3600)).await, |_| {}).await
    }

    pub async fn start_with(controller: Controller, adjust: impl FnOnce(&mut Config)) -> Self {
        log_if_asked();
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(&controller, &folder);
        adjust(&mut config);
        let agent = Agent::start(config).await.unwrap();
        controller.wait_for_links(1).await;
        Self {
            agent,
            controller,
            folder,
        }
    }

    /// Stops the agent and starts it again on the same folder.
    pub async fn restart(self) -> Self {
        self.restart_after(|_| {}, |_| {}).await
    }

    /// The same, with something done to its folder meanwhile and to its configuration.
    pub async fn restart_after(
        self,
        meanwhile: impl FnOnce(&std::path::Path),
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let Self {
            agent,
            controller,
            folder,
        } = self;
        agent.shutdown().await;
        meanwhile(folder.path());
        let links = controller.links();
        let mut config = config(&controller, &folder);
        adjust(&mut config);
        let agent = Agent::start(config).await.unwrap();
        controller.wait_for_links(links + 1).await;
        Self {
            agent,
            controller,
            folder,
        }
    }
}

pub fn config(controller: &Controller, folder: &TempDir) -> Config {
    Config {
        controller: Some(controller.url().parse().unwrap()),
        join_token: Some(JoinToken {
            token: controller.join_token(),
            is_for_many: false,
        }),
        listen: ([127, 0, 0, 1], 0).into(),
        timing: Timing {
            status_every: Duration::from_millis(300),
            progress_every: Duration::from_millis(100),
            heal_within: Duration::from_secs(6),
            redial: (Duration::from_millis(20), Duration::from_millis(200)),
            ..Timing::default()
        },
        ..Config::new(folder.path())
    }
}

/// Logs to standard error when `FOGHORN_LOG` is set, for whoever looks into a failure.
fn log_if_asked() {
    static GUARD: OnceLock<Option<foghorn_telemetry::Guard>> = OnceLock::new();
    GUARD.get_or_init(|| {
        std::env::var_os(foghorn_telemetry::LOG_VARIABLE)?;
        foghorn_telemetry::init("foghorn-agent-tests", None).ok()
    });
}

/// Polls until `check` gives something; the condition is the wait.
pub async fn eventually<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = check().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what}"))
}
