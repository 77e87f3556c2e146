//! What a handler leaves unread of the body of a request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What is discarded of a body that nobody wants, so that the client, which is still sending, gets
/// to the answer.
const MOST_DISCARDED: u64 = 8 << 20;
const DISCARD_WITHIN: Duration = Duration::from_secs(3);

type Slot = Arc<Mutex<Option<Incoming>>>;

/// A body on loan to a handler. Dropped, it is given back.
pub(super) struct Lent {
    body: Option<Incoming>,
    slot: Slot,
}

/// The other end of the loan.
pub(super) struct Loan(Slot);

/// A body that was not read to its end.
pub(super) struct Unread(Incoming);

pub(super) fn lend(request: Request<Incoming>) -> (Request<Lent>, Loan) {
    let slot = Slot::default();
    let loan = Loan(slot.clone());
    let lent = |body| Lent {
        body: Some(body),
        slot,
    };
    (request.map(lent), loan)
}

impl Loan {
    /// What was given back and has not ended.
    pub(super) fn unread(self) -> Option<Unread> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take().map(Unread)
    }
}

impl Unread {
    /// Whether it ends within this time and size.
    pub(super) async fn end_within(&mut self, within: Duration, size: u64) -> bool {
        tokio::time::timeout(within, self.end(size))
            .await
            .unwrap_or(false)
    }

    async fn end(&mut self, mut size: u64) -> bool {
        while let Some(Ok(frame)) = self.0.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match size.checked_sub(length) {
                Some(left) => size = left,
                None => return false,
            }
        }
        true
    }

    /// Reads on for a while.
    pub(super) async fn discard(mut self) {
        self.end_within(DISCARD_WITHIN, MOST_DISCARDED).await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}
