//! Says why there is no link: at once, and then not more than once a minute about the same.

use std::error::Error;
use std::time::Duration;

use foghorn_reach::trouble;
use foghorn_types::chain;
use tokio::time::Instant;
use tracing::{debug, warn};

const PAUSE: Duration = Duration::from_secs(60);

/// What was said last, and when.
#[derive(Default)]
pub(super) struct Complaint(Option<(String, Instant)>);

impl Complaint {
    /// Logs why a link failed, unless that was said just now.
    pub(super) fn about(&mut self, problem: &(dyn Error + 'static), now: Instant) {
        let text = words(problem);
        if self.is_due(&text, now) {
            warn!("no link to the controller; transfers continue: {text}");
            self.0 = Some((text, now));
        } else {
            debug!(error = %text, "still no link to the controller");
        }
    }

    fn is_due(&self, text: &str, now: Instant) -> bool {
        match &self.0 {
            Some((last, at)) => last != text || now.duration_since(*at) >= PAUSE,
            None => true,
        }
    }
}

/// A fault that does not pass by itself in words and with what to do, another with its causes.
fn words(problem: &(dyn Error + 'static)) -> String {
    match trouble(problem) {
        Some(trouble) => format!("{problem}: {trouble}; {}", trouble.advice()),
        None => chain(problem).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_something_else_at_once() {
        let begun = Instant::now();
        let mut complaint = Complaint::default();
        assert!(complaint.is_due("refused", begun));
        complaint.about(&std::io::Error::other("refused"), begun);
        let later = begun + Duration::from_secs(59);
        assert!(!complaint.is_due("refused", later));
        assert!(complaint.is_due("the certificate has ended", later));
        assert!(complaint.is_due("refused", begun + PAUSE));
    }
}
