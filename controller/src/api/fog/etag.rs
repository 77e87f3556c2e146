//! Versions of answers: `ETag`, and the conditions `If-None-Match` and `If-Match` (RFC 9110).
//!
//! A tag of an object is the revision of its row and a hash of what is shown of it: relations and
//! what agents report are shown too and have no revision, while a secret has a revision and is not
//! shown. A tag of a list is a hash.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::answer;
use super::request::Incoming;
use crate::state::scene::{Glance, Scene};
use crate::state::{Refusal, Tables};
use crate::store::Revision;

/// A strong tag, without its quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn of_object(revision: Revision, shown: &[u8]) -> Self {
        Self(format!("{revision}-{}", short_hash(shown)))
    }

    pub(super) fn of_list(shown: &[u8]) -> Self {
        Self(short_hash(shown))
    }

    pub(super) fn add_to<B>(&self, response: &mut Response<B>) {
        let value =
            HeaderValue::from_str(&format!("\"{}\"", self.0)).expect("digits, letters and a dash");
        response.headers_mut().insert(header::ETAG, value);
    }
}

/// 128 bits in hexadecimal: as good as all of them for telling versions apart.
fn short_hash(shown: &[u8]) -> String {
    let mut text = blake3::hash(shown).to_hex().to_string();
    text.truncate(32);
    text
}

/// The body with its tag.
pub(super) fn answer(tag: &Tag, body: Vec<u8>) -> axum::response::Response {
    let mut response = answer::ok(body);
    tag.add_to(&mut response);
    response
}

/// Between the tag of what is stored and a hash of what plugins made of it. No hash has this
/// letter.
const REWRITTEN: &str = "-p";

/// Gives an answer that plugins have changed a tag that says so; what it starts with still names
/// the stored version.
pub(super) fn mark_rewritten(headers: &mut HeaderMap, shown: &[u8]) {
    let Some(tag) = headers
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok()?.strip_suffix('"'))
    else {
        return;
    };
    if let Ok(marked) = HeaderValue::from_str(&format!("{tag}{REWRITTEN}{}\"", short_hash(shown))) {
        headers.insert(header::ETAG, marked);
    }
}

/// The finished answer, or 304 for a GET of what the client has already.
pub(super) fn unless_known(
    incoming: &Incoming,
    response: axum::response::Response,
) -> axum::response::Response {
    if incoming.method != Method::GET || response.status() != StatusCode::OK {
        return response;
    }
    let Some(tags) = Tags::read(&incoming.headers, &header::IF_NONE_MATCH) else {
        return response;
    };
    let quoted = response
        .headers()
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok());
    let Some(tag) = quoted.map(|tag| Tag(tag.trim_matches('"').to_owned())) else {
        return response;
    };
    if !tags.have(&tag, Strength::Weak) {
        return response;
    }
    let mut known = answer::empty(StatusCode::NOT_MODIFIED);
    *known.headers_mut() = response.headers().clone();
    known.headers_mut().remove(header::CONTENT_TYPE);
    known.headers_mut().remove(header::CONTENT_LENGTH);
    known
}

/// How tags are compared: a change needs the very version, a look does with an equivalent one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strength {
    Strong,
    Weak,
}

/// Tags that a condition names.
#[derive(PartialEq, Eq, Debug)]
enum Tags {
    Any,
    /// Whether each is weak, and its text.
    These(Vec<(bool, String)>),
}

impl Tags {
    /// `None` when there is no such header. What is no tag names no version.
    fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        let mut tags = Vec::new();
        for tag in values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
        {
            if tag == "*" {
                return Some(Self::Any);
            }
            let (weak, quoted) = tag
                .strip_prefix("W/")
                .map_or((false, tag), |rest| (true, rest));
            if let Some(text) = quoted
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
            {
                tags.push((weak, plain(text).to_owned()));
            }
        }
        Some(Self::These(tags))
    }

    fn have(&self, tag: &Tag, strength: Strength) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => {
                tags.iter().any(|(weak, text)| match strength {
                    Strength::Weak => *text == tag.0,
                    // What plugins add is not stored, so it is no version that a change could be
                    // made to.
                    Strength::Strong => {
                        !*weak
                            && text
                                .split_once(REWRITTEN)
                                .map_or(text.as_str(), |(stored, _)| stored)
                                == tag.0
                    }
                })
            }
        }
    }
}

/// Ends of the tags of compressed answers, by content encoding: the same version in other bytes is
/// another strong tag.
const ENCODED: [(&str, &str); 2] = [("gzip", "-gzip"), ("zstd", "-zstd")];

/// The tag of the version, whatever way it was sent.
fn plain(tag: &str) -> &str {
    ENCODED
        .iter()
        .find_map(|(_, end)| tag.strip_suffix(end))
        .unwrap_or(tag)
}

/// Gives an answer that has been compressed a tag of its own.
pub(crate) fn mark_encoded<B>(response: &mut Response<B>) {
    let headers = response.headers();
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok());
    let Some((_, end)) = ENCODED.iter().find(|(name, _)| Some(*name) == encoding) else {
        return;
    };
    let Some(tag) = headers
        .get(header::ETAG)
        .and_then(|tag| tag.to_str().ok()?.strip_suffix('"'))
    else {
        return;
    };
    if let Ok(marked) = HeaderValue::from_str(&format!("{tag}{end}\"")) {
        response.headers_mut().insert(header::ETAG, marked);
    }
}

/// The versions that a change may be made to.
pub(super) struct OnlyIf<'a> {
    tags: Option<Tags>,
    glance: &'a dyn Glance,
    from: IpAddr,
}

impl<'a> OnlyIf<'a> {
    /// Reads `If-Match`.
    pub(super) fn read(incoming: &Incoming, glance: &'a dyn Glance) -> Self {
        Self {
            tags: Tags::read(&incoming.headers, &header::IF_MATCH),
            glance,
            from: incoming.from,
        }
    }

    /// Whether the client named versions.
    pub(super) fn is_asked(&self) -> bool {
        self.tags.is_some()
    }

    /// Whether the object `id`, whose row has this revision, is a version that the client named.
    /// `render` shows it.
    ///
    /// # Errors
    /// [`Refusal::Precondition`] when it is another.
    pub(super) fn check(
        &self,
        (class, id): (&'static str, u32),
        revision: Revision,
        tables: &Tables,
        render: impl Fn(&Scene<'_>, &mut Vec<u8>),
    ) -> Result<(), Refusal> {
        let Some(tags) = &self.tags else {
            return Ok(());
        };
        // The client may have seen it with secrets or without.
        let holds = *tags == Tags::Any
            || [false, true].into_iter().any(|secrets| {
                let mut shown = Vec::with_capacity(4096);
                render(
                    &Scene {
                        tables,
                        glance: self.glance,
                        secrets,
                        from: self.from,
                    },
                    &mut shown,
                );
                tags.have(&Tag::of_object(revision, &shown), Strength::Strong)
            });
        if holds {
            Ok(())
        } else {
            Err(Refusal::Precondition { class, id })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(values: &[&str]) -> Option<Tags> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, value.parse().unwrap());
        }
        Tags::read(&headers, &header::IF_MATCH)
    }

    #[test]
    fn conditions_are_read_in_every_spelling() {
        let tag = Tag("7-ab".to_owned());
        let strong = |values: &[&str]| tags(values).unwrap().have(&tag, Strength::Strong);
        assert!(tags(&[]).is_none());
        assert!(
            strong(&["\"7-ab\""]) && strong(&["\"x\", \"7-ab\""]) && strong(&["\"x\"", "\"7-ab\""])
        );
        assert!(strong(&["*"]) && strong(&["\"7-ab-gzip\""]) && strong(&["\"7-ab-zstd\""]));
        assert!(
            !strong(&["W/\"7-ab\""]) && !strong(&["7-ab"]) && !strong(&[""]) && !strong(&["\"7\""])
        );
        assert!(
            tags(&["W/\"7-ab-gzip\""])
                .unwrap()
                .have(&tag, Strength::Weak)
        );
    }

    #[test]
    fn compressed_answers_have_tags_of_their_own() {
        let mut response = Response::new(());
        Tag("7-ab".to_owned()).add_to(&mut response);
        mark_encoded(&mut response);
        assert_eq!(response.headers()[header::ETAG], "\"7-ab\"");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
        mark_encoded(&mut response);
        assert_eq!(response.headers()[header::ETAG], "\"7-ab-zstd\"");
    }
}
