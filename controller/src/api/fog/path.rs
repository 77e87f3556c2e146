//! Takes a request line apart by FOG's rules, which are looser than a router's: slashes may be
//! doubled or trailing, anything after the digits of an id is ignored, a search text is not
//! decoded.

use axum::http::Method;

/// What a request is about; the class is still a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Route<'p> {
    /// `/fog/system/info`: whether the API works for the caller.
    Info,
    /// Search in every class.
    SearchAll {
        text: &'p str,
    },
    List {
        class: &'p str,
        item: &'p str,
    },
    Active {
        class: &'p str,
    },
    Names {
        class: &'p str,
    },
    /// Ids, or another field when one is named; `None` for a malformed path, which gives an empty
    /// list.
    Ids {
        class: &'p str,
        field: Option<&'p str>,
    },
    Search {
        class: &'p str,
        text: &'p str,
    },
    Get {
        class: &'p str,
        id: u32,
        item: &'p str,
    },
    Create {
        class: &'p str,
    },
    Edit {
        class: &'p str,
        id: u32,
    },
    Delete {
        class: &'p str,
        id: u32,
    },
    Task {
        class: &'p str,
        id: u32,
    },
    Cancel {
        class: &'p str,
        id: Option<u32>,
    },
}

/// `path` starts with `/fog`. `None` is FOG's 501.
pub(super) fn parse<'p>(method: &Method, path: &'p str) -> Option<Route<'p>> {
    let rest = path.strip_prefix("/fog")?.trim_start_matches('/');
    let (class, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    if class == "system" {
        let known = matches!(parts.as_slice(), ["info" | "status"]);
        return (known && matches!(*method, Method::GET | Method::HEAD)).then_some(Route::Info);
    }
    match *method {
        Method::GET if matches!(class, "search" | "unisearch") => {
            parts.first().map(|text| Route::SearchAll { text })
        }
        Method::GET => get(class, rest, &parts),
        Method::POST => match parts.as_slice() {
            [] | ["create" | "new"] => Some(Route::Create { class }),
            [number, "task"] => Some(Route::Task {
                class,
                id: id(number)?,
            }),
            _ => None,
        },
        Method::PUT => match parts.as_slice() {
            [number] | [number, "edit" | "update"] => Some(Route::Edit {
                class,
                id: id(number)?,
            }),
            _ => None,
        },
        Method::DELETE => match parts.as_slice() {
            ["cancel"] => Some(Route::Cancel { class, id: None }),
            [number, "cancel"] => Some(Route::Cancel {
                class,
                id: Some(id(number)?),
            }),
            [number] | [number, "delete" | "remove"] => Some(Route::Delete {
                class,
                id: id(number)?,
            }),
            _ => None,
        },
        _ => None,
    }
}

fn get<'p>(class: &'p str, rest: &'p str, parts: &[&'p str]) -> Option<Route<'p>> {
    match *parts {
        [] | ["list" | "all"] => Some(Route::List { class, item: "" }),
        ["details"] => Some(Route::List { class, item: "all" }),
        ["details", item, ..] => Some(Route::List { class, item }),
        ["active" | "current"] => Some(Route::Active { class }),
        ["names", ..] => Some(Route::Names { class }),
        ["ids", ..] => Some(Route::Ids {
            class,
            field: ids_field(rest),
        }),
        ["search", text, ..] => Some(Route::Search { class, text }),
        [number, ref tail @ ..] => Some(Route::Get {
            class,
            id: id(number)?,
            item: tail.first().copied().unwrap_or(""),
        }),
    }
}

/// `ids` is the ids, `ids/<anything>/<field>` that field, and every other spelling nothing.
fn ids_field(rest: &str) -> Option<&str> {
    let after = rest.trim_start_matches('/').strip_prefix("ids")?;
    match after.split('/').collect::<Vec<_>>().as_slice() {
        [""] => Some("id"),
        ["", filler, field] if !filler.is_empty() && !field.is_empty() => Some(field),
        _ => None,
    }
}

/// The digits that a part starts with. A number too large for an id names nothing, as 0 does.
fn id(part: &str) -> Option<u32> {
    let end = part
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(part.len());
    (end > 0).then(|| part[..end].parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_loosely() {
        for path in [
            "/fog/host/1",
            "/fog/host//1",
            "/fog/host/1/",
            "/fog/host/01",
            "/fog/host/1.5",
            "/fog/host/1abc",
        ] {
            assert_eq!(
                parse(&Method::GET, path),
                Some(Route::Get {
                    class: "host",
                    id: 1,
                    item: ""
                }),
                "{path}"
            );
        }
        assert_eq!(
            parse(&Method::GET, "/fog/host/99999999999999999999"),
            Some(Route::Get {
                class: "host",
                id: 0,
                item: ""
            })
        );
        assert_eq!(parse(&Method::GET, "/fog/host/-1"), None);
        assert_eq!(parse(&Method::GET, "/fog/host/abc"), None);
    }

    #[test]
    fn the_words_after_a_class() {
        let ids = |path| match parse(&Method::GET, path) {
            Some(Route::Ids { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            [
                ids("/fog/host/ids"),
                ids("/fog/host/ids/"),
                ids("/fog/host/ids/x/name"),
                ids("/fog/host/ids//name")
            ],
            [Some("id"), None, Some("name"), None]
        );
        assert_eq!(parse(&Method::GET, "/fog/host/search"), None);
        for path in [
            "/fog/search/lab%20x",
            "/fog/unisearch/lab%20x/",
            "/fog//search//lab%20x/more",
        ] {
            assert_eq!(
                parse(&Method::GET, path),
                Some(Route::SearchAll { text: "lab%20x" }),
                "{path}"
            );
        }
        assert_eq!(
            (
                parse(&Method::GET, "/fog/search/"),
                parse(&Method::GET, "/fog/unisearch")
            ),
            (None, None)
        );
        assert_eq!(parse(&Method::PUT, "/fog/host"), None);
        assert_eq!(parse(&Method::HEAD, "/fog/host"), None);
        assert_eq!(
            parse(&Method::DELETE, "/fog/task/cancel"),
            Some(Route::Cancel {
                class: "task",
                id: None
            })
        );
    }
}
