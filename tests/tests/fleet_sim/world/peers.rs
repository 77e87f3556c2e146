//! Controllers call each other.

use std::sync::{Arc, Mutex, PoisonError};

use foghorn_controller::ctx::Ctx;
use foghorn_controller::peers::{Call, Dial, DialError};
use foghorn_proto::link::{PeerEvent, PeerOrder};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status};

use super::World;
use super::host::{Incoming, Outgoing};
use super::net::{ConnId, End, Purpose};
use crate::scenario::Place;

type Events = mpsc::UnboundedReceiver<Result<PeerEvent, Status>>;

/// Tells a caller whether its call is taken.
pub(crate) type CallTaken = oneshot::Sender<Result<Events, Status>>;

/// A controller wants to call another one.
pub(crate) struct DialRequest {
    address: String,
    orders: mpsc::Receiver<PeerOrder>,
    answer: CallTaken,
}

pub(crate) type Dials = Arc<Mutex<Vec<DialRequest>>>;

pub(crate) struct Dialler(pub(crate) Dials);

impl Dial for Dialler {
    fn call<'a>(
        &'a self,
        _: &'a Ctx,
        address: &'a str,
        orders: mpsc::Receiver<PeerOrder>,
    ) -> BoxFuture<'a, Result<Call, DialError>> {
        let (answer, answered) = oneshot::channel();
        let request = DialRequest {
            address: address.to_owned(),
            orders,
            answer,
        };
        let mut dials = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        dials.push(request);
        Box::pin(async move {
            let answered = answered.await.map_err(|_| DialError::Silent)?;
            let events = answered.map_err(|status| DialError::Refused(Box::new(status)))?;
            Ok(Call {
                events: UnboundedReceiverStream::new(events).boxed(),
                client: None,
            })
        })
    }
}

impl World {
    /// A controller dials another one.
    pub(crate) fn dial_peer(&mut self, caller: usize, request: DialRequest) {
        let digits = |c: char| c.is_ascii_digit();
        let number = request.address.trim_start_matches(|c| !digits(c));
        let called = number
            .split(':')
            .next()
            .and_then(|text| text.parse::<usize>().ok());
        let Some(called) = called.filter(|called| *called < self.hosts.len()) else {
            return;
        };
        let starts = self.hosts[caller].starts;
        let at = self.now + self.delay();
        self.at(at, move |world| {
            world.peer_called((caller, starts), called, request)
        });
    }

    fn peer_called(&mut self, (caller, starts): (usize, u32), called: usize, request: DialRequest) {
        let (one, other) = (Place::Controller(caller), Place::Controller(called));
        // Nobody answers: the caller's patience ends.
        if self.net.is_cut(one, other) {
            return self.at(self.now + 4_000, move |_| drop(request));
        }
        let skew = self.hosts[called].skew;
        let id = self.connect(Purpose::Talk, one, other);
        let process = self.hosts[called].process.as_mut();
        let taken = process.is_some_and(|process| process.talk(id, skew));
        let still_there = self.hosts[caller].starts == starts;
        let caller_process = self.hosts[caller].process.as_mut().filter(|_| still_there);
        match caller_process.filter(|_| taken) {
            Some(process) => {
                process
                    .outgoing
                    .insert(id, Outgoing::Orders(request.orders));
                self.waiting_calls.insert(id, request.answer);
                self.due(caller);
                self.due(called);
            }
            None => self.close(id, End::Caller),
        }
    }

    /// A controller has taken a call, or not.
    pub(crate) fn peer_answered(
        &mut self,
        called: usize,
        id: ConnId,
        answer: Result<mpsc::Receiver<Result<PeerEvent, Status>>, Status>,
    ) {
        let refused = answer
            .as_ref()
            .err()
            .map(|status| (status.code(), status.message().to_owned()));
        match (answer, &mut self.hosts[called].process) {
            (Ok(events), Some(process)) => {
                process.outgoing.insert(id, Outgoing::Told(events));
            }
            (_, Some(process)) => drop(process.incoming.remove(&id)),
            _ => {}
        }
        let is_refused = refused.is_some();
        self.send(id, End::Called, move |world| world.peer_taken(id, refused));
        if is_refused {
            self.close(id, End::Called);
        }
    }

    fn peer_taken(&mut self, id: ConnId, refused: Option<(Code, String)>) {
        let Some(answer) = self.waiting_calls.remove(&id) else {
            return;
        };
        let Some(Place::Controller(caller)) = self.net.place(id, End::Caller) else {
            return;
        };
        self.due(caller);
        if let Some((code, why)) = refused {
            let _gone = answer.send(Err(Status::new(code, why)));
            return;
        }
        let (sender, events) = mpsc::unbounded_channel();
        if let Some(process) = &mut self.hosts[caller].process {
            process.incoming.insert(id, Incoming::Events(sender));
        }
        let _gone = answer.send(Ok(events));
    }

    /// One end of a call is over.
    pub(crate) fn talk_lost(&mut self, id: ConnId, place: Place) {
        self.waiting_calls.remove(&id);
        if let Place::Controller(host) = place {
            self.drop_ends(host, id);
        }
    }

    /// A controller's side of a connection is over.
    pub(crate) fn drop_ends(&mut self, host: usize, id: ConnId) {
        if let Some(process) = &mut self.hosts[host].process {
            process.outgoing.remove(&id);
            process.incoming.remove(&id);
            self.due(host);
        }
    }
}
