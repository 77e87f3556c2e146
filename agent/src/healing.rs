//! Waiting for what is damaged here until another node has given it.
//!
//! Whoever serves a client and finds a chunk damaged says so ([`Healing::wait`]): the controller
//! hears of it at once and orders a copy of the image to this node, which begins with what is known
//! to be missing. The client meanwhile waits for this one chunk, and gets the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{ChunkId, ImageId, ManifestId, chain};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::disk::Disk;

/// How often who waits looks by itself.
const LOOK: Duration = Duration::from_secs(1);
/// Of the time that a copy may take, for the time without one.
const SHARE: u32 = 3;

/// What is known of copies to this node that may mend something.
pub(crate) struct Healing {
    state: watch::Sender<State>,
    /// Asks for a report of the node's status now.
    report: Arc<Notify>,
    /// How long a client may wait for one chunk.
    within: Duration,
}

#[derive(Default)]
struct State {
    /// Copies under way, by their numbers.
    running: BTreeMap<u32, ManifestId>,
    /// Why the last copy of some content was not made.
    failed: BTreeMap<ManifestId, (Instant, String)>,
    /// What no other connected node can give, as the controller says.
    no_source: BTreeSet<ManifestId>,
}

impl State {
    fn is_coming(&self, manifest: &ManifestId) -> bool {
        self.running.values().any(|running| running == manifest)
    }
}

/// Why a chunk is not mended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum NotHealedError {
    #[error("no other storage node that is connected has the image whole")]
    NoSource,
    #[error("no other storage node has given it within {} s", .0.as_secs())]
    NoCopy(Duration),
    #[error("it could not be had from another storage node: {0}")]
    Failed(String),
}

impl Healing {
    pub(crate) fn new(report: Arc<Notify>, within: Duration) -> Arc<Self> {
        let state = watch::Sender::default();
        Arc::new(Self {
            state,
            report,
            within,
        })
    }

    /// A chunk that is needed now is damaged: the controller is to hear of it soon.
    pub(crate) fn ask(&self) {
        self.report.notify_one();
    }

    /// Waits until the chunk is here and whole.
    ///
    /// # Errors
    /// When nobody gives it.
    pub(crate) async fn wait(
        &self,
        disk: &Disk,
        manifest: ManifestId,
        id: ChunkId,
    ) -> Result<(), NotHealedError> {
        let began = Instant::now();
        let mut changes = self.state.subscribe();
        self.ask();
        loop {
            changes.mark_unchanged();
            let is_whole = disk.run(move |store| store.contains(&[id])).await;
            if is_whole.is_ok_and(|found| found == [true]) {
                return Ok(());
            }
            let now = Instant::now();
            self.state
                .borrow()
                .verdict(manifest, began, now, self.within)?;
            // The sender lives as long as this.
            let _ = timeout_at(now + LOOK, changes.changed()).await;
        }
    }

    /// A copy to this node begins.
    pub(crate) fn copying(&self, copy: u32, manifest: ManifestId) {
        self.state.send_modify(|state| {
            state.running.insert(copy, manifest);
        });
    }

    /// Something was stored.
    pub(crate) fn stored(&self) {
        self.state.send_modify(|_| {});
    }

    /// A copy has ended.
    pub(crate) fn ended(&self, copy: u32, why_not: Option<String>) {
        self.state.send_modify(|state| {
            let Some(manifest) = state.running.remove(&copy) else {
                return;
            };
            match why_not {
                Some(why) => drop(state.failed.insert(manifest, (Instant::now(), why))),
                None => drop(state.failed.remove(&manifest)),
            }
        });
    }

    /// The controller's word on what nobody else has.
    pub(crate) fn no_source(&self, manifests: BTreeSet<ManifestId>) {
        self.state.send_if_modified(|state| {
            let differs = state.no_source != manifests;
            state.no_source = manifests;
            differs
        });
    }
}

impl State {
    /// Whether to go on waiting.
    fn verdict(
        &self,
        manifest: ManifestId,
        began: Instant,
        now: Instant,
        within: Duration,
    ) -> Result<(), NotHealedError> {
        let waited = now.saturating_duration_since(began);
        if self.is_coming(&manifest) {
            return match waited < within {
                true => Ok(()),
                false => Err(NotHealedError::NoCopy(within)),
            };
        }
        if let Some((at, why)) = self.failed.get(&manifest)
            && *at >= began
        {
            return Err(NotHealedError::Failed(why.clone()));
        }
        if self.no_source.contains(&manifest) {
            return Err(NotHealedError::NoSource);
        }
        let without = within / SHARE;
        match waited < without {
            true => Ok(()),
            false => Err(NotHealedError::NoCopy(without)),
        }
    }
}

/// What whoever ordered the task is told, with what to do.
pub(crate) fn complaint(
    image: ImageId,
    problem: &(dyn std::error::Error + 'static),
    why_not: &NotHealedError,
) -> String {
    let (problem, why_not) = (chain(problem), chain(why_not));
    format!(
        "image {image} is damaged here: {problem}; {why_not}; connect a storage node that has the \
         image whole, or capture the image again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    fn manifest(name: &[u8]) -> ManifestId {
        ManifestId::of(name)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_told_when_nothing_comes() {
        let (one, other) = (manifest(b"one"), manifest(b"other"));
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let mut state = State::default();
        let verdict = |state: &State, at| state.verdict(one, began, at, WITHIN);
        assert_eq!(verdict(&state, after(19)), Ok(()));
        let given_up = Err(NotHealedError::NoCopy(Duration::from_secs(20)));
        assert_eq!(verdict(&state, after(20)), given_up);
        state.running.insert(7, one);
        assert_eq!(verdict(&state, after(59)), Ok(()), "it is on its way");
        assert_eq!(
            verdict(&state, after(60)),
            Err(NotHealedError::NoCopy(WITHIN))
        );
        state.running.clear();
        state.no_source.insert(other);
        assert_eq!(verdict(&state, after(1)), Ok(()));
        state.no_source.insert(one);
        assert_eq!(verdict(&state, after(1)), Err(NotHealedError::NoSource));
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_failure_since_then_counts() {
        let one = manifest(b"one");
        let healing = Healing::new(Arc::default(), WITHIN);
        healing.copying(7, one);
        healing.ended(7, Some("its disk is full".to_owned()));
        tokio::time::advance(Duration::from_secs(1)).await;
        let began = Instant::now();
        let verdict = || healing.state.borrow().verdict(one, began, began, WITHIN);
        assert_eq!(verdict(), Ok(()), "that was before");
        healing.copying(8, one);
        healing.ended(8, Some("its disk is full".to_owned()));
        assert!(matches!(verdict(), Err(NotHealedError::Failed(_))));
        healing.copying(9, one);
        assert_eq!(verdict(), Ok(()));
        healing.ended(9, None);
        assert_eq!(verdict(), Ok(()));
        healing.ended(9, Some("of a copy that is not known".to_owned()));
        assert_eq!(verdict(), Ok(()));
    }
}
