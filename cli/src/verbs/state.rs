//! `foghorn state`: the whole state as one encrypted file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use foghorn_rest_types::state_file::{ExportRequest, Imported};
use foghorn_types::ByteCount;
use serde::Serialize;

use super::Session;
use crate::exit::{Exit, Failure};
use crate::password::{ask, line};

#[derive(Subcommand, Debug)]
pub enum StateCommand {
    /// Write the state of the server and its certificate authority into a new file that is encrypted
    /// with a passphrase. Images stay on the storage nodes
    #[command(after_help = "Example:\n  foghorn state export lab.foghorn --passphrase-file secret")]
    Export {
        /// The new file
        file: PathBuf,
        /// Leave the certificate authority out; whoever imports the file must have its folder
        #[arg(long)]
        without_authority: bool,
        /// Read the passphrase from the first line of a file, or with `-` of standard input; it is
        /// asked for otherwise
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
    /// Replace the state of the server by that of a file, which is checked first. Afterwards the
    /// server starts again, with the users, tokens and authority of the file
    #[command(after_help = "Example:\n  foghorn state import lab.foghorn --passphrase-file secret")]
    Import {
        /// What an export has written
        file: PathBuf,
        /// Replace what the server holds; without it only a new server is filled
        #[arg(long)]
        replace: bool,
        /// Read the passphrase from the first line of a file, or with `-` of standard input; it is
        /// asked for otherwise
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
    },
}

/// What an export gives to programs.
#[derive(Serialize)]
struct Exported<'a> {
    file: &'a Path,
    size_bytes: u64,
}

/// # Errors
/// As the server answers, and when the file cannot be read or written.
pub fn run(command: &StateCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        StateCommand::Export {
            file,
            without_authority,
            passphrase_file,
        } => {
            let request = ExportRequest {
                passphrase: new_passphrase(passphrase_file.as_deref())?,
                without_authority: *without_authority,
            };
            export(file, &request, session)
        }
        StateCommand::Import {
            file,
            replace,
            passphrase_file,
        } => import(file, *replace, passphrase_file.as_deref(), session),
    }
}

const WHAT: &str = "passphrase";

fn passphrase(file: Option<&Path>) -> Result<String, Failure> {
    match file {
        None => ask("Passphrase: ", WHAT),
        Some(path) if path == Path::new("-") => line(io::stdin().lock(), WHAT),
        Some(path) => {
            let file = File::open(path).map_err(|error| {
                Failure::usage(format!("could not read {}", path.display())).caused_by(error)
            })?;
            line(io::BufReader::new(file), WHAT)
        }
    }
}

/// Asked for twice, since a mistake would be noticed too late.
fn new_passphrase(file: Option<&Path>) -> Result<String, Failure> {
    let first = passphrase(file)?;
    if file.is_none() && ask("Again: ", WHAT)? != first {
        return Err(Failure::usage("the two passphrases are different"));
    }
    Ok(first)
}

fn export(path: &Path, request: &ExportRequest, session: &Session) -> Result<Exit, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Failed, format!("could not write {}", path.display())).caused_by(error)
    };
    let api = session.api()?;
    // Also says that it exists before the server is asked for anything.
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let written = api
        .export_state(request)
        .map_err(Failure::from)
        .and_then(|mut body| io::copy(&mut body, &mut file).map_err(failed))
        .and_then(|size| file.sync_all().map(|()| size).map_err(failed))
        .and_then(|size| check_end(path, size).map(|()| size));
    let size_bytes = match written {
        Ok(size) => size,
        Err(failure) => {
            let _ = fs::remove_file(path);
            return Err(failure);
        }
    };
    let text = format!(
        "{} in {}",
        ByteCount::from_bytes(size_bytes),
        path.display()
    );
    let exported = Exported {
        file: path,
        size_bytes,
    };
    session.output.show_value(&text, &exported)?;
    session.output.say(
        "Keep the passphrase elsewhere: without it nobody can read the file, and with it whoever \
         has the file has this installation.",
    );
    Ok(Exit::Ok)
}

/// A whole file ends with the line of its checksum.
fn check_end(path: &Path, size: u64) -> Result<(), Failure> {
    use std::os::unix::fs::FileExt as _;
    const LINE: u64 = 72;
    let mut end = [0; 7];
    let read =
        File::open(path).and_then(|file| file.read_exact_at(&mut end, size.saturating_sub(LINE)));
    if read.is_ok() && &end == b"blake3:" {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Failed, "the server broke off the export")
            .advise("look at the server's log, and export again"),
    )
}

fn import(
    path: &Path,
    replace: bool,
    passphrase_file: Option<&Path>,
    session: &Session,
) -> Result<Exit, Failure> {
    let unreadable =
        |error| Failure::usage(format!("could not read {}", path.display())).caused_by(error);
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let passphrase = passphrase(passphrase_file)?;
    let done: Imported = session
        .api()?
        .import_state(&passphrase, replace, length, file)?;
    let text = format!(
        "{} records, as they were at {}",
        done.entries,
        session.output.time(&done.made)
    );
    session.output.show_value(&text, &done)?;
    session.output.say(
        "The server starts again with this state: log in with the users and tokens of the file.",
    );
    Ok(Exit::Ok)
}
