//! What a run has found, as JSON and as a line.

use anyhow::Result;
use serde_json::{Value, json};

use crate::failover::{Figures, middle_and_most};
use crate::judge::Verdict;
use crate::killer::Count;
use crate::workers::Tally;

pub(crate) struct Report {
    pub minutes: f64,
    pub seed: u64,
    pub count: Count,
    pub tally: Tally,
    pub verdict: Verdict,
    pub fallen: Vec<String>,
    pub failover: Figures,
    /// The run could not be brought to its end.
    pub broken: Option<String>,
}

impl Report {
    fn false_successes(&self) -> Vec<String> {
        let all = self
            .tally
            .false_successes
            .iter()
            .chain(&self.verdict.false_ready);
        all.cloned().collect()
    }

    fn lost(&self) -> Vec<String> {
        let all = self.tally.lost.iter().chain(&self.verdict.lost_writes);
        all.cloned().collect()
    }

    fn stuck(&self) -> Vec<String> {
        let all = self.tally.stuck.iter().chain(&self.verdict.stuck);
        all.chain(&self.broken).cloned().collect()
    }

    fn leaks(&self) -> Vec<String> {
        let all = self.verdict.leaks.iter().chain(&self.fallen);
        all.cloned().collect()
    }

    /// Whether nothing was found.
    pub(crate) fn is_good(&self) -> bool {
        self.false_successes().is_empty()
            && self.lost().is_empty()
            && self.stuck().is_empty()
            && self.leaks().is_empty()
    }

    pub(crate) fn json(&self) -> Value {
        let (p50, most) = middle_and_most(&self.failover.links);
        let (requests_p50, requests_most) = middle_and_most(&self.failover.requests);
        let round = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        json!({
            "minutes": round(self.minutes),
            "seed": self.seed,
            "kills": self.count.kills,
            "cuts": self.count.cuts,
            "deploys_completed": self.tally.deploys_completed,
            "deploys_failed_cleanly": self.tally.deploys_failed_cleanly,
            "false_successes": self.false_successes().len(),
            "lost_writes": self.lost().len(),
            "stuck_tasks": self.stuck().len(),
            "leaks": self.leaks().len(),
            "failover_p50_s": round(p50),
            "failover_max_s": round(most),
            "failovers_measured": self.failover.measured,
            "failovers_s": self.failover.links.iter().map(|s| round(*s)).collect::<Vec<_>>(),
            "requests_p50_s": round(requests_p50),
            "requests_max_s": round(requests_most),
            "troubles": self.count,
            "captures_completed": self.tally.captures_completed,
            "captures_failed_cleanly": self.tally.captures_failed_cleanly,
            "multicast_sessions": self.tally.sessions,
            "acknowledged_writes": self.verdict.acknowledged,
            "register_operations": self.verdict.register_operations,
            "registers_read_late": self.verdict.stale_registers,
            "replicas": self.verdict.replicas,
            "orders_seen_late": self.tally.late,
            "given_up": self.tally.given_up,
            "found": {
                "false_successes": self.false_successes(),
                "lost_writes": self.lost(),
                "stuck_tasks": self.stuck(),
                "leaks": self.leaks(),
            },
        })
    }

    pub(crate) fn line(&self) -> String {
        let json = self.json();
        let count = &self.count;
        format!(
            "chaos, seed {}: {} min, {} kills, {} cuts, {} halts, {} delays, {} full disks, {} clock steps, \
             {} losses of power, {} flipped bits; deploys: {} complete, {} failed cleanly; \
             false successes: {}, lost writes: {}, stuck tasks: {}, leaks: {}; fail-over: p50 {} s, max {} s of {}",
            self.seed,
            json["minutes"],
            count.kills,
            count.cuts,
            count.halts,
            count.delays,
            count.full_disks,
            count.clock_steps,
            count.power_losses,
            count.bit_flips,
            json["deploys_completed"],
            json["deploys_failed_cleanly"],
            json["false_successes"],
            json["lost_writes"],
            json["stuck_tasks"],
            json["leaks"],
            json["failover_p50_s"],
            json["failover_max_s"],
            self.failover.measured,
        )
    }

    pub(crate) fn write(&self, path: &std::path::Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(
            path,
            serde_json::to_vec_pretty(&self.json())?,
        )?)
    }
}
