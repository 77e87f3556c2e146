//! Every entry under a prefix, page after page, at the revision of the first page.

use std::sync::Arc;

use etcd_client::{GetOptions, KeyValue};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};

use super::answer::{Refusal, unavailable};
use super::members::Members;
use super::window::Window;
use super::{entry, ours, reading};
use crate::store::{Snapshot, StoreError};

const DOING: &str = "list keys";
/// Entries in the first page of a list: ordinary records make some hundred kilobytes.
const FIRST_PAGE: i64 = 1000;
/// What a later page should be.
const PAGE_BYTES: usize = 16 << 20;
/// Most entries in a page, should larger records follow small ones.
const LONGEST_PAGE: i64 = 50_000;

pub(super) struct Pages {
    members: Arc<Members>,
    window: Window,
    /// etcd's revision; 0 asks for the last one: linearizable, and the later pages stay at it.
    at: i64,
    limit: i64,
    is_over: bool,
}

pub(super) enum Page {
    Entries(Snapshot),
    /// The revision has been compacted away meanwhile.
    Overtaken,
}

impl Pages {
    pub(super) fn new(members: Arc<Members>, prefix: &str) -> Self {
        Self {
            members,
            window: Window::new(prefix.as_bytes()),
            at: 0,
            limit: FIRST_PAGE,
            is_over: false,
        }
    }

    /// `None` after the last page.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let (from, end) = self.window.range();
        let options = GetOptions::new()
            .with_range(end)
            .with_limit(self.limit)
            .with_revision(self.at);
        let asked = self.members.read(|client| {
            let (from, options) = (from.clone(), options.clone());
            async move { reading(&client).get(from, Some(options)).await }
        });
        let mut page = match asked.await {
            Ok(page) => page,
            Err(error) if error.refusal() == Some(Refusal::Compacted) => {
                self.is_over = true;
                return Ok(Some(Page::Overtaken));
            }
            Err(error) => return Err(unavailable(DOING, error)),
        };
        if self.at == 0 {
            self.at = page.header().map_or(0, |header| header.revision());
        }
        let (more, keys) = (page.more(), page.take_kvs());
        match (keys.first(), keys.last()) {
            (Some(first), Some(last)) if more => self.window.goes_on(first.key(), last.key()),
            _ => {
                let share = keys.len() as f64 / self.limit as f64;
                self.is_over = !self.window.is_done(share);
            }
        }
        self.limit = next_limit(&keys);
        Ok(Some(Page::Entries(Snapshot {
            revision: ours(self.at),
            entries: keys.into_iter().filter_map(entry).collect(),
        })))
    }

    pub(super) fn into_stream(self) -> BoxStream<'static, Result<Snapshot, StoreError>> {
        stream::unfold(self, |mut pages| async {
            let page = match pages.next().await.transpose()? {
                Ok(Page::Entries(page)) => Ok(page),
                Ok(Page::Overtaken) => Err(unavailable(DOING, "compaction has overtaken it")),
                Err(error) => {
                    pages.is_over = true;
                    Err(error)
                }
            };
            Some((page, pages))
        })
        .boxed()
    }
}

/// How many entries make a page of [`PAGE_BYTES`] if they are as long as the last ones.
fn next_limit(last: &[KeyValue]) -> i64 {
    if last.is_empty() {
        return FIRST_PAGE;
    }
    let bytes: usize = last
        .iter()
        .map(|one| one.key().len() + one.value().len())
        .sum();
    let limit = PAGE_BYTES * last.len() / bytes.max(1);
    i64::try_from(limit)
        .unwrap_or(i64::MAX)
        .clamp(FIRST_PAGE, LONGEST_PAGE)
}
