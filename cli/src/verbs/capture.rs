//! `foghorn image capture`: the disk of a host becomes the content of an image.

use std::time::Duration;

use foghorn_rest_types::fog::{Host, Image};
use foghorn_rest_types::tasks::TaskKind;

use super::order::{for_one, order, order_one, table};
use super::start::{StartArgs, as_arguments};
use super::wait::{parse_duration, status_of, wait_for};
use super::{Session, image};
use crate::confirm::{Consent, NOTHING_CHANGED, confirm};
use crate::exit::{Exit, Failure};
use crate::find::find;

#[derive(clap::Args, Debug)]
pub struct CaptureArgs {
    /// Image to fill, by name or id; its present content is replaced when the capture is complete,
    /// and kept as an earlier version for a while
    pub image: String,
    /// Host whose disk is captured, by name or id
    #[arg(long)]
    pub host: String,
    #[command(flatten)]
    pub start: StartArgs,
    /// Wait until it is done and show progress
    #[arg(long)]
    pub wait: bool,
    /// Stop waiting after this time, such as 90s, 30m, 2h
    #[arg(long, value_parser = parse_duration, requires = "wait")]
    pub timeout: Option<Duration>,
    #[command(flatten)]
    pub consent: Consent,
}

/// # Errors
/// As the server answers; [`Exit::Refused`] when the image is protected, or the loss of its content
/// was not confirmed.
pub fn run(args: CaptureArgs, session: &Session) -> Result<Exit, Failure> {
    args.start.check()?;
    let (api, output) = (session.api()?, session.output);
    let image = find::<Image>(&api, &args.image)?;
    let host = find::<Host>(&api, &args.host)?;
    image::refuse_protected(&image)?;
    if let Some(loss) = image::replaced(&api, output, &image)? {
        let question = format!("Capture {} into {}?", host.view.name, image.view.name);
        confirm(args.consent, &[loss], &question)?;
    }
    let rehearsal = args.consent.rehearsal;
    rehearsal.tell(&format!(
        "capture the disk of host {} into image {}",
        host.view.name, image.view.name
    ));
    if rehearsal.dry_run {
        let request = for_one(&host, &image, TaskKind::Capture);
        order(&api.rehearsing(true)?, &request)?;
        output.say(NOTHING_CHANGED);
        return Ok(Exit::Ok);
    }
    let ordered = order_one(&api, &host, &image, TaskKind::Capture)?;
    let task = ordered.task;
    let named = as_arguments(std::slice::from_ref(&args.host), &[]);
    let hosts = std::slice::from_ref(&host);
    let started = args.start.start(&api, output, hosts, &named)?;
    if args.wait {
        output.say(&format!(
            "task {task}: capture of host {} into image {}",
            host.view.name, image.view.name
        ));
        return wait_for(&api, output, &[task], args.timeout);
    }
    if let Some(exit) = started {
        return Ok(exit);
    }
    output.show(&table(&[ordered], &image), &status_of(&api, &[task])?)?;
    Ok(Exit::Ok)
}
