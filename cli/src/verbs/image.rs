//! `foghorn image`: the images.

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Image, ImageBody, Row};
use foghorn_rest_types::native::{ImageStatus, ImageVersions};
use serde_json::Value;

use super::capture::{self, CaptureArgs};
use super::deploy::{self, DeployArgs};
use super::identity::choose;
use super::job;
use super::job::Following;
use super::object::{change, delete_all, fog_list, show_done, show_natives, show_row};
use super::orphans::{self, OrphanCommand};
use super::{Session, image_view, versions};
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal};
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Native, Wanted};
use crate::number;
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum ImageCommand {
    /// List all images
    #[command(after_help = "Example:\n  foghorn image list")]
    List {
        /// Show FOG's objects
        #[arg(long)]
        fog: bool,
    },
    /// Show one image and what it contains
    #[command(after_help = "Example:\n  foghorn image show win11 -o yaml")]
    Show {
        image: String,
        /// Show FOG's object
        #[arg(long)]
        fog: bool,
    },
    /// Create an image; it has no content until it is captured
    #[command(
        after_help = "Example:\n  foghorn image create win11 --description 'Windows 11 24H2, lab software'"
    )]
    Create {
        name: String,
        #[command(flatten)]
        settings: ImageSettings,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change an image; options that are not given stay as they are
    #[command(after_help = "Example:\n  foghorn image edit win11 --protected true")]
    Edit {
        image: String,
        #[arg(long)]
        name: Option<String>,
        /// Whether a deploy puts an identity of the machine on its disk, for foghorn-host; `host edit` says
        /// otherwise for one host
        #[arg(long, value_name = "true|false")]
        identity: Option<bool>,
        #[command(flatten)]
        settings: ImageSettings,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Delete images with their content
    #[command(after_help = "Example:\n  foghorn image delete win10 --yes")]
    Delete {
        #[arg(required = true)]
        images: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Capture the disk of a host into an image
    #[command(
        after_help = "Examples:\n  foghorn image capture win11 --host golden-pc --wait\n  foghorn image capture win11 --host golden-pc --yes"
    )]
    Capture(CaptureArgs),
    /// List the versions of an image: what it is, and what captures have replaced
    #[command(
        after_help = "Examples:\n  foghorn image versions win11\n  foghorn image versions win11 --drop 3"
    )]
    Versions {
        image: String,
        /// Delete this earlier version from the storage nodes
        #[arg(long, value_name = "NUMBER", value_parser = number::any)]
        drop: Option<u32>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Make an earlier version of an image the present one
    #[command(
        after_help = "Examples:\n  foghorn image undo win11\n  foghorn image undo win11 --version 3 --yes"
    )]
    Undo {
        image: String,
        /// Its number; default: the version that was replaced last
        #[arg(long, value_name = "NUMBER", value_parser = number::any)]
        version: Option<u32>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Write an image to the disks of hosts, replacing their contents
    #[command(
        after_help = "Examples:\n  foghorn image deploy win11 --host lab-pc01 --host lab-pc02 --wait\n  foghorn image deploy win11 --group lab --yes --wait --timeout 30m"
    )]
    Deploy(DeployArgs),
    /// Read every chunk of an image again on a storage node and compare it with its hash
    #[command(after_help = "Example:\n  foghorn image verify win11 --wait")]
    Verify {
        image: String,
        #[command(flatten)]
        following: Following,
    },
    /// Content on storage nodes that no image or snapin here has: list, adopt or drop it
    #[command(
        after_help = "Examples:\n  foghorn image orphans\n  foghorn image orphans adopt north 7 --name win11-restored --wait\n  foghorn image orphans drop north 7 --yes"
    )]
    Orphans {
        #[command(subcommand)]
        command: Option<OrphanCommand>,
    },
}

#[derive(clap::Args, Debug)]
pub struct ImageSettings {
    #[arg(long)]
    description: Option<String>,
    /// Id of the operating system in FOG
    #[arg(long, value_name = "NUMBER", value_parser = number::any)]
    os: Option<u32>,
    /// Whether tasks may use it
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
    /// Whether it is protected from deletion and from captures into it
    #[arg(long, value_name = "true|false")]
    protected: Option<bool>,
    /// What of the disk is captured and deployed: everything, table (the partition table and boot
    /// code), or the number of a partition; nothing else of a disk is touched
    #[arg(long, value_name = "PART", value_parser = parse_part)]
    part: Option<PartChoice>,
    /// Whether a capture takes every block, whatever file systems say is in use
    #[arg(long, value_name = "true|false")]
    raw: Option<bool>,
    /// Whether it is of several disks, as many as the disk rules of a host name
    #[arg(long, value_name = "true|false", conflicts_with = "raw")]
    all_disks: Option<bool>,
}

/// A row of the class imagepartitiontype that exists from the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartChoice(u32);

/// Rows of FOG: 1 everything, 2 table, then partitions 1 to 10.
fn parse_part(text: &str) -> Result<PartChoice, String> {
    let row = match text {
        "everything" => Some(1),
        "table" => Some(2),
        number => {
            let number: Option<u32> = number.parse().ok();
            number
                .filter(|number| (1..=10).contains(number))
                .map(|n| n + 2)
        }
    };
    row.map(PartChoice).ok_or_else(|| {
        "it is everything, table, or the number of a partition from 1 to 10".to_owned()
    })
}

/// Image types of FOG: used blocks of one disk, and every block.
fn image_type(raw: bool) -> u32 {
    if raw { 4 } else { 2 }
}

/// Image types of FOG: used blocks of one disk, and of several.
fn type_of_disks(several: bool) -> u32 {
    if several { 3 } else { 2 }
}

impl ImageSettings {
    fn over(self, body: ImageBody) -> ImageBody {
        ImageBody {
            description: self.description.or(body.description),
            os: self.os.or(body.os),
            enabled: self.enabled.or(body.enabled),
            protected: self.protected.or(body.protected),
            partition_type: self.part.map(|part| part.0).or(body.partition_type),
            image_type: self
                .raw
                .map(image_type)
                .or(self.all_disks.map(type_of_disks))
                .or(body.image_type),
            ..body
        }
    }
}

/// # Errors
/// As the server answers.
pub fn run(command: ImageCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        ImageCommand::List { fog: true } => return fog_list::<Image>(&api, output),
        ImageCommand::List { fog: false } => {
            let images = native::list::<ImageStatus>(&api, "images", &Wanted::default())?;
            show_natives(output, &image_view::table(output, &images), &images)?;
        }
        ImageCommand::Show { image, fog } => {
            let row = find::<Image>(&api, &image)?;
            if fog {
                show_row(output, &row)?;
            } else {
                let image = status_of(&api, &row)?;
                let sheet = image_view::sheet(output, &image.view);
                output.show_sheet(row.view.number(), &sheet, &image.raw)?;
            }
        }
        ImageCommand::Create {
            name,
            settings,
            rehearsal,
        } => {
            rehearsal.tell(&format!("create image {name}"));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let row = api.create::<Image>(&settings.over(ImageBody::new(&name)))?;
            report(&api, output, "created", &row)?;
        }
        ImageCommand::Edit {
            image,
            name,
            identity,
            settings,
            rehearsal,
        } => {
            let body = settings.over(ImageBody {
                name,
                ..ImageBody::default()
            });
            if body == ImageBody::default() && identity.is_none() {
                return Err(Failure::usage("no change was given")
                    .advise("`foghorn help image edit` lists the options"));
            }
            let row = find::<Image>(&api, &image)?;
            let row = edit(&api, rehearsal, row, &body, identity)?;
            report(&api, output, "changed", &row)?;
        }
        ImageCommand::Delete { images, consent } => {
            for image in &images {
                refuse_protected(&find::<Image>(&api, image)?)?;
            }
            return delete_all::<Image>(&api, output, &images, consent, |row| {
                loss(&api, output, row)
            });
        }
        ImageCommand::Orphans { command } => return orphans::run(command, session),
        ImageCommand::Versions {
            image,
            drop,
            consent,
        } => {
            if drop.is_none() && consent != Consent::default() {
                return Err(Failure::usage("--yes and --dry-run are for --drop"));
            }
            let row = find::<Image>(&api, &image)?;
            return match drop {
                None => versions::list(&api, session, &row),
                Some(number) => versions::drop(&api, session, &row, number, consent),
            };
        }
        ImageCommand::Undo {
            image,
            version,
            consent,
        } => {
            let row = find::<Image>(&api, &image)?;
            refuse_protected(&row)?;
            return versions::undo(&api, session, &row, version, consent);
        }
        ImageCommand::Capture(args) => return capture::run(args, session),
        ImageCommand::Deploy(args) => return deploy::run(args, session),
        ImageCommand::Verify { image, following } => {
            let row = find::<Image>(&api, &image)?;
            let path = format!("/foghorn/v1/images/{}/verify", row.view.id);
            return job::order(&api, output, &path, None::<&Value>, following);
        }
    }
    Ok(Exit::Ok)
}

/// The identity first: where it is refused, nothing has changed.
fn edit(
    api: &Api,
    rehearsal: Rehearsal,
    row: Row<Image>,
    body: &ImageBody,
    identity: Option<bool>,
) -> Result<Row<Image>, Failure> {
    if identity.is_some() {
        let whose = (row.view.id.get(), row.view.name.as_str());
        choose(api, rehearsal, "images", whose, identity)?;
    }
    match *body == ImageBody::default() {
        true => Ok(row),
        false => change(api, rehearsal, &row, body),
    }
}

/// What the image contains.
///
/// # Errors
/// As the server answers.
pub fn content_of(api: &Api, row: &Row<Image>) -> Result<ImageStatus, Failure> {
    Ok(api.get(&format!("/foghorn/v1/images/{}", row.view.id))?)
}

/// The flag `protected` is that of FOG.
///
/// # Errors
/// [`Exit::Refused`] when the image has it.
pub fn refuse_protected(row: &Row<Image>) -> Result<(), Failure> {
    if !row.view.protected {
        return Ok(());
    }
    let name = &row.view.name;
    Err(
        Failure::new(Exit::Refused, format!("image {name} is protected")).advise(format!(
            "run this first: foghorn image edit id:{} --protected false",
            row.view.id
        )),
    )
}

/// What a capture into the image replaces; `None` when it has no content.
///
/// # Errors
/// As the server answers.
pub fn replaced(api: &Api, output: Output, row: &Row<Image>) -> Result<Option<String>, Failure> {
    let Some(content) = content_of(api, row)?.content else {
        return Ok(None);
    };
    let keep: ImageVersions = api.get(&format!("/foghorn/v1/images/{}/versions", row.view.id))?;
    Ok(Some(versions::replacement(
        output,
        &row.view.name,
        &content,
        &keep,
    )))
}

fn loss(api: &Api, output: Output, row: &Row<Image>) -> Result<String, Failure> {
    let name = &row.view.name;
    Ok(match content_of(api, row)?.content {
        Some(content) => format!(
            "image {name}: {} of data captured on {} are lost on every storage node",
            content.used_bytes,
            output.time(&content.captured)
        ),
        None => format!("image {name}: no content yet"),
    })
}

/// The image in Foghorn's own words.
fn status_of(api: &Api, row: &Row<Image>) -> Result<Native<ImageStatus>, Failure> {
    native::one(api, "images", row.view.number())
        .map_err(|error| native::gone("image", &row.view.name, error))
}

fn report(api: &Api, output: Output, done: &str, row: &Row<Image>) -> Result<(), Failure> {
    let image = status_of(api, row)?;
    let next = image_view::next(&image.view);
    show_done::<Image>(
        output,
        done,
        (row.view.number(), &row.view.name),
        &next,
        &image.raw,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_everything_the_table_or_a_partition() {
        for (text, row) in [("everything", 1), ("table", 2), ("1", 3), ("10", 12)] {
            assert_eq!(parse_part(text), Ok(PartChoice(row)));
        }
        for text in ["0", "11", "-1", "all", ""] {
            assert!(parse_part(text).is_err(), "{text}");
        }
    }
}
