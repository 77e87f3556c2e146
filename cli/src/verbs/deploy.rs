//! `foghorn image deploy`: writes an image to the disks of hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_rest_types::fog::{Group, Host, Image, Row};
use foghorn_rest_types::tasks::{TaskKind, TaskRequest};
use foghorn_types::{BitRate, TaskId, Timestamp};

use super::order::{self, Ordered, by_host, order, table, tell_left_out, with_left_out};
use super::start::{StartArgs, as_arguments};
use super::wait::{parse_duration, status_of, wait_for};
use super::{Session, group, image};
use crate::api::Api;
use crate::confirm::{Consent, NOTHING_CHANGED, confirm};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::human;
use crate::number::{rate_limit, within};
use crate::output::Output;

#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("target").required(true).multiple(true).args(["host", "group"])))]
pub struct DeployArgs {
    /// Image, by name or id
    pub image: String,
    /// Host, by name or id; may be given several times
    #[arg(long)]
    pub host: Vec<String>,
    /// All hosts of this group; may be given several times
    #[arg(long)]
    pub group: Vec<String>,
    /// Version of the image, as `foghorn image versions` lists it; default: what the image is when
    /// each machine comes
    #[arg(long, value_name = "NUMBER", value_parser = within(1..=u32::MAX))]
    pub version: Option<u32>,
    #[command(flatten)]
    pub multicast: MulticastArgs,
    #[command(flatten)]
    pub start: StartArgs,
    /// Wait until all are done and show progress
    #[arg(long)]
    pub wait: bool,
    /// Stop waiting after this time, such as 90s, 30m, 2h
    #[arg(long, value_parser = parse_duration, requires = "wait")]
    pub timeout: Option<Duration>,
    /// Create no task when one of the hosts cannot have one, for instance because it is busy;
    /// otherwise the others get theirs, and the exit code is 3
    #[arg(long)]
    pub all_or_nothing: bool,
    #[command(flatten)]
    pub consent: Consent,
}

/// # Errors
/// As the server answers; [`Exit::Refused`] when the loss of data was not confirmed.
pub fn run(args: DeployArgs, session: &Session) -> Result<Exit, Failure> {
    args.start.check()?;
    let (api, output) = (session.api()?, session.output);
    let image = find::<Image>(&api, &args.image)?;
    if image::content_of(&api, &image)?.content.is_none() {
        return Err(Failure::new(
            Exit::Refused,
            format!("image {} has no content", image.view.name),
        )
        .advise(format!(
            "capture it first: foghorn image capture {} --host HOST",
            image.view.name
        )));
    }
    let hosts = targets(&api, &args.host, &args.group)?;
    let request = TaskRequest {
        version: args.version,
        all_or_nothing: args.all_or_nothing,
        ..request(&image, &hosts, &args.multicast)
    };
    if args.consent.is_dry_run() {
        return rehearse(&api, output, &request, &hosts, &image);
    }
    let losses: Vec<String> = hosts
        .iter()
        .map(|host| loss(&host.view, image.view.only()))
        .collect();
    let number = human::count(hosts.len(), "host");
    let question = format!("Deploy {} to {number}?", image.view.name);
    confirm(args.consent, &losses, &question)?;

    let created = order(&api, &request)?;
    tell_left_out(&created);
    for session in &created.sessions {
        output.say(&format!(
            "multicast session {session}: follow it with `foghorn session watch {session}`"
        ));
    }
    let ordered = by_host(&created, &hosts);
    let tasks: Vec<TaskId> = ordered.iter().map(|ordered| ordered.task).collect();
    let named = as_arguments(&args.host, &args.group);
    let with_task = |host: &Row<Host>| created.tasks.iter().any(|made| made.host == host.view.id);
    let mut hosts = hosts;
    hosts.retain(with_task);
    let started = args.start.start(&api, output, &hosts, &named)?;
    if args.wait {
        for Ordered { task, host } in &ordered {
            output.say(&format!(
                "task {task}: deploy of image {} to host {host}",
                image.view.name
            ));
        }
        let exit = wait_for(&api, output, &tasks, args.timeout)?;
        return Ok(with_left_out(&created, exit));
    }
    if let Some(exit) = started {
        return Ok(with_left_out(&created, exit));
    }
    output.show(&table(&ordered, &image), &status_of(&api, &tasks)?)?;
    Ok(with_left_out(&created, Exit::Ok))
}

/// Says what would be done, as the server sees it.
fn rehearse(
    api: &Api,
    output: Output,
    request: &TaskRequest,
    hosts: &[Row<Host>],
    image: &Row<Image>,
) -> Result<Exit, Failure> {
    let created = order(&api.rehearsing(true)?, request)?;
    for planned in &created.planned {
        if let Some(host) = hosts.iter().find(|host| host.view.id == planned.host) {
            eprintln!("{}", loss(&host.view, image.view.only()));
        }
    }
    tell_left_out(&created);
    output.say(NOTHING_CHANGED);
    Ok(with_left_out(&created, Exit::Ok))
}

/// Options of a multicast deploy.
#[derive(clap::Args, Debug)]
pub struct MulticastArgs {
    /// Send the image once, by multicast, to all hosts
    #[arg(long)]
    pub multicast: bool,
    /// Start when this number of hosts have checked in, instead of all
    #[arg(long, requires = "multicast", conflicts_with = "start_at", value_parser = within(1..=u32::MAX))]
    pub start_receivers: Option<u32>,
    /// Start at this time with the hosts that have checked in, such as 2026-01-31T20:00:00Z
    #[arg(long, requires = "multicast", conflicts_with = "max_wait")]
    pub start_at: Option<Timestamp>,
    /// Start at the latest this long after the first host has checked in, such as 5m
    #[arg(long, requires = "multicast", value_parser = parse_duration)]
    pub max_wait: Option<Duration>,
    /// Maximum rate in bits per second on the wire, such as 500m or 1g, also for hosts that receive by
    /// unicast; 0 for no limit
    #[arg(long, requires = "multicast", value_parser = rate_limit)]
    pub max_rate: Option<BitRate>,
}

/// The hosts are listed one by one also for a group, because these are the hosts that the user has
/// confirmed.
fn request(image: &Row<Image>, hosts: &[Row<Host>], args: &MulticastArgs) -> TaskRequest {
    TaskRequest {
        hosts: Some(hosts.iter().map(|host| host.view.id).collect()),
        multicast: args.multicast,
        // As on a FOG server, a multicast deploy includes the snapins.
        snapins: args.multicast,
        start_receivers: args.start_receivers,
        start_at: args.start_at.map(|at| at.to_string()),
        max_wait_seconds: args
            .max_wait
            .map(|wait| u32::try_from(wait.as_secs()).unwrap_or(u32::MAX)),
        max_rate_bytes_per_second: args.max_rate.map(BitRate::bytes_per_second),
        ..order::request(TaskKind::Deploy, image)
    }
}

/// Every host given directly or by a group, once, in the order of names.
///
/// # Errors
/// When there is no such host or group, or nothing in the group.
pub fn targets(api: &Api, named: &[String], groups: &[String]) -> Result<Vec<Row<Host>>, Failure> {
    let mut hosts = BTreeMap::new();
    for name in named {
        let row = find::<Host>(api, name)?;
        hosts.insert(row.view.id, row);
    }
    for name in groups {
        let found = find::<Group>(api, name)?;
        let members = group::members(api, found.view.id)?;
        if members.is_empty() {
            return Err(Failure::new(
                Exit::NotFound,
                format!("group {} has no hosts", found.view.name),
            )
            .advise(format!(
                "foghorn group edit {} --add-host HOST",
                found.view.name
            )));
        }
        hosts.extend(members.into_iter().map(|row| (row.view.id, row)));
    }
    // People look for a machine in the list of what is lost by its name.
    let mut hosts: Vec<Row<Host>> = hosts.into_values().collect();
    hosts.sort_by_cached_key(|host| host.view.name.to_lowercase());
    Ok(hosts)
}

/// What the user must know about this host before confirming. `only` is the part of the disk that
/// the image is about, `None` for all of it.
fn loss(host: &Host, only: Option<&str>) -> String {
    let mac = host
        .macs
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let disk = match &host.disk_rule {
        Some(rule) if rule == "only" => "its only disk".to_owned(),
        Some(rule) => format!("the disk selected by {rule}"),
        None => "the disk that is given to its client (the host has no disk rule)".to_owned(),
    };
    let lost = match only {
        None => format!("everything on {disk} is replaced"),
        Some(part) => format!("\"{part}\" of {disk} is replaced, the rest of it stays"),
    };
    format!("host {} ({mac}): {lost}", host.name)
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::fog::read_one;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_loss_names_host_address_and_disk() {
        let host = |rule: &str| {
            let body = json!({"id": "1", "name": "pc1", "macs": ["aa:bb:cc:00:00:01"],
                "kernelDevice": rule});
            loss(&read_one::<Host>(body).unwrap().view, None)
        };
        assert_eq!(
            host("serial:S1"),
            "host pc1 (aa:bb:cc:00:00:01): everything on the disk selected by serial:S1 is replaced"
        );
        assert!(host("only").ends_with(": everything on its only disk is replaced"));
        assert!(host("").contains("no disk rule"));
    }
}
