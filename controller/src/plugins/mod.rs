//! Plugins: scripts in a folder that add classes, change answers, and determine which classes have
//! which routes.
//!
//! A plugin is one file, `NAME.rhai`. It is compiled when it appears or changes
//! ([`Plugins::follow`]), runs in a sandbox (`sandbox`) on a thread of its own, and is called at
//! the six events of a FOG server ([`Event`]). Errors in it are reported on its `plugin` object and
//! have no other effect: the answer is then the same as without the plugin. An answer that no
//! plugin handles costs one atomic load.

mod convert;
mod declare;
mod event;
mod folder;
mod health;
mod loaded;
mod rewrite;
mod sandbox;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use foghorn_types::chain;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::event::Event;
pub use self::health::Failure;
pub use self::rewrite::Answer;

use self::folder::Sources;
use self::loaded::{LoadError, Loaded, Plugin};
use self::sandbox::Sandbox;
use crate::background::{Background, Report, Rhythm, Why, Work};
use crate::state::State;
use crate::state::classes::Plugin as PluginRow;

/// Wall-clock time of all plugins together for one answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Time limit for compiling a plugin and reading its declaration.
const LOAD_WITHIN: Duration = Duration::from_secs(10);
/// Larger answers are not passed to plugins: use paging.
const MOST_BYTES: usize = 16 << 20;
/// Maximum number of answers processed by plugins at a time.
const AT_A_TIME: usize = 4;
/// Interval between checks of the rows of `plugin`, and number of these per check of the folder.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS_PER_READING: u32 = 4;

/// Whether a plugin of the folder is active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is.
    On,
    /// Its row in the state has `state` 0.
    Off,
    /// The file cannot be used.
    Broken,
    /// It failed too often in a row.
    Suspended,
}

impl Standing {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Broken => "broken",
            Self::Suspended => "suspended",
        }
    }
}

/// A plugin of the folder, as it is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    pub name: String,
    pub description: String,
    pub version: String,
    pub icon: String,
    pub standing: Standing,
    /// Calls that failed since its file was loaded.
    pub failures: u64,
    pub last: Option<Failure>,
    /// Names of the classes that it declares.
    pub classes: Vec<&'static str>,
    pub events: Vec<Event>,
}

/// Contents of the folder at the last check.
#[derive(Default)]
struct Known {
    sources: Sources,
    off: BTreeSet<String>,
    suspended: BTreeSet<String>,
    /// By name, of this very source.
    results: BTreeMap<String, Arc<Result<Arc<Plugin>, Failure>>>,
}

/// A file of the folder: its name, its result, whether its row enables it.
type Found = (String, Arc<Result<Arc<Plugin>, Failure>>, bool);

/// Looks at the rows of `plugin`, and now and then at the folder.
struct Looks {
    plugins: Arc<Plugins>,
    looks: u32,
}

impl Work for Looks {
    async fn round(&mut self, _: Why, report: &mut Report) {
        self.looks = self.looks.wrapping_add(1);
        self.plugins
            .look(self.looks.is_multiple_of(LOOKS_PER_READING), report)
            .await;
    }
}

/// See the module. One per controller.
pub struct Plugins {
    state: Arc<State>,
    folder: Option<PathBuf>,
    sandbox: Arc<Sandbox>,
    loaded: ArcSwap<Loaded>,
    /// Every file of the folder with its result.
    found: ArcSwap<Vec<Found>>,
    /// Whether any answers are passed to plugins.
    looks: AtomicBool,
    places: Arc<Semaphore>,
    known: Mutex<Known>,
}

impl Plugins {
    /// Nothing is loaded yet; without a folder nothing will be.
    #[must_use]
    pub fn new(state: Arc<State>, folder: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            sandbox: Arc::new(Sandbox::new(&state)),
            state,
            folder,
            loaded: ArcSwap::default(),
            found: ArcSwap::default(),
            looks: AtomicBool::new(false),
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            known: Mutex::default(),
        })
    }

    /// Follows changes of the folder and of the rows of `plugin` until `cancel`.
    pub async fn follow(self: Arc<Self>, background: Arc<Background>, cancel: CancellationToken) {
        let rhythm = Rhythm {
            name: "plugins",
            period: LOOK_EVERY,
            wakes: Vec::new(),
        };
        background
            .drive(
                rhythm,
                Looks {
                    plugins: self,
                    looks: 0,
                },
                cancel,
            )
            .await;
    }

    /// Reads the folder and the rows now, and activates the plugins.
    pub async fn reload(&self) {
        self.look(true, &mut Report::default()).await;
    }

    async fn look(&self, read: bool, report: &mut Report) {
        let Some(folder) = &self.folder else { return };
        let mut known = self.known.lock().await;
        let mut moved = false;
        if read {
            let folder = folder.clone();
            match tokio::task::spawn_blocking(move || folder::read(&folder)).await {
                Ok(Ok(sources)) if sources != known.sources => {
                    self.compile(&mut known, sources).await;
                    report.did("changes of the folder", 1);
                    moved = true;
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    warn!(error = %chain(&error), "keeping the loaded plugins");
                    report.failed("could not read the folder of plugins", &error);
                }
                Err(error) => {
                    warn!(error = %chain(&error), "could not read the plugin folder");
                    report.failed("could not read the folder of plugins", &error);
                }
            }
        }
        let off = self.switched_off();
        let suspended = suspended(&known);
        if moved || off != known.off || suspended != known.suspended {
            (known.off, known.suspended) = (off, suspended);
            self.put_in_force(&mut known).await;
        }
    }

    /// Compiles new and changed plugins, and removes deleted ones.
    async fn compile(&self, known: &mut Known, sources: Sources) {
        let mut results = BTreeMap::new();
        for (name, source) in &sources {
            let same = known.sources.get(name) == Some(source);
            if let Some(result) = known.results.get(name).filter(|_| same) {
                results.insert(name.clone(), result.clone());
                continue;
            }
            let result = self
                .load(name, source)
                .await
                .map(Arc::new)
                .map_err(|error| {
                    warn!(plugin = name, error = %chain(&error), "could not use a plugin");
                    failure(error.to_string())
                });
            if result.is_ok() {
                info!(plugin = name, "plugin loaded");
            }
            results.insert(name.clone(), Arc::new(result));
        }
        for name in known
            .sources
            .keys()
            .filter(|name| !sources.contains_key(*name))
        {
            info!(plugin = name, "plugin removed");
        }
        (known.sources, known.results) = (sources, results);
    }

    async fn load(&self, name: &str, source: &Result<String, String>) -> Result<Plugin, LoadError> {
        let source = source.clone().map_err(LoadError::File)?;
        let (sandbox, name) = (self.sandbox.clone(), name.to_owned());
        let work = move || Plugin::load(&sandbox, &name, &source);
        self.apart(Instant::now() + LOAD_WITHIN, work)
            .await
            .unwrap_or(Err(LoadError::TooLong))
    }

    async fn put_in_force(&self, known: &mut Known) {
        let usable: Vec<Arc<Plugin>> = known
            .results
            .iter()
            .filter(|(name, _)| !known.off.contains(*name))
            .filter_map(|(_, result)| result.as_ref().as_ref().ok().cloned())
            .collect();
        let sandbox = self.sandbox.clone();
        let built = self
            .apart(Instant::now() + LOAD_WITHIN, move || {
                Loaded::build(&sandbox, usable)
            })
            .await;
        let Some((loaded, declared, refused)) = built else {
            warn!("combining the plugins took too long; keeping the loaded plugins");
            return;
        };
        let mut found = Vec::with_capacity(known.results.len());
        for (name, result) in &known.results {
            let result = match refused.get(name) {
                Some(why) => Arc::new(Err(failure(why.clone()))),
                None => result.clone(),
            };
            found.push((name.clone(), result, known.off.contains(name)));
        }
        self.state.declare(declared);
        self.looks
            .store(!loaded.touched.is_empty(), Ordering::Release);
        self.loaded.store(Arc::new(loaded));
        self.found.store(Arc::new(found));
    }

    async fn apart<R: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let place = tokio::time::timeout_at(deadline, self.places.clone().acquire_owned())
            .await
            .ok()?
            .ok()?;
        sandbox::apart(place, deadline, work).await
    }

    /// Plugins whose row has `state` 0. Without a row, and with any other state, a plugin of the
    /// folder is on.
    fn switched_off(&self) -> BTreeSet<String> {
        self.state.read(|tables| {
            let rows = tables.of::<PluginRow>().iter();
            rows.filter(|row| row.state == "0")
                .map(|row| row.name.to_lowercase())
                .collect()
        })
    }

    /// Whether answers about this class are passed to a plugin.
    #[must_use]
    pub fn look_at(&self, class: &str) -> bool {
        self.looks.load(Ordering::Acquire) && self.loaded.load().touched.contains(class)
    }

    /// Lets plugins change an answer. `None` when it stays as it is, also when plugins fail or take
    /// too long.
    pub async fn rewrite(
        &self,
        class: &'static str,
        answer: Answer,
        body: Bytes,
    ) -> Option<Vec<u8>> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let (sandbox, loaded) = (self.sandbox.clone(), self.loaded.load_full());
        if body.len() > MOST_BYTES {
            metrics::counter!("foghorn_plugin_answers_skipped_total", "why" => "large")
                .increment(1);
            return None;
        }
        let until = deadline.into_std();
        let work = move || rewrite::rewrite(&sandbox, &loaded, class, answer, &body, until);
        let done = self.apart(deadline + Duration::from_secs(1), work).await;
        if done.is_none() {
            metrics::counter!("foghorn_plugin_answers_skipped_total", "why" => "busy").increment(1);
        }
        done.flatten()
    }

    /// Whether the class has routes according to the plugins.
    #[must_use]
    pub fn is_valid(&self, class: &str) -> bool {
        self.loaded
            .load()
            .lists
            .as_ref()
            .is_none_or(|lists| lists.valid.contains(class))
    }

    /// Whether the class has `task` and `cancel` according to the plugins.
    #[must_use]
    pub fn has_tasks(&self, class: &str) -> bool {
        self.loaded
            .load()
            .lists
            .as_ref()
            .is_none_or(|lists| lists.tasking.contains(class))
    }

    /// Whether the class has `active` according to the plugins.
    #[must_use]
    pub fn has_active(&self, class: &str) -> bool {
        self.loaded
            .load()
            .lists
            .as_ref()
            .is_none_or(|lists| lists.active.contains(class))
    }

    /// Every plugin of the folder, by name.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        self.found
            .load()
            .iter()
            .map(|(name, result, off)| shown(name, result, *off))
            .collect()
    }

    /// The plugin of the folder with this name, without regard to case.
    #[must_use]
    pub fn shown_one(&self, name: &str) -> Option<Shown> {
        let found = self.found.load();
        let (name, result, off) = found
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
        Some(shown(name, result, *off))
    }
}

fn suspended(known: &Known) -> BTreeSet<String> {
    let working = known
        .results
        .values()
        .filter_map(|result| result.as_ref().as_ref().ok());
    working
        .filter(|plugin| plugin.health.is_suspended())
        .map(|plugin| plugin.name.clone())
        .collect()
}

fn failure(what: String) -> Failure {
    Failure {
        what,
        at: foghorn_types::Timestamp::now(),
    }
}

fn shown(name: &str, result: &Result<Arc<Plugin>, Failure>, off: bool) -> Shown {
    let mut shown = Shown {
        name: name.to_owned(),
        description: String::new(),
        version: String::new(),
        icon: String::new(),
        standing: if off { Standing::Off } else { Standing::On },
        failures: 0,
        last: None,
        classes: Vec::new(),
        events: Vec::new(),
    };
    match result {
        Err(failure) => {
            shown.standing = if off { Standing::Off } else { Standing::Broken };
            (shown.failures, shown.last) = (1, Some(failure.clone()));
        }
        Ok(plugin) => {
            let said = &plugin.declaration;
            (shown.failures, shown.last) = plugin.health.last();
            if !off && plugin.health.is_suspended() {
                shown.standing = Standing::Suspended;
            }
            shown.description.clone_from(&said.description);
            shown.version.clone_from(&said.version);
            shown.icon.clone_from(&said.icon);
            shown.classes = said.classes.iter().map(|class| class.name).collect();
            shown.events = plugin.events.iter().copied().collect();
        }
    }
    shown
}
