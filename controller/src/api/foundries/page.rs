//! Pages of lists, with the keys of both styles that clients know.

use schemars::JsonSchema;
use serde::Serialize;

use super::here::Here;
use super::refused::Refused;
use crate::app::devices::paging::{LIMIT, Page, Paged};

/// Which part of a list it is.
#[derive(Serialize, JsonSchema)]
pub(super) struct Paging {
    /// Number of this page, from 1.
    page: usize,
    /// How many there are, at least 1.
    pages: usize,
    /// Elements of a page.
    limit: usize,
    /// Elements of all pages.
    total: usize,
    /// URL of the next page; null on the last one.
    next: Option<String>,
}

impl Paging {
    pub(super) fn of<T>(paged: &Paged<T>, here: &Here) -> Self {
        Self {
            page: paged.page,
            pages: paged.pages,
            limit: paged.limit,
            total: paged.total,
            next: paged.next().map(|number| here.page(number)),
        }
    }
}

/// Reads the parameters. What is empty is not there.
pub(super) fn wanted(page: Option<&str>, limit: Option<&str>) -> Result<Page, Refused> {
    Ok(Page {
        number: number("page", page)?.unwrap_or(1),
        limit: number("limit", limit)?.unwrap_or(LIMIT),
    })
}

fn number(name: &str, text: Option<&str>) -> Result<Option<usize>, Refused> {
    let read = |text: &str| {
        text.parse()
            .map_err(|_| Refused::field(name, format!("{text:?} is not a number")))
    };
    given(text).map(read).transpose()
}

/// A parameter; what is empty is not there.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_there_and_what_is_no_number_is_refused() {
        assert_eq!(wanted(None, Some("")).ok(), Some(Page::default()));
        let some = wanted(Some("2"), Some("50")).ok();
        assert_eq!(
            some,
            Some(Page {
                number: 2,
                limit: 50
            })
        );
        assert!(wanted(Some("two"), None).is_err());
        assert!(wanted(None, Some("-1")).is_err());
    }
}
