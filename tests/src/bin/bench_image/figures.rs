//! Computes medians from the measurements and writes the table and the JSON.

use serde_json::{Value, json};

use crate::runs::Ran;

/// One pass over everything that crosses the shaped link.
pub(crate) struct Round {
    pub(crate) capture: Ran,
    pub(crate) deploy: Ran,
    pub(crate) recapture: Ran,
    pub(crate) redeploy: Ran,
    pub(crate) peer_capture: f64,
    pub(crate) peer_deploy: f64,
    /// The image's content after the first and the second capture.
    pub(crate) first: Value,
    pub(crate) second: Value,
}

#[derive(Default)]
pub(crate) struct Figures {
    pub(crate) rounds: Vec<Round>,
    pub agent_mib_8: Option<f64>,
    pub(crate) loopback: Vec<(Ran, Ran)>,
}

/// Median; for an even number of values, the lower of the two in the middle.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

impl Figures {
    fn over_rounds(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        thousandths(median(self.rounds.iter().map(figure)))
    }

    fn client_mib(&self) -> f64 {
        let peaks = self.rounds.iter().flat_map(|round| {
            [
                &round.capture,
                &round.deploy,
                &round.recapture,
                &round.redeploy,
            ]
        });
        thousandths(
            peaks
                .map(|ran| number(&ran.report["peak_memory_bytes"]) / f64::from(1 << 20))
                .fold(0.0, f64::max),
        )
    }

    /// Ratios are medians of the ratios within one round, so that a slow minute of the machine
    /// affects both sides.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "runs": self.rounds.len(),
            "capture": {
                "foghorn_s": self.over_rounds(|round| round.capture.seconds),
                "peer_s": self.over_rounds(|round| round.peer_capture),
                "ratio": self.over_rounds(|round| round.capture.seconds / round.peer_capture),
            },
            "deploy": {
                "foghorn_s": self.over_rounds(|round| round.deploy.seconds),
                "peer_s": self.over_rounds(|round| round.peer_deploy),
                "ratio": self.over_rounds(|round| round.deploy.seconds / round.peer_deploy),
            },
            "recapture": {
                "seconds": self.over_rounds(|round| round.recapture.seconds),
                "time_share": self.over_rounds(|round| round.recapture.seconds / round.capture.seconds),
                "stored_share": self.over_rounds(|round| number(&round.second["new_bytes"]) / number(&round.first["stored_bytes"])),
            },
            "redeploy": {
                "seconds": self.over_rounds(|round| round.redeploy.seconds),
                "bytes_share": self.over_rounds(|round| number(&round.redeploy.report["bytes_wire"]) / number(&round.second["stored_bytes"])),
            },
            "memory": { "client_mib": self.client_mib(),
                "agent_mib_8": self.agent_mib_8.map(thousandths) },
            "loopback": {
                "capture": self.stages(|pair| &pair.0),
                "deploy": self.stages(|pair| &pair.1),
            },
        })
    }

    /// Seconds, speed, and core-seconds per GiB of plain data, as a whole and by the client's
    /// stages.
    fn stages(&self, which: impl Fn(&(Ran, Ran)) -> &Ran) -> Value {
        let gib = |ran: &Ran| number(&ran.report["bytes_total"]) / f64::from(1 << 30);
        let over = |figure: &dyn Fn(&Ran) -> f64| {
            thousandths(median(self.loopback.iter().map(|pair| figure(which(pair)))))
        };
        let Some(sample) = self.loopback.first() else {
            return Value::Null;
        };
        let mut busy = serde_json::Map::new();
        for stage in which(sample).report["busy_seconds"]
            .as_object()
            .into_iter()
            .flat_map(|stages| stages.keys())
        {
            busy.insert(
                stage.clone(),
                json!(over(
                    &|ran| number(&ran.report["busy_seconds"][stage]) / gib(ran)
                )),
            );
        }
        json!({
            "seconds": over(&|ran| ran.seconds),
            "mib_per_s": over(&|ran| gib(ran) * 1024.0 / ran.seconds),
            "client_core_s_per_gib": over(&|ran| ran.client_cpu / gib(ran)),
            "agent_core_s_per_gib": over(&|ran| ran.agent_cpu / gib(ran)),
            "client_busy_s_per_gib": busy,
        })
    }
}

pub(crate) fn print(figures: &Figures) {
    let json = figures.to_json();
    println!("\n                      foghorn      peer     ratio    target");
    for (name, target) in [("capture", "1.05"), ("deploy", "1.05")] {
        let row = &json[name];
        println!(
            "{name:<20} {:>7.2} s {:>7.2} s {:>9.3} {target:>9}",
            number(&row["foghorn_s"]),
            number(&row["peer_s"]),
            number(&row["ratio"])
        );
    }
    for (name, value, target) in [
        ("recapture, time", &json["recapture"]["time_share"], "0.5"),
        (
            "recapture, stored",
            &json["recapture"]["stored_share"],
            "0.10",
        ),
        ("redeploy, bytes", &json["redeploy"]["bytes_share"], "0.10"),
        ("client, MiB", &json["memory"]["client_mib"], "256"),
        ("agent with 8, MiB", &json["memory"]["agent_mib_8"], "256"),
    ] {
        println!("{name:<20} {:>29.3} {target:>9}", number(value));
    }
    for name in ["capture", "deploy"] {
        println!("loopback {name}: {}", json["loopback"][name]);
    }
}
