//! `GET /foghorn/v1/events`, also `/events`: changes of objects and progress of tasks as
//! server-sent events.
//!
//! What a listener may be behind is bounded, and who is further behind is cut off and comes back
//! with `Last-Event-ID`. The last few thousand changes are remembered for that ([`crate::events`]);
//! when they do not reach far enough, the listener is told by a `reset`.

mod listener;

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::sse::Sse;
use axum::response::{IntoResponse, Response};
use foghorn_proto::http::Problem;
use futures_util::stream;

use self::listener::Listener;
use super::auth::Principal;
use super::{access, fog};
use crate::ctx::Ctx;
use crate::events::hub::NoPlace;
use crate::store::Revision;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx and compatible proxies not to buffer the stream.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// What a listener has requested.
#[derive(PartialEq, Eq, Debug)]
struct Wish {
    /// `None`: every class.
    classes: Option<HashSet<String>>,
    since: Option<Revision>,
}

fn refuse(status: StatusCode, field: &str, error: String) -> Response {
    let field = (!field.is_empty()).then(|| field.to_owned());
    (status, Json(Problem { error, field })).into_response()
}

/// Opens the stream for an admitted caller.
pub(super) async fn open(State(ctx): State<Arc<Ctx>>, request: Request) -> Response {
    let from = access::address_of(&ctx, &request);
    let caller = request.extensions().get::<Principal>();
    // Nobody gets here without being somebody.
    let user = caller.map_or(0, |caller| caller.user);
    let (Parts { headers, uri, .. }, _) = request.into_parts();
    let wish = match Wish::read(&headers, &uri, |class| fog::serves(&ctx, class)) {
        Ok(wish) => wish,
        Err((field, why)) => return refuse(StatusCode::BAD_REQUEST, field, why),
    };
    let place = match ctx.events.place(user, from) {
        Ok(place) => place,
        Err(why @ NoPlace::All) => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "", why.to_string());
        }
        Err(why) => return refuse(StatusCode::TOO_MANY_REQUESTS, "", why.to_string()),
    };
    let listener = Listener::join(ctx, (headers, from), wish, place);
    let events = stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok::<_, std::convert::Infallible>(event), listener))
    });
    let mut response = Sse::new(events).into_response();
    response
        .headers_mut()
        .insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Wish {
    /// `class` may be given several times, also with commas. `Last-Event-ID`, which a browser sends
    /// when it reconnects, takes precedence over the `since` in the URL.
    fn read(
        headers: &HeaderMap,
        uri: &Uri,
        serves: impl Fn(&str) -> bool,
    ) -> Result<Self, (&'static str, String)> {
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|Query(pairs)| pairs)
            .unwrap_or_default();
        let mut classes = HashSet::new();
        let mut since = None;
        for (name, value) in pairs {
            match name.as_str() {
                "class" => classes.extend(
                    value
                        .split(',')
                        .filter(|class| !class.is_empty())
                        .map(str::to_owned),
                ),
                "since" => since = Some(revision("since", &value)?),
                _ => {}
            }
        }
        if let Some(unknown) = classes.iter().find(|class| !serves(class)) {
            return Err(("class", format!("unknown class {unknown:?}")));
        }
        if let Some(last) = headers.get(LAST_EVENT_ID).filter(|last| !last.is_empty()) {
            since = Some(revision(
                "Last-Event-ID",
                last.to_str().unwrap_or_default(),
            )?);
        }
        Ok(Self {
            classes: (!classes.is_empty()).then_some(classes),
            since,
        })
    }

    fn wants(&self, class: &str) -> bool {
        self.classes
            .as_ref()
            .is_none_or(|classes| classes.contains(class))
    }
}

fn revision(name: &'static str, text: &str) -> Result<Revision, (&'static str, String)> {
    text.parse().map_err(|_| {
        (
            name,
            format!("{text:?} is not a revision: use the id of an event, an integer"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, last: &str) -> Result<Wish, &'static str> {
        let mut headers = HeaderMap::new();
        if !last.is_empty() {
            headers.insert(LAST_EVENT_ID, last.parse().unwrap());
        }
        let uri = format!("/events?{query}").parse().unwrap();
        Wish::read(&headers, &uri, |class| ["host", "task"].contains(&class))
            .map_err(|(field, _)| field)
    }

    #[test]
    fn wishes_are_read() {
        assert_eq!(
            read("", ""),
            Ok(Wish {
                classes: None,
                since: None
            })
        );
        let both = read("class=host&class=task&since=7&x=y", "").unwrap();
        assert!(both.wants("host") && both.wants("task") && !both.wants("image"));
        assert_eq!(both.since, Some(7));
        assert_eq!(read("class=host,task", "").unwrap().classes, both.classes);
        assert_eq!(read("since=7", "9").unwrap().since, Some(9));
        assert_eq!(
            [
                read("class=nosuch", ""),
                read("since=-1", ""),
                read("", "x")
            ]
            .map(Result::unwrap_err),
            ["class", "since", "Last-Event-ID"]
        );
    }
}
