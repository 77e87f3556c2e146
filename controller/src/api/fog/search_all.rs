//! `GET /fog/search/<text>` and `/fog/unisearch/<text>`: one search in every class.

use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::endpoint::Look;
use super::page::Page;
use super::request::Incoming;
use super::{answer, endpoints, hooked, with_scene};
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::json;

/// Hits that are shown of each class, unless `length` says otherwise.
const EACH: usize = 20;
/// The most that `length` may say.
const MOST_EACH: usize = 100;

/// `{"query":…,"count":N,"results":{"host":{"total":N,"count":n,"hosts":[…]},…}}` with the classes
/// that have hits. `count` counts hits, also those that are not shown.
pub(super) async fn answer(
    ctx: &Ctx,
    incoming: &Incoming,
    text: &str,
) -> Result<Response, Refusal> {
    let length = match Page::read(incoming.uri())?.length {
        None => EACH,
        Some(length) if length <= MOST_EACH => length,
        Some(length) => {
            let why = format!(
                "{length} is more than {MOST_EACH}, the maximum per class in a search of all classes"
            );
            return Err(Refusal::Parameter {
                name: "length",
                why,
            });
        }
    };
    // Unlike FOG's search in one class, whose text is taken as it is in the path: nothing depends
    // on that here.
    let text = &*percent_decode_str(text).decode_utf8_lossy();
    let page = Page {
        length: Some(length),
        ..Page::default()
    };
    let (mut count, mut results) = (0, Vec::new());
    for endpoint in endpoints(ctx) {
        let mut found = Vec::new();
        // One class at a time, so that a search of everything does not hold up those who write.
        let total = with_scene(ctx, incoming, |scene| {
            endpoint.show(scene, &Look::Search(text), &page, &mut found)
        })?;
        if total == 0 {
            continue;
        }
        if count != 0 {
            results.push(b',');
        }
        count += total;
        let found = hooked::found(ctx, endpoint.name(), found).await;
        json::string(&mut results, endpoint.name());
        results.extend_from_slice(format!(":{{\"total\":{total},").as_bytes());
        results.extend_from_slice(found.strip_prefix(b"{").unwrap_or(&found));
    }
    let mut out = b"{\"query\":".to_vec();
    json::string(&mut out, text);
    out.extend_from_slice(format!(",\"count\":{count},\"results\":{{").as_bytes());
    out.append(&mut results);
    out.extend_from_slice(b"}}");
    Ok(answer::ok(out))
}
