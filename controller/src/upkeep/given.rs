//! Follows files with credentials that are given, while the controller runs.

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::given::{Credentials, Observer, ReadGivenError, TakeOverError, read, take_over};
use crate::background::{Report, Rhythm, Why, Work};
use crate::config::GivenCredentials;
use crate::ctx::Ctx;

/// How often the files are read. A change is taken over when two readings in a row agree: an editor
/// may be half-way.
const PERIOD: Duration = Duration::from_secs(3);

/// What is followed.
pub(crate) struct Following {
    pub(crate) given: GivenCredentials,
    /// What was there at the start.
    pub(crate) seen: Credentials,
    /// Whether no other controller has the store.
    pub(crate) is_alone: bool,
}

/// Looks every few seconds until `cancel`.
pub(crate) async fn run(ctx: Arc<Ctx>, what: Following, cancel: CancellationToken) {
    let rhythm = Rhythm {
        name: "given credentials",
        period: PERIOD,
        wakes: Vec::new(),
    };
    let background = ctx.background.clone();
    let work = Follow {
        ctx,
        what,
        coming: None,
        trouble: None,
    };
    background.drive(rhythm, work, cancel).await;
}

struct Follow {
    ctx: Arc<Ctx>,
    what: Following,
    /// What the last reading has found, if it is not what was seen before.
    coming: Option<Credentials>,
    /// What was complained about last, so that it is said once.
    trouble: Option<String>,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("could not read the credentials that are given")]
    Read(#[from] ReadGivenError),
    #[error("could not take over the credentials that are given")]
    TakeOver(#[from] TakeOverError),
    #[error("the reading was broken off")]
    Broken(#[from] tokio::task::JoinError),
}

impl Work for Follow {
    async fn round(&mut self, _: Why, report: &mut Report) {
        match self.look(report).await {
            Ok(()) => self.trouble = None,
            Err(error) => {
                let text = chain(&error).to_string();
                if self.trouble.as_ref() != Some(&text) {
                    warn!(error = text, "given credentials stay as they are");
                    self.trouble = Some(text);
                }
                report.failed("follow given credentials", &error);
            }
        }
    }
}

impl Follow {
    async fn look(&mut self, report: &mut Report) -> Result<(), RoundError> {
        let given = self.what.given.clone();
        let now = tokio::task::spawn_blocking(move || read(&given)).await??;
        if now == self.what.seen {
            self.coming = None;
            return Ok(());
        }
        if self.coming.as_ref() != Some(&now) {
            self.coming = Some(now);
            return Ok(());
        }
        let observer = Observer {
            seen: Some(&self.what.seen),
            is_alone: self.what.is_alone,
        };
        let done = take_over(&self.ctx.state, &now, observer).await?;
        for what in &done.taken {
            info!(user = now.user, what, "a given credential was taken over");
        }
        report.did("given credentials taken over", done.taken.len() as u64);
        self.what.seen = now;
        self.coming = None;
        Ok(())
    }
}
