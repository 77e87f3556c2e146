//! Whether this machine can do its task: checked before the boot token is spent, so that a mistake at
//! the machine (the wrong user, no disk or the wrong one, a disk in use or too small) does not end the
//! task.

use std::path::PathBuf;

use foghorn_disk_layout::{PartitionSet, SurveyDiskError, SurveyOptions, check_options};
use foghorn_proto::http::{LookResponse, NeededDisk, OptionsFor, Order};
use foghorn_types::{ByteCount, DiskPart, DiskRules};

use crate::args::RunConfig;
use crate::deploy::several::disks;
use crate::disk::select::{HowToOpen, SelectDisksError, Selected, select};
use crate::disk::target::ParseDiskRuleError;
use crate::disk::{Access, DiskSet};
use crate::partitions::PartitionsError;

/// Why this machine cannot do its task as it is. Nothing was read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotReadyError {
    #[error("the host's disk rule cannot be used")]
    Rule(#[from] ParseDiskRuleError),
    #[error(transparent)]
    Disks(#[from] SelectDisksError),
    #[error(transparent)]
    Partitions(#[from] PartitionsError),
    #[error("{path} does not have what the task or the options name", path = path.display())]
    Part {
        path: PathBuf,
        source: SurveyDiskError,
    },
    #[error(
        "the image has {image}, but {selected} {are} selected ({paths}): give one rule for each disk of the image, with commas between them (--disk, or the host's kernelDevice)",
        image = disks(*image), selected = disks(*selected), are = if *selected == 1 { "is" } else { "are" }
    )]
    Count {
        image: usize,
        selected: usize,
        paths: String,
    },
    #[error("{path} has {have} bytes, but the image needs {need}", path = path.display(), have = have.bytes(), need = need.bytes())]
    TooSmall {
        path: PathBuf,
        have: ByteCount,
        need: ByteCount,
    },
    #[error("{path} has {have} bytes, but the image can only be deployed to a disk of exactly {need} bytes", path = path.display(), have = have.bytes(), need = need.bytes())]
    OtherSize {
        path: PathBuf,
        have: ByteCount,
        need: ByteCount,
    },
}

/// What of a task decides which disks are opened, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Wanted {
    kind: OptionsFor,
    several: bool,
    rule: Option<String>,
}

/// The open disks of a machine that can do its task.
#[derive(Debug)]
pub(crate) struct Ready {
    wanted: Wanted,
    selected: Selected,
}

/// Finds and opens the disks, and compares them with what the task needs.
///
/// # Errors
/// [`NotReadyError`].
pub(crate) fn check(config: &RunConfig, task: &LookResponse) -> Result<Ready, NotReadyError> {
    let wanted = Wanted {
        kind: task.kind,
        several: task.several,
        rule: task.disk_rule.clone(),
    };
    let selected = open(config, &wanted)?;
    match task.kind {
        OptionsFor::Capture => {
            let options = surveys(config, false, task.part, selected.disks.count())?;
            for ((_, disk), options) in selected.disks.iter().zip(&options) {
                check_options(disk, disk.sector_size(), options).map_err(|source| {
                    NotReadyError::Part {
                        path: disk.path().to_owned(),
                        source,
                    }
                })?;
            }
        }
        OptionsFor::Deploy => compare(&selected.disks, &task.needs)?,
    }
    Ok(Ready { wanted, selected })
}

impl Ready {
    /// The disks for the order, which may have been changed since the look.
    ///
    /// # Errors
    /// [`NotReadyError`].
    pub(crate) fn for_order(
        self,
        config: &RunConfig,
        order: &Order,
    ) -> Result<Selected, NotReadyError> {
        let kind = order.kind.options();
        let wanted = Wanted {
            kind,
            // How many an image has is known only with its manifest.
            several: kind == OptionsFor::Deploy || order.kind.is_of_disks(),
            rule: order.disk_rule.clone(),
        };
        if wanted == self.wanted {
            return Ok(self.selected);
        }
        // A disk is opened once.
        drop(self.selected);
        open(config, &wanted)
    }
}

fn open(config: &RunConfig, wanted: &Wanted) -> Result<Selected, NotReadyError> {
    let rules = match &config.disk {
        Some(rules) => Some(rules.clone()),
        None => wanted
            .rule
            .as_deref()
            .map(str::parse::<DiskRules>)
            .transpose()?,
    };
    let access = match wanted.kind {
        OptionsFor::Deploy => Access::Write,
        OptionsFor::Capture if config.dirty.are_all() => Access::ReadInUse,
        OptionsFor::Capture => Access::Read,
    };
    let how = HowToOpen {
        access,
        file_sectors: config.file_sectors,
        several: wanted.several,
    };
    Ok(select(rules.as_ref(), how)?)
}

/// `needs` is empty if it is not known what the image needs.
fn compare(disks: &DiskSet, needs: &[NeededDisk]) -> Result<(), NotReadyError> {
    if needs.is_empty() {
        return Ok(());
    }
    if disks.count() != needs.len() {
        return Err(NotReadyError::Count {
            image: needs.len(),
            selected: disks.count(),
            paths: disks.paths(),
        });
    }
    if !disks.is_in_order() && needs.len() > 1 {
        // Which goes where is found out with the manifest.
        return Ok(());
    }
    for ((_, disk), need) in disks.iter().zip(needs) {
        let (path, have) = (|| disk.path().to_owned(), disk.disk_size());
        if let Some(most) = need.at_most.filter(|&most| have != most) {
            return Err(NotReadyError::OtherSize {
                path: path(),
                have,
                need: most,
            });
        }
        if have < need.at_least {
            return Err(NotReadyError::TooSmall {
                path: path(),
                have,
                need: need.at_least,
            });
        }
    }
    Ok(())
}

/// How each disk of a capture is surveyed.
///
/// # Errors
/// The options name partitions of a disk that is not there.
pub(crate) fn surveys(
    config: &RunConfig,
    raw: bool,
    part: DiskPart,
    disks: usize,
) -> Result<Vec<SurveyOptions>, PartitionsError> {
    let dirty = config.dirty.of_disks(disks)?;
    let raw = if raw {
        vec![PartitionSet::All; disks]
    } else {
        config.raw.of_disks(disks)?
    };
    let options = dirty
        .into_iter()
        .zip(raw)
        .map(|(dirty, raw)| SurveyOptions {
            dirty,
            raw,
            part,
            ..config.survey.clone()
        });
    Ok(options.collect())
}
