//! The sandbox for scripts: no files, no network, no clock, no modules, and limits for all
//! resources.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage,
    BasicMathPackage, BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{AST, Array, CallFnOptions, Dynamic, Engine, EvalAltResult, INT, Map, Scope};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::convert::{self, NotJson};
use crate::state::State;

/// Scripts are shallow; what they build may be nested as deep as arrays may be large, and is
/// dropped by recursion.
const STACK_BYTES: usize = 128 << 20;
/// Maximum number of rows that `find` returns.
const MOST_FOUND: usize = 1_000;

/// Resource limits of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    /// One object, a declaration, a list of classes.
    One,
    /// A whole list of objects.
    List,
}

impl Size {
    /// Wall-clock time of one call.
    pub(super) const fn time(self) -> Duration {
        match self {
            Self::One => Duration::from_millis(500),
            Self::List => Duration::from_secs(1),
        }
    }

    const fn operations(self) -> u64 {
        match self {
            Self::One => 100_000,
            Self::List => 5_000_000,
        }
    }

    /// Elements of all arrays in a value, members of all maps, bytes of all strings.
    const fn most(self) -> (usize, usize, usize) {
        match self {
            Self::One => (2_000, 4_000, 2 << 20),
            Self::List => (20_000, 100_000, 8 << 20),
        }
    }
}

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("{0}")]
    Script(Box<EvalAltResult>),
    #[error("it took longer than {} ms", .0.as_millis())]
    TooLong(Duration),
    #[error("`{variable}` must be a {wanted} afterwards")]
    WrongType {
        variable: &'static str,
        wanted: &'static str,
    },
    #[error("`{variable}`: {source}")]
    NotJson {
        variable: &'static str,
        source: NotJson,
    },
}

thread_local! {
    /// Deadline of the script on this thread.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Compiles and calls.
pub(super) struct Sandbox {
    one: Engine,
    list: Engine,
}

impl Sandbox {
    /// Scripts may read rows of plugins' classes in `state`.
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self {
            one: engine(state, Size::One),
            list: engine(state, Size::List),
        }
    }

    /// # Errors
    /// Where and why the text is not a valid script.
    pub(super) fn compile(&self, source: &str) -> Result<AST, rhai::ParseError> {
        self.one.compile(source)
    }

    /// Calls a function that returns a value.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) fn ask(&self, ast: &AST, function: &str) -> Result<Value, CallError> {
        let mut this = Dynamic::UNIT;
        let value = self.call(
            Size::One,
            ast,
            function,
            &mut this,
            Instant::now() + Size::One.time(),
        )?;
        convert::to_json(value, None).map_err(|source| CallError::NotJson {
            variable: "the result",
            source,
        })
    }

    /// Calls a function that changes the member `variable` of `this`; `before` is its value, the
    /// others are `beside`.
    ///
    /// # Errors
    /// [`CallError`].
    #[expect(
        clippy::too_many_arguments,
        reason = "what a script may see, each named"
    )]
    pub(super) fn change(
        &self,
        size: Size,
        ast: &AST,
        function: &str,
        variable: &'static str,
        before: &Value,
        beside: Map,
        deadline: Instant,
    ) -> Result<Value, CallError> {
        let mut this = beside;
        this.insert(variable.into(), convert::to_dynamic(before));
        let mut this = Dynamic::from_map(this);
        let _returned = self.call(size, ast, function, &mut this, deadline)?;
        let missing = || CallError::WrongType {
            variable: "this",
            wanted: "map",
        };
        let mut this: Map = this.try_cast().ok_or_else(missing)?;
        let after = this.remove(variable).unwrap_or(Dynamic::UNIT);
        convert::to_json(after, Some(before))
            .map_err(|source| CallError::NotJson { variable, source })
    }

    fn call(
        &self,
        size: Size,
        ast: &AST,
        function: &str,
        this: &mut Dynamic,
        deadline: Instant,
    ) -> Result<Dynamic, CallError> {
        let engine = match size {
            Size::One => &self.one,
            Size::List => &self.list,
        };
        let started = Instant::now();
        DEADLINE.set(Some(deadline.min(started + size.time())));
        let options = CallFnOptions::new().eval_ast(false).bind_this_ptr(this);
        let result =
            engine.call_fn_with_options::<Dynamic>(options, &mut Scope::new(), ast, function, ());
        DEADLINE.set(None);
        result.map_err(|error| match *error {
            EvalAltResult::ErrorTerminated(..) => CallError::TooLong(started.elapsed()),
            other => CallError::Script(Box::new(other)),
        })
    }
}

fn engine(state: &Arc<State>, size: Size) -> Engine {
    let mut engine = Engine::new_raw();
    // The core of the language, except functions that sleep or read the time.
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    let (array, map, string) = size.most();
    engine
        .disable_symbol("eval")
        .set_max_operations(size.operations())
        .set_max_call_levels(16)
        .set_max_expr_depths(48, 32)
        .set_max_variables(64)
        .set_max_functions(128)
        .set_max_array_size(array)
        .set_max_map_size(map)
        .set_max_string_size(string)
        .on_print(|_| {})
        .on_debug(|_, _, _| {})
        .on_progress(|operations| {
            let late = operations % 8 == 0
                && DEADLINE
                    .get()
                    .is_some_and(|deadline| Instant::now() >= deadline);
            late.then_some(Dynamic::UNIT)
        });
    let looked = state.clone();
    engine.register_fn(
        "find",
        move |class: &str, field: &str, value: Dynamic| -> Array {
            rows(&looked, class, |table| table.by(field, &value.to_string()))
        },
    );
    let looked = state.clone();
    engine.register_fn("object", move |class: &str, id: Dynamic| -> Dynamic {
        let id = id
            .as_int()
            .unwrap_or_else(|_| id.to_string().parse::<INT>().unwrap_or(0));
        let id = u32::try_from(id).unwrap_or(0);
        rows(&looked, class, |table| table.get(id).into_iter().collect())
            .pop()
            .unwrap_or(Dynamic::UNIT)
    });
    engine
}

/// Rows of a plugin's class as maps of texts.
fn rows<F>(state: &State, class: &str, choose: F) -> Array
where
    F: for<'t> FnOnce(
        &'t crate::state::dynamic::DynamicTable,
    ) -> Vec<&'t Arc<crate::state::dynamic::DynamicRow>>,
{
    let declared = state.declared();
    let Some(class) = declared.class(class) else {
        return Array::new();
    };
    let names = || std::iter::once("id").chain(class.fields.iter().map(|field| field.name));
    state.read(|tables| {
        let Some(table) = tables.dynamic().table(class.name) else {
            return Array::new();
        };
        choose(table)
            .into_iter()
            .take(MOST_FOUND)
            .map(|row| {
                names()
                    .map(|name| (name.into(), row.show(class, name).into()))
                    .collect::<Map>()
                    .into()
            })
            .collect()
    })
}

/// Runs `work` on a thread of its own, which returns `permit` at its end. `None` when it is not
/// done at `deadline` or has panicked.
pub(super) async fn apart<R: Send + 'static>(
    permit: OwnedSemaphorePermit,
    deadline: tokio::time::Instant,
    work: impl FnOnce() -> R + Send + 'static,
) -> Option<R> {
    let (done, result) = oneshot::channel();
    let run = move || {
        // The receiver may have been dropped.
        let _answered = done.send(work());
        drop(permit);
    };
    std::thread::Builder::new()
        .name("plugin".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .ok()?;
    tokio::time::timeout_at(deadline, result).await.ok()?.ok()
}
