//! Pages of lists. Pure.

/// Elements of a page, unless a request says otherwise.
pub const LIMIT: usize = 1000;

/// Which part of a list is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// From 1; 0 counts as 1.
    pub number: usize,
    /// Elements of a page, 1 to [`LIMIT`]; what is outside counts as the nearest of them.
    pub limit: usize,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            number: 1,
            limit: LIMIT,
        }
    }
}

/// One page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// Its number, from 1.
    pub page: usize,
    /// At least 1.
    pub pages: usize,
    pub limit: usize,
    /// Elements of all pages.
    pub total: usize,
}

impl<T> Paged<T> {
    /// The page of the whole list.
    #[must_use]
    pub fn of(all: Vec<T>, page: Page) -> Self {
        let limit = page.limit.clamp(1, LIMIT);
        let number = page.number.max(1);
        let total = all.len();
        let skip = (number - 1).saturating_mul(limit);
        Self {
            items: all.into_iter().skip(skip).take(limit).collect(),
            page: number,
            pages: total.div_ceil(limit).max(1),
            limit,
            total,
        }
    }

    /// Number of the next page, if there is one.
    #[must_use]
    pub fn next(&self) -> Option<usize> {
        (self.page < self.pages).then(|| self.page + 1)
    }

    /// The same page of what each element becomes.
    pub fn map<U>(self, each: impl FnMut(T) -> U) -> Paged<U> {
        Paged {
            items: self.items.into_iter().map(each).collect(),
            page: self.page,
            pages: self.pages,
            limit: self.limit,
            total: self.total,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_and_counted() {
        let page = |number, limit| Paged::of((1..=5).collect(), Page { number, limit });
        let second = page(2, 2);
        assert_eq!((second.items.clone(), second.next()), (vec![3, 4], Some(3)));
        assert_eq!((second.pages, second.total, second.limit), (3, 5, 2));
        let last = page(3, 2);
        assert_eq!((last.items.clone(), last.next()), (vec![5], None));
        let beyond = page(usize::MAX, 2);
        assert_eq!((beyond.items.len(), beyond.next()), (0, None));
        let odd = page(0, 0);
        assert_eq!((odd.items.clone(), odd.page, odd.limit), (vec![1], 1, 1));
        assert_eq!(page(1, 5000).limit, LIMIT);
        let none = Paged::<u8>::of(Vec::new(), Page::default());
        assert_eq!((none.pages, none.total, none.next()), (1, 0, None));
    }
}
