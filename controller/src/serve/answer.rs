//! An answer on its way out: in small pieces, so that what a client does not read stays in one
//! place, and watched, so that it is known when a client does not read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::traffic::Turn;

/// Size of a piece, and of what HTTP/2 buffers of one answer.
pub(super) const PIECE: usize = 16 << 10;

/// The body of an answer.
pub(super) struct Sent {
    body: Body,
    /// The part of the body's last frame that was not given yet.
    rest: Bytes,
    begun: bool,
    turn: Turn,
}

impl Sent {
    pub(super) fn new(body: Body, turn: Turn) -> Self {
        turn.gave();
        Self {
            body,
            rest: Bytes::new(),
            begun: false,
            turn,
        }
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.turn.taken();
        this.begun = true;
        if this.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.turn.gave();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    /// Only of a body without content: otherwise it ends when the client has taken the last piece,
    /// and what belongs to it is kept until then.
    fn is_end_stream(&self) -> bool {
        !self.begun && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, mine) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + mine);
        }
        hint.set_lower(inner.lower() + mine);
        hint
    }
}
