//! The active plugins: one immutable snapshot, replaced as a whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Map};
use serde_json::Value;

use super::declare::{self, Declaration, DeclareError};
use super::event::Event;
use super::health::Health;
use super::sandbox::{CallError, Sandbox, Size};
use crate::state::class::{Computed, Shape};
use crate::state::classes::CLASSES;
use crate::state::dynamic::{Declared, Kind};

/// One plugin that could be loaded.
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) ast: AST,
    pub(super) declaration: Declaration,
    /// Events that it has a function for.
    pub(super) events: BTreeSet<Event>,
    pub(super) health: Health,
}

/// Why a file is not a valid plugin.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    File(String),
    #[error("it does not compile: {0}")]
    Compile(#[from] rhai::ParseError),
    #[error("plugin(): {0}")]
    Describe(#[from] CallError),
    #[error(transparent)]
    Declare(#[from] DeclareError),
    #[error("loading it took too long")]
    TooLong,
}

impl Plugin {
    /// Compiles the file and reads its declaration.
    ///
    /// # Errors
    /// [`LoadError`].
    pub(super) fn load(sandbox: &Sandbox, name: &str, source: &str) -> Result<Self, LoadError> {
        let ast = sandbox.compile(source)?;
        let has = |function: &str| {
            ast.iter_functions()
                .any(|known| known.name == function && known.params.is_empty())
        };
        let declaration = if has("plugin") {
            declare::read(name, sandbox.ask(&ast, "plugin")?)?
        } else {
            Declaration::default()
        };
        let events: BTreeSet<Event> = Event::ALL
            .into_iter()
            .filter(|event| has(event.name()))
            .collect();
        let health = Health::begin(name, events.iter().map(|event| event.name()));
        Ok(Self {
            name: name.to_owned(),
            ast,
            declaration,
            events,
            health,
        })
    }

    /// Whether it must be called for an object or a list of this class.
    pub(super) fn is_asked(&self, event: Event, class: &str) -> bool {
        self.events.contains(&event)
            && self
                .declaration
                .hooks
                .get(&event)
                .is_none_or(|classes| classes.contains(class))
            && !self.health.is_suspended()
    }

    fn adjust(
        &self,
        sandbox: &Sandbox,
        event: Event,
        list: &BTreeSet<String>,
    ) -> Option<BTreeSet<String>> {
        let variable = event.variable();
        let before = Value::from_iter(list.iter().cloned());
        let deadline = Instant::now() + Size::One.time();
        let wrong = || CallError::WrongType {
            variable,
            wanted: "list of names",
        };
        let after = sandbox
            .change(
                Size::One,
                &self.ast,
                event.name(),
                variable,
                &before,
                Map::new(),
                deadline,
            )
            .and_then(|after| {
                serde_json::from_value::<BTreeSet<String>>(after).map_err(|_| wrong())
            });
        match after {
            Ok(after) => Some(after),
            Err(error) => {
                self.health
                    .failed(&self.name, event.name(), &error.to_string());
                None
            }
        }
    }
}

/// Which classes have which routes, if a plugin determines this.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lists {
    pub(super) valid: BTreeSet<String>,
    pub(super) tasking: BTreeSet<String>,
    pub(super) active: BTreeSet<String>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Loaded {
    /// By name, which is the order in which they are called.
    pub(super) plugins: Vec<Arc<Plugin>>,
    /// `None` when no plugin determines this.
    pub(super) lists: Option<Lists>,
    /// Classes whose answers are passed to a plugin, also because of an object inside them.
    pub(super) touched: HashSet<String>,
}

/// Classes that FOG lets have `task` and `cancel`, and those with `active`.
const TASKING: [&str; 7] = [
    "group",
    "host",
    "multicastsession",
    "scheduledtask",
    "snapinjob",
    "snapintask",
    "task",
];
const ACTIVE: [&str; 5] = [
    "multicastsession",
    "scheduledtask",
    "snapinjob",
    "snapintask",
    "task",
];
/// First segments of paths that are not classes, and reserved class names.
const RESERVED: [&str; 6] = ["system", "search", "unisearch", "user", "users", "events"];

impl Loaded {
    /// Combines plugins; those that conflict with others are left out and returned with the reason.
    pub(super) fn build(
        sandbox: &Sandbox,
        all: Vec<Arc<Plugin>>,
    ) -> (Self, Declared, BTreeMap<String, String>) {
        let mut refused = BTreeMap::new();
        let mut plugins = all;
        // Leaving one out may remove a class to which another one refers.
        loop {
            let before = plugins.len();
            let (kept, out) = keep(&plugins);
            refused.extend(out);
            plugins = kept;
            if plugins.len() == before {
                break;
            }
        }
        let declared = Declared {
            classes: plugins
                .iter()
                .flat_map(|plugin| plugin.declaration.classes.iter().cloned().map(Arc::new))
                .collect(),
            members: plugins
                .iter()
                .flat_map(|plugin| plugin.declaration.members.iter().cloned())
                .collect(),
        };
        let lists = lists(sandbox, &plugins, &declared);
        let touched = touched(&plugins, &declared);
        (
            Self {
                plugins,
                lists,
                touched,
            },
            declared,
            refused,
        )
    }
}

/// Those whose classes do not conflict with others and refer only to existing classes.
fn keep(plugins: &[Arc<Plugin>]) -> (Vec<Arc<Plugin>>, BTreeMap<String, String>) {
    let (mut kept, mut out) = (Vec::new(), BTreeMap::new());
    let mut names: BTreeSet<&str> = BTreeSet::new();
    let all: BTreeSet<&str> = plugins
        .iter()
        .flat_map(|plugin| plugin.declaration.classes.iter().map(|class| class.name))
        .collect();
    for plugin in plugins {
        let classes = &plugin.declaration.classes;
        let own: BTreeSet<&str> = classes.iter().map(|class| class.name).collect();
        let clash = classes
            .iter()
            .find(|class| is_own(class.name) || names.contains(class.name));
        let target = classes
            .iter()
            .flat_map(|class| &class.fields)
            .find_map(|field| match field.kind {
                Kind::Reference { class, .. }
                    if !all.contains(class) && !may_be_referred_to(class) =>
                {
                    Some((field, class))
                }
                _ => None,
            });
        let why = match (clash, target) {
            (Some(class), _) => Some(format!("class {:?}: the name is in use", class.name)),
            (_, Some((field, class))) => Some(format!(
                "field {:?}: class {class:?} does not exist or cannot be referenced",
                field.name
            )),
            _ if own.len() < classes.len() => {
                Some("two of its classes have the same name".to_owned())
            }
            _ => None,
        };
        match why {
            Some(why) => drop(out.insert(plugin.name.clone(), why)),
            None => {
                names.extend(own);
                kept.push(plugin.clone());
            }
        }
    }
    (kept, out)
}

/// Whether this name is that of a built-in class, or could be mistaken for one.
fn is_own(name: &str) -> bool {
    RESERVED.contains(&name)
        || CLASSES
            .iter()
            .any(|class| class.name() == name || class.aliases().contains(&name))
}

/// Classes whose objects are deleted directly only; rows of plugins are not deleted together with
/// other objects.
fn may_be_referred_to(name: &str) -> bool {
    CLASSES
        .iter()
        .any(|class| class.name() == name && class.is_named() && name != "task" && name != "user")
}

fn lists(sandbox: &Sandbox, plugins: &[Arc<Plugin>], declared: &Declared) -> Option<Lists> {
    let about_lists = [
        Event::ValidClasses,
        Event::TaskingClasses,
        Event::ActiveTaskClasses,
    ];
    if !plugins.iter().any(|plugin| {
        about_lists
            .iter()
            .any(|event| plugin.events.contains(event))
    }) {
        return None;
    }
    let of_plugins = || declared.classes.iter().map(|class| class.name.to_owned());
    let mut lists = Lists {
        valid: CLASSES
            .iter()
            .map(|class| class.name().to_owned())
            .chain(of_plugins())
            .collect(),
        tasking: TASKING.map(str::to_owned).into(),
        active: ACTIVE.map(str::to_owned).into(),
    };
    lists.valid.remove("user");
    lists.active.extend(
        declared
            .classes
            .iter()
            .filter(|class| class.active.is_some())
            .map(|class| class.name.to_owned()),
    );
    for event in about_lists {
        let list = match event {
            Event::ValidClasses => &mut lists.valid,
            Event::TaskingClasses => &mut lists.tasking,
            _ => &mut lists.active,
        };
        for plugin in plugins
            .iter()
            .filter(|plugin| plugin.events.contains(&event))
        {
            if let Some(after) = plugin.adjust(sandbox, event, list) {
                *list = after;
            }
        }
    }
    Some(lists)
}

/// Members of an object of `class` that are objects themselves.
pub(super) fn embedded(class: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let own = CLASSES.iter().find(|known| known.name() == class);
    own.into_iter()
        .flat_map(|class| class.computed())
        .filter_map(|Computed { name, shape, .. }| match shape {
            Shape::Plain(class) | Shape::Full(class) => Some((*name, *class)),
            _ => None,
        })
}

fn touched(plugins: &[Arc<Plugin>], declared: &Declared) -> HashSet<String> {
    let names = CLASSES
        .iter()
        .map(|class| class.name())
        .chain(declared.classes.iter().map(|class| class.name));
    let names: Vec<&str> = names.collect();
    let asked =
        |event: Event, class: &str| plugins.iter().any(|plugin| plugin.is_asked(event, class));
    let mut getters: HashSet<&str> = names
        .iter()
        .copied()
        .filter(|class| asked(Event::Getter, class))
        .collect();
    loop {
        let more: Vec<&str> = names
            .iter()
            .copied()
            .filter(|class| {
                !getters.contains(class)
                    && embedded(class).any(|(_, inner)| getters.contains(inner))
            })
            .collect();
        if more.is_empty() {
            break;
        }
        getters.extend(more);
    }
    let whole = |class: &&str| asked(Event::MassData, class) || asked(Event::IndivData, class);
    names
        .into_iter()
        .filter(|class| getters.contains(class) || whole(class))
        .map(str::to_owned)
        .collect()
}
