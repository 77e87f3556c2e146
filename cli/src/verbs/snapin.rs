//! `foghorn snapin`: programs that hosts run, which hosts have them, and running one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use foghorn_rest_types::fog::{
    FogObject as _, Group, Host, Row, Snapin, SnapinAssociation, SnapinAssociationBody, SnapinBody,
};
use foghorn_types::{ByteCount, HostId};
use serde_json::json;

use super::made::{count, made, no_change, or_dash, yes};
use super::object::{change, delete_all, show_rows};
use super::{Session, group, snapin_file};
use crate::api::{Api, ApiError};
use crate::confirm::{Consent, Rehearsal};
use crate::exit::{Exit, Failure, of_many};
use crate::find::find;
use crate::number;

#[derive(Subcommand, Debug)]
pub enum SnapinCommand {
    /// List all snapins
    #[command(after_help = "Example:\n  foghorn snapin list")]
    List,
    /// Show one snapin and the hosts that have it
    #[command(after_help = "Example:\n  foghorn snapin show 7zip")]
    Show { snapin: String },
    /// Create a snapin
    #[command(
        after_help = "Example:\n  foghorn snapin create 7zip --upload ./7z2409-x64.msi --run-with msiexec.exe --run-with-args /i --args /qn"
    )]
    Create {
        name: String,
        /// File that hosts run; it is uploaded
        #[arg(long, value_name = "FILE")]
        upload: Option<PathBuf>,
        #[command(flatten)]
        settings: SnapinSettings,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change a snapin; options that are not given stay as they are
    #[command(after_help = "Example:\n  foghorn snapin edit 7zip --args '/qn /norestart'")]
    Edit {
        snapin: String,
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        settings: SnapinSettings,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Delete snapins with their files
    #[command(after_help = "Example:\n  foghorn snapin delete 7zip --yes")]
    Delete {
        #[arg(required = true)]
        snapins: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Give hosts a snapin: they run it after every deploy
    #[command(after_help = "Example:\n  foghorn snapin assign 7zip --group lab --host lab-pc07")]
    Assign {
        snapin: String,
        #[command(flatten)]
        hosts: Hosts,
    },
    /// Take a snapin away from hosts; what it has installed there stays
    #[command(after_help = "Example:\n  foghorn snapin unassign 7zip --host lab-pc07")]
    Unassign {
        snapin: String,
        #[command(flatten)]
        hosts: Hosts,
    },
    /// Order hosts to run a snapin now, whether they have it or not
    #[command(after_help = "Example:\n  foghorn snapin run 7zip --group lab --wake")]
    Run {
        snapin: String,
        #[command(flatten)]
        hosts: Hosts,
        /// Wake the hosts first
        #[arg(long)]
        wake: bool,
    },
    /// Upload the file that the snapin runs
    #[command(after_help = "Example:\n  foghorn snapin upload 7zip ./7z2409-x64.msi")]
    Upload {
        snapin: String,
        file: PathBuf,
        /// Name under which hosts store it; default: the name of the file
        #[arg(long)]
        name: Option<String>,
    },
    /// Download the file of a snapin and compare it with its hash
    #[command(after_help = "Example:\n  foghorn snapin download 7zip ./7z2409-x64.msi")]
    Download {
        snapin: String,
        /// Path of the new file; it must not exist yet
        file: PathBuf,
    },
}

#[derive(clap::Args, Debug)]
pub struct SnapinSettings {
    #[arg(long)]
    description: Option<String>,
    /// Arguments after the file
    #[arg(long, allow_hyphen_values = true)]
    args: Option<String>,
    /// Program that runs the file, such as msiexec.exe; without one the file runs itself
    #[arg(long, value_name = "PROGRAM")]
    run_with: Option<String>,
    /// Arguments between that program and the file
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    run_with_args: Option<String>,
    /// Whether the host restarts afterwards
    #[arg(long, value_name = "true|false")]
    reboot: Option<bool>,
    /// Whether the host powers off afterwards
    #[arg(long, value_name = "true|false")]
    shutdown: Option<bool>,
    /// Seconds after which the host stops it; 0 for never
    #[arg(long, value_name = "SECONDS", value_parser = number::any)]
    timeout: Option<u32>,
    /// Whether it may be run
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
}

impl SnapinSettings {
    fn over(self, body: SnapinBody) -> SnapinBody {
        SnapinBody {
            description: self.description,
            args: self.args,
            run_with: self.run_with,
            run_with_args: self.run_with_args,
            reboot: self.reboot,
            shutdown: self.shutdown,
            timeout: self.timeout,
            enabled: self.enabled.or(body.enabled),
            ..body
        }
    }
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Hosts {
    /// Host; may be given several times
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// All hosts of a group; may be given several times
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
}

impl Hosts {
    /// Each host once; all names are looked up before anything is changed.
    fn find(&self, api: &Api) -> Result<Vec<Row<Host>>, Failure> {
        let mut hosts = BTreeMap::new();
        for name in &self.host {
            let row = find::<Host>(api, name)?;
            hosts.insert(row.view.id, row);
        }
        for name in &self.group {
            let group = find::<Group>(api, name)?;
            let members = group::members(api, group.view.id)?;
            if members.is_empty() {
                let what = format!("group {} has no hosts", group.view.name);
                let todo = format!("`foghorn group edit {} --add-host HOST`", group.view.name);
                return Err(Failure::new(Exit::NotFound, what).advise(todo));
            }
            hosts.extend(members.into_iter().map(|row| (row.view.id, row)));
        }
        Ok(hosts.into_values().collect())
    }
}

/// # Errors
/// When a file cannot be read or written, or as the server answers.
pub fn run(command: SnapinCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let one = |name: &str| find::<Snapin>(&api, name);
    match command {
        SnapinCommand::List => list(&api, session)?,
        SnapinCommand::Show { snapin } => show(&api, session, one(&snapin)?)?,
        SnapinCommand::Create {
            name,
            upload,
            settings,
            rehearsal,
        } => {
            rehearsal.tell(&format!("create snapin {name}"));
            if let Some(path) = &upload {
                rehearsal.tell(&format!("upload {}", path.display()));
            }
            let api = api.rehearsing(rehearsal.dry_run)?;
            return create(&api, session, name, upload, settings);
        }
        SnapinCommand::Edit {
            snapin,
            name,
            settings,
            rehearsal,
        } => {
            let body = settings.over(SnapinBody {
                name,
                ..SnapinBody::default()
            });
            if body == SnapinBody::default() {
                return Err(no_change("snapin edit"));
            }
            let row = change(&api, rehearsal, &one(&snapin)?, &body)?;
            let said = format!("changed snapin {} ({})", row.view.name, row.view.id);
            made(output, row.view.number(), &row.raw, &said)?;
        }
        SnapinCommand::Delete { snapins, consent } => {
            return delete_all::<Snapin>(&api, output, &snapins, consent, |row| {
                let hosts = hosts_with(&api, row)?.len();
                Ok(format!(
                    "snapin {}: its file and its assignment to {} are lost",
                    row.view.name,
                    count(hosts, "host")
                ))
            });
        }
        SnapinCommand::Assign { snapin, hosts } => {
            let (snapin, hosts) = (one(&snapin)?, hosts.find(&api)?);
            return each(session, &hosts, |host| assign(&api, &snapin, host));
        }
        SnapinCommand::Unassign { snapin, hosts } => {
            let (snapin, hosts) = (one(&snapin)?, hosts.find(&api)?);
            let having = hosts_with(&api, &snapin)?;
            return each(session, &hosts, |host| {
                unassign(&api, &snapin, &having, host)
            });
        }
        SnapinCommand::Run {
            snapin,
            hosts,
            wake,
        } => {
            let (snapin, hosts) = (one(&snapin)?, hosts.find(&api)?);
            return order(&api, session, &snapin, &hosts, wake);
        }
        SnapinCommand::Upload { snapin, file, name } => {
            return snapin_file::upload(session, &api, &one(&snapin)?, &file, name);
        }
        SnapinCommand::Download { snapin, file } => {
            return snapin_file::download(session, &api, &one(&snapin)?, &file);
        }
    }
    Ok(Exit::Ok)
}

fn list(api: &Api, session: &Session) -> Result<(), Failure> {
    let headings = ["ID", "NAME", "FILE", "SIZE", "RUN WITH", "ENABLED"];
    show_rows(
        session.output,
        &api.list::<Snapin>()?,
        &headings,
        |snapin| {
            vec![
                snapin.id.to_string(),
                snapin.name.clone(),
                or_dash(&snapin.file),
                size(snapin),
                or_dash(&snapin.run_with),
                yes(snapin.enabled),
            ]
        },
    )
}

fn size(snapin: &Snapin) -> String {
    if snapin.hash.is_empty() {
        "not uploaded".to_owned()
    } else {
        ByteCount::from_bytes(snapin.size).to_string()
    }
}

fn show(api: &Api, session: &Session, mut row: Row<Snapin>) -> Result<(), Failure> {
    if session.output.is_for_people() {
        let having = hosts_with(api, &row)?;
        let mut names = Vec::with_capacity(having.len());
        for id in having.keys() {
            // A host that was deleted in the meantime has nothing any more.
            names.extend(api.one::<Host>(id.get())?.map(|host| host.view.name));
        }
        let stored = size(&row.view);
        if let Some(fields) = row.raw.as_object_mut() {
            fields.insert("hosts".into(), json!(names));
            fields.insert("size".into(), json!(stored));
        }
    }
    let id = row.view.id.to_string();
    session.output.show_object(&id, &row.raw)
}

fn create(
    api: &Api,
    session: &Session,
    name: String,
    upload: Option<PathBuf>,
    settings: SnapinSettings,
) -> Result<Exit, Failure> {
    // What cannot be read is known before there is a snapin without a file.
    if let Some(path) = &upload {
        std::fs::File::open(path).map_err(|error| snapin_file::local("read", path, error))?;
    }
    let file = upload.as_ref().and_then(|path| path.file_name());
    let body = settings.over(SnapinBody {
        file: Some(file.map_or_else(|| name.clone(), |file| file.to_string_lossy().into_owned())),
        name: Some(name),
        enabled: Some(true),
        ..SnapinBody::default()
    });
    let row = api.create::<Snapin>(&body)?;
    let name = row.view.name.clone();
    let mut said = format!("created snapin {name} ({})", row.view.id);
    match &upload {
        Some(path) => {
            let stored = snapin_file::send(api, session.output, &row, path, None);
            let stored = stored.map_err(|failure| {
                failure.advise(format!(
                    "the snapin exists now: try its file again with `foghorn snapin upload {name} FILE`"
                ))
            })?;
            said = format!("{said}; {}", snapin_file::described(&stored));
        }
        None => said = format!("{said}; upload its file: foghorn snapin upload {name} FILE"),
    }
    made(session.output, row.view.number(), &row.raw, &said)?;
    Ok(Exit::Ok)
}

/// The assignments of a snapin, by host.
fn hosts_with(
    api: &Api,
    snapin: &Row<Snapin>,
) -> Result<BTreeMap<HostId, Row<SnapinAssociation>>, Failure> {
    let filter = json!({ "snapinID": snapin.view.id });
    let rows = api.list_at::<SnapinAssociation>("/fog/snapinassociation", Some(filter))?;
    Ok(rows
        .into_iter()
        .filter(|row| row.view.snapin == snapin.view.id)
        .map(|row| (row.view.host, row))
        .collect())
}

/// Does one thing for each host and says how it went; some may fail.
fn each(
    session: &Session,
    hosts: &[Row<Host>],
    what: impl Fn(&Row<Host>) -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    let mut failures = Vec::new();
    for host in hosts {
        match what(host) {
            Ok(said) => session.output.say(&said),
            Err(failure) => failures.push((&host.view.name, failure)),
        }
    }
    if failures.len() == 1 && hosts.len() == 1 {
        return Err(failures.remove(0).1);
    }
    for (name, failure) in &failures {
        eprintln!("error: host {name}: {failure}");
    }
    Ok(of_many(hosts.len() - failures.len(), failures.len()))
}

fn assign(api: &Api, snapin: &Row<Snapin>, host: &Row<Host>) -> Result<String, Failure> {
    let body = SnapinAssociationBody {
        host: host.view.id,
        snapin: snapin.view.id,
    };
    let (name, host) = (&snapin.view.name, &host.view.name);
    match api.create::<SnapinAssociation>(&body) {
        Ok(_) => Ok(format!("host {host} has snapin {name}")),
        // Somebody was faster, or it was so before.
        Err(ApiError::Conflict(_)) => Ok(format!("host {host} has snapin {name} already")),
        Err(error) => Err(error.into()),
    }
}

fn unassign(
    api: &Api,
    snapin: &Row<Snapin>,
    having: &BTreeMap<HostId, Row<SnapinAssociation>>,
    host: &Row<Host>,
) -> Result<String, Failure> {
    let name = &snapin.view.name;
    let Some(row) = having.get(&host.view.id) else {
        return Ok(format!(
            "host {} does not have snapin {name}",
            host.view.name
        ));
    };
    match api.delete::<SnapinAssociation>(row.view.number()) {
        Ok(()) | Err(ApiError::NotFound(_)) => Ok(format!(
            "host {} does not have snapin {name} any more",
            host.view.name
        )),
        Err(error) => Err(error.into()),
    }
}

/// FOG's task type for running one snapin.
const SINGLE_SNAPIN: u32 = 13;

fn order(
    api: &Api,
    session: &Session,
    snapin: &Row<Snapin>,
    hosts: &[Row<Host>],
    wake: bool,
) -> Result<Exit, Failure> {
    if snapin.view.hash.is_empty() {
        let name = &snapin.view.name;
        let what = format!("snapin {name} ({}) has no file", snapin.view.id);
        let todo = format!("upload it first: `foghorn snapin upload {name} FILE`");
        return Err(Failure::new(Exit::Refused, what).advise(todo));
    }
    let body = json!({
        "taskTypeID": SINGLE_SNAPIN,
        "deploySnapins": snapin.view.id,
        "taskName": format!("snapin {}", snapin.view.name),
        "wol": wake,
    });
    let exit = each(session, hosts, |host| {
        let path = format!("/fog/host/{}/task", host.view.id);
        api.text("POST", &path, Some(&body))?;
        Ok(format!(
            "host {} runs snapin {} when its client asks",
            host.view.name, snapin.view.name
        ))
    })?;
    session
        .output
        .say("`foghorn task list --active` shows what is not done yet");
    Ok(exit)
}
