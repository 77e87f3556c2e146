//! Logs and traces for every Foghorn process, and the W3C trace context that joins them.
//!
//! This is the only crate that names OpenTelemetry, but for the receiver of the tests. Everybody else writes plain `tracing` spans and
//! events, asks [`current_traceparent`] for the text that travels with a request, and gives a
//! received text to [`set_parent`].
//!
//! Trace ids exist whether or not spans are exported: without `OTEL_EXPORTER_OTLP_ENDPOINT` they
//! are still made, carried between processes and written into every log line, so one deploy can be
//! followed by searching the logs for one id.

#![warn(missing_docs)]

mod context;
mod export;
mod filter;
mod format;
mod hangup;
pub mod interrupt;
mod stop;

use std::io;

use opentelemetry::trace::TracerProvider as _;
use tracing::Level;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer as _, reload};

pub use context::{current_traceparent, set_parent};
pub use export::Guard;
pub use filter::{DEFAULT_FILTER, LogFilter, SetFilterError, check_filter};
pub use format::{LogFormat, ParseLogFormatError};
pub use hangup::{Read, Reread, reread_on_hangup};
pub use stop::{BLOCKING_CALLS, end_soon, end_within};

/// Directives of the log filter, as `tracing_subscriber::EnvFilter` reads them, such as
/// `info,foghorn_agent=debug`.
pub const LOG_VARIABLE: &str = "FOGHORN_LOG";
/// `human` or `json`.
pub const LOG_FORMAT_VARIABLE: &str = "FOGHORN_LOG_FORMAT";
/// The standard variable of OpenTelemetry; spans are exported only when it is set and not empty.
pub const OTLP_ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum InitError {
    #[error("{LOG_VARIABLE}={value:?} is not a log filter")]
    Filter {
        value: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("{LOG_FORMAT_VARIABLE} cannot be used")]
    Format(#[from] ParseLogFormatError),
    #[error("could not prepare the export of traces to {endpoint}")]
    Export {
        endpoint: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("logging is set up already in this process")]
    Twice(#[from] TryInitError),
}

/// Sets up logs on standard error and, when an endpoint is configured, the export of traces, for
/// the whole process.
///
/// `service` names this process in traces (`foghorn-agent`). `format` is the caller's flag; without
/// one [`LOG_FORMAT_VARIABLE`] decides, and without that, [`LogFormat::Human`]. Keep the guard
/// until the process ends: it flushes what has not been exported, for at most three seconds.
///
/// # Errors
/// When a variable does not hold what it should, or when logging was set up before.
pub fn init(service: &str, format: impl Into<Option<LogFormat>>) -> Result<Guard, InitError> {
    init_to(service, format.into(), BoxMakeWriter::new(io::stderr))
}

/// As [`init`] for a program that shows progress to people: on a terminal, and unless a variable
/// says how logs should be, only what is wrong is said, in short lines. They are written by `out`,
/// which knows where the bars are.
///
/// # Errors
/// As [`init`].
pub fn init_for_people(
    service: &str,
    out: impl for<'w> MakeWriter<'w> + Send + Sync + 'static,
) -> Result<Guard, InitError> {
    let is_told = [LOG_VARIABLE, LOG_FORMAT_VARIABLE]
        .into_iter()
        .any(|name| set_variable(name).is_some());
    let is_for_people = !is_told && io::IsTerminal::is_terminal(&io::stderr());
    let format = is_for_people.then_some(LogFormat::Short);
    init_to(service, format, BoxMakeWriter::new(out))
}

fn init_to(
    service: &str,
    format: Option<LogFormat>,
    out: BoxMakeWriter,
) -> Result<Guard, InitError> {
    let format = match format {
        Some(format) => format,
        None => match set_variable(LOG_FORMAT_VARIABLE) {
            Some(text) => text.parse()?,
            None => LogFormat::Human,
        },
    };
    let told = set_variable(LOG_VARIABLE);
    let is_fixed = told.is_some();
    let directives = told.unwrap_or_else(|| format.filter().to_owned());
    let filter = EnvFilter::try_new(&directives).map_err(|source| InitError::Filter {
        value: directives,
        source,
    })?;
    let (filter, handle) = reload::Layer::new(filter);

    let log = LogFilter::new(handle, is_fixed);
    let guard = Guard::start(service, set_variable(OTLP_ENDPOINT_VARIABLE), log)?;
    // Independent of the log filter: turning logs down must not tear holes into traces.
    let ours = FilterFn::new(|metadata| {
        *metadata.level() <= Level::INFO && metadata.target().starts_with("foghorn")
    })
    .with_max_level_hint(LevelFilter::INFO);
    let traces = tracing_opentelemetry::layer()
        .with_tracer(guard.provider().tracer("foghorn"))
        .with_location(false)
        .with_threads(false)
        .with_filter(ours);
    let logs = tracing_subscriber::fmt::layer()
        .with_writer(out)
        .with_ansi(format.coloured());
    let logs = match format {
        LogFormat::Human => logs
            .event_format(format::WithTraceId::human(format.coloured()))
            .boxed(),
        LogFormat::Short => logs.event_format(format::ShortLines).boxed(),
        LogFormat::Json => logs
            .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
            .event_format(format::WithTraceId::json())
            .boxed(),
    };
    tracing_subscriber::registry()
        .with(traces)
        .with(logs.with_filter(filter))
        .try_init()?;
    Ok(guard)
}

/// An empty variable counts as absent, which is how OpenTelemetry's specification treats its own.
fn set_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
