//! Computes medians from the measurements and writes the table and the JSON.

use serde_json::{Value, json};

use crate::case::Case;
use crate::foghorn::Sent;

/// What the runs of one case gave.
pub(crate) struct Row {
    name: String,
    clients: usize,
    rate_mbit: u64,
    loss_pct: u32,
    line_s: f64,
    payload: f64,
    pub(crate) foghorn: Vec<Sent>,
    /// Seconds by peer and run; `None` where it did not end in time.
    peers: Vec<(&'static str, Vec<Option<f64>>)>,
}

impl Row {
    pub(crate) fn new(case: &Case, mib: u64) -> Self {
        Self {
            name: case.name(),
            clients: case.clients,
            rate_mbit: case.rate.mbit(),
            loss_pct: case.loss,
            line_s: case.line_seconds(mib),
            payload: (mib << 20) as f64,
            foghorn: Vec::new(),
            peers: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, peer: &'static str, seconds: Option<f64>) {
        match self.peers.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, all)) => all.push(seconds),
            None => self.peers.push((peer, vec![seconds])),
        }
    }

    /// Whether the peer has failed to end in time before.
    pub(crate) fn gave_up(&self, peer: &str) -> bool {
        self.peers
            .iter()
            .any(|(name, all)| *name == peer && all.contains(&None))
    }

    fn peer(&self, peer: &str) -> Option<f64> {
        let (_, all) = self.peers.iter().find(|(name, _)| *name == peer)?;
        let ended: Option<Vec<f64>> = all.iter().copied().collect();
        ended.map(median)
    }

    fn foghorn_seconds(&self) -> f64 {
        median(self.foghorn.iter().map(|sent| sent.seconds).collect())
    }

    fn to_json(&self) -> Value {
        let over = |figure: &dyn Fn(&Sent) -> f64| {
            thousandths(median(self.foghorn.iter().map(figure).collect()))
        };
        let peer = |name| self.peer(name).map(thousandths);
        json!({
            "name": self.name,
            "clients": self.clients,
            "rate_mbit": self.rate_mbit,
            "loss_pct": self.loss_pct,
            "line_s": thousandths(self.line_s),
            "foghorn_s": thousandths(self.foghorn_seconds()),
            "udpcast_s": peer("udpcast"),
            "udpcast_fec_s": peer("udpcast_fec"),
            "uftp_s": peer("uftp"),
            "http_s": peer("http"),
            "over_line": thousandths(self.foghorn_seconds() / self.line_s),
            "wire_share": over(&|sent| sent.wire_bytes / self.payload),
            "sender_cpu_s_per_gb": over(&|sent| (sent.sender_cpu.user + sent.sender_cpu.system) / (self.payload / 1e9)),
            "sender_user_s_per_gb": over(&|sent| sent.sender_cpu.user / (self.payload / 1e9)),
        })
    }
}

/// Median; for an even number of values, the lower of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

pub(crate) fn to_json(rows: &[Row]) -> Value {
    json!({ "cases": rows.iter().map(Row::to_json).collect::<Vec<_>>() })
}

const HEADER: &str = "case             line   foghorn  (x line)   udpcast  with FEC      uftp      http   wire/payload   sender core-s/GB (user)";

/// One line of the table.
pub(crate) fn line(row: &Row) -> String {
    let json = row.to_json();
    let seconds = |name: &str| {
        json[name]
            .as_f64()
            .map_or("–".to_owned(), |value| format!("{value:.2}"))
    };
    let share = |name: &str| {
        json[name]
            .as_f64()
            .map_or("–".to_owned(), |value| format!("{value:.3}"))
    };
    format!(
        "{:<14} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>14} {:>18} {:>6}",
        row.name,
        seconds("line_s"),
        seconds("foghorn_s"),
        share("over_line"),
        seconds("udpcast_s"),
        seconds("udpcast_fec_s"),
        seconds("uftp_s"),
        seconds("http_s"),
        share("wire_share"),
        share("sender_cpu_s_per_gb"),
        share("sender_user_s_per_gb"),
    )
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "\nSeconds until the last receiver has its last byte, medians; – is more than a minute, or not measured.\n{HEADER}"
    );
    for row in rows {
        println!("{}", line(row));
    }
}
