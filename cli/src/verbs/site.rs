//! `foghorn site`: storage groups as sites: their subnets, and who serves their hosts.

use clap::Subcommand;
use foghorn_rest_types::fog::{Group, StorageGroup};
use foghorn_rest_types::native::{SiteEdit, SiteStatus};
use foghorn_types::Subnet;

use super::Session;
use super::object::show_natives;
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Native, Wanted};
use crate::output::Table;
use crate::sheet::Sheet;

#[derive(Subcommand, Debug)]
pub enum SiteCommand {
    /// List the sites with their subnets and fallbacks
    #[command(after_help = "Example:\n  foghorn site list")]
    List,
    /// Show one site
    #[command(after_help = "Example:\n  foghorn site show north")]
    Show { site: String },
    /// Change a site; options that are not given stay as they are
    #[command(
        after_help = "Examples:\n  foghorn site edit north --subnet 10.1.0.0/16 --subnet fd00:1::/32 --fallback default\n  foghorn site edit north --no-fallback"
    )]
    Edit {
        /// The storage group, by name or id
        site: String,
        /// Machines that check in from here belong to the site; replaces its subnets
        #[arg(long, value_name = "CIDR")]
        subnet: Vec<Subnet>,
        /// Remove all subnets
        #[arg(long, conflicts_with = "subnet")]
        no_subnet: bool,
        /// Hosts of this group belong to the site, by name or id; replaces its groups
        #[arg(long, value_name = "GROUP")]
        host_group: Vec<String>,
        /// Remove all groups of hosts
        #[arg(long, conflicts_with = "host_group")]
        no_host_group: bool,
        /// Storage group that serves the hosts of the site when it cannot, the first one first;
        /// replaces its fallbacks
        #[arg(long, value_name = "STORAGE-GROUP")]
        fallback: Vec<String>,
        /// Remove all fallbacks: then the storage group of the image serves
        #[arg(long, conflicts_with = "fallback")]
        no_fallback: bool,
        /// Time zone in which schedules of its hosts are meant, such as Europe/Berlin
        #[arg(long, value_name = "ZONE")]
        time_zone: Option<String>,
        /// Its schedules are meant in the time zone of the installation (FOG_TZ_INFO)
        #[arg(long, conflicts_with = "time_zone")]
        no_time_zone: bool,
        /// Storage nodes of the site that one machine may fetch an image from at a time; 1: only the
        /// one that has its task
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=8))]
        sources_per_client: Option<u8>,
        /// As many as the configuration of the controller says
        #[arg(long, conflicts_with = "sources_per_client")]
        no_sources_per_client: bool,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: SiteCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        SiteCommand::List => {
            let sites: Vec<Native<SiteStatus>> = native::list(&api, "sites", &Wanted::default())?;
            show_natives(output, &table(&sites), &sites)?;
        }
        SiteCommand::Show { site } => {
            let row = find::<StorageGroup>(&api, &site)?;
            let site: Native<SiteStatus> = native::one(&api, "sites", row.view.id.get())
                .map_err(|error| native::gone("site", &row.view.name, error))?;
            output.show_sheet(row.view.id.get(), &sheet(&site.view), &site.raw)?;
        }
        SiteCommand::Edit {
            site,
            subnet,
            no_subnet,
            host_group,
            no_host_group,
            fallback,
            no_fallback,
            time_zone,
            no_time_zone,
            sources_per_client,
            no_sources_per_client,
            rehearsal,
        } => {
            let row = find::<StorageGroup>(&api, &site)?;
            let groups = host_group.iter().map(|name| find::<Group>(&api, name));
            let groups = groups.collect::<Result<Vec<_>, _>>()?;
            let others = fallback.iter().map(|name| find::<StorageGroup>(&api, name));
            let others = others.collect::<Result<Vec<_>, _>>()?;
            let edit = SiteEdit {
                subnets: given(subnet, no_subnet),
                host_groups: given(
                    groups.iter().map(|row| row.view.id).collect(),
                    no_host_group,
                ),
                fallbacks: given(others.iter().map(|row| row.view.id).collect(), no_fallback),
                time_zone: time_zone.or_else(|| no_time_zone.then(String::new)),
                sources_per_client: sources_per_client.or(no_sources_per_client.then_some(0)),
            };
            if edit == SiteEdit::default() {
                return Err(super::made::no_change("site edit"));
            }
            rehearsal.tell(&format!("change site {}", row.view.name));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let path = format!("/foghorn/v1/sites/{}", row.view.id);
            let raw: serde_json::Value = api.native("PUT", &path, Some(&edit))?;
            let said = format!("changed site {}", row.view.name);
            super::made::made(output, row.view.id.get(), &raw, &said)?;
        }
    }
    Ok(Exit::Ok)
}

fn given<T>(values: Vec<T>, none: bool) -> Option<Vec<T>> {
    (none || !values.is_empty()).then_some(values)
}

fn words<T: ToString>(values: &[T]) -> String {
    let words: Vec<String> = values.iter().map(ToString::to_string).collect();
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(", ")
    }
}

fn nodes(site: &SiteStatus) -> String {
    format!("{} of {} online", site.nodes_online, site.nodes.len())
}

fn table(sites: &[Native<SiteStatus>]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "SUBNETS", "GROUPS", "FALLBACKS", "NODES"]);
    for site in sites.iter().map(|site| &site.view) {
        let fallbacks: Vec<&str> = site.fallbacks.iter().map(|it| it.name.as_str()).collect();
        let groups: Vec<&str> = site.host_groups.iter().map(|it| it.name.as_str()).collect();
        table.row([
            site.id.to_string(),
            site.name.clone(),
            words(&site.subnets),
            words(&groups),
            words(&fallbacks),
            nodes(site),
        ]);
    }
    table
}

fn sheet(site: &SiteStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("site {}", site.name));
    let fallbacks: Vec<&str> = site.fallbacks.iter().map(|it| it.name.as_str()).collect();
    let groups: Vec<&str> = site.host_groups.iter().map(|it| it.name.as_str()).collect();
    sheet.field("subnets", words(&site.subnets));
    sheet.field("host groups", words(&groups));
    let fallbacks = match fallbacks[..] {
        [] => "none: the storage group of the image serves when the site cannot".to_owned(),
        _ => words(&fallbacks),
    };
    sheet.field("fallbacks", fallbacks);
    let zone = site.time_zone.as_deref();
    sheet.field("time zone", zone.unwrap_or("that of the installation"));
    let most = match site.sources_per_client {
        None => "as many storage nodes at a time as the controller is configured for".to_owned(),
        Some(1) => "one storage node".to_owned(),
        Some(most) => format!("up to {most} storage nodes at a time"),
    };
    sheet.field("each machine", format!("fetches from {most}"));
    sheet.field(
        "storage nodes",
        format!("{} ({})", words(&site.nodes), nodes(site)),
    );
    sheet
}
