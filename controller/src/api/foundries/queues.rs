//! Event queues: made, listed and deleted; their messages fetched and acknowledged; the key by which
//! receivers tell who sends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use foghorn_types::{Role, StorageGroupId, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use super::denied::FACTORY;
use super::here::Here;
use super::input::{Body, Query, factory};
use super::page::given;
use super::queue_view::{
    Acknowledged, EventKey, EventKeys, EventQueueView, LeasedMessage, LeasedMessages, QueueKind,
};
use super::refused::Refused;
use crate::api::factory_tokens::By;
use crate::api::routes::{Routes, delete, get, post};
use crate::app::devices::queues::delivery::{self, AckId, MOST_LEASED};
use crate::app::devices::queues::{self, Push, Terms};
use crate::app::devices::tokens::Caller;
use crate::ctx::Ctx;
use crate::state::machines::queue::EventQueue;
use crate::state::machines::scope::Scope;

const TAG: &str = "event queues";
const ALL: &str = "/ota/factories/{factory}/event-queues/";
const LOOK: Scope = Scope::DevicesRead;
const DO: Scope = Scope::DevicesReadUpdate;
/// What `{label}` is.
const LABEL: &str = "Label of the event queue.";
/// Messages that are fetched at once, and seconds for which they are leased, unless told otherwise.
const MESSAGES: usize = 10;
const LEASE: usize = 60;
const LONGEST_LEASE: usize = 3600;
const SHORTEST_LEASE: usize = 1;

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    let keys = get("/ota/event-keys/", keys)
        .open()
        .named(TAG, "event_keys", "Show the key that signs pushed messages")
        .about(
            "A JSON Web Key Set (RFC 7517), for whoever gets messages: no token is needed. Each message has an \
             `Authorization: Bearer` header with a JSON Web Token, signed by ES256, whose `aud` is the push URL. It is \
             the same key on all controllers of an installation. Empty where the authority's key is not P-256: nothing \
             is pushed then.",
        )
        .gives::<EventKeys>(200, "The key.");
    of_queues().and(of_messages()).add_either(keys)
}

fn of_queues() -> Routes<Arc<Ctx>> {
    Routes::new()
        .add_either(
            get(ALL, all)
                .scoped(LOOK)
                .named(TAG, "event_queues", "List event queues")
                .path::<String>("factory", FACTORY)
                .gives::<Vec<EventQueueView>>(200, "Those of the factory.")
                .refuses(&[404]),
        )
        .add_either(
            post(ALL, create)
                .scoped(DO)
                .named(TAG, "create_event_queue", "Create an event queue")
                .about(
                    "It is told what happens to the devices of the factory from then on. A queue of type `push` sends to a \
                     URL of your choice, also in the local network, so only tokens of administrators make one.",
                )
                .path::<String>("factory", FACTORY)
                .rehearses()
                .takes::<NewEventQueue>()
                .gives::<EventQueueView>(201, "The queue.")
                .refuses(&[404, 409]),
        )
        .add_either(
            delete("/ota/factories/{factory}/event-queues/{label}/", remove)
                .scoped(DO)
                .named(TAG, "delete_event_queue", "Delete an event queue")
                .about("With the messages that nobody has taken.")
                .path::<String>("factory", FACTORY)
                .path::<String>("label", LABEL)
                .rehearses()
                .gives_nothing(204, "It is gone.")
                .refuses(&[404]),
        )
}

fn of_messages() -> Routes<Arc<Ctx>> {
    const FETCH: &str = "/ota/factories/{factory}/event-queues/{label}/messages/";
    const TAKEN: &str = "/ota/factories/{factory}/event-queues/{label}/acknowledge/";
    Routes::new()
        .add_either(
            get(FETCH, fetch)
                .scoped(DO)
                .named(TAG, "fetch_event_messages", "Fetch messages of a queue")
                .about(
                    "Leases them: nobody else gets them until the lease ends. Those that are not acknowledged until then \
                     are given again, under the same `messageId`. Only of queues of type `pull`.",
                )
                .path::<String>("factory", FACTORY)
                .path::<String>("label", LABEL)
                .query::<FetchQuery>()
                .gives::<LeasedMessages>(200, "Those that are free; none when the list is empty.")
                .refuses(&[404, 409, 500, 503]),
        )
        .add_either(
            post(TAKEN, acknowledge)
                .scoped(DO)
                .named(TAG, "acknowledge_event_messages", "Acknowledge messages")
                .about("They are not given again. Those whose lease has ended may have been given to somebody else: they stay.")
                .path::<String>("factory", FACTORY)
                .path::<String>("label", LABEL)
                .takes::<TakenMessages>()
                .gives::<Acknowledged>(200, "How many were there.")
                .refuses(&[404, 409]),
        )
}

/// An event queue to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct NewEventQueue {
    /// A label that no other event queue of the factory has.
    label: String,
    /// Whether messages are sent or fetched.
    #[serde(rename = "type")]
    kind: QueueKind,
    /// Where messages are sent, `https://…` or `http://…`. Only of type `push`.
    push_url: Option<String>,
    /// The only authorities whose certificates are trusted, PEM; without it, the public ones. Only of type
    /// `push`.
    ca_pem: Option<String>,
}

impl NewEventQueue {
    fn terms(self) -> Result<Terms, Refused> {
        let url = self.push_url.filter(|url| !url.is_empty());
        let ca_pem = self.ca_pem.filter(|pem| !pem.is_empty());
        let push = match (self.kind, url, ca_pem) {
            (QueueKind::Push, Some(url), ca_pem) => Some(Push { url, ca_pem }),
            (QueueKind::Push, None, _) => {
                return Err(Refused::field("push-url", "a queue of type push needs one"));
            }
            (QueueKind::Pull, None, None) => None,
            (QueueKind::Pull, Some(_), _) => {
                return Err(Refused::field("push-url", "a queue of type pull has none"));
            }
            (QueueKind::Pull, None, Some(_)) => {
                return Err(Refused::field("ca-pem", "a queue of type pull has none"));
            }
        };
        Ok(Terms {
            label: self.label,
            push,
        })
    }
}

/// Which messages to fetch.
#[derive(Deserialize, JsonSchema)]
struct FetchQuery {
    /// How many at most, 1 to 100; else 10.
    limit: Option<String>,
    /// Seconds for which they are leased, 1 to 3600; else 60.
    lease: Option<String>,
}

/// Messages that have been taken.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct TakenMessages {
    /// Their `ack-id`s; 1000 at most.
    #[schemars(length(max = 1000))]
    ack_ids: Vec<String>,
}

/// Messages that are acknowledged by one request.
const MOST_TAKEN: usize = 1000;

/// A parameter that is a number in a range; what is empty is not there.
fn within(
    name: &str,
    text: Option<&str>,
    (least, most): (usize, usize),
    usual: usize,
) -> Result<usize, Refused> {
    let Some(text) = given(text) else {
        return Ok(usual);
    };
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Refused::field(
            name,
            format!("{text:?} is not a number from {least} to {most}"),
        )),
    }
}

/// A queue whose messages are fetched.
fn pulled(ctx: &Ctx, factory: StorageGroupId, label: &str) -> Result<Arc<EventQueue>, Refused> {
    let queue = ctx.state.read(|tables| {
        let queue = tables.event_queues().labelled(factory, label);
        queue.cloned()
    });
    let queue = queue
        .ok_or_else(|| Refused::not_found(format!("the factory has no event queue {label:?}")))?;
    match queue.push {
        None => Ok(queue),
        Some(_) => Err(Refused::new(
            StatusCode::CONFLICT,
            format!("the messages of event queue {label:?} are pushed: they cannot be fetched"),
        )),
    }
}

/// The rule for whoever is told by `foghorn notify`, too: administrators say where we send.
fn may_push(caller: &Caller) -> Result<(), Refused> {
    match caller.role {
        Role::Administrator => Ok(()),
        Role::Operator | Role::ReadOnly => Err(Refused::new(
            StatusCode::FORBIDDEN,
            "only the token of an administrator makes a queue that sends: it may send into the local network",
        )),
    }
}

async fn all(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
) -> Result<Json<Vec<EventQueueView>>, Refused> {
    let factory = factory(&ctx, &caller, LOOK, &name)?;
    let all = ctx.state.read(|tables| queues::list(tables, factory));
    let views = all
        .iter()
        .map(|shown| EventQueueView::of(shown, &name, &here));
    Ok(Json(views.collect()))
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    here: Here,
    Path(name): Path<String>,
    Body(new): Body<NewEventQueue>,
) -> Result<(StatusCode, Json<EventQueueView>), Refused> {
    let factory = factory(&ctx, &caller, DO, &name)?;
    let terms = new.terms()?;
    if terms.push.is_some() {
        may_push(&caller)?;
    }
    queues::create(&ctx.state, &ctx.trust, factory, &terms, caller.user).await?;
    let all = ctx.state.read(|tables| queues::list(tables, factory));
    let made = all.iter().find(|shown| shown.queue.label == terms.label);
    // Somebody may have deleted it since.
    let made = made.ok_or_else(|| Refused::not_found("the event queue was deleted again"))?;
    let view = EventQueueView::of(made, &name, &here);
    Ok((StatusCode::CREATED, Json(view)))
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, label)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let factory = factory(&ctx, &caller, DO, &name)?;
    queues::delete(&ctx.state, factory, &label).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn fetch(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, label)): Path<(String, String)>,
    Query(query): Query<FetchQuery>,
) -> Result<Json<LeasedMessages>, Refused> {
    let limit = within("limit", query.limit.as_deref(), (1, MOST_LEASED), MESSAGES)?;
    let range = (SHORTEST_LEASE, LONGEST_LEASE);
    let lease = within("lease", query.lease.as_deref(), range, LEASE)?;
    let factory = factory(&ctx, &caller, DO, &name)?;
    let queue = pulled(&ctx, factory, &label)?;
    let lease = Duration::from_secs(lease as u64);
    let leased = delivery::lease(&ctx.state, queue.id, limit, lease, Timestamp::now()).await?;
    let messages = leased.iter().filter_map(LeasedMessage::of);
    Ok(Json(LeasedMessages {
        messages: messages.collect(),
    }))
}

async fn acknowledge(
    State(ctx): State<Arc<Ctx>>,
    By(caller): By,
    Path((name, label)): Path<(String, String)>,
    Body(taken): Body<TakenMessages>,
) -> Result<Json<Acknowledged>, Refused> {
    let factory = factory(&ctx, &caller, DO, &name)?;
    let queue = pulled(&ctx, factory, &label)?;
    if taken.ack_ids.len() > MOST_TAKEN {
        let why = format!("at most {MOST_TAKEN} are acknowledged at once");
        return Err(Refused::field("ack-ids", why));
    }
    let mut acks = BTreeSet::new();
    for text in &taken.ack_ids {
        let ack = text.parse::<AckId>();
        acks.insert(ack.map_err(|error| Refused::field("ack-ids", error.to_string()))?);
    }
    let acks: Vec<AckId> = acks.into_iter().collect();
    let acknowledged = delivery::acknowledge(&ctx.state, queue.id, &acks).await?;
    Ok(Json(Acknowledged { acknowledged }))
}

async fn keys(State(ctx): State<Arc<Ctx>>) -> Json<EventKeys> {
    let key = ctx.trust.token_key();
    let keys = key.into_iter().map(EventKey::of).collect();
    Json(EventKeys { keys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_its_range_or_missing() {
        let read = |text| within("lease", text, (1, 3600), 60).ok();
        assert_eq!((read(None), read(Some(""))), (Some(60), Some(60)));
        assert_eq!((read(Some("1")), read(Some("3600"))), (Some(1), Some(3600)));
        for text in ["0", "3601", "-1", "soon"] {
            assert_eq!(read(Some(text)), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_belong_to_the_type_is_refused() {
        let terms = |text: &str| serde_json::from_str::<NewEventQueue>(text).unwrap().terms();
        let pull = r#"{"label":"a","type":"pull","push-url":""}"#;
        assert_eq!(terms(pull).unwrap().push, None);
        let push = r#"{"label":"a","type":"push","push-url":"https://lab/"}"#;
        assert!(terms(push).unwrap().push.is_some());
        for bad in [
            r#"{"label":"a","type":"push"}"#,
            r#"{"label":"a","type":"pull","push-url":"https://lab/"}"#,
            r#"{"label":"a","type":"pull","ca-pem":"x"}"#,
        ] {
            assert!(terms(bad).is_err(), "{bad}");
        }
    }
}
