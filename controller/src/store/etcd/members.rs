//! The members of an etcd cluster: a client for each, and which of them is used.
//!
//! One member is used for everything, so that what a read finds there the watch has delivered or is
//! about to. A balancer over all of them would send every third call to a member that is down, and
//! its failures are so quick that it would even prefer that one. A look at every member twice a
//! second finds those that are silent or have lost their leader.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use etcd_client::{Client, StatusResponse};
use foghorn_types::chain;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::answer::{Refusal, is_cut, is_of_member, is_permission, never_arrived, refusal};
use super::connect::{ConnectEtcdError, Keys};
use super::{CALL, EtcdOptions};

/// How often every member is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A member that does not say how it is by then is left if another does.
const LOOK: Duration = Duration::from_secs(1);
/// How long a call waits while no member has a leader. It is tried all the same: the last look may
/// be older than the cure, and the election of another leader takes up to two seconds.
const CALL_IN_TROUBLE: Duration = Duration::from_secs(2);
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// When every member has refused a call, it is made again after this.
const PAUSE: Duration = Duration::from_millis(50);

/// See the module.
pub(super) struct Members {
    options: EtcdOptions,
    all: Vec<Member>,
    used: watch::Sender<usize>,
    /// Watches that had begun and are interrupted now.
    interrupted: std::sync::atomic::AtomicUsize,
}

struct Member {
    endpoint: String,
    /// `None` until it is needed, and after a failure: what is made next reads the files of
    /// certificates and passwords again.
    client: ArcSwapOption<Client>,
    seen: Mutex<Health>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Health {
    /// Nobody has looked yet.
    Unknown,
    /// It answers and has a leader.
    Up,
    Down,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Answer(#[from] etcd_client::Error),
    #[error("etcd did not answer in time")]
    Late,
    #[error("the member of etcd that was asked is not used any more")]
    Left,
    #[error("could not connect to the member of etcd")]
    Connect(#[source] ConnectEtcdError),
}

impl CallError {
    /// Whether nobody has said what has become of the call: the connection broke or the member ended
    /// while it had it, or it does not answer.
    pub(super) fn is_unsure(&self) -> bool {
        match self {
            Self::Answer(error) => is_cut(error),
            Self::Late | Self::Left => true,
            Self::Connect(_) => false,
        }
    }

    /// The refusal, if it is one.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Answer(error) => refusal(error),
            Self::Late | Self::Left | Self::Connect(_) => None,
        }
    }
}

/// What a member says of itself, or why it says nothing.
pub(super) struct Look {
    pub(super) endpoint: String,
    pub(super) status: Result<StatusResponse, String>,
}

impl Members {
    /// Connects to every member, and looks at them from then on. With a log-in, one of them has to
    /// answer now.
    pub(super) async fn connect(options: &EtcdOptions) -> Result<Arc<Self>, ConnectEtcdError> {
        options.check()?;
        // What can never be read or parsed is found now.
        let keys = Keys::read(options).await?;
        let endpoints = options.endpoints.clone();
        let connecting = endpoints.iter().map(|endpoint| keys.connect(endpoint));
        let connected = join_all(connecting).await;
        let first = connected.iter().position(Result::is_ok);
        let mut all = Vec::new();
        let mut trouble = None;
        for (endpoint, client) in endpoints.into_iter().zip(connected) {
            let client = match client {
                Ok(client) => Some(Arc::new(client)),
                Err(error) if error.is_for_ever() => return Err(error),
                Err(error) => {
                    trouble = Some(error);
                    None
                }
            };
            all.push(Member {
                endpoint,
                client: ArcSwapOption::new(client),
                seen: Mutex::new(Health::Unknown),
            });
        }
        let first = match (first, trouble) {
            (Some(first), _) => first,
            (None, Some(error)) => return Err(error),
            (None, None) => 0,
        };
        let members = Arc::new(Self {
            options: options.clone(),
            all,
            used: watch::Sender::new(first),
            interrupted: 0.into(),
        });
        tokio::spawn(keep_looking(Arc::downgrade(&members)));
        Ok(members)
    }

    pub(super) fn place(&self) -> String {
        self.options.endpoints.join(", ")
    }

    /// Which member is used; told whenever it becomes another.
    pub(super) fn used(&self) -> watch::Receiver<usize> {
        self.used.subscribe()
    }

    pub(super) async fn client(&self, index: usize) -> Result<Client, CallError> {
        let member = &self.all[index];
        if let Some(client) = member.client.load_full() {
            return Ok((*client).clone());
        }
        let keys = Keys::read(&self.options)
            .await
            .map_err(CallError::Connect)?;
        let client = keys
            .connect(&member.endpoint)
            .await
            .map_err(CallError::Connect)?;
        member.client.store(Some(Arc::new(client.clone())));
        Ok(client)
    }

    /// A call that may be made again, because it changes nothing or the same.
    pub(super) async fn read<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        call: impl Fn(Client) -> F,
    ) -> Result<T, CallError> {
        self.call(true, call).await
    }

    /// A call that is made again only when it has certainly not arrived.
    pub(super) async fn write<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        call: impl Fn(Client) -> F,
    ) -> Result<T, CallError> {
        self.call(false, call).await
    }

    async fn call<T, F: Future<Output = Result<T, etcd_client::Error>>>(
        &self,
        again: bool,
        call: impl Fn(Client) -> F,
    ) -> Result<T, CallError> {
        let deadline = Instant::now() + self.patience();
        let mut used = self.used();
        for attempt in 1_usize.. {
            let index = *used.borrow_and_update();
            let asked = async { Ok(call(self.client(index).await?).await?) };
            let done = tokio::select! {
                done = timeout_at(deadline, asked) => done.unwrap_or(Err(CallError::Late)),
                () = left(&mut used, again) => Err(CallError::Left),
            };
            let error = match done {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let may_go_on = match &error {
                CallError::Answer(answer) if !is_of_member(answer) => return Err(error),
                CallError::Answer(answer) => again || never_arrived(answer),
                CallError::Connect(_) => true,
                CallError::Left => again,
                CallError::Late => false,
            };
            if !matches!(error, CallError::Left) {
                self.leave(index);
            }
            let is_everyone = attempt % self.all.len() == 0;
            let is_hopeless = is_everyone && matches!(error, CallError::Connect(_));
            if !may_go_on || is_hopeless || Instant::now() >= deadline {
                return Err(error);
            }
            if is_everyone {
                sleep(PAUSE).await;
            }
        }
        Err(CallError::Late)
    }

    /// Whether some member answers and has a leader, as far as anybody knows.
    pub(super) fn is_any_up(&self) -> bool {
        self.all.iter().any(|member| member.health() == Health::Up)
    }

    /// How long a call may take.
    fn patience(&self) -> Duration {
        if self
            .all
            .iter()
            .all(|member| member.health() == Health::Down)
        {
            CALL_IN_TROUBLE
        } else {
            CALL
        }
    }

    /// Uses another member than this one, if another may be better.
    pub(super) fn leave(&self, index: usize) {
        let others = (1..self.all.len()).map(|step| (index + step) % self.all.len());
        let better = |wanted: Health| {
            let mut others = others.clone();
            others.find(|other| self.all[*other].health() == wanted)
        };
        let Some(next) = better(Health::Up).or_else(|| better(Health::Unknown)) else {
            return;
        };
        let moved = self.used.send_if_modified(|used| {
            let is_used = *used == index;
            if is_used {
                *used = next;
            }
            is_used
        });
        if moved {
            self.all[index].set(Health::Down);
            let (from, to) = (&self.all[index].endpoint, &self.all[next].endpoint);
            info!(from, to, "a member of etcd does not serve; using another");
        }
    }

    /// Asks every member how it is.
    pub(super) async fn look(&self) -> Vec<Look> {
        let looks = join_all((0..self.all.len()).map(|index| self.look_at(index))).await;
        let used = *self.used.borrow();
        if self.all[used].health() == Health::Down {
            self.leave(used);
        }
        looks
    }

    async fn look_at(&self, index: usize) -> Look {
        let member = &self.all[index];
        let asked = async {
            let mut maintenance = self.client(index).await?.maintenance_client();
            Ok::<_, CallError>(maintenance.status().await?)
        };
        let status = timeout(LOOK, asked).await.unwrap_or(Err(CallError::Late));
        let health = match &status {
            Ok(status) if status.leader() == 0 => Health::Down,
            Ok(_) => Health::Up,
            // It answers; the user may not ask this.
            Err(CallError::Answer(error)) if is_permission(error) => Health::Up,
            Err(_) => Health::Down,
        };
        let before = member.set(health);
        if health == Health::Down && status.is_err() {
            member.client.store(None);
        }
        let endpoint = &member.endpoint;
        match (before, health, &status) {
            (Health::Up, Health::Down, Err(error)) => {
                warn!(endpoint, error = %chain(error), "a member of etcd does not answer");
            }
            (Health::Up, Health::Down, Ok(_)) => {
                warn!(endpoint, "a member of etcd has no leader");
            }
            (Health::Down, Health::Up, _) => info!(endpoint, "a member of etcd answers again"),
            _ => {}
        }
        let status = match status {
            Ok(status) if status.leader() == 0 => Err("it has no leader".to_owned()),
            other => other.map_err(|error| chain(&error).to_string()),
        };
        Look {
            endpoint: endpoint.clone(),
            status,
        }
    }

    /// A watch of this engine is interrupted until what is returned is dropped.
    pub(super) fn interrupted(self: &Arc<Self>) -> Interrupted {
        self.interrupted
            .fetch_add(1, std::sync::atomic::Ordering::AcqRel);
        Interrupted(self.clone())
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(std::sync::atomic::Ordering::Acquire) > 0
    }
}

/// See [`Members::interrupted`].
pub(super) struct Interrupted(Arc<Members>);

impl Drop for Interrupted {
    fn drop(&mut self) {
        self.0
            .interrupted
            .fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
    }
}

impl Member {
    fn health(&self) -> Health {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what was known before.
    fn set(&self, health: Health) -> Health {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *seen, health)
    }
}

/// Returns when somebody has found that the member in use does not serve. What is not asked again gets a
/// moment more: a member without a leader may still answer.
async fn left(used: &mut watch::Receiver<usize>, again: bool) {
    let _ = used.changed().await;
    if !again {
        sleep(LAST_MOMENT).await;
    }
}

/// Ends with the engine.
async fn keep_looking(members: Weak<Members>) {
    loop {
        match members.upgrade() {
            Some(members) => drop(members.look().await),
            None => return,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
