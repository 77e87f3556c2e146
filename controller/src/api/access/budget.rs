//! What the requests under way may take of the memory: a bounded part for each user, and for each
//! address without credentials.
//!
//! A request is charged from the door until its answer has been taken: itself, the body that is read,
//! the answer that is sent.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::problem;
use crate::shares::{Full, Share, Shares, source};

/// A request without its body: headers, a task, a span.
const REQUEST: u64 = 32 << 10;
/// A body is copied while it is collected, and read into values.
const BODY_TIMES: u64 = 4;
/// What a compression of the answer takes.
const PACKING: u64 = 256 << 10;
/// Smaller answers are not compressed.
const UNPACKED: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Whose memory it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Holder {
    User(u32),
    /// Somebody without credentials.
    Stranger(IpAddr),
}

/// See the module.
pub(in crate::api) struct Budget {
    users: Arc<Shares<Holder>>,
    strangers: Arc<Shares<Holder>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            users: Shares::new(256 * MIB, 64 * MIB),
            strangers: Shares::new(128 * MIB, 32 * MIB),
        }
    }
}

/// A refusal for want of memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom {
    full: Full,
    bytes: u64,
}

impl NoRoom {
    pub(super) fn answer(self) -> Response {
        let mib = self.bytes / MIB;
        let (status, error) = match self.full {
            Full::One => (
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "your requests under way take more than {mib} MiB: read their answers, then try again"
                ),
            ),
            Full::All => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("the requests under way take more than {mib} MiB: try again"),
            ),
        };
        let mut response = problem(status, error);
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        response
    }
}

impl Budget {
    pub(super) fn of_user(&self, user: u32) -> Result<Charge, NoRoom> {
        Charge::new(&self.users, Holder::User(user))
    }

    pub(super) fn of_stranger(&self, from: IpAddr) -> Result<Charge, NoRoom> {
        Charge::new(&self.strangers, Holder::Stranger(source(from)))
    }
}

/// What one request holds. Its clones are one charge.
#[derive(Clone)]
pub(super) struct Charge {
    shares: Arc<Shares<Holder>>,
    held: Arc<Mutex<Held>>,
}

struct Held {
    share: Share<Holder>,
    /// Why more was not given.
    refused: Option<Full>,
}

impl Charge {
    fn new(shares: &Arc<Shares<Holder>>, holder: Holder) -> Result<Self, NoRoom> {
        let share = shares.take(holder, REQUEST);
        let share = share.map_err(|full| NoRoom::of(shares, full))?;
        let held = Held {
            share,
            refused: None,
        };
        Ok(Self {
            shares: shares.clone(),
            held: Arc::new(Mutex::new(held)),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grow(&self, bytes: u64) -> Result<(), NoRoom> {
        let mut held = self.held();
        let grown = held.share.grow(bytes);
        grown.map_err(|full| {
            held.refused = Some(full);
            NoRoom::of(&self.shares, full)
        })
    }

    /// Why the body was not read to its end, if that was for want of memory.
    fn refused(&self) -> Option<NoRoom> {
        let refused = self.held().refused;
        refused.map(|full| NoRoom::of(&self.shares, full))
    }

    /// A body that is charged as it is read.
    pub(super) fn body(&self, body: Body) -> Body {
        Body::new(Read {
            body,
            charge: self.clone(),
        })
    }

    /// The answer, charged until it is gone, or a refusal instead of it.
    pub(super) fn answer(self, asked: &Asked, response: Response) -> Response {
        if let Some(refused) = self.refused() {
            return refused.answer();
        }
        let size = response.body().size_hint().lower();
        let packing = if asked.may_be_packed && size > UNPACKED {
            PACKING
        } else {
            0
        };
        // A list may be larger than all that a user has: then it is the only large one.
        let counted = size.min(self.shares.most_each() / 4 * 3);
        let grown = self.grow(counted + packing);
        // What was changed is answered in any case; those answers are small.
        match grown {
            Err(refused) if asked.is_reading => refused.answer(),
            _ => response.map(|body| {
                Body::new(Answer {
                    body,
                    _charge: self,
                })
            }),
        }
    }
}

impl NoRoom {
    fn of(shares: &Shares<Holder>, full: Full) -> Self {
        let bytes = match full {
            Full::One => shares.most_each(),
            Full::All => shares.most(),
        };
        Self { full, bytes }
    }
}

/// What matters of a request once it has been answered.
pub(super) struct Asked {
    is_reading: bool,
    may_be_packed: bool,
}

impl Asked {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Self {
        Self {
            is_reading: super::is_reading(method),
            may_be_packed: headers.contains_key(header::ACCEPT_ENCODING),
        }
    }
}

/// The body of a request.
struct Read {
    body: Body,
    charge: Charge,
}

impl HttpBody for Read {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = ready!(Pin::new(&mut this.body).poll_frame(context));
        let size = match &polled {
            Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => 0,
        };
        if this.charge.grow(size * BODY_TIMES).is_err() {
            let error = std::io::Error::other("there is no room for the body");
            return Poll::Ready(Some(Err(axum::Error::new(error))));
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _charge: Charge,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Asked = Asked {
        is_reading: true,
        may_be_packed: false,
    };

    fn budget() -> Budget {
        Budget {
            users: Shares::new(2 * MIB, MIB),
            strangers: Shares::new(MIB, MIB),
        }
    }

    fn answer(size: usize) -> Response {
        Response::new(Body::from(vec![b'x'; size]))
    }

    #[test]
    fn answers_that_nobody_takes_are_the_last_ones() {
        let budget = budget();
        let ask = |size| budget.of_user(1).unwrap().answer(&READ, answer(size));
        let first = ask(600 << 10);
        assert_eq!(first.status(), 200);
        let second = ask(600 << 10);
        assert_eq!(
            (
                second.status().as_u16(),
                second.headers().get("retry-after").is_some()
            ),
            (429, true)
        );
        assert_eq!(ask(1000).status(), 200, "a small one fits");
        drop(first);
        let large = ask(10 << 20);
        assert_eq!(large.status(), 200, "one large list is not refused");
        assert_eq!(ask(600 << 10).status(), 429);
        let other = budget.of_user(2).unwrap();
        assert_eq!(other.answer(&READ, answer(600 << 10)).status(), 200);
    }

    #[test]
    fn the_answer_to_a_change_is_never_refused() {
        let (budget, changed) = (
            budget(),
            Asked {
                is_reading: false,
                ..READ
            },
        );
        let _large = budget.of_user(1).unwrap().answer(&READ, answer(10 << 20));
        let made = budget
            .of_user(1)
            .unwrap()
            .answer(&changed, answer(600 << 10));
        assert_eq!(made.status(), 200);
    }

    #[tokio::test]
    async fn bodies_count_while_they_are_read() {
        let budget = budget();
        let here = IpAddr::from([10, 0, 0, 1]);
        let charge = budget.of_stranger(here).unwrap();
        let body = charge.body(Body::from(vec![b'x'; 300 << 10]));
        assert!(axum::body::to_bytes(body, usize::MAX).await.is_err());
        let refused = charge.answer(&READ, Response::new(Body::empty()));
        assert_eq!(refused.status(), 429);
        let held: Vec<_> = (0..100).map(|_| budget.of_stranger(here)).collect();
        assert_eq!(held.iter().filter(|charge| charge.is_ok()).count(), 32);
    }
}
