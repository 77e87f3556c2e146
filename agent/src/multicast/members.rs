//! The members of a session as its thread knows them: how to reach each, which have arrived, and
//! which continued by unicast.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use foghorn_multicast::{KeyMaterial, ReceiverId};
use tokio::sync::mpsc;

use super::control::News;

struct Member {
    membership: u64,
    news: mpsc::Sender<News>,
    /// Bytes that its connection had carried to it when it was last heard.
    carried: Option<u64>,
}

/// See the module page.
#[derive(Default)]
pub(super) struct Members {
    members: BTreeMap<ReceiverId, Member>,
    arrived: BTreeSet<ReceiverId>,
    /// Those of them that wanted nothing more.
    done: BTreeSet<ReceiverId>,
    unicast: BTreeMap<ReceiverId, String>,
    last_join: Option<Instant>,
}

impl Members {
    pub(super) fn join(&mut self, receiver: ReceiverId, membership: u64, news: mpsc::Sender<News>) {
        self.members.insert(
            receiver,
            Member {
                membership,
                news,
                carried: None,
            },
        );
        self.arrived.insert(receiver);
        self.done.remove(&receiver);
        self.unicast.remove(&receiver);
        self.last_join = Some(Instant::now());
    }

    /// Takes out the receiver if this is still its membership; says whether it was.
    pub(super) fn leave(
        &mut self,
        receiver: ReceiverId,
        membership: u64,
        reason: Option<String>,
    ) -> bool {
        let present = self
            .members
            .get(&receiver)
            .is_some_and(|member| member.membership == membership);
        if present {
            self.members.remove(&receiver);
            self.unicast.extend(reason.map(|reason| (receiver, reason)));
        }
        present
    }

    /// Tells the receiver; one that does not listen is taken out, and its connection sees the end
    /// of the news.
    pub(super) fn tell(&mut self, receiver: ReceiverId, news: News) {
        let Some(member) = self.members.get(&receiver) else {
            return;
        };
        if member.news.try_send(news).is_err() {
            self.members.remove(&receiver);
        }
    }

    /// Tells the receiver for the last time.
    pub(super) fn dismiss(&mut self, receiver: ReceiverId, news: News) {
        match &news {
            News::Demoted { reason, .. } => drop(self.unicast.insert(receiver, reason.clone())),
            News::Over { .. } => drop(self.done.insert(receiver)),
            News::Key(_) | News::Fetch(_) => {}
        }
        self.tell(receiver, news);
        self.members.remove(&receiver);
    }

    /// Its connection has carried so many bytes to the receiver by now; says how many since the
    /// last time.
    pub(super) fn carried(&mut self, receiver: ReceiverId, total: u64) -> u64 {
        let Some(member) = self.members.get_mut(&receiver) else {
            return 0;
        };
        member
            .carried
            .replace(total)
            .map_or(0, |before| total.saturating_sub(before))
    }

    pub(super) fn has_had_key(&self, receiver: ReceiverId) -> bool {
        self.arrived.contains(&receiver)
    }

    pub(super) fn hand_out(&mut self, key: &KeyMaterial) {
        let all: Vec<ReceiverId> = self.members.keys().copied().collect();
        for receiver in all {
            self.tell(receiver, News::Key(key.clone()));
        }
    }

    pub(super) fn end(&mut self, reason: &str) {
        for member in std::mem::take(&mut self.members).into_values() {
            // Full or gone: the end of the news says the same.
            let _ = member.news.try_send(News::Over {
                reason: reason.to_owned(),
            });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Receivers that have come so far, also those that have left. Those that are done do not
    /// count: the order does not wait for them either.
    pub(super) fn arrived(&self) -> usize {
        self.arrived.len() - self.done.len()
    }

    /// Whether the latest to come had this long to hear the group.
    pub(super) fn had(&self, time: Duration) -> bool {
        self.last_join.is_none_or(|joined| joined.elapsed() >= time)
    }

    pub(super) fn unicast(&self) -> &BTreeMap<ReceiverId, String> {
        &self.unicast
    }
}
