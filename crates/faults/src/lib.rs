//! Named places in the code at which a test lets something go wrong: the process dies, a call fails,
//! takes long, or its answer is lost after the work was done.
//!
//! ```
//! fn store() -> std::io::Result<()> {
//!     foghorn_faults::point!("doc.store.before"); // may kill the process or take long
//!     foghorn_faults::fail!("doc.store.sync")?; // may also fail
//!     Ok(())
//! }
//! # store().unwrap();
//! ```
//!
//! Five forms, by what a place can have happen to it:
//!
//! | form | in | kill | delay | error | lost |
//! | --- | --- | --- | --- | --- | --- |
//! | [`point!`] | blocking code | yes | yes | | |
//! | [`fail!`] | blocking code | yes | yes | an `io::Result` | |
//! | [`wait!`] | async code | yes | yes | | |
//! | [`wait_or_fail!`] | async code | yes | yes | an `io::Result` | |
//! | [`lost!`] | async code | yes | yes | | `true`: forget the answer |
//!
//! What happens is said by `FOGHORN_FAULTS`, for example `a.b=kill@2;c.d=error;e.f=delay:500ms`, or
//! `@FILE` for a file that is read again at every point, so that a running process can be armed. A
//! number behind `@` is the visit at which it happens, once; without one it happens at every visit.
//! `FOGHORN_FAULTS_LOG` names a file to which each process appends what it reaches and what happens.
//! In one process, [`scope::arm`] does the same for the threads of one test.
//!
//! Not armed, a point costs one relaxed load. In a release build it costs nothing and cannot be armed:
//! the code that could is not compiled.

#![warn(missing_docs)]

#[cfg(debug_assertions)]
mod armed;
#[cfg(debug_assertions)]
mod order;
#[cfg(debug_assertions)]
mod record;
#[cfg(debug_assertions)]
pub mod scope;

use std::io;
use std::time::Duration;

/// Whether this build can be armed at all.
pub const CAN_BE_ARMED: bool = cfg!(debug_assertions);

/// What a point has to do, after the process was not killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(hidden)]
pub struct Fate {
    pub delay: Option<Duration>,
    pub fails: Option<&'static str>,
    pub loses: bool,
}

impl Fate {
    /// # Errors
    /// When it was ordered.
    pub fn result(self) -> io::Result<()> {
        match self.fails {
            None => Ok(()),
            Some(point) => Err(io::Error::other(format!("made to fail at {point}"))),
        }
    }
}

/// The fate of this visit; `None` nearly always.
#[inline]
#[doc(hidden)]
#[must_use]
pub fn visit(point: &'static str) -> Option<Fate> {
    #[cfg(debug_assertions)]
    if armed::is_armed() {
        return armed::visit(point);
    }
    let _ = point;
    None
}

/// As [`visit`], and takes as long as was ordered.
#[inline]
#[doc(hidden)]
pub fn visit_blocking(point: &'static str) -> io::Result<()> {
    match visit(point) {
        None => Ok(()),
        Some(fate) => {
            if let Some(delay) = fate.delay {
                std::thread::sleep(delay);
            }
            fate.result()
        }
    }
}

/// A place in blocking code at which the process may die or take long.
#[macro_export]
macro_rules! point {
    ($name:literal) => {
        // Nothing else can be ordered of it: an error here has nowhere to go.
        let _ = $crate::visit_blocking($name);
    };
}

/// A place in blocking code that may also fail; an `io::Result<()>`.
#[macro_export]
macro_rules! fail {
    ($name:literal) => {
        $crate::visit_blocking($name)
    };
}

/// A place in async code at which the process may die or take long. The caller has `tokio`.
#[macro_export]
macro_rules! wait {
    ($name:literal) => {
        if let Some(delay) = $crate::visit($name).and_then(|fate| fate.delay) {
            ::tokio::time::sleep(delay).await;
        }
    };
}

/// A place in async code that may also fail; an `io::Result<()>`.
#[macro_export]
macro_rules! wait_or_fail {
    ($name:literal) => {
        match $crate::visit($name) {
            None => Ok(()),
            Some(fate) => {
                if let Some(delay) = fate.delay {
                    ::tokio::time::sleep(delay).await;
                }
                fate.result()
            }
        }
    };
}

/// A place in async code behind work that is done; `true` when its answer is to get lost.
#[macro_export]
macro_rules! lost {
    ($name:literal) => {
        match $crate::visit($name) {
            None => false,
            Some(fate) => {
                if let Some(delay) = fate.delay {
                    ::tokio::time::sleep(delay).await;
                }
                fate.loses
            }
        }
    };
}
