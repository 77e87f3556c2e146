//! The table against what is promised, and the JSON.

use std::time::Duration;

use serde_json::{Value, json};

use super::million::Million;
use super::orders::Percentiles;

pub(crate) struct Figures {
    pub(crate) agents: u32,
    pub(crate) hosts: u32,
    pub(crate) transfers: u32,
    pub(crate) idle: Percentiles,
    pub(crate) loaded: Percentiles,
    pub(crate) writes: f64,
    /// Most resident memory of the controller, from its start to the end of the load.
    pub(crate) rss_mib: f64,
    pub(crate) ready: Duration,
    pub(crate) reports_per_second: f64,
    /// Links that broke or were refused; each was opened again.
    pub(crate) links_lost: u64,
    pub(crate) million: Option<Million>,
}

/// At most this much.
struct Row {
    what: &'static str,
    value: f64,
    unit: &'static str,
    promised: f64,
}

pub(crate) fn print(figures: &Figures) {
    println!(
        "{} agents, {} hosts, {} transfers with {:.0} reports/s, {} links lost, ready in {:.1} s, on {} cores",
        figures.agents,
        figures.hosts,
        figures.transfers,
        figures.reports_per_second,
        figures.links_lost,
        figures.ready.as_secs_f64(),
        cores(),
    );
    println!("{:<36} {:>10} {:<4} {:>9}", "", "measured", "", "promised");
    for row in rows(figures) {
        let missed = if row.value <= row.promised {
            ""
        } else {
            "  MISSED"
        };
        println!(
            "{:<36} {:>10.2} {:<4} {:>9}{missed}",
            row.what, row.value, row.unit, row.promised
        );
    }
}

fn rows(figures: &Figures) -> Vec<Row> {
    let row = |what, value, unit, promised| Row {
        what,
        value,
        unit,
        promised,
    };
    let mut rows = vec![
        row(
            "created to ordered, idle, p50",
            figures.idle.p50,
            "ms",
            50.0,
        ),
        row(
            "created to ordered, idle, p99",
            figures.idle.p99,
            "ms",
            50.0,
        ),
        row(
            "created to ordered, loaded, p50",
            figures.loaded.p50,
            "ms",
            250.0,
        ),
        row(
            "created to ordered, loaded, p99",
            figures.loaded.p99,
            "ms",
            250.0,
        ),
        row(
            "etcd writes for a change of a task",
            figures.writes,
            "",
            1.0,
        ),
        row("memory", figures.rss_mib, "MiB", 1536.0),
    ];
    if let Some(million) = &figures.million {
        rows.extend([
            row("million: ready", million.ready.as_secs_f64(), "s", 30.0),
            row("million: memory", million.rss_mib, "MiB", 4096.0),
            row("million: page of 100, p99", million.page.p99, "ms", 50.0),
            row(
                "million: search by name, p99",
                million.search.p99,
                "ms",
                50.0,
            ),
        ]);
    }
    rows
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn to_json(figures: &Figures) -> Value {
    let hundredths = |number: f64| (number * 100.0).round() / 100.0;
    let both =
        |times: Percentiles| json!({ "p50": hundredths(times.p50), "p99": hundredths(times.p99) });
    let million = figures.million.as_ref().map(|million| {
        json!({
            "ready_s": hundredths(million.ready.as_secs_f64()),
            "rss_mib": hundredths(million.rss_mib),
            "page_p99_ms": hundredths(million.page.p99),
            "search_p99_ms": hundredths(million.search.p99),
            "hosts": million.hosts,
        })
    });
    json!({
        "agents": figures.agents,
        "hosts": figures.hosts,
        "transfers": figures.transfers,
        "ordered_ms_idle": both(figures.idle),
        "ordered_ms_loaded": both(figures.loaded),
        "etcd_writes_per_state_change": hundredths(figures.writes),
        "rss_mib": hundredths(figures.rss_mib),
        "million": million,
        "ready_s": hundredths(figures.ready.as_secs_f64()),
        "reports_per_second": hundredths(figures.reports_per_second),
        "links_lost": figures.links_lost,
        "cores": cores(),
    })
}
