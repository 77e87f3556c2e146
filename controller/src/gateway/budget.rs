//! What the requests of devices may take of the memory: a bounded part for each device.
//!
//! A request is charged from the door until its answer has been taken: itself, its body, the answer
//! that is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use foghorn_types::MachineUuid;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::LARGEST_BODY;
use crate::shares::{Full, Share, Shares};

/// A request without its body: headers, a task, a span.
const REQUEST: u64 = 32 << 10;
/// A body is copied while it is collected, and read into values.
const BODY_TIMES: u64 = 4;
const MIB: u64 = 1 << 20;

/// See the module.
pub(super) struct Budget(Arc<Shares<MachineUuid>>);

impl Default for Budget {
    fn default() -> Self {
        Self(Shares::new(256 * MIB, 24 * MIB))
    }
}

impl Budget {
    /// Charges a request of a device with this body.
    pub(super) fn take(&self, device: MachineUuid, body: &Body) -> Result<Charge, Full> {
        let most = LARGEST_BODY as u64;
        let length = body.size_hint().upper().unwrap_or(most).min(most);
        let share = self.0.take(device, REQUEST + length * BODY_TIMES)?;
        Ok(Charge(share))
    }
}

/// What one request holds.
pub(super) struct Charge(Share<MachineUuid>);

impl Charge {
    /// The answer, charged until it is gone.
    pub(super) fn answer(mut self, response: Response) -> Result<Response, Full> {
        self.0.grow(response.body().size_hint().lower())?;
        let share = self.0;
        Ok(response.map(|body| hold(body, share)))
    }
}

/// The same body, which holds a share until it is gone.
pub(super) fn hold(body: Body, share: Share<MachineUuid>) -> Body {
    Body::new(Holding {
        body,
        _share: share,
    })
}

struct Holding {
    body: Body,
    _share: Share<MachineUuid>,
}

impl HttpBody for Holding {
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

    #[test]
    fn one_device_cannot_take_the_room_of_the_others() {
        let budget = Budget::default();
        let (one, other) = (MachineUuid::from_bits(1), MachineUuid::from_bits(2));
        let large = Body::from(vec![b'x'; LARGEST_BODY]);
        let held: Vec<_> = (0..10).map(|_| budget.take(one, &large)).collect();
        assert_eq!(held.iter().filter(|charge| charge.is_ok()).count(), 2);
        assert!(budget.take(other, &large).is_ok());
        drop(held);
        let ask = || budget.take(one, &Body::empty()).unwrap();
        let answer = |size| Response::new(Body::from(vec![b'x'; size]));
        let first = ask().answer(answer(20 << 20)).unwrap();
        assert!(ask().answer(answer(20 << 20)).is_err());
        drop(first);
        assert!(ask().answer(answer(20 << 20)).is_ok());
    }
}
