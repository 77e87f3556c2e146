//! One listener: its next event, and when its stream ends.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::Event;
use bytes::Bytes;
use foghorn_types::{SessionId, StorageNodeId};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Wish;
use crate::agents::live::TransferProgress;
use crate::agents::session_reports::SessionReport;
use crate::api::{auth, fog};
use crate::ctx::Ctx;
use crate::events::history::{Batch, Change, Kind};
use crate::events::hub::{News, Place};
use crate::state::json::{self, JsonObject};
use crate::store::Revision;

/// Interval of keep-alive messages on an idle connection; proxies close idle connections after
/// about a minute.
const BEAT: Duration = Duration::from_secs(15);

/// A larger object is made for each listener again: thousands of changes are remembered.
const MOST_KEPT: usize = 16 << 10;

pub(super) struct Listener {
    ctx: Arc<Ctx>,
    /// Credentials, which are checked again later, and the address that they came from.
    headers: HeaderMap,
    from: IpAddr,
    wish: Wish,
    news: Receiver<News>,
    /// Missed changes, which are sent first.
    missed: VecDeque<Arc<Batch>>,
    /// What is sent first of all.
    notice: Option<Event>,
    /// The transaction that is being sent, and its next change: events are made one by one, since
    /// there are many listeners and some do not read.
    current: Option<(Arc<Batch>, usize)>,
    /// Everything up to this revision has been sent or was not requested.
    at: Revision,
    beat: Interval,
    closed: CancellationToken,
    _place: Place,
}

/// What a listener received.
enum Heard {
    News(News),
    Beat,
    End,
}

impl Listener {
    pub(super) fn join(
        ctx: Arc<Ctx>,
        (headers, from): (HeaderMap, IpAddr),
        wish: Wish,
        place: Place,
    ) -> Self {
        let beginning = ctx.events.join(wish.since);
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        let (missed, at, notice) = match beginning.missed {
            Ok(missed) => {
                let at = wish.since.unwrap_or(beginning.at);
                (missed, at, notice("ready", at))
            }
            Err(_) => {
                let at = beginning.at;
                (Vec::new(), at, notice("reset", at))
            }
        };
        let closed = ctx.events.closed.clone();
        let (news, missed) = (beginning.news, missed.into());
        Self {
            ctx,
            headers,
            from,
            wish,
            news,
            missed,
            notice: Some(notice),
            current: None,
            at,
            beat,
            closed,
            _place: place,
        }
    }

    /// The next event; `None` ends the stream. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.notice.take().or_else(|| self.step()) {
                self.beat.reset();
                return Some(event);
            }
            if let Some(batch) = self.missed.pop_front() {
                self.take(batch);
                continue;
            }
            let heard = tokio::select! {
                () = self.closed.cancelled() => Heard::End,
                news = self.news.recv() => match news {
                    Ok(news) => Heard::News(news),
                    // Too far behind; it can reconnect and request what it has missed.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => Heard::End,
                },
                _ = self.beat.tick() => Heard::Beat,
            };
            match heard {
                Heard::End => return None,
                // Without data it is not an event for the client, which stores the id nevertheless.
                Heard::Beat => return Some(Event::default().id(self.at.to_string())),
                Heard::News(News::Reset(revision)) => {
                    self.at = revision;
                    self.notice = Some(notice("reset", revision));
                }
                Heard::News(News::Progress(progress)) if self.wish.wants("task") => {
                    return Some(progress_event(progress.0.get(), &progress.1));
                }
                Heard::News(News::Session(report)) if self.wish.wants("multicastsession") => {
                    return Some(session_event(report.0, &report.1));
                }
                Heard::News(News::Progress(_) | News::Session(_)) => {}
                Heard::News(News::Changes(batch)) => {
                    if batch.touches_access && !self.may_listen().await {
                        return None;
                    }
                    self.take(batch);
                }
            }
        }
    }

    /// Whether the listener would still be admitted now.
    async fn may_listen(&self) -> bool {
        auth::authenticate(&self.ctx, &self.headers, self.from, true)
            .await
            .is_ok()
    }

    fn take(&mut self, batch: Arc<Batch>) {
        self.at = batch.revision;
        self.current = Some((batch, 0));
    }

    /// The next requested event of the current transaction. The last one has the revision as its id:
    /// a client that is disconnected in the middle gets the whole transaction again.
    fn step(&mut self) -> Option<Event> {
        let (batch, from) = self.current.take()?;
        let wanted = |(_, change): &(usize, &Change)| {
            self.wish.wants(&change.class) && fog::serves(&self.ctx, &change.class)
        };
        let mut rest = batch.changes.iter().enumerate().skip(from).filter(wanted);
        let (_, change) = rest.next()?;
        let next = rest.next().map(|(next, _)| next);
        let event = Event::default()
            .event(change.kind.word())
            .data(self.describe(batch.revision, change));
        Some(match next {
            Some(next) => {
                self.current = Some((batch.clone(), next));
                event
            }
            None => event.id(batch.revision.to_string()),
        })
    }

    /// `{"class":…,"id":…,"revision":…,"change":…,"object":…}`, with the object as it is now; null
    /// when it no longer exists.
    fn describe(&self, revision: Revision, change: &Change) -> String {
        let shown = change.shown.get().cloned().unwrap_or_else(|| {
            let shown = match change.kind {
                Kind::Delete => None,
                _ => fog::shown(&self.ctx, &change.class, change.id),
            };
            let shown = shown.map_or(Bytes::from_static(b"null"), Bytes::from);
            if shown.len() <= MOST_KEPT {
                let _made_by_another = change.shown.set(shown.clone());
            }
            shown
        });
        let mut out = Vec::with_capacity(shown.len() + 128);
        let mut object = JsonObject::begin(&mut out);
        object.text("class", &change.class);
        object.integer("id", change.id.into());
        object.integer("revision", i64::try_from(revision).unwrap_or(i64::MAX));
        object.text("change", change.kind.word());
        object.end();
        out.pop();
        out.push(b',');
        json::string(&mut out, "object");
        out.push(b':');
        out.extend_from_slice(&shown);
        out.push(b'}');
        String::from_utf8(out).expect("rendered events are UTF-8")
    }
}

fn notice(name: &str, revision: Revision) -> Event {
    Event::default()
        .event(name)
        .id(revision.to_string())
        .data(json!({"revision": revision}).to_string())
}

/// Progress has no revision, so the event has no id: a client that reconnects soon gets the current
/// state.
fn progress_event(task: u32, progress: &TransferProgress) -> Event {
    let (done, total) = (progress.bytes_done.bytes(), progress.bytes_total.bytes());
    let percent = done
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or(0)
        .min(100);
    let data = json!({
        "class": "task",
        "id": task,
        "percent": percent,
        "bytes_done": done,
        "bytes_total": total,
        "bytes_wire": progress.bytes_wire.bytes(),
        "bytes_per_second": progress.rate.bytes(),
        "seconds_left": progress.eta.as_secs(),
        "storagenode": progress.node.get(),
        "limiting_stage": progress.limiting_stage.map(|stage| stage.as_str()),
    });
    Event::default().event("progress").data(data.to_string())
}

/// A session on one of its nodes; its receivers are tasks, whose progress is sent separately.
fn session_event((session, node): (SessionId, StorageNodeId), report: &SessionReport) -> Event {
    let by_unicast = report
        .receivers
        .values()
        .filter(|receiver| receiver.unicast.is_some())
        .count();
    let data = json!({
        "class": "multicastsession",
        "id": session,
        "storagenode": node.get(),
        "phase": report.phase.as_str(),
        "bytes_per_second": report.rate.bytes(),
        "bytes_payload": report.payload.bytes(),
        "bytes_wire": report.wire.bytes(),
        "bytes_parity": report.parity.bytes(),
        "receivers": report.receivers.len(),
        "by_unicast": by_unicast,
    });
    Event::default().event("progress").data(data.to_string())
}
