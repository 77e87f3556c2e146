//! Which part of a list a client wants: `?start=&length=&orderBy=&orderDir=`, and the `Link` header
//! that leads on.
//!
//! A FOG server ignores the query string, so other parameters are ignored here too, and without one
//! of these four a list is whole and in FOG's order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use axum::extract::Query;
use axum::http::{HeaderName, HeaderValue, Response, Uri, header};

use crate::state::Refusal;

/// How many rows there are, of which the answer has a page.
pub(super) const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// A part of a list. The default is all of it, in FOG's order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Page {
    /// Rows that are left out at the beginning.
    pub(super) start: usize,
    /// Most rows in the answer; `None`: all.
    pub(super) length: Option<usize>,
    /// Stored field to order by; `None`: the order of lists.
    pub(super) order_by: Option<String>,
    pub(super) descending: bool,
    /// Whether the client asked for any of it.
    pub(super) asked: bool,
}

fn bad(name: &'static str, why: String) -> Refusal {
    Refusal::Parameter { name, why }
}

fn number(name: &'static str, text: &str) -> Result<usize, Refusal> {
    let number = text.parse::<u32>().map_err(|_| {
        bad(
            name,
            format!("{text:?} is not an integer from 0 to {}", u32::MAX),
        )
    })?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

impl Page {
    /// Reads the parameters of a request; of one that is named twice, the last counts.
    ///
    /// # Errors
    /// [`Refusal::Parameter`] for a value that means nothing.
    pub(super) fn read(uri: &Uri) -> Result<Self, Refusal> {
        let mut page = Self::default();
        if uri.query().is_none_or(str::is_empty) {
            return Ok(page);
        }
        // A query that is no list of pairs has no parameter of ours.
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
            return Ok(page);
        };
        let mut direction = None;
        for (name, value) in pairs {
            match name.as_str() {
                "start" => page.start = number("start", &value)?,
                "length" => page.length = Some(number("length", &value)?),
                "orderBy" => page.order_by = Some(value),
                "orderDir" => {
                    direction = Some(match value.to_ascii_lowercase().as_str() {
                        "asc" => false,
                        "desc" => true,
                        _ => {
                            return Err(bad(
                                "orderDir",
                                format!("{value:?} is neither \"asc\" nor \"desc\""),
                            ));
                        }
                    });
                }
                _ => continue,
            }
            page.asked = true;
        }
        if let Some(field) = page
            .order_by
            .as_mut()
            .filter(|field| field.starts_with('-'))
        {
            if direction.is_some() {
                return Err(bad(
                    "orderDir",
                    "orderBy starts with \"-\" and already sets the direction".to_owned(),
                ));
            }
            field.remove(0);
            direction = Some(true);
        }
        page.descending = direction.unwrap_or(false);
        Ok(page)
    }

    /// `orderBy` names nothing that rows can be ordered by.
    pub(super) fn no_such_order(&self, class: &str) -> Refusal {
        bad(
            "orderBy",
            format!(
                "{:?} is not a stored field of {class}",
                self.order_by.as_deref().unwrap_or_default()
            ),
        )
    }

    /// The page of rows that come in the right order, and how many rows there are.
    pub(super) fn cut<T>(&self, rows: impl Iterator<Item = T>) -> (Vec<T>, usize) {
        let end = self
            .length
            .map_or(usize::MAX, |length| self.start.saturating_add(length));
        let mut kept = Vec::new();
        let mut total = 0_usize;
        for row in rows {
            if (self.start..end).contains(&total) {
                kept.push(row);
            }
            total += 1;
        }
        (kept, total)
    }

    /// The page of rows ordered by `key`, equal ones as they come, and how many rows there are.
    /// Keeps no more rows than lie before the end of the page.
    pub(super) fn cut_by<T, K: Ord>(
        &self,
        rows: impl Iterator<Item = T>,
        key: impl Fn(&T) -> K,
    ) -> (Vec<T>, usize) {
        let end = self
            .length
            .map_or(usize::MAX, |length| self.start.saturating_add(length));
        let mut best = BinaryHeap::new();
        let mut total = 0_usize;
        for row in rows {
            let ranked = Ranked {
                key: key(&row),
                place: total,
                backwards: self.descending,
                row,
            };
            total += 1;
            if best.len() < end {
                best.push(ranked);
            } else if let Some(mut worst) = best.peek_mut()
                && ranked < *worst
            {
                *worst = ranked;
            }
        }
        let kept = best
            .into_sorted_vec()
            .into_iter()
            .skip(self.start)
            .map(|ranked| ranked.row)
            .collect();
        (kept, total)
    }

    /// Adds what a client needs to go on: the total, and links to the pages around this one (RFC
    /// 8288).
    pub(super) fn announce<B>(&self, uri: &Uri, total: usize, response: &mut Response<B>) {
        if !self.asked {
            return;
        }
        response
            .headers_mut()
            .insert(TOTAL, HeaderValue::from(total));
        if let Some(links) = self.links(uri, total) {
            response.headers_mut().insert(header::LINK, links);
        }
    }

    fn links(&self, uri: &Uri, total: usize) -> Option<HeaderValue> {
        let length = self.length.filter(|length| *length > 0)?;
        let rest: Vec<&str> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| {
                !pair.is_empty() && !matches!(pair.split('=').next(), Some("start" | "length"))
            })
            .collect();
        let link = |start: usize, relation: &str| {
            let rest: String = rest.iter().map(|pair| format!("&{pair}")).collect();
            let target =
                format!("{}?start={start}&length={length}{rest}", uri.path()).replace('>', "%3E");
            format!("<{target}>; rel=\"{relation}\"")
        };
        let last = total.saturating_sub(1) / length * length;
        let mut links = vec![link(0, "first")];
        if self.start > 0 {
            links.push(link(
                self.start.min(last + length).saturating_sub(length),
                "prev",
            ));
        }
        if self.start.saturating_add(length) < total {
            links.push(link(self.start + length, "next"));
        }
        links.push(link(last, "last"));
        // A path or query with bytes that no header may have gets no links; the total is there all
        // the same.
        HeaderValue::from_str(&links.join(", ")).ok()
    }
}

/// A row with its place in an order.
struct Ranked<T, K> {
    key: K,
    place: usize,
    backwards: bool,
    row: T,
}

impl<T, K: Ord> Ord for Ranked<T, K> {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.key.cmp(&other.key);
        let order = if self.backwards {
            order.reverse()
        } else {
            order
        };
        order.then(self.place.cmp(&other.place))
    }
}

impl<T, K: Ord> PartialOrd for Ranked<T, K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, K: Ord> PartialEq for Ranked<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T, K: Ord> Eq for Ranked<T, K> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> Page {
        Page::read(&format!("/fog/host?{query}").parse().unwrap()).unwrap()
    }

    fn refused(query: &str) -> &'static str {
        match Page::read(&format!("/fog/host?{query}").parse().unwrap()) {
            Err(Refusal::Parameter { name, .. }) => name,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn parameters_are_read_and_others_ignored() {
        assert_eq!(
            Page::read(&"/fog/host".parse().unwrap()).unwrap(),
            Page::default()
        );
        assert_eq!(page("color=red&=&x"), Page::default());
        let asked = page("start=20&length=10&orderBy=-name&extra=1");
        assert_eq!(
            (asked.start, asked.length, asked.descending, asked.asked),
            (20, Some(10), true, true)
        );
        assert_eq!(asked.order_by.as_deref(), Some("name"));
        assert!(page("orderDir=DESC").descending);
        for (query, name) in [
            ("start=-1", "start"),
            ("length=x", "length"),
            ("length=", "length"),
            ("start=99999999999999999999", "start"),
            ("orderDir=up", "orderDir"),
            ("orderBy=-id&orderDir=asc", "orderDir"),
        ] {
            assert_eq!(refused(query), name, "{query}");
        }
    }

    #[test]
    fn the_best_rows_are_those_of_a_sort() {
        let rows: Vec<u32> = (0..500).map(|number| number * 7919 % 101).collect();
        for (query, backwards) in [
            ("start=30&length=25", false),
            ("start=3&length=7&orderDir=desc", true),
            ("start=490", false),
        ] {
            let asked = page(query);
            let mut sorted: Vec<(usize, u32)> = rows.iter().copied().enumerate().collect();
            sorted.sort_by(|a, b| {
                let order = a.1.cmp(&b.1);
                if backwards { order.reverse() } else { order }
            });
            let expected: Vec<_> = sorted
                .into_iter()
                .skip(asked.start)
                .take(asked.length.unwrap_or(1000))
                .collect();
            let (kept, total) = asked.cut_by(rows.iter().copied().enumerate(), |(_, row)| *row);
            assert_eq!((kept, total), (expected, 500), "{query}");
        }
    }

    #[test]
    fn links_lead_to_every_page() {
        let links = |query: &str, total| {
            let uri: Uri = format!("/fog/host?{query}").parse().unwrap();
            page(query)
                .links(&uri, total)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            links("length=10&start=10&orderBy=ip&x=%3E", 35).unwrap(),
            "</fog/host?start=0&length=10&orderBy=ip&x=%3E>; rel=\"first\", \
             </fog/host?start=0&length=10&orderBy=ip&x=%3E>; rel=\"prev\", \
             </fog/host?start=20&length=10&orderBy=ip&x=%3E>; rel=\"next\", \
             </fog/host?start=30&length=10&orderBy=ip&x=%3E>; rel=\"last\""
        );
        let only = links("length=10", 0).unwrap();
        assert!(
            !only.contains("next")
                && !only.contains("prev")
                && only.contains("start=0&length=10>; rel=\"last\"")
        );
        assert!(links("start=5", 100).is_none() && links("length=0", 100).is_none());
        let beyond = links("start=1000&length=10", 35).unwrap();
        assert!(
            beyond.contains("start=30&length=10>; rel=\"prev\""),
            "{beyond}"
        );
    }
}
