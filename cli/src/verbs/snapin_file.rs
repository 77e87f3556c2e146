//! `foghorn snapin upload` and `download`: the files that snapins run.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::HEXLOWER;
use foghorn_rest_types::fog::{Row, Snapin};
use foghorn_rest_types::native::SnapinFileStatus;
use foghorn_types::ByteCount;
use indicatif::{ProgressBar, ProgressStyle};
use ring::digest::{Context, SHA512};

use super::Session;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::output::{Format, Output};

pub(super) fn local(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("could not {what} {}", path.display())).caused_by(error)
}

/// Sends the file; the caller shows what is stored.
pub(super) fn send(
    api: &Api,
    output: Output,
    snapin: &Row<Snapin>,
    path: &Path,
    name: Option<String>,
) -> Result<SnapinFileStatus, Failure> {
    let file = File::open(path).map_err(|error| local("read", path, error))?;
    let len = file
        .metadata()
        .map_err(|error| local("read", path, error))?
        .len();
    let own = || {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let name = name
        .or_else(own)
        .ok_or_else(|| Failure::new(Exit::Usage, "the file has no name: use --name"))?;
    let bar = progress(output, len);
    let stored = api.upload(snapin.view.id, &name, len, bar.wrap_read(file));
    bar.finish_and_clear();
    Ok(stored?)
}

/// # Errors
/// When the file cannot be read, or the server refuses it.
pub(super) fn upload(
    session: &Session,
    api: &Api,
    snapin: &Row<Snapin>,
    path: &Path,
    name: Option<String>,
) -> Result<Exit, Failure> {
    let stored = send(api, session.output, snapin, path, name)?;
    session.output.say(&described(&stored));
    session.output.show_value(&stored.sha512, &stored)?;
    Ok(Exit::Ok)
}

/// Where the file is now.
pub(super) fn described(stored: &SnapinFileStatus) -> String {
    let nodes: Vec<&str> = stored.nodes.iter().map(|node| node.name.as_str()).collect();
    let size = ByteCount::from_bytes(stored.size_bytes);
    format!("stored {} ({size}) on {}", stored.file, nodes.join(", "))
}

/// # Errors
/// When the file cannot be written, the server refuses, or the data does not match the hash.
pub(super) fn download(
    session: &Session,
    api: &Api,
    snapin: &Row<Snapin>,
    path: &Path,
) -> Result<Exit, Failure> {
    let mut content = api.snapin_file(snapin.view.id)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Under its name only when it is whole and right.
    let mut partial = tempfile::NamedTempFile::new_in(folder)
        .map_err(|error| local("write to", folder, error))?;
    let bar = progress(session.output, content.len);
    let mut hasher = Context::new(&SHA512);
    let mut buffer = vec![0; 1 << 16];
    let mut len = 0;
    loop {
        let read = content.body.read(&mut buffer).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the download ended after {len} bytes"),
            )
            .caused_by(error)
        })?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        partial
            .write_all(&buffer[..read])
            .map_err(|error| local("write", path, error))?;
        len += read as u64;
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    let found = HEXLOWER.encode(hasher.finish().as_ref());
    if len != content.len || found != content.sha512 {
        let text = format!(
            "the downloaded data is not the file of snapin {} ({}): {len} bytes with SHA-512 {found}",
            snapin.view.name, snapin.view.id
        );
        return Err(Failure::new(Exit::Failed, text)
            .advise("try again; if this error persists, upload the file again"));
    }
    partial
        .as_file()
        .sync_all()
        .map_err(|error| local("write", path, error))?;
    partial
        .persist_noclobber(path)
        .map_err(|error| local("write", path, error.error))?;
    session
        .output
        .say(&format!("{len} bytes in {}", path.display()));
    session.output.show_value(
        &found,
        &serde_json::json!({ "file": path, "sha512": found, "size_bytes": len }),
    )?;
    Ok(Exit::Ok)
}

/// A progress bar for people; none when the output is read by a program.
fn progress(output: Output, len: u64) -> ProgressBar {
    if output.quiet || output.format != Format::Table {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
    );
    ProgressBar::new(len).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
