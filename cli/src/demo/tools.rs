//! External programs, run with a time limit.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The programs that `make setup` installs.
const NEEDED: [&str; 17] = [
    "sgdisk",
    "sfdisk",
    "blkid",
    "mkfs.fat",
    "fsck.fat",
    "mcopy",
    "mmd",
    "mke2fs",
    "e2fsck",
    "debugfs",
    "mkfs.ntfs",
    "ntfscp",
    "ntfsls",
    "ntfscat",
    "ntfsfix",
    "dd",
    "sha256sum",
];
/// The slowest of them reads and hashes some hundred megabytes.
const LIMIT: Duration = Duration::from_secs(300);

#[derive(Debug, thiserror::Error)]
pub(super) enum ToolError {
    #[error("these programs are missing: {0}")]
    Missing(String),
    #[error("could not run {tool}")]
    Run {
        tool: String,
        source: std::io::Error,
    },
    #[error("{tool} did not end within {} s", LIMIT.as_secs())]
    TooLong { tool: String },
    #[error("{tool} was interrupted")]
    Interrupted { tool: String },
    #[error("{tool} failed ({status}): {said}")]
    Failed {
        tool: String,
        status: String,
        said: String,
    },
}

/// Path of a program; disk tools are often outside the search path of an ordinary user.
fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(tool))
        .find(|candidate| candidate.is_file())
}

/// # Errors
/// Reports all missing programs at once.
pub(super) fn check() -> Result<(), ToolError> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .copied()
        .filter(|tool| find(tool).is_none())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(ToolError::Missing(missing.join(", ")))
    }
}

/// Runs a tool and returns its output, whatever its exit status.
///
/// # Errors
/// When it cannot be started or does not end.
pub(super) fn run_any<S: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = S>,
) -> Result<Output, ToolError> {
    let failed = |source| ToolError::Run {
        tool: tool.to_owned(),
        source,
    };
    let program = find(tool).unwrap_or_else(|| PathBuf::from(tool));
    // With files instead of pipes: a tool that writes more than fits into a pipe must not block.
    let out = tempfile::tempfile().map_err(failed)?;
    let err = tempfile::tempfile().map_err(failed)?;
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(out.try_clone().map_err(failed)?)
        .stderr(err.try_clone().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        let interrupted = foghorn_telemetry::interrupt::asked();
        if interrupted || started.elapsed() > LIMIT {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            let tool = tool.to_owned();
            return Err(if interrupted {
                ToolError::Interrupted { tool }
            } else {
                ToolError::TooLong { tool }
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Ok(Output {
        status,
        stdout: read_back(out).map_err(failed)?,
        stderr: read_back(err).map_err(failed)?,
    })
}

/// Runs a tool that must succeed and returns its standard output.
///
/// # Errors
/// As [`run_any`], and when its exit status is not 0; the message contains its output.
pub(super) fn run<S: AsRef<OsStr>>(
    tool: &str,
    args: impl IntoIterator<Item = S>,
) -> Result<Vec<u8>, ToolError> {
    let output = run_any(tool, args)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said[said.len().saturating_sub(2000)..])
        .trim()
        .to_owned();
    Err(ToolError::Failed {
        tool: tool.to_owned(),
        status: output.status.to_string(),
        said,
    })
}

fn read_back(mut file: std::fs::File) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_fails_is_quoted_and_one_that_is_not_there_is_named() {
        let error = run("sh", ["-c", "echo broken >&2; exit 3"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("broken") && error.contains('3'), "{error}");
        assert!(matches!(
            run("no-such-tool-here", [""; 0]),
            Err(ToolError::Run { .. })
        ));
        assert_eq!(run("sh", ["-c", "echo out"]).unwrap(), b"out\n");
    }
}
