//! The killer: from a seed, at least every three seconds something breaks, and is well again after a
//! while. Once the whole site loses its power, once a bit flips.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use foghorn_telemetry::interrupt;
use foghorn_tests::disks;
use rustix::process::Signal;
use serde::Serialize;

use crate::failover::{Failover, links_of};
use crate::machine::Slot;
use crate::part::Kind;
use crate::topology::{SERVERS, Site, node};
use crate::trouble::{self, Trouble};

/// Every so manieth trouble is the kill of a controller when all else is well: its fail-over is
/// measured.
const MEASURE_EVERY: u64 = 5;
/// How long all else has to become well for that.
const CALM: Duration = Duration::from_millis(800);
/// A supervisor starts what has ended after so long.
const SUPERVISOR: Duration = Duration::from_millis(500);
const MOST_FALLS: usize = 20;
const ALL_BACK: Duration = Duration::from_secs(90);

#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Count {
    pub kills: u64,
    pub cuts: u64,
    pub halts: u64,
    pub delays: u64,
    pub full_disks: u64,
    pub clock_steps: u64,
    pub power_losses: u64,
    pub bit_flips: u64,
    /// Programs that did not find what they need when they started, and were started again.
    pub starts_refused: u64,
    /// The longest time without a new trouble, in seconds.
    pub longest_pause_s: f64,
}

/// What may break, beside programs.
#[derive(Clone, Copy)]
pub(crate) struct Means {
    pub only_kills: bool,
    pub clients: usize,
}

pub(crate) struct Killer {
    pub site: Site,
    pub count: Count,
    /// Programs that ended by themselves.
    pub fallen: Vec<String>,
    pub failover: Failover,
    slots: Vec<Slot>,
    means: Means,
    random: fastrand::Rng,
    active: Vec<(Trouble, Instant)>,
    begin: Instant,
    last: Instant,
    /// How long things were broken: less than was asked for after Ctrl-C.
    pub(crate) lasted: Duration,
}

impl Killer {
    pub(crate) fn new(site: Site, slots: Vec<Slot>, means: Means, seed: u64) -> Self {
        Self {
            site,
            count: Count::default(),
            fallen: Vec::new(),
            failover: Failover::default(),
            slots,
            means,
            random: fastrand::Rng::with_seed(seed),
            active: Vec::new(),
            begin: Instant::now(),
            last: Instant::now(),
            lasted: Duration::ZERO,
        }
    }

    /// Breaks things for so long; at the end everything is well again, or on its way there.
    ///
    /// # Errors
    /// When something cannot be started again.
    pub(crate) fn run(&mut self, time: Duration) -> Result<()> {
        let broken = self.break_things(time);
        let healed = self.all_well();
        broken.and(healed)
    }

    fn break_things(&mut self, time: Duration) -> Result<()> {
        self.begin = Instant::now();
        self.last = self.begin;
        let (mut turn, mut next) = (0, self.begin);
        while self.begin.elapsed() < time && !interrupt::asked() {
            self.end_those_that_are_due(Instant::now())?;
            self.look_for_fallen()?;
            if !self.means.only_kills {
                self.once(time)?;
            }
            if Instant::now() >= next {
                turn += 1;
                if turn % MEASURE_EVERY == 0 {
                    self.measured_kill()?;
                } else {
                    self.something()?;
                }
                next = Instant::now() + Duration::from_millis(self.random.u64(600..1800));
            }
            std::thread::sleep(Duration::from_millis(40));
        }
        self.lasted = self.begin.elapsed();
        Ok(())
    }

    fn say(&mut self, what: &str) {
        let now = Instant::now();
        let pause = (now - self.last).as_secs_f64();
        self.count.longest_pause_s = self.count.longest_pause_s.max(pause);
        self.last = now;
        println!("{:7.1} s: {what}", self.begin.elapsed().as_secs_f64());
    }

    /// What comes once in a run.
    fn once(&mut self, time: Duration) -> Result<()> {
        if self.count.bit_flips == 0 && self.begin.elapsed() > time / 4 {
            let number = self.random.usize(..self.site.nodes);
            disks::damage_a_pack(&self.site.state_of(number))?;
            self.count.bit_flips += 1;
            self.say(&format!("a bit flips in the store of node {number}"));
        }
        if self.failover.is_measuring() {
            return Ok(());
        }
        if self.count.power_losses == 0 && self.begin.elapsed() > time / 2 {
            self.lose_power()?;
        }
        Ok(())
    }

    fn lose_power(&mut self) -> Result<()> {
        self.say("the site loses its power");
        // What is frozen or cut off would not come back by itself.
        self.end_those_that_are_due(Instant::now() + Duration::from_secs(3600))?;
        for slot in &self.slots {
            trouble::signal_client(slot, Signal::KILL)?;
        }
        self.count.kills += self.site.parts.len() as u64;
        self.count.power_losses += 1;
        self.site.lose_power()?;
        std::thread::sleep(Duration::from_secs(1));
        self.site.start_what_is_down()
    }

    fn end_those_that_are_due(&mut self, now: Instant) -> Result<()> {
        let due = |entry: &(Trouble, Instant)| entry.1 <= now;
        let ended: Vec<_> = self.active.extract_if(.., |entry| due(entry)).collect();
        for (trouble, _) in ended {
            let what = trouble.describe(&self.site);
            let ended = trouble.end(&mut self.site, &self.slots);
            ended.with_context(|| format!("could not undo: {what}"))?;
        }
        Ok(())
    }

    /// A program that has ended though nobody killed it is a finding, and is started again.
    fn look_for_fallen(&mut self) -> Result<()> {
        for index in 0..self.site.parts.len() {
            if let Some(fall) = self.site.parts[index].has_fallen() {
                println!("{}", fall.said);
                if fall.at_start {
                    self.count.starts_refused += 1;
                } else {
                    self.fallen.push(fall.said);
                    ensure!(
                        self.fallen.len() < MOST_FALLS,
                        "programs end again and again"
                    );
                }
                self.active
                    .push((Trouble::Killed(index), Instant::now() + SUPERVISOR));
            }
        }
        Ok(())
    }

    fn start_trouble(&mut self, trouble: Trouble) -> Result<()> {
        let lasts = Duration::from_millis(match trouble {
            Trouble::Killed(_) => self.random.u64(300..4000),
            Trouble::ClientKilled(_) => 0,
            _ => self.random.u64(1000..6000),
        });
        let what = trouble.describe(&self.site);
        self.say(&format!("{what}, for {:.1} s", lasts.as_secs_f64()));
        trouble
            .begin(&mut self.site, &self.slots)
            .with_context(|| what)?;
        self.active.push((trouble, Instant::now() + lasts));
        let count = &mut self.count;
        match trouble {
            Trouble::Killed(_) | Trouble::ClientKilled(_) => count.kills += 1,
            Trouble::Halted(_) | Trouble::ClientHalted(_) => count.halts += 1,
            Trouble::Clock(..) => count.clock_steps += 1,
            Trouble::Cut(_) => count.cuts += 1,
            Trouble::Late(_) => count.delays += 1,
            Trouble::Full(_) => count.full_disks += 1,
        }
        Ok(())
    }

    fn something(&mut self) -> Result<()> {
        for _ in 0..50 {
            let trouble = self.draw();
            if self.is_bearable(trouble) {
                return self.start_trouble(trouble);
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Trouble {
        let part = self.random.usize(..self.site.parts.len());
        let kind = self.site.parts[part].kind;
        let machines = SERVERS + self.site.nodes;
        if self.failover.is_measuring() {
            return match self.random.u32(..3) {
                0 => Trouble::ClientHalted(self.random.usize(..self.slots.len())),
                1 => Trouble::Cut(machines + self.random.usize(1..=self.means.clients)),
                _ => Trouble::ClientKilled(self.random.usize(..self.slots.len())),
            };
        }
        if self.means.only_kills {
            return Trouble::Killed(part);
        }
        match self.random.u32(..20) {
            0..10 => trouble::of_part(kind, part, &mut self.random),
            10..13 => Trouble::Cut(self.random.usize(1..=machines + self.means.clients)),
            13..15 => Trouble::Late(self.random.usize(1..=machines)),
            15..17 => Trouble::Full(node(self.random.usize(..self.site.nodes))),
            17..19 => Trouble::ClientKilled(self.random.usize(..self.slots.len())),
            _ => Trouble::ClientHalted(self.random.usize(..self.slots.len())),
        }
    }

    /// One trouble for a machine at a time; of the servers mostly one, of the nodes half.
    fn is_bearable(&mut self, trouble: Trouble) -> bool {
        let ill = |what: &(Trouble, Instant)| what.0.machine(&self.site);
        let ill: Vec<usize> = self.active.iter().filter_map(ill).collect();
        let Some(machine) = trouble.machine(&self.site) else {
            return true;
        };
        let servers = ill.iter().filter(|machine| **machine <= SERVERS).count();
        let nodes = ill.iter().filter(|machine| **machine > SERVERS).count();
        !ill.contains(&machine)
            && (machine > SERVERS || servers == 0 || (servers == 1 && self.random.u32(..10) == 0))
            && (machine <= SERVERS || nodes < self.site.nodes / 2)
    }

    /// The controller that most storage nodes are linked to is killed, and nothing else is wrong.
    fn measured_kill(&mut self) -> Result<()> {
        self.end_those_that_are_due(Instant::now() + Duration::from_secs(3600))?;
        let calm = self
            .site
            .wait_linked(CALM)
            .and_then(|()| self.site.wait_ready(CALM / 4));
        let rests = self.site.impatient()?;
        let links = |number: &usize| links_of(&rests[*number]).unwrap_or(0);
        let most = (0..SERVERS).max_by_key(links).unwrap_or(0);
        let part = self.site.parts.iter();
        let mut parts = part
            .enumerate()
            .filter(|(_, part)| part.kind == Kind::Controller);
        let (part, _) = parts.nth(most).context("a controller")?;
        if calm.is_ok() {
            self.start_trouble(Trouble::Killed(part))?;
            self.failover.watch(rests, self.site.nodes as u64);
            return Ok(());
        }
        self.start_trouble(Trouble::Killed(part))
    }

    fn all_well(&mut self) -> Result<()> {
        self.end_those_that_are_due(Instant::now() + Duration::from_secs(3600))?;
        self.site.start_what_is_down()?;
        let began = Instant::now();
        loop {
            let moment = Duration::from_secs(2);
            let all = self
                .site
                .wait_ready(moment)
                .and_then(|()| self.site.wait_linked(moment));
            self.look_for_fallen()?;
            self.end_those_that_are_due(Instant::now() + SUPERVISOR)?;
            if all.is_ok() || began.elapsed() > ALL_BACK {
                return all;
            }
        }
    }
}
