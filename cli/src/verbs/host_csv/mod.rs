//! `foghorn host import` and `foghorn host export`: hosts as a CSV file.

mod address;
mod apply;
mod export;
mod layout;
mod plan;
mod read;
mod report;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use foghorn_rest_types::fog::{Group, GroupAssociation, GroupBody, Host, Image};
use indicatif::{ProgressBar, ProgressStyle};

pub(super) use export::{ExportArgs, export};

use self::plan::{Fleet, ImageRule, Work};
use self::read::{BadLine, HostFile, HostLine};
use self::report::{Report, named};
use super::Session;
use crate::api::{Api, ApiError};
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::human;
use crate::output::{Output, is_decorated};

#[derive(clap::Args, Debug)]
pub struct ImportArgs {
    /// CSV file: our own format or the host export of a FOG server; `-` for standard input
    file: PathBuf,
    /// Change hosts that exist and are different; otherwise they stay as they are
    #[arg(long)]
    update: bool,
    /// Store the other lines when some are wrong; otherwise nothing is stored
    #[arg(long)]
    skip_bad: bool,
    /// Create groups that the file names and that do not exist
    #[arg(long)]
    create_groups: bool,
    /// Image of every host, by name or id, whatever the file says
    #[arg(long, conflicts_with_all = ["image_map", "keep_image_ids"])]
    image: Option<String>,
    /// What a number in the column imageID of a FOG export stands for, such as 4=win11; may be given
    /// several times
    #[arg(long, value_name = "NUMBER=IMAGE")]
    image_map: Vec<String>,
    /// The numbers in the column imageID are those of this server
    #[arg(long)]
    keep_image_ids: bool,
    #[command(flatten)]
    rehearsal: Rehearsal,
}

/// # Errors
/// As the server answers; [`Exit::Usage`] when lines are wrong and nothing was stored.
pub(super) fn import(args: &ImportArgs, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let HostFile {
        layout,
        hosts,
        mut bad,
    } = read::read(&bytes(&args.file)?)?;
    let rule = image_rule(&api, args)?;
    let mut fleet = fleet(&api)?;
    let rehearsing = api.rehearsing(args.rehearsal.dry_run)?;
    bad.extend(plan::plan(&fleet, &hosts, &rule, args.create_groups).bad);
    bad.sort_by_key(|bad| bad.line);
    tracing::debug!(?layout.dialect, hosts = hosts.len(), bad = bad.len(), "read");
    if !bad.is_empty() && !args.skip_bad {
        return refuse(output, bad, args.rehearsal.dry_run);
    }
    if args.create_groups {
        create_groups(&rehearsing, output, &mut fleet, &hosts)?;
    }
    let plan = plan::plan(&fleet, &hosts, &rule, args.create_groups);
    let mut report = Report {
        dry_run: args.rehearsal.dry_run,
        equal: plan.equal,
        refused: bad,
        without_image: plan.without_image,
        ..Report::default()
    };
    let (jobs, left): (Vec<_>, Vec<_>) = plan
        .jobs
        .into_iter()
        .partition(|job| args.update || matches!(job.work, Work::Create { .. }));
    report.different = left.iter().map(named).collect();
    let bar = progress(output, jobs.len());
    let done = apply::carry_out(&rehearsing, &jobs, &bar);
    bar.finish_and_clear();
    for (job, done) in jobs.iter().zip(done) {
        report.add(job, done);
    }
    report.finish(output)
}

/// Nothing is stored because of these lines.
fn refuse(output: Output, bad: Vec<BadLine>, dry_run: bool) -> Result<Exit, Failure> {
    let wrong = bad.len();
    let report = Report {
        dry_run,
        refused: bad,
        ..Report::default()
    };
    // As JSON on standard output, for people on standard error.
    report.finish(Output {
        quiet: output.quiet || output.is_for_people(),
        ..output
    })?;
    Err(Failure::usage(format!(
        "{} of the file {}; nothing was stored",
        human::count(wrong, "line"),
        if wrong == 1 { "is wrong" } else { "are wrong" }
    ))
    .advise("correct them, or store the other lines with --skip-bad"))
}

fn bytes(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(file).map(|content| bytes = content)
    };
    read.map_err(|error| {
        Failure::usage(format!("could not read {}", file.display())).caused_by(error)
    })?;
    Ok(bytes)
}

fn image_rule(api: &Api, args: &ImportArgs) -> Result<ImageRule, Failure> {
    let mut rule = ImageRule {
        keep: args.keep_image_ids,
        ..ImageRule::default()
    };
    if let Some(name) = &args.image {
        rule.all = Some(find::<Image>(api, name)?.view.id);
    }
    for pair in &args.image_map {
        let parsed = pair.split_once('=');
        let parsed = parsed.and_then(|(number, name)| Some((number.parse().ok()?, name)));
        let Some((number, name)) = parsed else {
            return Err(Failure::usage(format!("{pair:?} is not NUMBER=IMAGE")));
        };
        rule.map.insert(number, find::<Image>(api, name)?.view.id);
    }
    Ok(rule)
}

fn fleet(api: &Api) -> Result<Fleet, Failure> {
    Ok(Fleet::new(
        api.list::<Host>()?,
        &api.list::<Image>()?,
        &api.list::<Group>()?,
        &api.list::<GroupAssociation>()?,
    ))
}

fn create_groups(
    api: &Api,
    output: Output,
    fleet: &mut Fleet,
    hosts: &[HostLine],
) -> Result<(), Failure> {
    for name in plan::missing_groups(fleet, hosts).into_keys() {
        if fleet.group(&name).is_some() {
            continue;
        }
        let body = GroupBody {
            name: Some(name.clone()),
            ..GroupBody::default()
        };
        match api.create::<Group>(&body) {
            Ok(row) => {
                fleet.add_group(&name, row.view.id);
                output.say(&format!("created group {name}"));
            }
            Err(ApiError::Rehearsed { .. }) => output.say(&format!("would create group {name}")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A bar for people who can see one.
fn progress(output: Output, hosts: usize) -> ProgressBar {
    if !output.is_for_people() || !is_decorated() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} hosts, {eta} left");
    ProgressBar::new(hosts as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
