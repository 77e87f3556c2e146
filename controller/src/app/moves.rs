//! Applies one event to one task: first the life cycle, then the store, then the effects.

use foghorn_lifecycle::{Effect, TaskEvent, TransitionError};
use foghorn_proto::link::CancelSession;
use foghorn_proto::link::controller_message::Message;
use foghorn_types::{TaskId, Timestamp, chain};
use tracing::{Instrument, debug, info, info_span};

use super::{orders, task_outcome};
use crate::ctx::Ctx;
use crate::state::run::Run;
use crate::state::{Draft, Refusal};

/// Why a task was not moved. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("imaging task {0} does not exist")]
    NoSuchTask(TaskId),
    #[error(transparent)]
    Transition(#[from] TransitionError),
    #[error("could not store a change of the task")]
    State(#[from] Refusal),
}

/// A task after a move.
#[derive(Clone, Debug)]
pub struct Moved {
    pub run: Run,
    pub effects: Vec<Effect>,
}

/// Applies an event to a task and performs its effects.
///
/// # Errors
/// See [`MoveError`]. A concurrent change is not an error: the event is applied to the new state.
pub async fn apply_event(ctx: &Ctx, task: TaskId, event: TaskEvent) -> Result<Moved, MoveError> {
    apply_event_with(ctx, task, event, |_, _| Ok(())).await
}

/// Like [`apply_event`]; `with` changes the run and adds to the transaction. It may be called
/// several times.
///
/// # Errors
/// As [`apply_event`], and the refusals of `with`.
pub async fn apply_event_with<E: From<MoveError> + From<Refusal>>(
    ctx: &Ctx,
    task: TaskId,
    event: TaskEvent,
    with: impl FnMut(&mut Run, &mut Draft<'_>) -> Result<(), E>,
) -> Result<Moved, E> {
    let span = info_span!("move_task", %task, event = ?event);
    // Everything that happens to a task belongs to the trace of the request that created it.
    if let Some(parent) = ctx.state.read(|tables| {
        tables
            .runs()
            .get(&task)
            .and_then(|run| run.traceparent.clone())
    }) {
        foghorn_telemetry::set_parent(&span, &parent);
    }
    move_task(ctx, task, event, with).instrument(span).await
}

async fn move_task<E: From<MoveError> + From<Refusal>>(
    ctx: &Ctx,
    task: TaskId,
    event: TaskEvent,
    mut with: impl FnMut(&mut Run, &mut Draft<'_>) -> Result<(), E>,
) -> Result<Moved, E> {
    let now = Timestamp::now();
    let moved = ctx.state.write::<_, E>(|draft| {
        let before = draft
            .tables()
            .runs()
            .get(&task)
            .cloned()
            .ok_or(MoveError::NoSuchTask(task))?;
        let mut after = Run::clone(&before);
        let effects = after
            .life
            .apply(now, event.clone())
            .map_err(MoveError::Transition)?;
        with(&mut after, draft)?;
        if after != *before {
            draft.replace(&after);
            task_outcome::follow(draft, &before, &after, &effects, now)?;
        }
        Ok(Moved {
            run: after,
            effects,
        })
    });
    let moved = moved.await?;
    foghorn_faults::wait!("controller.task.moved");
    info!(%task, state = ?moved.run.life.state(), "task moved");
    perform(ctx, &moved.run, &moved.effects);
    Ok(moved)
}

/// Performs the effects of a move. What is not possible now is repeated when the node connects
/// again.
pub(crate) fn perform(ctx: &Ctx, run: &Run, effects: &[Effect]) {
    let task = run.task;
    for effect in effects {
        let (node, sent) = match effect {
            Effect::OpenSession { node } => (*node, orders::tell_open(ctx, task, *node)),
            Effect::AdmitClient { node } => (*node, orders::tell_admit(ctx, task, *node)),
            Effect::CloseSession { node, reason } => {
                let cancel = CancelSession {
                    task_id: task.get(),
                    reason: reason.clone(),
                    withdrawn: false,
                };
                (*node, ctx.links.send(*node, Message::Cancel(cancel)))
            }
            Effect::WithdrawSession { node } => (*node, orders::tell_withdrawn(ctx, task, *node)),
            Effect::RecordNodeFailure { .. } => continue, // part of the transaction
        };
        if let Err(refused) = sent {
            debug!(
                %node,
                %task,
                error = %chain(&refused),
                "an order is sent when the node connects again"
            );
        }
    }
}
