//! What is done periodically: which receivers may stay, how fast to send, what comes after a pass.

use std::time::Duration;

use super::action::{DemoteReason, ReceiverId};
use super::repair::Proactive;
use super::{Event, Sender, TICK_FIRST, policy};
use crate::chunks::{ChunkSet, SessionChunk};
use crate::packet::Phase;
use crate::time::Time;

/// Who has not been heard for longer than this is not waited for at the end of a pass.
const QUIET: Duration = Duration::from_millis(450);
/// After a pass little is sent: an old look at what was lost says nothing about a rate that is
/// being tried.
const SETTLING_FRESH: Duration = Duration::from_millis(120);
/// How long after a pass the receivers that are done with it wait for the others.
const PATIENCE: Duration = Duration::from_millis(100);

/// A driver that is later than this has been away, and so have the reports that it is about to pass
/// on.
const ABSENCE: Duration = Duration::from_millis(200);

impl Sender {
    /// Nobody was silent while nobody listened.
    pub(super) fn forgive_absence(&mut self, now: Time) {
        let late = now.since(self.upkeep_at);
        if late > ABSENCE {
            self.members
                .iter_mut()
                .for_each(|(_, member)| member.heard_at = (member.heard_at + late).min(now));
        }
    }

    pub(super) fn upkeep(&mut self, now: Time) {
        self.apply_policy(now);
        self.finish_members();
        if matches!(self.phase, Phase::Sending | Phase::Settling) {
            self.adapt_rate(now);
        }
        if self.phase == Phase::Settling {
            self.plan_next_pass(now);
        }
        let started = !matches!(self.phase, Phase::Waiting | Phase::Over);
        if started && self.members.is_empty() && self.window.is_sent() {
            self.phase = Phase::Over;
            self.tick_soon(now);
            self.events.push_back(Event::Over);
        }
    }

    pub(super) fn demote(&mut self, receiver: ReceiverId, reason: DemoteReason, now: Time) {
        self.members.send_away(receiver, self.config.rest, now);
        self.events.push_back(Event::Demote(receiver, reason));
        if reason.is_fault() {
            self.events.push_back(Event::RotateKey);
        }
    }

    /// The pass is over: wait for what is on its way.
    pub(super) fn settle(&mut self, now: Time) {
        self.phase = Phase::Settling;
        self.settling = (self.sequence + 1, now);
        self.tick_at = now;
        self.tick_gap = TICK_FIRST;
    }

    /// Begins a pass over what at least `least` members want, or over those of them that are in
    /// `only`.
    pub(super) fn begin_pass(&mut self, least: u16, only: Option<ChunkSet>, now: Time) {
        self.phase = Phase::Sending;
        self.pass += 1;
        self.source.begin_pass(least, only);
        self.tick_soon(now);
    }

    fn apply_policy(&mut self, now: Time) {
        for receiver in policy::silent(&self.members, self.config.silence, now) {
            self.members.remove(receiver);
            self.events.push_back(Event::Drop(receiver));
        }
        let rate = self.rate.sustained();
        for (receiver, reason) in policy::to_demote(&mut self.members, &self.config, rate, now) {
            self.demote(receiver, reason, now);
        }
    }

    fn adapt_rate(&mut self, now: Time) {
        let busy = std::mem::take(&mut self.was_held);
        let before = self.rate.sustained();
        let age = if self.phase == Phase::Sending {
            policy::LOOK_FRESH
        } else {
            SETTLING_FRESH
        };
        self.rate
            .step(policy::middle_loss(&self.members, age, now), busy, now);
        if self.rate.sustained() < before.share_ppm(950_000) {
            // What was lost to congestion says nothing about what will be lost now.
            self.members
                .iter_mut()
                .for_each(|(_, member)| member.folded = false);
            self.proactive = Proactive::default();
        }
        let rate = self.rate.rate();
        if rate != self.pacer.rate() {
            self.pacer.set_rate(rate, now);
        }
        self.pacer.make_up(self.rate.is_at_bound());
    }

    fn finish_members(&mut self) {
        let finished = self
            .members
            .iter()
            .filter(|(_, member)| member.wants.is_empty());
        let finished: Vec<ReceiverId> = finished.map(|(id, _)| id).collect();
        for id in finished {
            self.members.remove(id);
            self.events.push_back(Event::Finished(id));
        }
    }

    /// Once nothing is on its way: what few lack they get by unicast, what more lack is sent again.
    /// Members for which nothing is on its way any more do not wait long for those that are
    /// slow to judge what they have.
    fn plan_next_pass(&mut self, now: Time) {
        let (mark, since) = self.settling;
        let passed = now.since(since);
        let repairing = self.window.wants_repair();
        let waited_for = self.members.iter().any(|(_, member)| {
            // What was refused as a repair comes with the next pass.
            let given_up = member.overdrawn_since.is_some() || (member.refused && !repairing);
            !given_up && now.since(member.heard_at) < QUIET && !member.is_settled(mark)
        });
        let all = !waited_for || passed >= self.config.settle;
        if !all && passed < PATIENCE {
            return;
        }
        let few = self.config.few;
        let (members, unavailable) = (&self.members, self.source.unavailable());
        let ready = || {
            members
                .iter()
                .filter(|(_, member)| all || member.is_settled(mark))
        };
        let by_unicast = |number: &SessionChunk| {
            members.wanted_by(*number) <= few || unavailable.contains(*number)
        };
        let released: Vec<(ReceiverId, ChunkSet)> = ready()
            .map(|(id, member)| {
                (
                    id,
                    member.wants.iter().filter(by_unicast).collect::<ChunkSet>(),
                )
            })
            .filter(|(_, chunks)| !chunks.is_empty())
            .collect();
        let mut again = ChunkSet::new();
        ready().for_each(|(_, member)| again.union_with(&member.wants));
        for (id, chunks) in released {
            again.remove_all(&chunks);
            self.members.unwant(id, &chunks);
            self.events.push_back(Event::Unicast(id, chunks));
        }
        self.finish_members();
        if !again.is_empty() {
            self.begin_pass(few.saturating_add(1), Some(again), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::{IpVersion, SenderAction, SenderConfig};

    fn is_dropped(sender: &mut Sender, from: Time, to: Time) -> bool {
        let mut now = from;
        while now < to {
            match sender.poll(now) {
                SenderAction::Drop { .. } => return true,
                SenderAction::Wait(until) => now = until,
                _ => {}
            }
        }
        false
    }

    #[test]
    fn who_could_not_be_heard_was_not_silent() {
        let at = |millis: u64| Time::from_micros(millis * 1000);
        let mut sender = Sender::new(SenderConfig::new(10, 1432, IpVersion::V4), 1, at(0)).unwrap();
        sender
            .join(ReceiverId(1), ChunkSet::all(10), at(0))
            .unwrap();
        assert!(!is_dropped(&mut sender, at(0), at(100)));
        assert!(
            !is_dropped(&mut sender, at(5000), at(5800)),
            "the driver was away"
        );
        assert!(is_dropped(&mut sender, at(5801), at(6200)));
    }
}
