//! What this process was ordered by its environment, and what becomes of a visit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::Fate;
use crate::order::{Action, Order, parse};
use crate::record::Record;
use crate::scope;

const VARIABLE: &str = "FOGHORN_FAULTS";

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// One relaxed load, but for the first time.
#[inline]
pub(crate) fn is_armed() -> bool {
    match STATE.load(Ordering::Relaxed) {
        OFF => false,
        ON => true,
        _ => look(),
    }
}

#[cold]
fn look() -> bool {
    let armed = ordered().is_some() || Record::of_process().is_some();
    let state = if armed { ON } else { OFF };
    // A scope may have switched it on meanwhile, which stays.
    let _ = STATE.compare_exchange(UNKNOWN, state, Ordering::Relaxed, Ordering::Relaxed);
    STATE.load(Ordering::Relaxed) == ON
}

/// From here on every visit is looked at, for the sake of scopes.
pub(crate) fn switch_on() {
    STATE.store(ON, Ordering::Relaxed);
}

/// Orders and how often each point was visited since they are the same.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    text: String,
    orders: Vec<Order>,
    visits: BTreeMap<&'static str, u64>,
}

impl Orders {
    pub(crate) fn new(text: String) -> Result<Self, String> {
        Ok(Self {
            orders: parse(&text)?,
            text,
            visits: BTreeMap::new(),
        })
    }

    /// Whether one of them ends the process.
    pub(crate) fn kill(&self) -> bool {
        self.orders.iter().any(|order| order.action == Action::Kill)
    }

    /// What is to happen at this visit.
    pub(crate) fn visit(&mut self, point: &'static str) -> Option<Action> {
        let visits = self.visits.entry(point).or_default();
        *visits += 1;
        let due = |order: &&Order| order.point == point && order.at.is_none_or(|at| at == *visits);
        self.orders.iter().find(due).map(|order| order.action)
    }
}

/// Where the orders of the process come from.
#[derive(Debug)]
struct Ordered {
    /// Read again at each visit.
    file: Option<PathBuf>,
    orders: Mutex<Orders>,
}

fn ordered() -> Option<&'static Ordered> {
    static ORDERED: OnceLock<Option<Ordered>> = OnceLock::new();
    let read = || {
        let text = std::env::var(VARIABLE).ok()?;
        let (file, text) = match text.strip_prefix('@') {
            Some(file) => (Some(PathBuf::from(file)), String::new()),
            None => (None, text),
        };
        let orders = Orders::new(text).unwrap_or_else(|problem| refuse(&problem));
        Some(Ordered {
            file,
            orders: Mutex::new(orders),
        })
    };
    ORDERED.get_or_init(read).as_ref()
}

/// A test that is not given what it asked for must not pass.
fn refuse(problem: &str) -> ! {
    eprintln!("error: {VARIABLE}: {problem}");
    std::process::exit(2);
}

impl Ordered {
    fn visit(&self, point: &'static str) -> Option<Action> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            // No file: nothing is ordered at present.
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if text != orders.text {
                *orders = Orders::new(text).unwrap_or_else(|problem| refuse(&problem));
            }
        }
        orders.visit(point)
    }
}

#[cold]
pub(crate) fn visit(point: &'static str) -> Option<Fate> {
    let record = Record::of_process();
    if let Some(record) = record {
        record.reached(point);
    }
    let action = scope::visit(point).or_else(|| ordered()?.visit(point))?;
    if let Some(record) = record {
        record.happened(point, action.word());
    }
    let mut fate = Fate::default();
    match action {
        Action::Kill => die(),
        Action::Error => fate.fails = Some(point),
        Action::Lost => fate.loses = true,
        Action::Delay(delay) => fate.delay = Some(delay),
    }
    Some(fate)
}

/// As `kill -9`: nothing is dropped, written or said.
fn die() -> ! {
    let own = rustix::process::getpid();
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    // The signal ends all threads, this one at the latest when it waits.
    loop {
        std::thread::park();
    }
}
