//! The third stage: asks the agent which chunks it has, many at a time and several questions ahead
//! of the answers.

use std::collections::VecDeque;

use foghorn_transport::AgentConnection;
use foghorn_transport::client::WhichAreStoredError;
use foghorn_types::ChunkId;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;

use super::board::Shared;
use super::read::Hashed;

/// Chunks per question at most. They wait in memory for the answer, so batches × questions bounds
/// memory.
const BATCH: usize = 16;
/// Questions that may be unanswered, so that the round trip costs nothing.
const QUESTIONS: usize = 3;
/// Buffers that this stage may hold.
pub(super) const HELD: usize = BATCH * (QUESTIONS + 1);

/// Keeps its state across lost connections: a question that was not answered is asked again.
pub(super) struct Asker {
    hashed: mpsc::Receiver<Hashed>,
    unanswered: VecDeque<Vec<Hashed>>,
    /// Answered with no, and on the way to the compressors. `None` once there will be no more.
    wanted: VecDeque<Hashed>,
    compress: Option<mpsc::Sender<Hashed>>,
}

enum Step {
    Batch(Vec<Hashed>),
    NoMore,
    Answer(Result<Vec<bool>, WhichAreStoredError>),
}

impl Asker {
    pub(super) fn new(hashed: mpsc::Receiver<Hashed>, compress: mpsc::Sender<Hashed>) -> Self {
        Self {
            hashed,
            unanswered: VecDeque::new(),
            wanted: VecDeque::new(),
            compress: Some(compress),
        }
    }

    /// Runs until every chunk was asked about. May be dropped at any await and run again on another
    /// connection.
    pub(super) async fn run(
        &mut self,
        shared: &Shared,
        connection: &AgentConnection,
    ) -> Result<(), WhichAreStoredError> {
        let ask = |batch: &[Hashed]| {
            let ids: Vec<ChunkId> = batch.iter().map(|chunk| chunk.id).collect();
            async move { connection.which_are_stored(&ids).await }
        };
        let mut questions: FuturesOrdered<_> =
            self.unanswered.iter().map(|batch| ask(batch)).collect();
        let mut more = self.compress.is_some();
        loop {
            self.pass_on().await;
            if !more && questions.is_empty() {
                self.compress = None;
                return Ok(());
            }
            match self
                .step(more && questions.len() < QUESTIONS, &mut questions)
                .await
            {
                Step::Batch(batch) => {
                    questions.push_back(ask(&batch));
                    self.unanswered.push_back(batch);
                }
                Step::NoMore => more = false,
                Step::Answer(answer) => self.sort_out(shared, &answer?),
            }
        }
    }

    async fn step<F>(&mut self, may_ask: bool, questions: &mut FuturesOrdered<F>) -> Step
    where
        F: Future<Output = Result<Vec<bool>, WhichAreStoredError>>,
    {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            Some(answer) = questions.next(), if !questions.is_empty() => Step::Answer(answer),
            count = self.hashed.recv_many(&mut batch, BATCH), if may_ask => {
                if count == 0 { Step::NoMore } else { Step::Batch(batch) }
            }
        }
    }

    fn sort_out(&mut self, shared: &Shared, stored: &[bool]) {
        for (chunk, &stored) in self
            .unanswered
            .pop_front()
            .unwrap_or_default()
            .into_iter()
            .zip(stored)
        {
            if stored {
                shared.progress.add_reused(shared.used(chunk.slot));
            } else {
                self.wanted.push_back(chunk);
            }
        }
    }

    async fn pass_on(&mut self) {
        let Some(compress) = &self.compress else {
            return;
        };
        while !self.wanted.is_empty() {
            // A place first, then the chunk: so nothing is lost when this is dropped while it
            // waits.
            let Ok(place) = compress.reserve().await else {
                return;
            };
            if let Some(chunk) = self.wanted.pop_front() {
                place.send(chunk);
            }
        }
    }
}
