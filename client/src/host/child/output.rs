//! What a child says.

use std::io::{self, PipeReader, Read as _};
use std::process::Command;
use std::time::Duration;

use foghorn_host_config::work::output::Tail;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What becomes of what a child says: standard output and error as one stream, in their order.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) enum Keep {
    /// It goes where ours goes.
    Nothing,
    First(usize),
    Last(usize),
}

enum Kept {
    First(Vec<u8>, usize),
    Last(Tail),
}

/// Our end of the pipe that a child writes to. Never waited for its end: what a child has left behind may hold it for ever.
pub(super) struct Output {
    pipe: Option<PipeReader>,
    kept: Kept,
}

impl Output {
    /// Most pieces that are read at once, so that a child that never pauses is looked at, too.
    const PIECES: usize = 64;

    pub(super) fn of(keep: Keep, command: &mut Command) -> io::Result<Self> {
        let kept = match keep {
            Keep::Nothing => {
                let kept = Kept::First(Vec::new(), 0);
                return Ok(Self { pipe: None, kept });
            }
            Keep::First(most) => Kept::First(Vec::new(), most),
            Keep::Last(most) => Kept::Last(Tail::new(most)),
        };
        let (ours, theirs) = io::pipe()?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        command.stdout(theirs.try_clone()?).stderr(theirs);
        let pipe = Some(ours);
        Ok(Self { pipe, kept })
    }

    /// Until something was said, or for so long.
    pub(super) fn wait(&mut self, pause: Duration) -> io::Result<()> {
        let Some(pipe) = &self.pipe else {
            std::thread::sleep(pause);
            return Ok(());
        };
        let timeout = Timespec::try_from(pause).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(pipe, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => self.drain(),
            Err(error) => Err(error.into()),
        }
    }

    /// What is there now.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let mut piece = [0; 8192];
        for _ in 0..Self::PIECES {
            let Some(pipe) = &mut self.pipe else {
                return Ok(());
            };
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(length) => self.kept.push(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self.kept {
            Kept::First(bytes, _) => bytes,
            Kept::Last(tail) => tail.into_bytes(),
        }
    }
}

impl Kept {
    fn push(&mut self, piece: &[u8]) {
        match self {
            Self::First(bytes, most) => {
                let room = most.saturating_sub(bytes.len()).min(piece.len());
                bytes.extend_from_slice(&piece[..room]);
            }
            Self::Last(tail) => tail.push(piece),
        }
    }
}
