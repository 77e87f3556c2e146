//! What is logged, changed while the process runs.

use std::fmt;
use std::sync::Arc;

use tracing_subscriber::filter::ParseError;
use tracing_subscriber::{EnvFilter, reload};

/// The directives of a process that nobody has given any: our own crates say what happens,
/// libraries only what is wrong.
pub const DEFAULT_FILTER: &str = "warn,foghorn=info";

/// Changes what the process logs. Cheap to clone.
#[derive(Clone)]
pub struct LogFilter {
    replace: Arc<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
    is_fixed: bool,
}

/// Why the log goes on as before.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum SetFilterError {
    #[error("{directives:?} is not a log filter")]
    Filter {
        directives: String,
        source: ParseError,
    },
    #[error("the log of this process is gone")]
    Gone(#[source] reload::Error),
}

impl LogFilter {
    /// `is_fixed`: a variable has said what is logged, and nothing in a file is stronger.
    pub(crate) fn new<S: 'static>(handle: reload::Handle<EnvFilter, S>, is_fixed: bool) -> Self {
        Self {
            replace: Arc::new(move |filter| handle.reload(filter)),
            is_fixed,
        }
    }

    /// From now on, what these directives say is logged, unless a variable
    /// ([`LOG_VARIABLE`](crate::LOG_VARIABLE)) has said it. Gives whether it follows them.
    ///
    /// # Errors
    /// When they are no directives. Then nothing has changed.
    pub fn set(&self, directives: &str) -> Result<bool, SetFilterError> {
        let filter = parse(directives)?;
        if self.is_fixed {
            return Ok(false);
        }
        (self.replace)(filter).map_err(SetFilterError::Gone)?;
        Ok(true)
    }
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogFilter")
            .field("is_fixed", &self.is_fixed)
            .finish_non_exhaustive()
    }
}

/// # Errors
/// When these are no directives of a log filter.
pub fn check_filter(directives: &str) -> Result<(), SetFilterError> {
    parse(directives).map(drop)
}

fn parse(directives: &str) -> Result<EnvFilter, SetFilterError> {
    EnvFilter::try_new(directives).map_err(|source| SetFilterError::Filter {
        directives: directives.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use tracing_subscriber::Layer as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of two lines under a filter that was replaced.
    fn logged(is_fixed: bool, directives: &str) -> String {
        let log = Log::default();
        let writer = log.clone();
        let (filter, handle) = reload::Layer::new(EnvFilter::new("warn"));
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(move || writer.clone())
            .with_filter(filter);
        let subscriber = tracing_subscriber::registry().with(lines);
        let filter = LogFilter::new(handle, is_fixed);
        tracing::subscriber::with_default(subscriber, || {
            for turn in ["before", "after"] {
                if turn == "after" {
                    filter.set(directives).unwrap();
                }
                tracing::info!("{turn}: what happens");
                tracing::warn!("{turn}: what is wrong");
            }
        });
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_logged_follows_the_filter_unless_a_variable_has_said_it() {
        let said = logged(false, "info");
        assert!(!said.contains("before: what happens"), "{said}");
        assert!(said.contains("after: what happens"), "{said}");
        let said = logged(false, "off");
        assert!(said.contains("before: what is wrong"), "{said}");
        assert!(!said.contains("after"), "{said}");
        let said = logged(true, "off");
        assert!(said.contains("after: what is wrong"), "{said}");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        check_filter(DEFAULT_FILTER).unwrap();
        check_filter("info,foghorn_agent=debug").unwrap();
        assert!(check_filter("foghorn=loud").is_err());
    }
}
