//! `foghorn factory`: what following a tag does for the devices of a site.

use clap::{Subcommand, ValueEnum};
use foghorn_rest_types::fog::{Host, StorageGroup};
use foghorn_rest_types::native::{RingMode, RingPolicyEdit, RingPolicyStatus};
use foghorn_types::StorageGroupId;
use serde_json::Value;

use super::Session;
use super::made::{made, no_change, or_dash, yes};
use crate::api::Api;
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::native::{self, Native};
use crate::output::Output;
use crate::sheet::Sheet;

#[derive(Subcommand, Debug)]
pub enum FactoryCommand {
    /// Whether devices are imaged when their tag gets a newer target
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn factory policy show north"
    )]
    Policy(PolicyCommand),
}

#[derive(Subcommand, Debug)]
pub enum PolicyCommand {
    /// Show the policy of a site, and how far its devices are
    #[command(after_help = "Example:\n  foghorn factory policy show north")]
    Show {
        /// The site, which is a storage group, by name or id
        site: String,
    },
    /// Change the policy of a site; options that are not given stay as they are
    #[command(
        after_help = "Examples:\n  foghorn factory policy set north --mode auto --window 'mon-fri 22:00-05:00' --at-most 20\n  foghorn factory policy set north --mode manual"
    )]
    Set {
        /// The site, which is a storage group, by name or id
        site: String,
        /// manual: devices are shown as not up to date; auto: they are imaged, which overwrites their disks
        #[arg(long, value_enum)]
        mode: Option<Mode>,
        /// Days and times at which devices may be imaged, such as 'mon-fri 22:00-05:00', by the clocks of
        /// the site
        #[arg(long, value_name = "DAYS TIMES")]
        window: Option<String>,
        /// At any time
        #[arg(long, conflicts_with = "window")]
        no_window: bool,
        /// Devices that are imaged at a time
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=200))]
        at_most: Option<u32>,
        /// Failures one after the other after which nothing more is ordered
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
        stop_after: Option<u32>,
        /// Minutes that a machine has to come; then others have their turn
        #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=10_080))]
        patience: Option<u32>,
        /// Whether devices count that are bound to their host only because they say that they have its
        /// address, or the UUID of its hardware
        #[arg(long, value_name = "true|false")]
        by_address: Option<bool>,
        /// A host that is never imaged because of a tag, by name or id; replaces those before
        #[arg(long, value_name = "HOST")]
        protect: Vec<String>,
        /// Protect no host
        #[arg(long, conflicts_with = "protect")]
        no_protect: bool,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Let a site go on after failures; what failed may be tried again
    #[command(after_help = "Example:\n  foghorn factory policy resume north")]
    Resume {
        /// The site, which is a storage group, by name or id
        site: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Mode {
    Manual,
    Auto,
}

/// # Errors
/// As the server answers.
pub fn run(command: FactoryCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let FactoryCommand::Policy(command) = command;
    match command {
        PolicyCommand::Show { site } => {
            let row = find::<StorageGroup>(&api, &site)?;
            let shown: Native<RingPolicyStatus> = native::at(&api, &path(row.view.id))?;
            output.show_sheet(row.view.id.get(), &sheet(output, &shown.view), &shown.raw)?;
        }
        PolicyCommand::Set {
            site,
            mode,
            window,
            no_window,
            at_most,
            stop_after,
            patience,
            by_address,
            protect,
            no_protect,
            rehearsal,
        } => {
            let hosts = protect.iter().map(|name| find::<Host>(&api, name));
            let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
            let hosts: Vec<_> = hosts.iter().map(|row| row.view.id).collect();
            let edit = RingPolicyEdit {
                mode: mode.map(Mode::told),
                window: window.or_else(|| no_window.then(String::new)),
                at_most,
                stop_after,
                patience_minutes: patience,
                by_address,
                protected: (no_protect || !hosts.is_empty()).then_some(hosts),
            };
            set(&api, output, &site, &edit, rehearsal)?;
        }
        PolicyCommand::Resume { site, rehearsal } => {
            let row = find::<StorageGroup>(&api, &site)?;
            rehearsal.tell(&format!("let site {} go on", row.view.name));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let path = format!("{}/resume", path(row.view.id));
            let raw: Value = api.native("POST", &path, None::<&Value>)?;
            let said = format!("site {} goes on", row.view.name);
            made(output, row.view.id.get(), &raw, &said)?;
        }
    }
    Ok(Exit::Ok)
}

impl Mode {
    fn told(self) -> RingMode {
        match self {
            Self::Manual => RingMode::Manual,
            Self::Auto => RingMode::Auto,
        }
    }
}

fn path(site: StorageGroupId) -> String {
    format!("/foghorn/v1/sites/{site}/ring-policy")
}

fn set(
    api: &Api,
    output: Output,
    site: &str,
    edit: &RingPolicyEdit,
    rehearsal: Rehearsal,
) -> Result<(), Failure> {
    if *edit == RingPolicyEdit::default() {
        return Err(no_change("factory policy set"));
    }
    let row = find::<StorageGroup>(api, site)?;
    rehearsal.tell(&format!("change the policy of site {}", row.view.name));
    let path = path(row.view.id);
    let raw: Value = api
        .rehearsing(rehearsal.dry_run)?
        .native("PUT", &path, Some(edit))?;
    let said = format!("changed the policy of site {}", row.view.name);
    made(output, row.view.id.get(), &raw, &said)
}

fn sheet(output: Output, policy: &RingPolicyStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("policy of site {}", policy.site.name));
    let mode = match policy.mode {
        RingMode::Manual => "manual: devices are shown as not up to date, and that is all",
        RingMode::Auto => "auto: devices whose tag has a newer target are imaged with it",
    };
    sheet.field("mode", mode);
    let now = if policy.open {
        "open now"
    } else {
        "closed now"
    };
    sheet.field(
        "window",
        match &policy.window {
            Some(window) => format!("{window} ({now})"),
            None => "at any time".to_owned(),
        },
    );
    sheet.field("at a time", format!("{} at most", policy.at_most));
    sheet.field(
        "a machine has",
        format!("{} minutes to come", policy.patience_minutes),
    );
    let stop_after = policy.stop_after;
    sheet.field(
        "failures",
        format!("{} in a row, stops after {stop_after}", policy.failures),
    );
    sheet.maybe(
        "held",
        policy.held.as_ref().map(|since| {
            let (since, site) = (output.time(since), &policy.site.name);
            format!("since {since}: `foghorn factory policy resume {site}` lets it go on")
        }),
    );
    sheet.field("bound by address", yes(policy.by_address));
    let protected: Vec<&str> = policy.protected.iter().map(|it| it.name.as_str()).collect();
    sheet.field("protected", or_dash(&protected.join(", ")));
    let under_way = policy.under_way.iter().map(|device| {
        let (name, task, target) = (&device.name, device.task, &device.target);
        let by = if device.by_hand { ", by hand" } else { "" };
        format!("{name}: task {task}, {target}{by}")
    });
    sheet.lines("being imaged", under_way);
    sheet.field("due", policy.due.to_string());
    let left_out = policy.left_out.iter();
    sheet.lines(
        "left out",
        left_out.map(|out| format!("{}: {}", out.devices, out.why)),
    );
    sheet
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::{Named, RingDevice, RingLeftOut};
    use foghorn_types::TaskId;

    use super::*;
    use crate::human::Zone;

    #[test]
    fn a_sheet_says_what_is_being_done_and_what_to_do() {
        let policy = RingPolicyStatus {
            site: Named {
                id: StorageGroupId::new(2).unwrap(),
                name: "north".to_owned(),
            },
            mode: RingMode::Auto,
            window: Some("fri 22:00-05:00".to_owned()),
            at_most: 20,
            stop_after: 3,
            patience_minutes: 30,
            by_address: false,
            protected: Vec::new(),
            open: true,
            failures: 3,
            held: Some("2026-12-04T22:30:00Z".to_owned()),
            under_way: vec![RingDevice {
                uuid: "0a1b2c3d-0000-4000-8000-00000000000f".to_owned(),
                name: "pc-7".to_owned(),
                task: TaskId::new(12).unwrap(),
                target: "win11-4".to_owned(),
                ordered: "2026-12-04T22:00:00Z".to_owned(),
                by_hand: true,
            }],
            due: 40,
            left_out: vec![RingLeftOut {
                why: "its host has a task".to_owned(),
                devices: 2,
            }],
        };
        let output = Output {
            zone: Zone::Utc,
            ..Output::default()
        };
        let shown = sheet(output, &policy).render();
        for part in [
            "fri 22:00-05:00 (open now)",
            "since 2026-12-04 22:30:00 +0000: `foghorn factory policy resume north`",
            "pc-7: task 12, win11-4, by hand",
            "2: its host has a task",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
