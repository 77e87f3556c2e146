//! Faults for one test of many in a process: they happen to the threads that are in the scope, and to
//! no others.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use crate::armed::{Orders, switch_on};
use crate::order::Action;

thread_local! {
    static PRESENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Threads that share faults.
#[derive(Clone, Debug)]
pub struct Scope {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    orders: Orders,
    happened: Vec<&'static str>,
}

/// This thread is in the scope until this is dropped.
#[derive(Debug)]
pub struct Entered {
    before: Option<Scope>,
}

/// Makes a scope with these orders, written as in `FOGHORN_FAULTS`, and enters it.
///
/// # Panics
/// When they cannot be read, or kill: that would be the end of all tests.
#[must_use]
pub fn arm(orders: &str) -> (Scope, Entered) {
    let scope = Scope {
        inner: Arc::default(),
    };
    scope.order(orders);
    switch_on();
    let entered = scope.enter();
    (scope, entered)
}

/// The scope of this thread, for a thread that it starts.
#[must_use]
pub fn present() -> Option<Scope> {
    PRESENT.with_borrow(Clone::clone)
}

impl Scope {
    /// Replaces what is ordered; visits are counted anew.
    ///
    /// # Panics
    /// As [`arm`].
    pub fn order(&self, orders: &str) {
        let orders = Orders::new(orders.to_owned()).unwrap_or_else(|problem| panic!("{problem}"));
        assert!(!orders.kill(), "a scope cannot kill the process");
        self.lock().orders = orders;
    }

    /// The calling thread belongs to the scope until the answer is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        let before = PRESENT.with_borrow_mut(|present| present.replace(self.clone()));
        Entered { before }
    }

    /// The points at which something has happened, in order.
    #[must_use]
    pub fn happened(&self) -> Vec<&'static str> {
        self.lock().happened.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        PRESENT.with_borrow_mut(|present| *present = before);
    }
}

pub(crate) fn visit(point: &'static str) -> Option<Action> {
    let scope = present()?;
    let mut inner = scope.lock();
    let action = inner.orders.visit(point)?;
    inner.happened.push(point);
    Some(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works() -> bool {
        crate::fail!("faults.test.scope").is_ok()
    }

    #[test]
    fn others_are_not_disturbed() {
        let (scope, entered) = arm("faults.test.scope=error@2");
        assert!(works());
        assert!(std::thread::spawn(works).join().unwrap(), "another thread");
        let inherited = scope.clone();
        let joined = std::thread::spawn(move || {
            let _entered = inherited.enter();
            works()
        });
        assert!(!joined.join().unwrap(), "the second visit of the scope");
        assert!(works(), "only at the second visit");
        assert_eq!(scope.happened(), ["faults.test.scope"]);
        scope.order("faults.test.scope=error");
        assert!(!works());
        drop(entered);
        assert!(works(), "after the scope");
    }

    #[test]
    #[should_panic(expected = "a scope cannot kill")]
    fn a_scope_does_not_end_the_tests_of_others() {
        let _ = arm("faults.test.scope=kill");
    }
}
