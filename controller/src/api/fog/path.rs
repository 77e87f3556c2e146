//! Takes a request line apart by FOG's rules, which are looser than a router's: slashes may be
//! doubled or trailing, anything after the digits of an id is ignored, a search text is not
//! decoded.

use axum::http::Method;

/// What a request is about; the class is still a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Route<'p> {
    /// `/fog/system/info` and `/fog/status`: whether the API works for the caller.
    Info,
    /// `/fog/service/getversion.php`: the version of the dialect.
    Version,
    /// A page of a FOG server that is not part of its API.
    Page,
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
    let is_reading = matches!(*method, Method::GET | Method::HEAD);
    match (class, parts.as_slice()) {
        ("status", []) if is_reading => return Some(Route::Info),
        ("service", ["getversion.php"]) if is_reading || *method == Method::POST => {
            return Some(Route::Version);
        }
        ("management", _) => return Some(Route::Page),
        _ => {}
    }
    // The settings share their path with a folder of pages.
    let is_setting = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let page = class == "service" && parts.first().is_some_and(|part| !is_setting(part));
    of_class(method, class, rest, &parts).or(page.then_some(Route::Page))
}

fn of_class<'p>(
    method: &Method,
    class: &'p str,
    rest: &'p str,
    parts: &[&'p str],
) -> Option<Route<'p>> {
    match *method {
        Method::GET if matches!(class, "search" | "unisearch") => {
            parts.first().map(|text| Route::SearchAll { text })
        }
        Method::GET => get(class, rest, parts),
        Method::POST => match parts {
            [] | ["create" | "new"] => Some(Route::Create { class }),
            [number, "task"] => Some(Route::Task {
                class,
                id: id(number)?,
            }),
            _ => None,
        },
        Method::PUT => match parts {
            [number] | [number, "edit" | "update"] => Some(Route::Edit {
                class,
                id: id(number)?,
            }),
            _ => None,
        },
        Method::DELETE => match parts {
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
    fn pages_of_a_fog_server_are_no_routes() {
        let of = |method: &Method, path| parse(method, path);
        for path in ["/fog/status", "/fog/status/", "/fog/system/status"] {
            assert_eq!(of(&Method::GET, path), Some(Route::Info), "{path}");
            assert_eq!(of(&Method::HEAD, path), Some(Route::Info), "{path}");
        }
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let path = "/fog//service/getversion.php";
            assert_eq!(of(&method, path), Some(Route::Version), "{method}");
        }
        for path in [
            "/fog/management",
            "/fog/management/index.php",
            "/fog/service/hostname.php",
            "/fog/service/ipxe/boot.php",
        ] {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PATCH] {
                assert_eq!(of(&method, path), Some(Route::Page), "{method} {path}");
            }
        }
        for path in ["/fog/service/1", "/fog/service/list"] {
            assert_ne!(of(&Method::GET, path), Some(Route::Page), "{path}");
        }
        assert_eq!(of(&Method::PATCH, "/fog/service/1"), None);
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
