//! What marks are bound to: this store, on this disk, since the machine has come up.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::whole_file::write_whole;

/// Random, and written once into each store.
const MARK: &str = "identity";
/// Another one each time that the machine comes up (random(4)).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Binding {
    store: StoreIdentity,
    boot: String,
}

/// Tells a store from every other one, and from what a backup makes of it: no program can give a
/// file the time of its last change of another one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct StoreIdentity {
    mark: String,
    inode: u64,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// Why what is stored does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("nothing says that this storage node has verified it")]
    Unknown,
    #[error("the chunks lie on another disk than before, or come from a backup")]
    OtherStore,
    #[error("the machine went down without stopping the storage node first")]
    Crash,
}

/// Whether marks that were made under `kept` say nothing under `now`; `ended`: the last process has
/// ended in an orderly way.
pub(super) fn broken(kept: Option<&Binding>, now: Option<&Binding>, ended: bool) -> Option<Broken> {
    let (Some(kept), Some(now)) = (kept, now) else {
        return Some(Broken::Unknown);
    };
    if kept.store != now.store {
        return Some(Broken::OtherStore);
    }
    // What a process that was killed has written is with the kernel, which is still the same.
    let is_sure = kept.boot == now.boot || ended;
    (!is_sure).then_some(Broken::Crash)
}

impl Binding {
    /// Of the store in this folder, which gets a mark if it has none.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub(super) fn of(store: &Path) -> io::Result<Self> {
        let path = store.join(MARK);
        let mark = match fs::read_to_string(&path) {
            Ok(mark) => mark,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let random = (getrandom::u64(), getrandom::u64());
                let (Ok(high), Ok(low)) = random else {
                    return Err(io::Error::other("the system gives no random numbers"));
                };
                let mark = format!("{high:016x}{low:016x}\n");
                write_whole(&path, mark.as_bytes())?;
                mark
            }
            Err(error) => return Err(error),
        };
        let found = fs::metadata(&path)?;
        let store = StoreIdentity {
            mark,
            inode: found.ino(),
            changed: (found.ctime(), found.ctime_nsec()),
        };
        let boot = fs::read_to_string(BOOT)?.trim().to_owned();
        Ok(Self { store, boot })
    }

    #[cfg(test)]
    pub(super) fn pretend_boot(&mut self, boot: &str) {
        boot.clone_into(&mut self.boot);
    }
}
