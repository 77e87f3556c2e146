//! Where the metrics of this process are collected, and what each of them is.

use std::sync::OnceLock;

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::debug;

/// The process's one metrics recorder, installed at first use.
pub(crate) fn handle() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        const SECONDS: [f64; 11] = [
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
        ];
        let recorder = PrometheusBuilder::new()
            .set_buckets(&SECONDS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe();
            begin();
        });
        // Another recorder in this process (a test's) keeps its place; ours then shows what was
        // recorded before.
        if metrics::set_global_recorder(recorder).is_err() {
            debug!("metrics go to another recorder of this process");
        }
        handle
    })
}

/// A line for every metric that is counted as things happen. Those that are looked at when somebody
/// asks describe themselves.
fn describe() {
    for (name, unit, about) in HISTOGRAMS {
        metrics::describe_histogram!(name, unit, about);
    }
    for (name, unit, about) in COUNTERS {
        metrics::describe_counter!(name, unit, about);
    }
    metrics::describe_gauge!(
        "foghorn_background_last_round_timestamp_seconds",
        Unit::Seconds,
        "When the last round of this work in the background ended, as Unix time."
    );
}

/// Counters begin with 0: of one that appears with its first event, Prometheus' `increase` would
/// not see that event, and a rule or a dashboard could name it without anybody noticing that nothing
/// has it. Those whose labels only somebody else knows begin where they are known.
fn begin() {
    for name in WITHOUT_LABELS {
        metrics::counter!(name).increment(0);
    }
    for outcome in ["complete", "failed"] {
        metrics::counter!("foghorn_replication_copies_total", "outcome" => outcome).increment(0);
    }
    for why in ["large", "busy"] {
        metrics::counter!("foghorn_plugin_answers_skipped_total", "why" => why).increment(0);
    }
}

const WITHOUT_LABELS: [&str; 6] = [
    "foghorn_cache_skipped_records_total",
    "foghorn_chunks_healed_total",
    "foghorn_connections_refused_total",
    "foghorn_failed_logins_total",
    "foghorn_replication_bytes_total",
    "foghorn_transfer_wire_bytes_total",
];

const HISTOGRAMS: [(&str, Unit, &str); 3] = [
    (
        "foghorn_http_request_duration_seconds",
        Unit::Seconds,
        "Time until the answer to a request began, by method, route and status.",
    ),
    (
        "foghorn_store_commit_duration_seconds",
        Unit::Seconds,
        "Time that a change of the state store took.",
    ),
    (
        "foghorn_background_round_duration_seconds",
        Unit::Seconds,
        "Time that a round of work in the background took.",
    ),
];

const COUNTERS: [(&str, Unit, &str); 11] = [
    (
        "foghorn_background_rounds_total",
        Unit::Count,
        "Rounds of work in the background, by outcome.",
    ),
    (
        "foghorn_cache_skipped_records_total",
        Unit::Count,
        "Records of the state store that could not be read.",
    ),
    (
        "foghorn_chunks_healed_total",
        Unit::Count,
        "Damaged chunks that storage nodes have got again from others.",
    ),
    (
        "foghorn_connections_refused_total",
        Unit::Count,
        "Connections that were refused because an address or the server had too many.",
    ),
    (
        "foghorn_failed_logins_total",
        Unit::Count,
        "Requests with a wrong token or password.",
    ),
    (
        "foghorn_notifications_total",
        Unit::Count,
        "Attempts to deliver a message to people, by the kind of receiver and by outcome.",
    ),
    (
        "foghorn_plugin_answers_skipped_total",
        Unit::Count,
        "Answers that were sent without asking a plugin, by reason.",
    ),
    (
        "foghorn_plugin_failures_total",
        Unit::Count,
        "Failures of plugins, by plugin and event.",
    ),
    (
        "foghorn_replication_bytes_total",
        Unit::Bytes,
        "Compressed bytes that storage nodes have copied from each other.",
    ),
    (
        "foghorn_replication_copies_total",
        Unit::Count,
        "Copies of images from storage node to storage node that have ended, by outcome.",
    ),
    (
        "foghorn_transfer_wire_bytes_total",
        Unit::Bytes,
        "Compressed bytes that storage nodes have sent to or received from clients.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_there_before_anything_happens() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            describe();
            begin();
        });
        let text = recorder.handle().render();
        for sample in [
            "foghorn_failed_logins_total 0\n",
            "foghorn_replication_copies_total{outcome=\"failed\"} 0\n",
            "foghorn_plugin_answers_skipped_total{why=\"busy\"} 0\n",
        ] {
            assert!(text.contains(sample), "{sample} is missing in\n{text}");
        }
        for name in WITHOUT_LABELS {
            let known = COUNTERS.iter().any(|(known, ..)| *known == name);
            assert!(known, "{name} has no description");
        }
    }
}
