//! The operators' routes of the FoundriesFactory dialect, as its clients call them.

mod access;
mod audit;
mod configs;
mod devices;
mod factories;
mod members;
mod queues;
mod ring_events;
mod ring_policies;
mod rings;
mod seed;
mod targets;
mod tests;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_controller::app::devices::contact::{self, Headers};
use foghorn_controller::app::devices::factories as factory_names;
use foghorn_controller::app::devices::tokens::{Terms, create};
use foghorn_controller::app::objects;
use foghorn_controller::state::class::Body;
use foghorn_controller::state::classes::Image;
use foghorn_controller::state::machines::device::Device;
use foghorn_controller::state::machines::scope::Scope;
use serde_json::{Value, json};

use crate::devices::{factory, identity};
use crate::engine::{Engine, Kind};
use crate::fog_support::{Reply, Server};

/// A server with a token that may do everything.
struct Factory {
    server: Server,
    /// The name of the only factory.
    name: String,
    token: String,
    /// After the server, which it outlives.
    _engine: Option<Engine>,
}

impl Factory {
    async fn start() -> Self {
        Self::of(Server::start().await, None).await
    }

    async fn start_on(kind: Kind) -> Self {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        Self::of(server, Some(engine)).await
    }

    async fn of(server: Server, engine: Option<Engine>) -> Self {
        let name = server
            .state
            .read(|tables| factory_names::name_of(tables, factory()));
        let token = token(&server, &Scope::ALL, &[]).await;
        Self {
            server,
            name,
            token,
            _engine: engine,
        }
    }

    /// A request with the token.
    async fn call(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call_as(&self.token, method, path, body).await
    }

    async fn call_as(&self, token: &str, method: &str, path: &str, body: Value) -> Reply {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let headers = [
            header("OSF-TOKEN", token),
            header("Content-Type", "application/json"),
            header("Host", "fog.example:8443"),
        ];
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        self.server.send(method, path, &headers, body).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, Value::Null).await
    }

    /// The path of something in the factory.
    fn at(&self, rest: &str) -> String {
        format!("/ota/factories/{}/{rest}", self.name)
    }

    /// A device speaks.
    async fn device(&self, number: u128, target: &str, tag: &str) -> Arc<Device> {
        let headers = Headers {
            target: Some(target.to_owned()),
            tags: Some(tag.to_owned()),
            ..Headers::default()
        };
        let who = identity(&self.server.state, number);
        let contact = contact::contact(
            &self.server.state,
            &self.server.ctx.sightings,
            &who,
            &headers,
        )
        .await;
        contact.unwrap().device
    }

    /// An image `disk` that has been captured twice.
    async fn image(&self) {
        let members = [
            ("name", json!("disk")),
            ("path", json!("disk")),
            ("imageTypeID", json!(1)),
            ("osID", json!(9)),
            ("isEnabled", json!(1)),
            ("storagegroups", json!([1])),
        ];
        let mut body = Body::new();
        for (name, value) in members {
            body.insert(name.to_owned(), value);
        }
        let made = objects::create::<Image>(&self.server.state, &body, "test", None).await;
        self.server.give_versions(made.unwrap()).await;
    }
}

/// A token of the first user.
async fn token(server: &Server, scopes: &[Scope], factories: &[&str]) -> String {
    let terms = Terms {
        user: 1,
        description: "for a test".to_owned(),
        scopes: scopes.iter().copied().collect::<BTreeSet<_>>(),
        factories: factories.iter().map(ToString::to_string).collect(),
        ttl: None,
    };
    create(&server.state, &terms).await.unwrap().text
}

/// The refusal is in the form of the API, and its status is this.
#[track_caller]
fn assert_refused(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let body = reply.json();
    let message = body["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{}", reply.text);
    assert!(body["errors"].is_object(), "{}", reply.text);
}
