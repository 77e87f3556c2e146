//! `foghorn image capture`: the disk of a host becomes the content of an image.

use std::time::Duration;

use foghorn_rest_types::fog::{Host, Image};
use foghorn_rest_types::tasks::TaskKind;

use super::Session;
use super::order::{order_one, table};
use super::wait::{parse_duration, status_of, wait_for};
use crate::exit::{Exit, Failure};
use crate::find::find;

#[derive(clap::Args, Debug)]
pub struct CaptureArgs {
    /// Image to fill, by name or id; its current content is replaced when the capture is complete
    pub image: String,
    /// Host whose disk is captured, by name or id
    #[arg(long)]
    pub host: String,
    /// Wait until it is done and show progress
    #[arg(long)]
    pub wait: bool,
    /// Stop waiting after this time, such as 90s, 30m, 2h
    #[arg(long, value_parser = parse_duration, requires = "wait")]
    pub timeout: Option<Duration>,
}

/// # Errors
/// As the server answers.
pub fn run(args: CaptureArgs, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let image = find::<Image>(&api, &args.image)?;
    let host = find::<Host>(&api, &args.host)?;
    let ordered = order_one(&api, &host, &image, TaskKind::Capture)?;
    let task = ordered.task;
    if args.wait {
        output.say(&format!(
            "task {task}: capture of host {} into image {}",
            host.view.name, image.view.name
        ));
        return wait_for(&api, output, &[task], args.timeout);
    }
    output.show(&table(&[ordered], &image), &status_of(&api, &[task])?)?;
    Ok(Exit::Ok)
}
