//! A child process with what bounds it: a time limit, and the end of this service. It has a process group of its own, which is
//! ended as a whole: `SIGTERM`, and `SIGKILL` for what is left a while later.

mod output;

use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio_util::sync::CancellationToken;

pub(super) use self::output::Keep;
use self::output::Output;

/// From `SIGTERM` to `SIGKILL` at a time limit.
const GRACE: Duration = Duration::from_secs(10);
/// The same when this service was told to stop, which has less time itself.
const GRACE_AT_STOP: Duration = Duration::from_secs(3);
/// A child that has just been started may end at once, so it is looked at soon, and then less and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How often a program is tried that another thread's child still holds open for writing, between its fork and its exec.
const BUSY_TRIES: u32 = 25;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What bounds a child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    pub(super) limit: Duration,
    pub(super) stop: &'a CancellationToken,
}

/// Who has ended a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EndedBy {
    Itself,
    TimeLimit,
    /// This service was told to stop.
    Stop,
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: ExitStatus,
    pub(super) by: EndedBy,
    pub(super) output: Vec<u8>,
}

impl Ran {
    /// As shells count: 128 and the signal when one has ended it.
    pub(super) fn exit_code(&self) -> i32 {
        let by_signal = || 128 + self.status.signal().unwrap_or(0);
        self.status.code().unwrap_or_else(by_signal)
    }
}

/// Why nothing is known of the end of a child.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChildError {
    #[error("it was not started, as this service was told to stop")]
    Stopped,
    #[error("it could not be started")]
    Start(#[source] io::Error),
    #[error("it was ended, as it could not be watched")]
    Watch(#[source] io::Error),
}

/// Runs a program, with nothing to read, and waits for its end. Blocking.
///
/// # Errors
/// [`ChildError`]
pub(super) fn run(mut command: Command, keep: Keep, bounds: Bounds<'_>) -> Result<Ran, ChildError> {
    let mut output = Output::of(keep, &mut command).map_err(ChildError::Start)?;
    command.stdin(Stdio::null()).process_group(0);
    let _running = Running::begin();
    if bounds.stop.is_cancelled() {
        return Err(ChildError::Stopped);
    }
    let mut child = spawn(&mut command).map_err(ChildError::Start)?;
    // With it the last of their ends of the pipe that we hold is closed.
    drop(command);
    let group = Pid::from_child(&child);
    let ended = watch(&mut child, group, &mut output, bounds).inspect_err(|_| {
        signal(group, Signal::KILL);
        // It has been killed; whatever its status is, it is not left as a zombie.
        let _status = child.wait();
    });
    let (status, by) = ended.map_err(ChildError::Watch)?;
    Ok(Ran {
        status,
        by,
        output: output.into_bytes(),
    })
}

fn spawn(command: &mut Command) -> io::Result<Child> {
    for _ in 0..BUSY_TRIES {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
    command.spawn()
}

/// How far the end of a child has come.
#[derive(Clone, Copy)]
enum Phase {
    Running,
    /// It was asked to end.
    Asked {
        by: EndedBy,
        until: Instant,
    },
    Killed(EndedBy),
}

fn watch(
    child: &mut Child,
    group: Pid,
    output: &mut Output,
    bounds: Bounds<'_>,
) -> io::Result<(ExitStatus, EndedBy)> {
    let begun = Instant::now();
    let mut phase = Phase::Running;
    let mut pause = FIRST_PAUSE;
    loop {
        output.wait(pause)?;
        pause = (pause * 2).min(LONGEST_PAUSE);
        let ended = child.try_wait()?;
        let is_told = bounds.stop.is_cancelled();
        match (phase, ended) {
            (Phase::Running, Some(status)) => {
                output.drain()?;
                return Ok((status, EndedBy::Itself));
            }
            (Phase::Running, None) if is_told => {
                phase = ask(group, EndedBy::Stop, GRACE_AT_STOP);
            }
            (Phase::Running, None) if begun.elapsed() >= bounds.limit => {
                phase = ask(group, EndedBy::TimeLimit, GRACE);
            }
            (Phase::Running, None) => {}
            (Phase::Asked { by, until }, ended) => {
                // Others of the group may be ending still.
                let is_alone = test_kill_process_group(group).is_err();
                if let (Some(status), true) = (ended, is_alone) {
                    output.drain()?;
                    return Ok((status, by));
                }
                let has_to_hurry = is_told && by != EndedBy::Stop;
                let soon = Instant::now() + GRACE_AT_STOP;
                if Instant::now() >= until {
                    signal(group, Signal::KILL);
                    phase = Phase::Killed(by);
                } else if has_to_hurry {
                    let until = until.min(soon);
                    let by = EndedBy::Stop;
                    phase = Phase::Asked { by, until };
                }
            }
            (Phase::Killed(by), Some(status)) => {
                output.drain()?;
                return Ok((status, by));
            }
            (Phase::Killed(_), None) => {}
        }
    }
}

fn ask(group: Pid, by: EndedBy, grace: Duration) -> Phase {
    signal(group, Signal::TERM);
    let until = Instant::now() + grace;
    Phase::Asked { by, until }
}

/// A group that is gone needs none.
fn signal(group: Pid, signal: Signal) {
    if let Err(error) = kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(group = group.as_raw_nonzero().get(), %error, "could not signal a process group");
    }
}

/// How many children this process has: it is what ends them when it is told to stop, so it must not end before.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

struct Running;

impl Running {
    fn begin() -> Self {
        RUNNING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits, after this process was told to stop, until its children have ended; no longer than they get.
pub async fn all_ended() {
    let until = tokio::time::Instant::now() + GRACE_AT_STOP + Duration::from_secs(1);
    while RUNNING.load(Ordering::SeqCst) > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn shell(text: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", text]);
        command
    }

    fn in_time(text: &str, keep: Keep) -> Ran {
        let stop = CancellationToken::new();
        let bounds = Bounds {
            limit: LONG,
            stop: &stop,
        };
        run(shell(text), keep, bounds).unwrap()
    }

    #[test]
    fn ends_and_output_are_those_of_the_program() {
        let ran = in_time("echo out; echo err >&2; exit 3", Keep::Last(100));
        assert_eq!((ran.exit_code(), ran.by), (3, EndedBy::Itself));
        assert_eq!(ran.output, b"out\nerr\n");
        let ran = in_time("kill -9 $$", Keep::Nothing);
        assert_eq!((ran.exit_code(), ran.by), (137, EndedBy::Itself));
        assert!(ran.output.is_empty());
    }

    #[test]
    fn of_much_output_the_beginning_or_the_end_is_kept() {
        let much = "head -c 300000 /dev/zero | tr '\\0' x; echo end";
        let first = in_time(much, Keep::First(10)).output;
        assert_eq!(first, b"xxxxxxxxxx");
        let last = in_time(much, Keep::Last(6)).output;
        assert_eq!(last, b"xxend\n");
    }

    #[test]
    fn what_is_left_behind_is_not_waited_for() {
        let ran = in_time("sleep 1000 & echo $!", Keep::Last(100));
        let left: i32 = String::from_utf8(ran.output)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let left = Pid::from_raw(left).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }

    #[test]
    fn at_the_limit_the_whole_group_is_ended() {
        let stop = CancellationToken::new();
        let bounds = Bounds {
            limit: Duration::from_secs(1),
            stop: &stop,
        };
        let ran = run(shell("sleep 1000 & echo $!; wait"), Keep::Last(100), bounds).unwrap();
        assert_eq!((ran.exit_code(), ran.by), (143, EndedBy::TimeLimit));
        let other: i32 = String::from_utf8(ran.output)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let gone = rustix::process::test_kill_process(Pid::from_raw(other).unwrap());
        // Whoever takes care of orphans here may not have looked yet.
        let state = std::fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
        assert!(gone.is_err() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn a_stop_ends_it_or_keeps_it_from_being_started() {
        let stop = CancellationToken::new();
        let bounds = Bounds {
            limit: LONG,
            stop: &stop,
        };
        let ran = std::thread::scope(|scope| {
            let running = scope.spawn(|| run(shell("echo on; sleep 1000"), Keep::Last(9), bounds));
            std::thread::sleep(Duration::from_millis(50));
            stop.cancel();
            running.join().unwrap()
        });
        match ran {
            Ok(ran) => assert_eq!(ran.by, EndedBy::Stop),
            // The thread was late.
            Err(error) => assert!(matches!(error, ChildError::Stopped), "{error:?}"),
        }
        let never = run(shell("exit 0"), Keep::Nothing, bounds);
        assert!(matches!(never, Err(ChildError::Stopped)));
    }
}
