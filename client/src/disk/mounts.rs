//! A view of the file systems that only one thread has.
#![allow(unsafe_code)]

use std::io;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// From now on, what this thread mounts is seen by nobody else, and gone when the thread ends. The thread
/// has to be one of its own.
///
/// # Errors
/// The kernel's, `EPERM` of a process that may not mount.
pub(crate) fn be_alone() -> io::Result<()> {
    // SAFETY: the table of file descriptors stays shared (no `FILES`), which is the only thing that this
    // function can break.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    // Else mounts would spread to where the view came from.
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    Ok(())
}
