//! Backs up the embedded store by itself.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::background::{Report, Rhythm, Why, Work};
use crate::backups::{BackupError, Kind};
use crate::config::BackupConfig;
use crate::ctx::Ctx;

/// How often to look whether one is due.
const PERIOD: Duration = Duration::from_secs(60);

/// Looks once a minute until `cancel`. The first backup is made at the first start.
pub(crate) async fn run(ctx: Arc<Ctx>, wanted: BackupConfig, cancel: CancellationToken) {
    let Some(every) = wanted.every else { return };
    let rhythm = Rhythm {
        name: "backup",
        period: PERIOD,
        wakes: Vec::new(),
    };
    let background = ctx.background.clone();
    let keep = wanted.keep;
    let work = BackUp { ctx, every, keep };
    background.drive(rhythm, work, cancel).await;
}

struct BackUp {
    ctx: Arc<Ctx>,
    every: Duration,
    keep: usize,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("could not read or tidy the folder of backups")]
    Folder(#[from] io::Error),
    #[error("could not back up the store")]
    Backup(#[from] BackupError),
}

impl Work for BackUp {
    async fn round(&mut self, _: Why, report: &mut Report) {
        if let Err(error) = self.make_one_if_due(report).await {
            warn!(error = %chain(&error), "no backup of the store was made");
            report.failed("back up the store", &error);
        }
    }
}

impl BackUp {
    async fn make_one_if_due(&self, report: &mut Report) -> Result<(), RoundError> {
        let (backups, now) = (&self.ctx.backups, Timestamp::now());
        if !backups.is_due(self.every, now)? {
            return Ok(());
        }
        let made = backups.make(Kind::Scheduled, now).await?;
        info!(path = %made.path.display(), size = %made.size, "the store was backed up");
        report.did("backups made", 1);
        let old = backups.forget_old(self.keep)?;
        report.did("old backups removed", old as u64);
        Ok(())
    }
}
