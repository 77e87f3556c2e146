//! `foghorn replication`: images on storage nodes, and how they get there.

use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::fog::{Image, StorageGroup, StorageNode};
use foghorn_rest_types::native::{
    ColdCopy, LimitRequest, Replica, ReplicaRequest, ReplicaState, ReplicationLimits,
    ReplicationList,
};
use foghorn_types::{BitRate, ByteCount};

use super::Session;
use super::object::dash;
use crate::api::{Api, ApiError};
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::human;
use crate::output::{Output, Table};

/// Agents send a report once a second.
const ROUND: Duration = Duration::from_secs(1);

#[derive(Subcommand, Debug)]
pub enum ReplicationCommand {
    /// Show every image on every storage node that holds it or is to hold it
    #[command(after_help = "Example:\n  foghorn replication status --image win11 --watch")]
    Status {
        /// Only this image
        #[arg(long)]
        image: Option<String>,
        /// Show it again with every change until nothing is left to copy
        #[arg(long)]
        watch: bool,
    },
    /// Stop copying an image to a storage node; what was copied stays there
    #[command(after_help = "Example:\n  foghorn replication stop win11 south")]
    Stop {
        image: String,
        node: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Copy an image that was stopped, or that waits after a failure
    #[command(after_help = "Example:\n  foghorn replication start win11 south")]
    Start {
        image: String,
        node: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Show or set how fast storage nodes copy images, by the time of the day
    #[command(
        after_help = "Examples:\n  foghorn replication limit\n  foghorn replication limit south '22:00-06:00 unlimited, else 50m'\n  foghorn replication limit south --none"
    )]
    Limit {
        /// Storage node; with --group, a storage group
        target: Option<String>,
        /// Times and rates in bits per second; the first that fits counts
        #[arg(conflicts_with = "none")]
        timetable: Option<String>,
        /// For each node of the storage group that has no timetable of its own
        #[arg(long, requires = "target")]
        group: bool,
        /// Remove the timetable
        #[arg(long, requires = "target")]
        none: bool,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: ReplicationCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        ReplicationCommand::Status { image, watch } => {
            let path = match image {
                Some(image) => {
                    let image = find::<Image>(&api, &image)?.view.id;
                    format!("/foghorn/v1/replication?image={image}")
                }
                None => "/foghorn/v1/replication".to_owned(),
            };
            status(&api, output, &path, watch)
        }
        ReplicationCommand::Stop {
            image,
            node,
            rehearsal,
        } => {
            let (request, api) = steer(&api, &image, &node, rehearsal, "stop copying")?;
            api.value("POST", "/foghorn/v1/replication/stop", Some(&request))?;
            output.say(&format!(
                "image {image} is not copied to {node} until `foghorn replication start {image} {node}`"
            ));
            Ok(Exit::Ok)
        }
        ReplicationCommand::Start {
            image,
            node,
            rehearsal,
        } => {
            let (request, api) = steer(&api, &image, &node, rehearsal, "copy")?;
            api.value("POST", "/foghorn/v1/replication/start", Some(&request))?;
            output.say(&format!("image {image} is copied to {node}"));
            Ok(Exit::Ok)
        }
        ReplicationCommand::Limit { target: None, .. } => limits(&api, output),
        ReplicationCommand::Limit {
            target: Some(target),
            timetable,
            group,
            none,
            rehearsal,
        } => {
            if timetable.is_none() && !none {
                return Err(Failure::usage("no timetable is given".to_owned())
                    .advise("write one, such as '22:00-06:00 unlimited, else 50m', or --none"));
            }
            set_limit(&api, output, &target, timetable, group, rehearsal)
        }
    }
}

fn steer(
    api: &Api,
    image: &str,
    node: &str,
    rehearsal: Rehearsal,
    what: &str,
) -> Result<(ReplicaRequest, Api), Failure> {
    let request = ReplicaRequest {
        image: find::<Image>(api, image)?.view.id,
        node: find::<StorageNode>(api, node)?.view.id,
    };
    rehearsal.tell(&format!("{what} image {image} to storage node {node}"));
    Ok((request, api.rehearsing(rehearsal.dry_run)?))
}

fn status(api: &Api, output: Output, path: &str, watch: bool) -> Result<Exit, Failure> {
    let mut before: Option<ReplicationList> = None;
    loop {
        let list: ReplicationList = match api.get(path) {
            Ok(list) => list,
            // A controller that restarts is back within seconds.
            Err(ApiError::Unreachable { .. } | ApiError::Server { .. }) if before.is_some() => {
                std::thread::sleep(ROUND);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if before.as_ref() != Some(&list) {
            output.show(&table(output, &list), &list)?;
        }
        let is_open = |replica: &Replica| replica.wanted && replica.state != ReplicaState::Ready;
        if !watch || !list.replicas.iter().any(is_open) {
            return Ok(Exit::Ok);
        }
        before = Some(list);
        std::thread::sleep(ROUND);
    }
}

fn table(output: Output, list: &ReplicationList) -> Table {
    let mut table = Table::new(&[
        "IMAGE", "NODE", "STATE", "VERIFIED", "FETCHED", "RATE", "FROM", "NOTE",
    ]);
    for replica in &list.replicas {
        let progress = replica.progress.as_ref();
        table.row([
            replica.image.name.clone(),
            replica.node.name.clone(),
            replica.state.as_str().to_owned(),
            dash(progress.map(|progress| {
                let total = progress
                    .total
                    .map_or("?".to_owned(), |total| total.to_string());
                format!("{}/{total}", progress.verified)
            })),
            dash(progress.map(|progress| progress.bytes)),
            dash(progress.map(|progress| human::rate(progress.rate))),
            dash(progress.and_then(|progress| progress.source.clone())),
            note(output, replica),
        ]);
    }
    table
}

/// Why it is not there, or how it is in the bucket of the node.
pub(super) fn note(output: Output, replica: &Replica) -> String {
    let mut note = replica.reason.clone();
    if let Some(retry) = &replica.retry {
        note = format!("{note}; tried again at {}", output.time(retry));
    }
    if !replica.wanted && replica.state == ReplicaState::Ready {
        "is not to hold it, and keeps it".clone_into(&mut note);
    }
    if let (true, Some(cold)) = (note.is_empty(), &replica.cold) {
        note = in_bucket(cold);
    }
    note
}

/// How a version of an image is in a bucket.
pub(super) fn in_bucket(cold: &ColdCopy) -> String {
    let total = cold.total.map_or("?".to_owned(), |total| total.to_string());
    match (&cold.problem, cold.complete, cold.away) {
        (Some(problem), ..) => format!("not whole in the bucket: {problem}"),
        (None, true, false) => "also in the bucket".to_owned(),
        (None, true, true) => "in the bucket, read from there as needed".to_owned(),
        (None, false, _) => format!("{}/{total} chunks in the bucket", cold.verified),
    }
}

fn limits(api: &Api, output: Output) -> Result<Exit, Failure> {
    let limits: ReplicationLimits = api.get("/foghorn/v1/replication/limits")?;
    let mut table = Table::new(&["OF", "TIMETABLE", "NOW"]);
    for limit in &limits.groups {
        let of = format!("group {}", limit.group.name);
        table.row([of, limit.timetable.clone(), "-".to_owned()]);
    }
    for limit in &limits.nodes {
        let now = limit
            .now
            .map(ByteCount::bytes)
            .map(BitRate::from_bytes_per_second);
        table.row([
            format!("node {}", limit.node.name),
            dash(limit.timetable.as_ref()),
            now.map_or("unlimited".to_owned(), |now| now.to_string()),
        ]);
    }
    output.show(&table, &limits)?;
    Ok(Exit::Ok)
}

fn set_limit(
    api: &Api,
    output: Output,
    target: &str,
    timetable: Option<String>,
    group: bool,
    rehearsal: Rehearsal,
) -> Result<Exit, Failure> {
    let mut request = LimitRequest {
        timetable,
        ..LimitRequest::default()
    };
    let what = if group {
        request.group = Some(find::<StorageGroup>(api, target)?.view.id);
        format!("storage group {target}")
    } else {
        request.node = Some(find::<StorageNode>(api, target)?.view.id);
        format!("storage node {target}")
    };
    rehearsal.tell(&format!("change the limit of {what}"));
    let api = api.rehearsing(rehearsal.dry_run)?;
    api.value("POST", "/foghorn/v1/replication/limits", Some(&request))?;
    output.say(&match request.timetable {
        Some(timetable) => format!("{what} copies images with this limit: {timetable}"),
        None => format!("{what} has no timetable any more"),
    });
    Ok(Exit::Ok)
}
