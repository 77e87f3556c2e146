//! How a log line looks: tracing's own formats with the trace id of the span added.

use std::fmt;
use std::io::IsTerminal as _;
use std::str::FromStr;

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::filter::DEFAULT_FILTER;

/// Shape of the log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people: one line per event, coloured when standard error is a terminal and `NO_COLOR` is
    /// not set.
    #[default]
    Human,
    /// For people who watch bars: `warning: could not connect to the agent: nobody answered`. Only
    /// what is wrong, without times, modules and traces.
    Short,
    /// For machines: one JSON object per line.
    Json,
}

/// A text that is not a log format.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a log format: use \"human\", \"short\" or \"json\"")]
pub struct ParseLogFormatError(String);

impl FromStr for LogFormat {
    type Err = ParseLogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "human" => Ok(Self::Human),
            "short" => Ok(Self::Short),
            "json" => Ok(Self::Json),
            _ => Err(ParseLogFormatError(text.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Human => "human",
            Self::Short => "short",
            Self::Json => "json",
        })
    }
}

impl LogFormat {
    /// `info` for our own crates; libraries speak only when something is wrong.
    pub(crate) fn filter(self) -> &'static str {
        match self {
            Self::Human | Self::Json => DEFAULT_FILTER,
            Self::Short => "error,foghorn=warn",
        }
    }

    pub(crate) fn coloured(self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self == Self::Human && !refused && std::io::stderr().is_terminal()
    }
}

/// [`LogFormat::Short`].
pub(crate) struct ShortLines;

impl<S, N> FormatEvent<S, N> for ShortLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => "error",
            tracing::Level::WARN => "warning",
            _ => "note",
        };
        writeln!(writer, "{}", words.line(level))
    }
}

/// What an event says. Of its fields, the error is of use to people.
#[derive(Default)]
struct Words {
    message: String,
    error: Option<String>,
}

impl Words {
    fn line(&self, level: &str) -> String {
        match &self.error {
            Some(error) => format!("{level}: {}: {error}", self.message),
            None => format!("{level}: {}", self.message),
        }
    }
}

impl tracing::field::Visit for Words {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "error" => self.error = Some(format!("{value:?}")),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

/// An event format that adds the trace id where its inner format has no place for one.
pub(crate) struct WithTraceId<F> {
    inner: F,
    place: fn(&str, &str) -> String,
}

impl WithTraceId<Format<Full>> {
    /// `coloured` is said here because a line is first written into a buffer, which knows nothing
    /// of the terminal.
    pub(crate) fn human(coloured: bool) -> Self {
        Self {
            inner: Format::default().with_ansi(coloured),
            place: at_the_end,
        }
    }
}

impl WithTraceId<Format<Json>> {
    pub(crate) fn json() -> Self {
        Self {
            inner: Format::default().json().flatten_event(true),
            place: as_first_member,
        }
    }
}

impl<F, S, N> FormatEvent<S, N> for WithTraceId<F>
where
    F: FormatEvent<S, N>,
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let trace_id = ctx
            .event_scope()
            .and_then(|mut scope| scope.next())
            .and_then(|span| trace_id_of(&span.id()));
        let Some(trace_id) = trace_id else {
            return self.inner.format_event(ctx, writer, event);
        };
        let mut line = String::with_capacity(256);
        self.inner
            .format_event(ctx, Writer::new(&mut line), event)?;
        writer.write_str(&(self.place)(&line, &trace_id))
    }
}

/// The first parent of the event's span that has a trace decides; all of them are in the same
/// trace.
fn trace_id_of(span: &tracing::span::Id) -> Option<String> {
    tracing::dispatcher::get_default(|dispatch| {
        let context = tracing_opentelemetry::get_otel_context(span, dispatch)?;
        let span_context = context.span().span_context().clone();
        span_context
            .is_valid()
            .then(|| span_context.trace_id().to_string())
    })
}

fn at_the_end(line: &str, trace_id: &str) -> String {
    format!("{} trace={trace_id}\n", line.trim_end_matches('\n'))
}

fn as_first_member(line: &str, trace_id: &str) -> String {
    match line.strip_prefix('{') {
        Some(rest) => format!("{{\"trace_id\":\"{trace_id}\",{rest}"),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_id_fits_into_both_formats() {
        assert_eq!(at_the_end("INFO ready\n", "ab"), "INFO ready trace=ab\n");
        assert_eq!(
            as_first_member("{\"level\":\"INFO\"}\n", "ab"),
            "{\"trace_id\":\"ab\",\"level\":\"INFO\"}\n"
        );
    }

    #[test]
    fn people_are_told_what_is_wrong_and_not_where_in_the_program() {
        let words = Words {
            message: "could not connect to the agent".to_owned(),
            error: Some("nobody answered".to_owned()),
        };
        assert_eq!(
            words.line("warning"),
            "warning: could not connect to the agent: nobody answered"
        );
    }

    #[test]
    fn formats_round_trip_and_others_are_refused() {
        for format in [LogFormat::Human, LogFormat::Short, LogFormat::Json] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
