//! Requests to the REST API, from people and from machines.

use axum::body::{Body, Bytes};
use axum::http::Request;
use serde_json::Value;

use super::World;
use super::host::Answered;
use crate::scenario::{Millis, Place};

/// Whoever asks waits so long.
const PATIENCE: Millis = 6_000;
/// How long it takes to hear that nobody listens.
const REFUSED: Millis = 20;

/// A request as it is repeated until it is answered.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
}

/// An answer: status and body, or nothing came.
pub(crate) type Reply = Option<(u16, Value)>;

pub(crate) type Then = Box<dyn FnOnce(&mut World, Reply)>;

/// A request that was sent.
pub(crate) struct Pending {
    from: Place,
    to: (usize, u32),
    then: Then,
}

impl Ask {
    fn request(&self) -> Option<Request<Body>> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = match &self.body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        request.body(body).ok()
    }
}

impl World {
    /// Sends a request to a controller; `then` gets what comes back.
    pub(crate) fn ask(
        &mut self,
        from: Place,
        host: usize,
        ask: Ask,
        then: impl FnOnce(&mut World, Reply) + 'static,
    ) {
        self.requests += 1;
        let number = self.requests;
        let to = (host, self.hosts[host].starts);
        let then: Then = Box::new(then);
        self.pending.insert(number, Pending { from, to, then });
        let at = self.now + self.delay();
        self.at(at, move |world| world.request_arrives(number, &ask));
        self.at(self.now + PATIENCE, move |world| {
            world.replied(number, None)
        });
    }

    fn request_arrives(&mut self, number: u64, ask: &Ask) {
        let Some(pending) = self.pending.get_mut(&number) else {
            return;
        };
        let host = pending.to.0;
        if self.net.is_cut(pending.from, Place::Controller(host)) {
            return;
        }
        pending.to.1 = self.hosts[host].starts;
        let skew = self.hosts[host].skew;
        let process = self.hosts[host].process.as_ref();
        let taken = process
            .zip(ask.request())
            .is_some_and(|(process, request)| process.request(number, request, skew));
        if taken {
            self.due(host);
        } else {
            self.at(self.now + REFUSED, move |world| world.replied(number, None));
        }
    }

    /// A controller has answered.
    pub(crate) fn request_answered(&mut self, answered: Answered) {
        let Answered {
            request,
            status,
            body,
        } = answered;
        let at = self.now + self.delay();
        self.at(at, move |world| {
            let Some(pending) = world.pending.get(&request) else {
                return;
            };
            if world
                .net
                .is_cut(pending.from, Place::Controller(pending.to.0))
            {
                return;
            }
            world.replied(request, Some((status, parsed(&body))));
        });
    }

    /// Requests of a process that has died come to nothing.
    pub(crate) fn drop_requests(&mut self, host: usize) {
        let starts = self.hosts[host].starts;
        let of_it =
            |(number, pending): (&u64, &Pending)| (pending.to == (host, starts)).then_some(*number);
        let lost: Vec<u64> = self.pending.iter().filter_map(of_it).collect();
        for number in lost {
            self.at(self.now + REFUSED, move |world| world.replied(number, None));
        }
    }

    fn replied(&mut self, number: u64, reply: Reply) {
        if let Some(pending) = self.pending.remove(&number) {
            (pending.then)(self, reply);
        }
    }

    /// A controller that may be asked, another one each time.
    pub(crate) fn any_host(&mut self) -> usize {
        self.random.usize(0..self.hosts.len())
    }
}

fn parsed(body: &Bytes) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}
