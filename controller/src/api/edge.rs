//! What holds for every request and answer, whatever the route: compression in both directions, and
//! when to try again.

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{
    DefaultPredicate, NotForContentType, Predicate, SizeAbove,
};
use tower_http::decompression::RequestDecompressionLayer;

use super::fog;

/// Smaller answers are sent as they are: they fit into one packet either way.
const WORTH_COMPRESSING: u16 = 1024;

/// Compresses answers for clients that take it, and unpacks bodies that come compressed; what is in
/// neither encoding is 415. A body is unpacked as it is read, so the limits of the routes hold for
/// what comes out.
pub(super) fn wrap(router: Router) -> Router {
    // The default leaves streams of events and pictures alone. Files are mostly packed already, and
    // their length is of use.
    let worth_it = DefaultPredicate::new()
        .and(SizeAbove::new(WORTH_COMPRESSING))
        .and(NotForContentType::const_new("application/octet-stream"));
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(worth_it);
    router
        .layer(RequestDecompressionLayer::new())
        .layer(compression)
        .layer(map_response(|mut response: Response| async {
            fog::mark_encoded(&mut response);
            say_when(&mut response);
            response
        }))
}

/// Seconds after which a request that could not be served now may be sent again.
const TRY_AGAIN: HeaderValue = HeaderValue::from_static("5");

fn say_when(response: &mut Response) {
    let later = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    if later.contains(&response.status()) {
        let headers = response.headers_mut();
        headers.entry(header::RETRY_AFTER).or_insert(TRY_AGAIN);
    }
}
