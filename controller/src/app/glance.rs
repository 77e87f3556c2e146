//! What agents report, in the units of FOG's task rows.

use std::time::Duration;

use foghorn_types::{ByteCount, ImageId, ManifestId, StorageNodeId, TaskId};

use crate::agents::live::Live;
use crate::awake;
use crate::state::scene::{Glance, NodeGlance, ProgressGlance};

impl Glance for Live {
    fn node(&self, node: StorageNodeId) -> NodeGlance {
        NodeGlance {
            online: Live::node(self, node).is_some_and(|node| node.is_linked()),
        }
    }

    fn held(&self, node: StorageNodeId, image: ImageId) -> Vec<ManifestId> {
        let held = Live::node(self, node).map(|node| node.manifests);
        held.into_iter()
            .flatten()
            .filter(|(held, _)| *held == image)
            .map(|(_, manifest)| manifest)
            .collect()
    }

    fn progress(&self, task: TaskId) -> Option<ProgressGlance> {
        let progress = Live::progress(self, task)?;
        let (done, total, rate) = (
            progress.bytes_done.bytes(),
            progress.bytes_total.bytes(),
            progress.rate.bytes(),
        );
        let percent = u8::try_from(
            done.saturating_mul(100)
                .checked_div(total)
                .unwrap_or(0)
                .min(100),
        )
        .unwrap_or(100);
        // What has passed is not reported; at this speed it would have taken as long.
        let elapsed = Duration::from_secs(done.checked_div(rate).unwrap_or(0));
        let age = awake::since(progress.moved_at);
        Some(ProgressGlance {
            percent,
            speed: format!("{}/min", ByteCount::from_bytes(rate.saturating_mul(60))),
            elapsed: clock(elapsed + age),
            remaining: clock(progress.eta.saturating_sub(age)),
            copied: progress.bytes_done.to_string(),
            total: progress.bytes_total.to_string(),
        })
    }
}

/// `HH:MM:SS`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
