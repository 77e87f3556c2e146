//! A native route is declared once: method, path, handler, who may call it, and what the
//! description of the API says of it. axum's router, the rules of the door ([`super::access`]) and
//! the operations of the description ([`super::openapi`]) are all made from these declarations.
//!
//! A declaration is built in steps, one type for each: what [`get`] and its siblings return cannot
//! be served before [`Unguarded::needs`] or [`Unguarded::open`] has said who may call it, and
//! [`Unnamed::named`] what it does. So a route that somebody forgot to close, or to describe, does
//! not compile.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn;
use axum::routing::{MethodFilter, MethodRouter, on};
use foghorn_types::Role;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::access::Need;
use super::rehearsal::{self, Rehearsed};
use crate::state::machines::scope::Scope;

/// Routes that share a state.
pub(super) struct Routes<S = ()> {
    router: Router<S>,
    declared: Vec<Declared>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            declared: Vec::new(),
        }
    }

    /// Adds a route.
    pub(super) fn add(mut self, route: Route<S>) -> Self {
        let Route { serve, declared } = guarded(route);
        self.router = self.router.route(declared.path, serve);
        self.declared.push(declared);
        self
    }

    /// Adds a route whose path ends in a slash, and serves it without that as well. It is declared once.
    pub(super) fn add_either(mut self, route: Route<S>) -> Self {
        let Route { serve, declared } = guarded(route);
        let short = declared.path.trim_end_matches('/');
        if short != declared.path {
            self.router = self.router.route(short, serve.clone());
        }
        self.router = self.router.route(declared.path, serve);
        self.declared.push(declared);
        self
    }

    /// Adds the routes of another area.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.router = self.router.merge(others.router);
        self.declared.extend(others.declared);
        self
    }

    /// What was said of the routes, without what serves them.
    pub(super) fn declared(&self) -> &[Declared] {
        &self.declared
    }

    pub(super) fn into_parts(self) -> (Router<S>, Vec<Declared>) {
        (self.router, self.declared)
    }
}

/// The route, behind what dry runs ask for.
fn guarded<S: Clone + Send + Sync + 'static>(route: Route<S>) -> Route<S> {
    let Route { serve, declared } = route.with_rehearsal();
    let serve = match (&declared.method, declared.rehearses) {
        (&Method::GET, _) => serve,
        (_, true) => serve.layer(from_fn(rehearsal::may_rehearse)),
        (_, false) => serve.layer(from_fn(rehearsal::never_rehearse)),
    };
    Route { serve, declared }
}

/// A complete declaration.
pub(super) struct Route<S> {
    serve: MethodRouter<S>,
    declared: Declared,
}

/// What a route is, without what serves it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) method: Method,
    /// As axum spells it, which is as OpenAPI spells it.
    pub(super) path: &'static str,
    pub(super) need: Need,
    /// Whether `dry_run=true` is taken: nothing but the store is changed, or the handler looks.
    pub(super) rehearses: bool,
    /// Absent for pages for people and for the description itself.
    pub(super) operation: Option<Described>,
}

/// What the description of the API says of a route.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) tag: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    pub(super) about: Option<&'static str>,
    /// The operation whose other path this is.
    pub(super) alias_of: Option<&'static str>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) takes: Option<Takes>,
    pub(super) answers: Vec<(u16, Answer)>,
}

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

#[derive(Clone, Debug)]
pub(super) enum Parameter {
    Path {
        name: &'static str,
        about: &'static str,
        schema: SchemaOf,
    },
    /// Every member of a type is a parameter of the query.
    Query(SchemaOf),
    /// One of the description's shared parameters.
    Shared(&'static str),
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(super) enum Takes {
    Json { schema: SchemaOf, required: bool },
    File,
}

#[derive(Clone, Debug)]
pub(super) enum Answer {
    Json {
        about: &'static str,
        schema: SchemaOf,
    },
    Text {
        about: &'static str,
        media_type: &'static str,
    },
    File {
        about: &'static str,
    },
    /// Without a body that means anything.
    Nothing {
        about: &'static str,
    },
    /// A refusal that names the field at fault.
    Problem,
}

/// A route of which it is not known yet who may call it.
#[must_use]
pub(super) struct Unguarded<S> {
    method: Method,
    path: &'static str,
    serve: MethodRouter<S>,
}

/// A route of which it is not known yet what it does.
#[must_use]
pub(super) struct Unnamed<S>(Unguarded<S>, Need);

macro_rules! methods {
    ($($name:ident $method:ident)*) => {$(
        pub(super) fn $name<H: Handler<T, S>, T: 'static, S: Clone + Send + Sync + 'static>(
            path: &'static str,
            handler: H,
        ) -> Unguarded<S> {
            let serve = on(MethodFilter::$method, handler);
            Unguarded { method: Method::$method, path, serve }
        }
    )*};
}

// A macro only because the five functions differ in one word.
methods! { get GET post POST put PUT patch PATCH delete DELETE }

impl<S> Unguarded<S> {
    /// For users with at least this role.
    pub(super) fn needs(self, role: Role) -> Unnamed<S> {
        Unnamed(self, Need::Role(role))
    }

    /// For callers whose factory token has this scope. Which factories it is for, the handler checks.
    pub(super) fn scoped(self, scope: Scope) -> Unnamed<S> {
        Unnamed(self, Need::Scope(scope))
    }

    /// For everybody: the route holds no data of the fleet, or checks a token of its own.
    pub(super) fn open(self) -> Unnamed<S> {
        Unnamed(self, Need::Nothing)
    }
}

impl<S> Unnamed<S> {
    /// `tag` is the chapter of the description, `id` the name of the operation in generated
    /// clients.
    pub(super) fn named(
        self,
        tag: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Route<S> {
        let (parameters, answers) = (Vec::new(), Vec::new());
        self.route(Some(Described {
            tag,
            id,
            summary,
            about: None,
            alias_of: None,
            parameters,
            takes: None,
            answers,
        }))
    }

    /// A page for people, or the description itself.
    pub(super) fn not_described(self) -> Route<S> {
        self.route(None)
    }

    fn route(self, operation: Option<Described>) -> Route<S> {
        let Self(
            Unguarded {
                method,
                path,
                serve,
            },
            need,
        ) = self;
        Route {
            serve,
            declared: Declared {
                method,
                path,
                need,
                rehearses: false,
                operation,
            },
        }
    }
}

fn schema_of<T: JsonSchema>() -> SchemaOf {
    |generator| generator.subschema_for::<T>()
}

impl<S> Route<S> {
    fn with(mut self, change: impl FnOnce(&mut Described)) -> Self {
        if let Some(operation) = &mut self.declared.operation {
            change(operation);
        }
        self
    }

    /// A dry run is answered with 200, also where the real thing is not.
    fn with_rehearsal(self) -> Self {
        let rehearses = self.declared.rehearses;
        self.with(|operation| {
            if rehearses && operation.answers.iter().all(|(status, _)| *status != 200) {
                let answer = Answer::Json {
                    about: "It was only a dry run.",
                    schema: schema_of::<Rehearsed>(),
                };
                operation.answers.push((200, answer));
            }
        })
    }

    /// More than the summary says.
    pub(super) fn about(self, text: &'static str) -> Self {
        self.with(|operation| operation.about = Some(text))
    }

    /// Says that this is another path of an operation.
    pub(super) fn alias_of(self, id: &'static str) -> Self {
        self.with(|operation| operation.alias_of = Some(id))
    }

    /// A parameter in the path, which is read as a `T`.
    pub(super) fn path<T: JsonSchema>(self, name: &'static str, about: &'static str) -> Self {
        self.with(|operation| {
            operation.parameters.push(Parameter::Path {
                name,
                about,
                schema: schema_of::<T>(),
            })
        })
        .refuses(&[400])
    }

    /// Parameters in the query: the members of `T`, with their comments.
    pub(super) fn query<T: JsonSchema>(self) -> Self {
        // Not a reference to a named schema: the members are looked at one by one.
        self.with(|operation| operation.parameters.push(Parameter::Query(T::json_schema)))
            .refuses(&[400])
    }

    /// One of the description's shared parameters.
    pub(super) fn shared_parameter(self, name: &'static str) -> Self {
        self.with(|operation| operation.parameters.push(Parameter::Shared(name)))
    }

    /// Takes `dry_run=true`: all that can be refused is checked and nothing is stored. Only for
    /// handlers that do nothing before their first transaction.
    pub(super) fn rehearses(mut self) -> Self {
        self.declared.rehearses = true;
        self.shared_parameter("DryRun").refuses(&[400])
    }

    /// A JSON body.
    pub(super) fn takes<T: JsonSchema>(self) -> Self {
        self.body(Takes::Json {
            schema: schema_of::<T>(),
            required: true,
        })
    }

    /// A JSON body that may be left out.
    pub(super) fn may_take<T: JsonSchema>(self) -> Self {
        self.body(Takes::Json {
            schema: schema_of::<T>(),
            required: false,
        })
    }

    /// A body of any bytes.
    pub(super) fn takes_file(self) -> Self {
        self.body(Takes::File)
    }

    fn body(self, takes: Takes) -> Self {
        self.with(|operation| operation.takes = Some(takes))
            .refuses(&[400, 413])
    }

    fn answers(self, status: u16, answer: Answer) -> Self {
        self.with(|operation| operation.answers.push((status, answer)))
    }

    /// An answer with JSON.
    pub(super) fn gives<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers(
            status,
            Answer::Json {
                about,
                schema: schema_of::<T>(),
            },
        )
    }

    pub(super) fn gives_text(
        self,
        status: u16,
        about: &'static str,
        media_type: &'static str,
    ) -> Self {
        self.answers(status, Answer::Text { about, media_type })
    }

    pub(super) fn gives_file(self, about: &'static str) -> Self {
        self.answers(200, Answer::File { about })
    }

    /// An answer without a body that means anything.
    pub(super) fn gives_nothing(self, status: u16, about: &'static str) -> Self {
        self.answers(status, Answer::Nothing { about })
    }

    /// Refusals beside those that follow from the rest: 401, 403 and 429 of a route that needs a
    /// role, 400 and 413 of one that takes a body, 400 of one with parameters, 500 and 503 of
    /// one that may change something.
    pub(super) fn refuses(self, statuses: &[u16]) -> Self {
        self.with(|operation| {
            operation
                .answers
                .extend(statuses.iter().map(|status| (*status, Answer::Problem)))
        })
    }
}
