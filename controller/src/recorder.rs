//! Where the metrics of this process are collected.

use std::sync::OnceLock;

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
        // Another recorder in this process (a test's) keeps its place; ours then shows what was
        // recorded before.
        if metrics::set_global_recorder(recorder).is_err() {
            debug!("metrics go to another recorder of this process");
        }
        handle
    })
}
