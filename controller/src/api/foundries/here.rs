//! Where the client sees us: links in answers are whole URLs here, on the host that it called.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

use crate::ctx::Ctx;

/// Marks a request that came without TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainHttp;

/// The request as the client addressed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Here {
    /// `https://HOST[:PORT]`
    base: String,
    path: String,
    query: String,
}

impl Here {
    /// The URL of another path.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The URL of another page of the same list: all other parameters stay.
    pub(super) fn page(&self, number: usize) -> String {
        let is_kept = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some("page");
        let page = format!("page={number}");
        let kept = self.query.split('&').filter(is_kept);
        let query: Vec<&str> = kept.chain([page.as_str()]).collect();
        format!("{}{}?{}", self.base, self.path, query.join("&"))
    }
}

impl FromRequestParts<Arc<Ctx>> for Here {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        ctx: &Arc<Ctx>,
    ) -> Result<Self, Self::Rejection> {
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let connection = connection.map(|connection| connection.0.ip());
        let is_plain = parts.extensions.get::<PlainHttp>().is_some();
        let scheme = scheme(is_plain, ctx.doors.is_proxy(connection), &parts.headers);
        let host = parts
            .uri
            .authority()
            .map(Authority::as_str)
            .or_else(|| parts.headers.get(header::HOST)?.to_str().ok());
        let host = host.filter(|host| is_host(host)).unwrap_or("localhost");
        Ok(Self {
            base: format!("{scheme}://{host}"),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

fn is_host(text: &str) -> bool {
    text.parse::<Authority>()
        .is_ok_and(|authority| !authority.as_str().contains('@'))
}

/// A proxy that takes TLS off says so, if it may.
fn scheme(is_plain: bool, is_proxy: bool, headers: &HeaderMap) -> &'static str {
    let told = headers.get("x-forwarded-proto");
    let is_told = |word: &str| {
        told.and_then(|value| value.to_str().ok())
            .is_some_and(|text| text.trim().eq_ignore_ascii_case(word))
    };
    match is_plain {
        true if is_proxy && is_told("https") => "https",
        true => "http",
        false if is_proxy && is_told("http") => "http",
        false => "https",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_every_filter() {
        let here = |query: &str| Here {
            base: "https://fog.example:8443".to_owned(),
            path: "/ota/devices/".to_owned(),
            query: query.to_owned(),
        };
        let next = |query: &str| here(query).page(3);
        let root = "https://fog.example:8443/ota/devices/";
        assert_eq!(next(""), format!("{root}?page=3"));
        assert_eq!(
            next("page=2&name=pc-%2A&limit=10&mine=0"),
            format!("{root}?name=pc-%2A&limit=10&mine=0&page=3")
        );
        assert_eq!(next("pages=7&page"), format!("{root}?pages=7&page=3"));
    }

    #[test]
    fn the_scheme_is_that_of_the_client() {
        let mut told = HeaderMap::new();
        assert_eq!(scheme(false, false, &told), "https");
        assert_eq!(scheme(true, false, &told), "http");
        told.insert("x-forwarded-proto", "https".parse().unwrap());
        assert_eq!(scheme(true, true, &told), "https");
        assert_eq!(
            scheme(true, false, &told),
            "http",
            "a stranger says what it likes"
        );
        assert!(is_host("fog.example:8443") && is_host("[fd00::1]:80"));
        assert!(!is_host("a@b") && !is_host("a b") && !is_host("a/b"));
    }
}
