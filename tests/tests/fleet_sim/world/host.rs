//! A controller: the real one, in a runtime of its own whose clock only goes when it is let run. To
//! drop the runtime is `kill -9`, not to let it run is SIGSTOP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, header};
use foghorn_controller::awake;
use foghorn_controller::peers::Dial;
use foghorn_controller::{Bare, Carried};
use foghorn_proto::link::{AgentMessage, ControllerMessage, PeerEvent, PeerOrder};
use foghorn_types::{NodeName, Timestamp};
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tower::ServiceExt as _;

use super::net::ConnId;
use super::peers::{DialRequest, Dialler, Dials};
use crate::engine::client::{Calls, StoreCall, StoreClient};
use crate::scenario::Millis;
use crate::template::{BEGIN, Template};

/// A controller is let run at least this often.
pub(crate) const WINDOW: Millis = 100;

/// What an agent or another controller gets over one connection.
pub(crate) enum Outgoing {
    Link(mpsc::Receiver<Result<ControllerMessage, Status>>),
    /// To a caller, from the controller that it has called.
    Told(mpsc::Receiver<Result<PeerEvent, Status>>),
    /// From a caller.
    Orders(mpsc::Receiver<PeerOrder>),
}

/// Where what arrives over one connection goes.
pub(crate) enum Incoming {
    Link(mpsc::UnboundedSender<Result<AgentMessage, Status>>),
    Events(mpsc::UnboundedSender<Result<PeerEvent, Status>>),
    Orders(mpsc::UnboundedSender<Result<PeerOrder, Status>>),
}

/// An answer to a request; 503 if it says when to try again.
pub(crate) struct Answered {
    pub(crate) request: u64,
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// What came of a call of another controller.
pub(crate) type Talk = (
    ConnId,
    Result<mpsc::Receiver<Result<PeerEvent, Status>>, Status>,
);

/// A controller as a machine: its process comes and goes.
pub(crate) struct Host {
    pub(crate) index: usize,
    pub(crate) starts: u32,
    pub(crate) started_at: Millis,
    /// How far its clock is ahead of the true time.
    pub(crate) skew: i64,
    pub(crate) process: Option<Process>,
    /// It does not run until then.
    pub(crate) hangs_until: Option<Millis>,
    /// Something has arrived for it.
    pub(crate) is_due: bool,
}

pub(crate) struct Process {
    runtime: Runtime,
    began: Millis,
    start: Instant,
    pub(crate) ran_until: Millis,
    clock: Arc<awake::Clock>,
    calls: Calls,
    dials: Dials,
    answers: Arc<Mutex<Vec<Answered>>>,
    talks: Arc<Mutex<Vec<Talk>>>,
    bare: Arc<Mutex<Option<Result<Bare, String>>>>,
    pub(crate) outgoing: BTreeMap<ConnId, Outgoing>,
    pub(crate) incoming: BTreeMap<ConnId, Incoming>,
    pub(crate) watches: Vec<super::store::Watch>,
}

/// Everything that a controller has said since it was last asked.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) calls: Vec<StoreCall>,
    pub(crate) dials: Vec<DialRequest>,
    pub(crate) answers: Vec<Answered>,
    pub(crate) talks: Vec<Talk>,
    pub(crate) messages: Vec<(ConnId, Message)>,
    /// Connections that it has closed.
    pub(crate) closed: Vec<ConnId>,
}

pub(crate) enum Message {
    Order(ControllerMessage),
    Event(Box<PeerEvent>),
    PeerOrder(PeerOrder),
}

fn take<T>(list: &Mutex<Vec<T>>) -> Vec<T> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Process {
    pub(crate) fn start(
        (host, starts): (usize, u32),
        now: Millis,
        template: &Arc<Template>,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()?;
        let calls = Calls::default();
        let dials = Dials::default();
        let bare = Arc::new(Mutex::new(None));
        let carried = Carried {
            store: Arc::new(StoreClient {
                calls: calls.clone(),
            }),
            trust: template.trust.clone(),
            id: format!("c{host}-{starts}"),
            address: format!("controller{host}:1"),
            dial: Arc::new(Dialler(dials.clone())) as Arc<dyn Dial>,
        };
        let (slot, template) = (bare.clone(), template.clone());
        runtime.spawn(async move {
            let started = Bare::start(&template.config, carried).await;
            let started = started.map_err(|error| foghorn_types::chain(&error).to_string());
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(started);
        });
        let start = {
            let _inside = runtime.enter();
            Instant::now()
        };
        Ok(Self {
            runtime,
            began: now,
            start,
            ran_until: now,
            clock: Arc::default(),
            calls,
            dials,
            answers: Arc::default(),
            talks: Arc::default(),
            bare,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            watches: Vec::new(),
        })
    }

    /// Lets it run up to a time. After it hung, the clock has gone on without it.
    pub(crate) fn run(&mut self, until: Millis, skew: i64) {
        let missed = until
            .saturating_sub(self.ran_until)
            .saturating_sub(2 * WINDOW);
        let wake = self.start + Duration::from_millis(until.saturating_sub(self.began));
        self.inside(until, skew, |runtime| {
            runtime.block_on(async {
                if missed > 0 {
                    tokio::time::advance(Duration::from_millis(missed)).await;
                }
                tokio::time::sleep_until(wake).await;
            });
        });
        self.ran_until = until;
    }

    /// Does something as this process, with its clocks.
    fn inside<R>(&self, now: Millis, skew: i64, work: impl FnOnce(&Runtime) -> R) -> R {
        let wall = BEGIN.as_millis() + i64::try_from(now).unwrap_or(0) + skew;
        Timestamp::set_clock(Some(Timestamp::from_millis(wall)));
        awake::simulate(Some(self.clock.clone()));
        let result = work(&self.runtime);
        awake::simulate(None);
        Timestamp::set_clock(None);
        result
    }

    /// Whether it has started; `Err` says why it has not, and it ends.
    pub(crate) fn state(&self) -> Result<bool, String> {
        match &*self.bare.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(why)) => Err(why.clone()),
        }
    }

    /// Does something with the controller, if it has started.
    pub(crate) fn with<R>(&self, skew: i64, work: impl FnOnce(&Bare) -> R) -> Option<R> {
        let bare = self.bare.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Ok(bare)) = &*bare else { return None };
        Some(self.inside(self.ran_until, skew, |runtime| {
            let _inside = runtime.enter();
            work(bare)
        }))
    }

    /// An agent opens a link.
    pub(crate) fn link(&mut self, id: ConnId, name: &NodeName, skew: i64) -> Result<(), String> {
        let (sender, messages) = mpsc::unbounded_channel();
        let messages = UnboundedReceiverStream::new(messages).boxed();
        let orders = self
            .with(skew, |bare| bare.link(name, messages))
            .ok_or("it is starting")?
            .map_err(|status| status.message().to_owned())?;
        self.incoming.insert(id, Incoming::Link(sender));
        self.outgoing.insert(id, Outgoing::Link(orders));
        Ok(())
    }

    /// Another controller calls.
    pub(crate) fn talk(&mut self, id: ConnId, skew: i64) -> bool {
        let (sender, orders) = mpsc::unbounded_channel();
        self.incoming.insert(id, Incoming::Orders(sender));
        let (talks, bare) = (self.talks.clone(), self.bare.clone());
        let orders = UnboundedReceiverStream::new(orders).boxed();
        self.with(skew, |_| {
            tokio::spawn(async move {
                // The lock is not held while it waits: the answer needs no more of the controller.
                let answer = {
                    let bare = bare.lock().unwrap_or_else(PoisonError::into_inner);
                    match &*bare {
                        Some(Ok(bare)) => Some(bare.talk(orders)),
                        _ => None,
                    }
                };
                if let Some(answer) = answer {
                    let answer = answer.await;
                    let mut talks = talks.lock().unwrap_or_else(PoisonError::into_inner);
                    talks.push((id, answer));
                }
            });
        })
        .is_some()
    }

    /// A request arrives.
    pub(crate) fn request(&self, number: u64, request: Request<Body>, skew: i64) -> bool {
        let answers = self.answers.clone();
        self.with(skew, |bare| {
            let router = bare.router();
            tokio::spawn(async move {
                let Ok(response) = router.oneshot(request).await;
                let later = response.headers().contains_key(header::RETRY_AFTER);
                let status = if later {
                    503
                } else {
                    response.status().as_u16()
                };
                let body = to_bytes(response.into_body(), usize::MAX).await;
                let answered = Answered {
                    request: number,
                    status,
                    body: body.unwrap_or_default(),
                };
                let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                answers.push(answered);
            });
        })
        .is_some()
    }

    /// What it has said since this was last called.
    pub(crate) fn said(&mut self) -> Said {
        let mut said = Said {
            calls: take(&self.calls),
            dials: take(&self.dials),
            answers: take(&self.answers),
            talks: take(&self.talks),
            ..Said::default()
        };
        for (id, outgoing) in &mut self.outgoing {
            let ended = drain(outgoing, |message| said.messages.push((*id, message)));
            if ended {
                said.closed.push(*id);
            }
        }
        for id in &said.closed {
            self.outgoing.remove(id);
            self.incoming.remove(id);
        }
        said
    }
}

/// Takes all that is there; returns whether nothing will follow.
fn drain(outgoing: &mut Outgoing, mut found: impl FnMut(Message)) -> bool {
    use mpsc::error::TryRecvError::{Disconnected, Empty};
    loop {
        let next = match outgoing {
            Outgoing::Link(orders) => orders.try_recv().map(|order| order.map(Message::Order)),
            Outgoing::Told(events) => {
                let event = events.try_recv();
                event.map(|event| event.map(|event| Message::Event(Box::new(event))))
            }
            Outgoing::Orders(orders) => {
                orders.try_recv().map(|order| Ok(Message::PeerOrder(order)))
            }
        };
        match next {
            Ok(Ok(message)) => found(message),
            Ok(Err(_)) | Err(Disconnected) => return true,
            Err(Empty) => return false,
        }
    }
}
