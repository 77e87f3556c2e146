//! `foghorn host`: the machines.

use clap::Subcommand;
use foghorn_rest_types::fog::{Host, HostBody, Image};
use foghorn_rest_types::native::{BootTokenRequest, BootTokenResponse};
use foghorn_types::{DiskRules, MacAddress, ParseDiskRuleError};

use super::Session;
use super::object::{dash, delete_all, show_row, show_rows};
use crate::api::ApiError;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::number::within;

#[derive(Subcommand, Debug)]
pub enum HostCommand {
    /// List all hosts
    #[command(after_help = "Example:\n  foghorn host list -o json")]
    List,
    /// Show one host
    #[command(after_help = "Example:\n  foghorn host show lab-pc01")]
    Show { host: String },
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
        #[command(flatten)]
        settings: HostSettings,
    },
    /// Remove hosts from the server; their disks are not touched
    #[command(after_help = "Example:\n  foghorn host delete lab-pc01 lab-pc02 --yes")]
    Delete {
        #[arg(required = true)]
        hosts: Vec<String>,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// Print a token with which a client on this host can check in once, for the host's active task
    #[command(
        after_help = "Example:\n  foghorn-client run --controller URL --token \"$(foghorn host boot-token lab-pc01)\""
    )]
    BootToken {
        host: String,
        /// Seconds until the token expires (1 to 86400)
        #[arg(long, value_name = "SECONDS", value_parser = within(1..=86400))]
        ttl: Option<u32>,
    },
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
        HostCommand::List => {
            let headings = ["ID", "NAME", "MAC", "IMAGE", "DISK", "DEPLOYED"];
            show_rows(output, &api.list::<Host>()?, &headings, |host| {
                vec![
                    host.id.to_string(),
                    host.name.clone(),
                    dash(host.macs.first()),
                    dash(host.image_name.as_ref()),
                    dash(host.disk_rule.as_ref()),
                    dash(host.deployed.as_ref()),
                ]
            })?;
        }
        HostCommand::Show { host } => show_row(output, &find::<Host>(&api, &host)?)?,
        HostCommand::Create {
            name,
            mac,
            settings,
        } => {
            let body = HostBody {
                name: Some(name),
                macs: Some(mac),
                ..settings.body(session)?
            };
            show_row(output, &api.create::<Host>(&body)?)?;
        }
        HostCommand::Edit {
            host,
            name,
            mac,
            settings,
        } => {
            let macs = (!mac.is_empty()).then_some(mac);
            let body = HostBody {
                name,
                macs,
                ..settings.body(session)?
            };
            if body == HostBody::default() {
                return Err(Failure::usage("no change was given")
                    .advise("`foghorn help host edit` lists the options"));
            }
            let row = find::<Host>(&api, &host)?;
            show_row(output, &api.edit::<Host>(row.view.id.get(), &body)?)?;
        }
        HostCommand::Delete { hosts, yes } => {
            return delete_all::<Host>(&api, output, &hosts, yes, |row| {
                let disk = dash(row.view.disk_rule.as_ref());
                Ok(format!(
                    "host {} (disk rule {disk}): its registration is lost, its disk is not touched",
                    row.view.name
                ))
            });
        }
        HostCommand::BootToken { host, ttl } => {
            let row = find::<Host>(&api, &host)?;
            let path = format!("/foghorn/v1/hosts/{}/boot-token", row.view.id);
            let request = BootTokenRequest { ttl_seconds: ttl };
            let answer: BootTokenResponse =
                api.native("POST", &path, Some(&request))
                    .map_err(|error| {
                        match error {
                    conflict @ ApiError::Conflict(_) => Failure::from(conflict).advise(
                        "create a task first: `foghorn image capture` or `foghorn image deploy`",
                    ),
                    error => error.into(),
                }
                    })?;
            output.show_value(&answer.token, &answer)?;
        }
    }
    Ok(Exit::Ok)
}
