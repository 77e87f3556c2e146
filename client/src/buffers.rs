//! A fixed number of chunk buffers, which is what bounds the memory of a transfer.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use foghorn_image::CHUNK_SIZE;

/// Hands out buffers of one chunk each, and makes whoever wants one too many wait until one comes
/// back.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<PoolState>,
    returned: Condvar,
}

#[derive(Debug)]
struct PoolState {
    free: Vec<Vec<u8>>,
    /// Buffers that may still be made; they are made when first needed.
    unmade: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // The state is valid after every statement that changes it, so a panic elsewhere does no
        // harm to it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BufferPool {
    #[must_use]
    pub fn new(buffers: usize) -> Self {
        let state = Mutex::new(PoolState {
            free: Vec::new(),
            unmade: buffers,
        });
        Self {
            shared: Arc::new(Shared {
                state,
                returned: Condvar::new(),
            }),
        }
    }

    /// A buffer of `length` bytes (at most one chunk) with arbitrary contents. Blocks until one is
    /// free.
    #[must_use]
    pub fn take(&self, length: usize) -> ChunkBuffer {
        let mut state = self.shared.state();
        let bytes = loop {
            if let Some(bytes) = state.free.pop() {
                break bytes;
            }
            if state.unmade > 0 {
                state.unmade -= 1;
                break vec![0; CHUNK_SIZE as usize];
            }
            state = self
                .shared
                .returned
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        ChunkBuffer {
            bytes,
            length: length.min(CHUNK_SIZE as usize),
            pool: self.shared.clone(),
        }
    }
}

/// One buffer; goes back to its pool when dropped.
#[derive(Debug)]
pub struct ChunkBuffer {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<Shared>,
}

impl Deref for ChunkBuffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl DerefMut for ChunkBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl Drop for ChunkBuffer {
    fn drop(&mut self) {
        self.pool.state().free.push(std::mem::take(&mut self.bytes));
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_too_many_waits_for_a_return() {
        let pool = BufferPool::new(1);
        let first = pool.take(10);
        assert_eq!(first.len(), 10);
        let waiting = std::thread::spawn({
            let pool = pool.clone();
            move || pool.take(20).len()
        });
        drop(first);
        assert_eq!(waiting.join().unwrap(), 20);
    }
}
