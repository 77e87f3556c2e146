//! `foghorn host`: the machines.

use clap::Subcommand;
use foghorn_rest_types::fog::{Group, Host, HostBody, Image, Row};
use foghorn_rest_types::native::{HostStatus, ImageStatus};
use foghorn_types::{DiskRules, MacAddress, ParseDiskRuleError};

use super::boot_token::{self, BootTokenArgs};
use super::host_csv::{ExportArgs, ImportArgs};
use super::host_token::{self, HostTokenArgs, HostTokensCommand};
use super::identity::{HostIdentity, choose};
use super::object::{change, dash, delete_all, fog_list, show_done, show_natives, show_row};
use super::{Session, host_csv, host_view};
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Native, Wanted};
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum HostCommand {
    /// List all hosts
    #[command(
        after_help = "Examples:\n  foghorn host list --group lab\n  foghorn host list --image win11 -o json"
    )]
    List {
        /// Only hosts in this group, by name or id
        #[arg(long, conflicts_with = "fog")]
        group: Option<String>,
        /// Only hosts with this image, by name or id
        #[arg(long, conflicts_with = "fog")]
        image: Option<String>,
        /// Show FOG's objects
        #[arg(long)]
        fog: bool,
    },
    /// Show one host
    #[command(after_help = "Example:\n  foghorn host show lab-pc01")]
    Show {
        host: String,
        /// Show FOG's object
        #[arg(long)]
        fog: bool,
    },
    /// Register a host
    #[command(
        after_help = "Example:\n  foghorn host create lab-pc01 --mac 00:1a:2b:3c:4d:01 --disk serial:S21NNSAG123456"
    )]
    Create {
        name: String,
        /// MAC address; may be given several times, the first one is primary
        #[arg(long, required = true, value_name = "MAC")]
        mac: Vec<MacAddress>,
        #[command(flatten)]
        settings: HostSettings,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change a host; options that are not given stay as they are
    #[command(
        after_help = "Example:\n  foghorn host edit lab-pc01 --image win11 --disk size:>=200G"
    )]
    Edit {
        host: String,
        #[arg(long)]
        name: Option<String>,
        /// All MAC addresses, the primary one first; they replace the current ones
        #[arg(long, value_name = "MAC")]
        mac: Vec<MacAddress>,
        /// Whether a deploy puts an identity of the machine on its disk, for foghorn-host
        #[arg(long, value_enum)]
        identity: Option<HostIdentity>,
        #[command(flatten)]
        settings: HostSettings,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Remove hosts from the server; their disks are not touched
    #[command(after_help = "Example:\n  foghorn host delete lab-pc01 lab-pc02 --yes")]
    Delete {
        #[arg(required = true)]
        hosts: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Register the hosts of a CSV file: our own format, or the host export of a FOG server
    #[command(
        after_help = "Examples:\n  foghorn host import hosts.csv --dry-run\n  foghorn host import fog-export.csv --create-groups --image-map 4=win11\n\nOur own format begins with the line name,macs,description,image,disk,groups; only name and macs are\nrequired, and several addresses or groups have | between them."
    )]
    Import(ImportArgs),
    /// Write all hosts as a CSV file that `host import` reads
    #[command(
        after_help = "Examples:\n  foghorn host export hosts.csv\n  foghorn host export --format fog > for-fog.csv"
    )]
    Export(ExportArgs),
    /// Print tokens with which the clients on hosts can check in once, for the hosts' active tasks,
    /// or a short code, or the commands with them
    #[command(
        after_help = "Examples:\n  foghorn-client run --controller URL --token \"$(foghorn host boot-token lab-pc01)\"\n  foghorn host boot-token --group lab --print-command --ttl 2h\n  foghorn host boot-token --group lab --code --print-command"
    )]
    BootToken(BootTokenArgs),
    /// Print a token with which machines enrol after imaging, for one host or for a factory
    #[command(
        after_help = "Examples:\n  foghorn-host enrol --server URL --token \"$(foghorn host token lab-pc01)\"\n  foghorn host token --factory north --count 30 --expires 7d"
    )]
    Token(HostTokenArgs),
    /// The tokens with which machines enrol after imaging
    #[command(subcommand, after_help = "Example:\n  foghorn host tokens list")]
    Tokens(HostTokensCommand),
}

#[derive(clap::Args, Debug)]
pub struct HostSettings {
    #[arg(long)]
    description: Option<String>,
    /// Image for this host, by name or id
    #[arg(long)]
    image: Option<String>,
    /// Rule that selects the disk: path:/dev/sda, serial:S, wwn:W, size:>=N,<=M, or only; for an image
    /// of several disks one rule each, with commas between them, or all
    #[arg(long, value_name = "RULE", value_parser = disk_rule)]
    disk: Option<String>,
}

/// The text of a rule, or nothing, which removes the rule.
fn disk_rule(text: &str) -> Result<String, ParseDiskRuleError> {
    if !text.is_empty() {
        text.parse::<DiskRules>()?;
    }
    Ok(text.to_owned())
}

impl HostSettings {
    fn body(self, session: &Session) -> Result<HostBody, Failure> {
        let image = match &self.image {
            Some(name) => Some(find::<Image>(&session.api()?, name)?.view.id),
            None => None,
        };
        Ok(HostBody {
            description: self.description,
            image,
            disk_rule: self.disk,
            ..HostBody::default()
        })
    }
}

/// # Errors
/// As the server answers.
pub fn run(command: HostCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        HostCommand::List { fog: true, .. } => return fog_list::<Host>(&api, output),
        HostCommand::List { group, image, .. } => {
            let group = group.map(|name| find::<Group>(&api, &name)).transpose()?;
            let image = image.map(|name| find::<Image>(&api, &name)).transpose()?;
            let wanted = Wanted::default()
                .only("group", group.map(|row| row.view.id))
                .only("image", image.map(|row| row.view.id));
            let hosts = native::list(&api, "hosts", &wanted)?;
            show_natives(output, &host_view::table(output, &hosts), &hosts)?;
        }
        HostCommand::Show { host, fog } => {
            let row = find::<Host>(&api, &host)?;
            if fog {
                show_row(output, &row)?;
            } else {
                let host = status_of(&api, &row)?;
                let sheet = host_view::sheet(output, &host.view);
                output.show_sheet(row.view.id.get(), &sheet, &host.raw)?;
            }
        }
        HostCommand::Create {
            name,
            mac,
            settings,
            rehearsal,
        } => {
            rehearsal.tell(&format!("create host {name}"));
            let body = HostBody {
                name: Some(name),
                macs: Some(mac),
                ..settings.body(session)?
            };
            let api = api.rehearsing(rehearsal.dry_run)?;
            report(&api, output, "created", &api.create::<Host>(&body)?)?;
        }
        HostCommand::Edit {
            host,
            name,
            mac,
            identity,
            settings,
            rehearsal,
        } => {
            let macs = (!mac.is_empty()).then_some(mac);
            let body = HostBody {
                name,
                macs,
                ..settings.body(session)?
            };
            if body == HostBody::default() && identity.is_none() {
                return Err(Failure::usage("no change was given")
                    .advise("`foghorn help host edit` lists the options"));
            }
            let row = find::<Host>(&api, &host)?;
            let row = edit(&api, rehearsal, row, &body, identity)?;
            report(&api, output, "changed", &row)?;
        }
        HostCommand::Delete { hosts, consent } => {
            return delete_all::<Host>(&api, output, &hosts, consent, |row| {
                let disk = dash(row.view.disk_rule.as_ref());
                Ok(format!(
                    "host {} (disk rule {disk}): its registration is lost, its disk is not touched",
                    row.view.name
                ))
            });
        }
        HostCommand::Import(args) => return host_csv::import(&args, session),
        HostCommand::Export(args) => return host_csv::export(&args, session),
        HostCommand::BootToken(args) => return boot_token::run(&args, session),
        HostCommand::Token(args) => host_token::make(&api, output, args)?,
        HostCommand::Tokens(command) => host_token::run(&api, output, command)?,
    }
    Ok(Exit::Ok)
}

/// The identity first: where it is refused, nothing has changed.
fn edit(
    api: &Api,
    rehearsal: Rehearsal,
    row: Row<Host>,
    body: &HostBody,
    identity: Option<HostIdentity>,
) -> Result<Row<Host>, Failure> {
    if let Some(identity) = identity {
        let whose = (row.view.id.get(), row.view.name.as_str());
        choose(api, rehearsal, "hosts", whose, identity.choice())?;
    }
    match *body == HostBody::default() {
        true => Ok(row),
        false => change(api, rehearsal, &row, body),
    }
}

/// The host in Foghorn's own words.
fn status_of(api: &Api, row: &Row<Host>) -> Result<Native<HostStatus>, Failure> {
    native::one(api, "hosts", row.view.id.get())
        .map_err(|error| native::gone("host", &row.view.name, error))
}

fn report(api: &Api, output: Output, done: &str, row: &Row<Host>) -> Result<(), Failure> {
    let host = status_of(api, row)?;
    let mut image = None;
    if let (true, Some(named)) = (output.is_for_people(), &host.view.image) {
        // Only for the advice: without it, the host was still created.
        image = native::one::<ImageStatus>(api, "images", named.id.get()).ok();
    }
    let next = host_view::next(&host.view, image.as_ref().map(|image| &image.view));
    let (id, name) = (row.view.id.get(), row.view.name.as_str());
    show_done::<Host>(output, done, (id, name), &next, &host.raw)
}
