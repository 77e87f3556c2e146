//! Who is told of what happens, and what became of each message. For administrators.

mod view;

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use foghorn_rest_types::notifications::{
    DeliveryList, DeliveryQuery, MailSecurity, NewNotification, NotificationCreated,
    NotificationEdit, NotificationList, NotificationView, NotifyBy, Retried, RetryRequest,
    TestSent,
};
use foghorn_types::{Role, Timestamp, chain};
use tracing::warn;

use super::error::Refused;
use super::input::{Body, Id, Query};
use crate::api::auth::Principal;
use crate::api::routes::{Routes, delete, get, patch, post};
use crate::app::notices::deliver;
use crate::app::notices::targets::{self, By, TargetError, Terms};
use crate::ctx::Ctx;
use crate::state::notify::Security;

const ALL: &str = "/foghorn/v1/notifications";
const ONE: &str = "/foghorn/v1/notifications/{id}";
const DELIVERIES: &str = "/foghorn/v1/notifications/{id}/deliveries";
const TAG: &str = "notifications";

pub(super) fn routes() -> Routes<Arc<Ctx>> {
    targets_routes().and(message_routes())
}

fn targets_routes() -> Routes<Arc<Ctx>> {
    const ID: &str = "Id of the notification.";
    Routes::new()
        .add(
            get(ALL, list)
                .needs(Role::Administrator)
                .named(TAG, "notifications", "List who is told")
                .gives::<NotificationList>(200, "In the order of their names."),
        )
        .add(
            post(ALL, create)
                .needs(Role::Administrator)
                .named(TAG, "create_notification", "Tell somebody from now on")
                .rehearses()
                .about("A webhook's secret is in the answer and is not shown again.")
                .takes::<NewNotification>()
                .gives::<NotificationCreated>(201, "Who is told.")
                .refuses(&[409]),
        )
        .add(
            get(ONE, show)
                .needs(Role::Administrator)
                .named(TAG, "notification", "Show who is told")
                .path::<NonZeroU32>("id", ID)
                .gives::<NotificationView>(200, "Who is told.")
                .refuses(&[404]),
        )
        .add(
            patch(ONE, edit)
                .needs(Role::Administrator)
                .named(TAG, "edit_notification", "Change who is told, or of what")
                .rehearses()
                .path::<NonZeroU32>("id", ID)
                .takes::<NotificationEdit>()
                .gives::<NotificationView>(200, "Who is told.")
                .refuses(&[404, 409]),
        )
        .add(
            delete(ONE, remove)
                .needs(Role::Administrator)
                .named(TAG, "delete_notification", "Tell somebody no longer")
                .rehearses()
                .about("Messages that wait are not sent any more.")
                .path::<NonZeroU32>("id", ID)
                .gives_nothing(204, "Nobody is told.")
                .refuses(&[404]),
        )
}

fn message_routes() -> Routes<Arc<Ctx>> {
    const ID: &str = "Id of the notification.";
    Routes::new()
        .add(
            post("/foghorn/v1/notifications/{id}/test", test)
                .needs(Role::Administrator)
                .named(TAG, "test_notification", "Send a test message")
                .path::<NonZeroU32>("id", ID)
                .gives::<TestSent>(202, "It is being sent.")
                .refuses(&[404, 409]),
        )
        .add(
            get(DELIVERIES, deliveries)
                .needs(Role::Administrator)
                .named(TAG, "deliveries", "List messages and what became of them")
                .about(
                    "The last hundred that were delivered are kept, and the last five hundred that were given up.",
                )
                .path::<NonZeroU32>("id", ID)
                .query::<DeliveryQuery>()
                .gives::<DeliveryList>(200, "The newest first.")
                .refuses(&[404]),
        )
        .add(
            post("/foghorn/v1/notifications/{id}/deliveries/retry", retry)
                .needs(Role::Administrator)
                .named(TAG, "retry_deliveries", "Send messages again")
                .about("Those that were given up, and at once those that wait for another attempt.")
                .path::<NonZeroU32>("id", ID)
                .takes::<RetryRequest>()
                .gives::<Retried>(200, "How many.")
                .refuses(&[404]),
        )
}

async fn list(State(ctx): State<Arc<Ctx>>) -> Json<NotificationList> {
    Json(NotificationList {
        notifications: ctx.state.read(view::list),
    })
}

fn shown(ctx: &Ctx, id: u32) -> Result<NotificationView, Refused> {
    ctx.state
        .read(|tables| view::one(tables, id))
        .ok_or_else(|| Refused::not_found("notification", id))
}

async fn show(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<NonZeroU32>,
) -> Result<Json<NotificationView>, Refused> {
    shown(&ctx, id.get()).map(Json)
}

async fn create(
    State(ctx): State<Arc<Ctx>>,
    Body(body): Body<NewNotification>,
) -> Result<(StatusCode, Json<NotificationCreated>), Refused> {
    let by = match body.by {
        NotifyBy::Webhook => By::Webhook,
        NotifyBy::Chat => By::Chat,
        NotifyBy::Mail => By::Mail,
    };
    let terms = terms(body.terms());
    let (id, secret) = targets::create(&ctx.state, &ctx.trust, by, terms).await?;
    let notification = shown(&ctx, id)?;
    let made = NotificationCreated {
        notification,
        secret,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

async fn edit(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<NonZeroU32>,
    Body(body): Body<NotificationEdit>,
) -> Result<Json<NotificationView>, Refused> {
    targets::edit(&ctx.state, &ctx.trust, id.get(), terms(body)).await?;
    shown(&ctx, id.get()).map(Json)
}

fn terms(body: NotificationEdit) -> Terms {
    Terms {
        name: body.name,
        enabled: body.enabled,
        kinds: body.kinds.map(|kinds| kinds.into_iter().collect()),
        groups: body.groups.map(|groups| groups.into_iter().collect()),
        burst: body.burst,
        interval_seconds: body.interval_seconds,
        url: body.url,
        secret: body.secret,
        template: body.template,
        ca_pem: body.ca_pem,
        to: body.to,
        from: body.from,
        server: body.server,
        port: body.port,
        security: body.security.map(|security| match security {
            MailSecurity::Starttls => Security::Starttls,
            MailSecurity::Tls => Security::Tls,
            MailSecurity::Plain => Security::Plain,
        }),
        user: body.user,
        password: body.password,
    }
}

async fn remove(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<NonZeroU32>,
) -> Result<StatusCode, Refused> {
    targets::delete(&ctx.state, id.get()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test(
    State(ctx): State<Arc<Ctx>>,
    Extension(caller): Extension<Principal>,
    Id(id): Id<NonZeroU32>,
) -> Result<(StatusCode, Json<TestSent>), Refused> {
    let delivery = targets::test(&ctx.state, id.get(), &caller.name).await?;
    Ok((StatusCode::ACCEPTED, Json(TestSent { delivery })))
}

async fn deliveries(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<NonZeroU32>,
    Query(query): Query<DeliveryQuery>,
) -> Result<Json<DeliveryList>, Refused> {
    const USUAL: usize = 50;
    const MOST: usize = 600;
    shown(&ctx, id.get())?;
    let limit = query.limit.unwrap_or(USUAL);
    if !(1..=MOST).contains(&limit) {
        let why = format!("must be between 1 and {MOST}");
        return Err(Refused::field(StatusCode::BAD_REQUEST, "limit", why));
    }
    let (dead, now) = (query.dead.unwrap_or(false), Timestamp::now());
    let deliveries = ctx
        .state
        .read(|tables| view::deliveries(tables, id.get(), dead, limit, now));
    Ok(Json(DeliveryList { deliveries }))
}

async fn retry(
    State(ctx): State<Arc<Ctx>>,
    Id(id): Id<NonZeroU32>,
    Body(body): Body<RetryRequest>,
) -> Result<Json<Retried>, Refused> {
    shown(&ctx, id.get())?;
    let only = body.delivery.as_deref();
    let messages = deliver::retry(&ctx.state, id.get(), only, Timestamp::now()).await?;
    match only {
        Some(only) if messages == 0 => Err(Refused::new(
            StatusCode::NOT_FOUND,
            format!("there is no message {only} that could be sent again"),
        )),
        _ => Ok(Json(Retried { messages })),
    }
}

impl From<TargetError> for Refused {
    fn from(error: TargetError) -> Self {
        let text = error.to_string();
        match error {
            TargetError::NotThere(_) => Self::new(StatusCode::NOT_FOUND, text),
            TargetError::Taken { field, .. } => Self::field(StatusCode::CONFLICT, field, text),
            TargetError::TooMany | TargetError::Off(_) => Self::new(StatusCode::CONFLICT, text),
            TargetError::State(refusal) => refusal.into(),
            TargetError::Seal(_) => {
                warn!(error = %chain(&error), "could not encrypt a secret");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the controller could not encrypt a secret; see its log",
                )
            }
        }
    }
}
