//! The tracer provider, and the export of spans over OTLP.

use std::fmt;
use std::time::Duration;

use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Runtime;

use crate::InitError;
use crate::filter::LogFilter;

/// How long the end of a process may be held up by a collector that does not answer.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

/// Keeps the export of traces alive; dropping it flushes what is left, for at most three seconds.
#[must_use = "traces that were not yet exported are lost when this is dropped too early"]
pub struct Guard {
    provider: SdkTracerProvider,
    /// The exporter's own thread: it must work before, outside and after the runtime of the
    /// process itself.
    runtime: Option<Runtime>,
    log: LogFilter,
}

impl Guard {
    /// Changes what is logged while the process runs.
    #[must_use]
    pub fn log_filter(&self) -> &LogFilter {
        &self.log
    }

    pub(crate) fn start(
        service: &str,
        endpoint: Option<String>,
        log: LogFilter,
    ) -> Result<Self, InitError> {
        let resource = Resource::builder()
            .with_service_name(service.to_owned())
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let builder = SdkTracerProvider::builder().with_resource(resource);
        let Some(endpoint) = endpoint else {
            // Without an exporter spans are dropped at their end, but they have ids, which is all
            // that logs need.
            return Ok(Self {
                provider: builder.build(),
                runtime: None,
                log,
            });
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| InitError::Export {
            endpoint: endpoint.clone(),
            source,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp")
            .enable_all()
            .build()
            .map_err(|error| failed(error.into()))?;
        let exporter = {
            let _inside = runtime.enter();
            opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(&endpoint)
                .with_timeout(FLUSH_LIMIT)
                .build()
                .map_err(|error| failed(error.into()))?
        };
        Ok(Self {
            provider: builder.with_batch_exporter(exporter).build(),
            runtime: Some(runtime),
            log,
        })
    }

    pub(crate) fn provider(&self) -> &SdkTracerProvider {
        &self.provider
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("exports", &self.runtime.is_some())
            .finish()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_LIMIT) {
                tracing::warn!(%error, "the last traces could not be exported");
            }
            // In the background, because a guard may be dropped inside another runtime, where
            // waiting would panic.
            runtime.shutdown_background();
        }
    }
}
