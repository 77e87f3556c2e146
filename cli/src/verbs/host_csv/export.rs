//! `foghorn host export`.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use foghorn_rest_types::fog::{Group, GroupAssociation, Host, Row};
use foghorn_types::{GroupId, HostId};
use serde_json::Value;

use super::layout::{Column, Dialect, FOG, OWN};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::print;
use crate::verbs::Session;

#[derive(clap::Args, Debug)]
pub struct ExportArgs {
    /// File to write; it must not exist yet. Default: standard output
    file: Option<PathBuf>,
    /// Format of the file
    #[arg(long, value_enum, default_value = "foghorn")]
    format: Dialect,
}

/// # Errors
/// As the server answers, or when the file cannot be written.
pub(in crate::verbs) fn export(args: &ExportArgs, session: &Session) -> Result<Exit, Failure> {
    let api = session.api()?;
    let mut hosts = api.list::<Host>()?;
    hosts.sort_by_key(|row| row.view.id);
    let names: HashMap<GroupId, String> = api
        .list::<Group>()?
        .into_iter()
        .map(|row| (row.view.id, row.view.name))
        .collect();
    let mut groups: BTreeMap<HostId, Vec<String>> = BTreeMap::new();
    for row in api.list::<GroupAssociation>()? {
        if let Some(name) = names.get(&row.view.group) {
            groups.entry(row.view.host).or_default().push(name.clone());
        }
    }
    let text = written(&hosts, &groups, args.format)?;
    match &args.file {
        None => print(&text)?,
        Some(path) if path.as_os_str() == "-" => print(&text)?,
        Some(path) => {
            store(path, &text)?;
            let (hosts, path) = (human::count(hosts.len(), "host"), path.display());
            session.output.say(&format!("{hosts} in {path}"));
        }
    }
    Ok(Exit::Ok)
}

/// The file as text. The headings are the first line in both formats.
fn written(
    hosts: &[Row<Host>],
    groups: &BTreeMap<HostId, Vec<String>>,
    format: Dialect,
) -> Result<String, Failure> {
    let broken = |error: csv::Error| {
        Failure::new(Exit::Failed, "could not write the hosts as CSV").caused_by(error)
    };
    let columns: Vec<(&str, Column)> = match format {
        Dialect::Foghorn => OWN.to_vec(),
        // What means nothing outside its server is not written.
        Dialect::Fog => FOG
            .into_iter()
            .filter(|(_, column)| *column != Column::Ignored)
            .collect(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let headings = columns.iter().map(|(name, _)| *name);
    writer.write_record(headings).map_err(broken)?;
    for row in hosts {
        let own = groups
            .get(&row.view.id)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let cells = columns.iter().map(|(_, column)| cell(row, own, *column));
        writer.write_record(cells).map_err(broken)?;
    }
    let bytes = writer.into_inner().map_err(|error| {
        Failure::new(Exit::Failed, "could not write the hosts as CSV").caused_by(error.to_string())
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cell(row: &Row<Host>, groups: &[String], column: Column) -> String {
    let host = &row.view;
    match column {
        Column::Name => host.name.clone(),
        Column::Macs => {
            let macs: Vec<String> = host.macs.iter().map(ToString::to_string).collect();
            macs.join("|")
        }
        Column::Description => host.description.clone(),
        Column::Image => host.image_name.clone().unwrap_or_default(),
        Column::ImageNumber => host
            .image
            .map(|image| image.to_string())
            .unwrap_or_default(),
        Column::Disk => host.disk_rule.clone().unwrap_or_default(),
        Column::Groups => groups.join("|"),
        Column::Associations if groups.is_empty() => String::new(),
        Column::Associations => format!("groups:{}", groups.join("|")),
        Column::More(name) => match row.raw.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        },
        Column::Ignored => String::new(),
    }
}

fn store(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| {
        Failure::new(Exit::Failed, format!("could not write {}", path.display())).caused_by(error)
    };
    let file = std::fs::File::create_new(path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => failed(error)
            .advise("remove it, give another name, or write over it: foghorn host export > FILE"),
        _ => failed(error),
    })?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)
}
