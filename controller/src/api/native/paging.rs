//! Lists in pages of bounded cost.

use axum::http::StatusCode;

use super::error::Refused;

/// Objects in one page at most, and when the request names no number.
pub(super) const MOST: u32 = 1000;
/// Objects that are looked at for one page at most, whether or not the filters take them.
const MOST_LOOKED_AT: usize = 20_000;

/// The number of objects that a request asks for.
///
/// # Errors
/// With the field, when it is none.
pub(super) fn limit(asked: Option<u32>) -> Result<usize, Refused> {
    match asked.unwrap_or(MOST) {
        number @ 1..=MOST => Ok(number as usize),
        number => Err(Refused::field(
            StatusCode::BAD_REQUEST,
            "limit",
            format!("must be a whole number from 1 to {MOST}, not {number}"),
        )),
    }
}

/// One page.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// The key of the last row that was looked at, if there are more.
    pub(super) next: Option<String>,
}

/// The first `limit` rows that `view` takes.
pub(super) fn page<R, T>(
    rows: impl Iterator<Item = R>,
    limit: usize,
    key: impl Fn(&R) -> String,
    mut view: impl FnMut(&R) -> Option<T>,
) -> Page<T> {
    let mut rows = rows.peekable();
    let (mut items, mut last) = (Vec::new(), None);
    for _ in 0..MOST_LOOKED_AT {
        if items.len() == limit {
            break;
        }
        let Some(row) = rows.next() else {
            break;
        };
        items.extend(view(&row));
        last = Some(row);
    }
    let next = rows.peek().and(last).map(|last| key(&last));
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(rows: std::ops::Range<usize>, limit: usize) -> Page<usize> {
        page(rows, limit, usize::to_string, |row| {
            (row % 2 == 0).then_some(*row)
        })
    }

    #[test]
    fn a_page_continues_behind_the_last_row_that_was_looked_at() {
        let found = even(0..6, 2);
        assert_eq!(
            (found.items, found.next.as_deref()),
            (vec![0, 2], Some("2"))
        );
        let found = even(3..6, 2);
        assert_eq!((found.items, found.next), (vec![4], None));
        assert_eq!(even(0..0, 2).next, None);
        let found = even(0..1, 1);
        assert_eq!(
            (found.items, found.next),
            (vec![0], None),
            "there is no more"
        );
    }

    #[test]
    fn filters_that_take_little_end_a_page_early() {
        let found = page(0..MOST_LOOKED_AT + 5, 10, usize::to_string, |_| None::<()>);
        assert!(found.items.is_empty());
        assert_eq!(found.next, Some((MOST_LOOKED_AT - 1).to_string()));
    }

    #[test]
    fn limits_are_from_1_to_1000() {
        assert_eq!(limit(None).unwrap(), 1000);
        assert_eq!(limit(Some(1)).unwrap(), 1);
        assert!(limit(Some(0)).is_err() && limit(Some(1001)).is_err());
    }
}
