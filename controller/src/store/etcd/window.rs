//! Which part of a long list to ask etcd for next.
//!
//! For each page etcd walks over every key up to the end of the range, however few it is to return, so
//! pages of a range with no nearer end take a time that is quadratic in the number of keys. A window
//! ends where keys no longer begin as those of the last page did.

/// A walk over the keys from `from` to `end`, window after window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Window {
    from: Vec<u8>,
    /// End of the list.
    end: Vec<u8>,
    /// How many bytes at the beginning of keys the list has in common.
    common: usize,
    /// As many bytes at the beginning of its keys a window has in common.
    depth: usize,
}

impl Window {
    /// Of the keys that begin with `prefix`.
    pub(super) fn new(prefix: &[u8]) -> Self {
        Self {
            // etcd has no empty key.
            from: if prefix.is_empty() {
                vec![0]
            } else {
                prefix.to_vec()
            },
            end: after(prefix),
            common: prefix.len(),
            depth: prefix.len(),
        }
    }

    /// The first key to ask for, and the one before which to end.
    pub(super) fn range(&self) -> (Vec<u8>, Vec<u8>) {
        (self.from.clone(), self.window_end())
    }

    fn window_end(&self) -> Vec<u8> {
        let end = after(&self.from[..self.depth.min(self.from.len())]);
        end.min(self.end.clone())
    }

    /// The window had more than fits into a page, which was from key `first` to key `last`.
    pub(super) fn goes_on(&mut self, first: &[u8], last: &[u8]) {
        let alike = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        self.depth = alike.max(self.common);
        // The smallest key after the last one.
        self.from = [last, &[0]].concat();
    }

    /// All keys of the window were on the page, which is filled by `share` of 1. Returns whether there
    /// are further windows.
    pub(super) fn is_done(&mut self, share: f64) -> bool {
        self.from = self.window_end();
        if share < 0.5 {
            self.depth = self.depth.saturating_sub(1).max(self.common);
        }
        self.from < self.end
    }
}

/// The smallest key that is after all that begin with `prefix`. Ours are text, so no byte is 255.
fn after(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    match end.last_mut() {
        Some(last) => *last = last.saturating_add(1),
        None => end.push(u8::MAX),
    }
    end
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Bound;

    use super::*;

    /// What is found by pages of so many keys, and how many keys etcd walks over for it.
    fn walk(keys: &BTreeSet<Vec<u8>>, prefix: &str, limit: usize) -> (Vec<Vec<u8>>, usize) {
        let mut window = Window::new(prefix.as_bytes());
        let (mut found, mut walked) = (Vec::new(), 0);
        loop {
            let (from, end) = window.range();
            assert!(from < end, "{from:?} to {end:?}");
            let bounds = (Bound::Included(from), Bound::Excluded(end));
            let inside: Vec<_> = keys.range::<Vec<u8>, _>(bounds).cloned().collect();
            walked += inside.len() + 1;
            let page = &inside[..inside.len().min(limit)];
            found.extend_from_slice(page);
            if inside.len() > limit {
                window.goes_on(&page[0], &page[limit - 1]);
            } else if !window.is_done(page.len() as f64 / limit as f64) {
                return (found, walked);
            }
        }
    }

    fn fleet(hosts: u32) -> BTreeSet<Vec<u8>> {
        let of = |class: &'static str, count| {
            (0..count).map(move |id| format!("/f/obj/{class}/{id:010}").into_bytes())
        };
        let few = ["/f/audit/x", "/f/by/host/52:54", "/f/z", "/e", "/g"];
        let few = few.into_iter().map(|key| key.as_bytes().to_vec());
        of("host", hosts)
            .chain(of("group", 3))
            .chain(of("mac", hosts))
            .chain(few)
            .collect()
    }

    #[test]
    fn every_key_is_found_once_and_in_order() {
        let keys = fleet(12_345);
        for (prefix, limit) in [
            ("/f/", 1),
            ("/f/", 7),
            ("/f/obj/host/", 100),
            ("/f/", 50_000),
            ("", 9),
        ] {
            let keys: BTreeSet<_> = match limit {
                1 => keys.iter().take(300).cloned().collect(),
                _ => keys.clone(),
            };
            let all = keys.iter().filter(|key| key.starts_with(prefix.as_bytes()));
            let (found, _) = walk(&keys, prefix, limit);
            assert!(found.iter().eq(all), "{prefix} by {limit}");
        }
        assert_eq!(walk(&BTreeSet::new(), "/f/", 10).0, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn ten_times_the_keys_are_about_ten_times_the_work() {
        let walked = |hosts| walk(&fleet(hosts), "/f/", 1000).1;
        let (few, many) = (walked(10_000), walked(100_000));
        assert!(many < 15 * few, "{few}, then {many}");
    }
}
