//! Names of classes and fields that plugins bring, kept for the life of the process.
//!
//! Everything else has its names in the program, as `&'static str`. A plugin's names become the
//! same; what is kept is bounded, whoever keeps changing the plugin.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Different names in the life of a process; an installation has a few dozen.
const MOST: usize = 20_000;

static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// Plugins have brought too many different names since the controller started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "plugins have used more than {MOST} different names since the start; restart the controller"
)]
pub struct TooManyWords;

/// The name, kept for good.
///
/// # Errors
/// When the bound is reached.
pub fn word(text: &str) -> Result<&'static str, TooManyWords> {
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(text) {
        return Ok(known);
    }
    if words.len() >= MOST {
        return Err(TooManyWords);
    }
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    words.insert(kept);
    Ok(kept)
}
