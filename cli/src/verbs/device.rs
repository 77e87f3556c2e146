//! `foghorn device`: machines that have an identity of their own, after imaging.

use clap::{Subcommand, ValueEnum};
use foghorn_rest_types::fog::{Host, StorageGroup};
use foghorn_rest_types::native::{DeniedDeviceStatus, DeviceState, DeviceStatus};
use foghorn_types::MachineUuid;
use serde_json::Value;

use super::object::show_natives;
use super::{Session, device_view};
use crate::api::{Api, ApiError};
use crate::confirm::{Consent, NOTHING_CHANGED, Rehearsal, confirm};
use crate::exit::{Exit, Failure, of_many};
use crate::find::find;
use crate::native::{self, Native, Wanted};
use crate::output::Output;

const DENIED: &str = "denied-devices";

#[derive(Subcommand, Debug)]
pub enum DeviceCommand {
    /// List the devices: which host each is, how it is getting on, what it runs
    #[command(
        after_help = "Examples:\n  foghorn device list --factory north\n  foghorn device list --status offline -o json"
    )]
    List {
        /// Only devices of this factory, which is a storage group, by name or id
        #[arg(long)]
        factory: Option<String>,
        /// Only the device that is this host, by name or id
        #[arg(long)]
        host: Option<String>,
        /// Only devices that are getting on like this
        #[arg(long, value_enum)]
        status: Option<State>,
    },
    /// Show one device
    #[command(after_help = "Example:\n  foghorn device show lab-pc01")]
    Show {
        /// The device, by name or UUID
        device: String,
    },
    /// Delete devices with their configurations; their certificates are refused from then on, their hosts stay
    #[command(
        visible_alias = "deny",
        after_help = "Example:\n  foghorn device delete lab-pc01 --yes"
    )]
    Delete {
        /// The devices, by name or UUID
        #[arg(required = true)]
        devices: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// List the devices that were deleted and are refused
    #[command(after_help = "Example:\n  foghorn device denied")]
    Denied,
    /// Let a deleted device in again: at its next contact it is made anew
    #[command(after_help = "Example:\n  foghorn device allow 0a1b2c3d-0000-4000-8000-00000000000f")]
    Allow {
        /// The device, by UUID or by the name that it had
        device: String,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// How devices are getting on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum State {
    /// Registered, and has not spoken yet
    New,
    /// Has spoken within the last four hours
    Online,
    /// Has been silent for longer
    Offline,
    /// Two machines have used its identity within the last day
    Cloned,
}

impl State {
    const fn told(self) -> &'static str {
        device_view::word(match self {
            Self::New => DeviceState::New,
            Self::Online => DeviceState::Online,
            Self::Offline => DeviceState::Offline,
            Self::Cloned => DeviceState::Cloned,
        })
    }
}

/// # Errors
/// As the server answers.
pub fn run(command: DeviceCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        DeviceCommand::List {
            factory,
            host,
            status,
        } => {
            let factory = factory.map(|name| find::<StorageGroup>(&api, &name));
            let factory = factory.transpose()?;
            let host = host.map(|name| find::<Host>(&api, &name)).transpose()?;
            let wanted = Wanted::default()
                .only("factory", factory.map(|row| row.view.id))
                .only("host", host.map(|row| row.view.id))
                .only("status", status.map(State::told));
            let devices = native::list(&api, "devices", &wanted)?;
            show_natives(output, &device_view::table(output, &devices), &devices)?;
        }
        DeviceCommand::Show { device } => {
            let device = known(&api, &device)?;
            let sheet = device_view::sheet(output, &device.view);
            output.show_sheet(&device.view.uuid, &sheet, &device.raw)?;
        }
        DeviceCommand::Delete { devices, consent } => {
            return delete(&api, output, &devices, consent);
        }
        DeviceCommand::Denied => {
            let devices = denied(&api)?;
            show_natives(output, &device_view::denied(output, &devices), &devices)?;
        }
        DeviceCommand::Allow { device, rehearsal } => {
            let all = denied(&api)?;
            let is_meant = |one: &DeniedDeviceStatus| is_called(&one.uuid, &one.name, &device);
            let found = only(all, &device, is_meant, |one| &one.uuid)
                .map_err(|error| error.advise("`foghorn device denied` shows the deleted ones"))?;
            let DeniedDeviceStatus { uuid, name, .. } = found.view;
            rehearsal.tell(&format!("let device {name} ({uuid}) in again"));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let path = format!("/foghorn/v1/{DENIED}/{uuid}");
            api.text("DELETE", &path, None::<&Value>)?;
            output.say(&format!(
                "device {name} ({uuid}) may come back: at its next contact it is made anew"
            ));
        }
    }
    Ok(Exit::Ok)
}

/// All names are looked up first: nothing is deleted when one of them does not exist.
fn delete(api: &Api, output: Output, names: &[String], consent: Consent) -> Result<Exit, Failure> {
    let devices = names.iter().map(|name| known(api, name));
    let devices = devices.collect::<Result<Vec<_>, _>>()?;
    let losses: Vec<String> = devices.iter().map(|device| loss(&device.view)).collect();
    confirm(consent, &losses, "Delete?")?;
    let api = api.rehearsing(consent.is_dry_run())?;
    let mut failures = Vec::new();
    for DeviceStatus { uuid, name, .. } in devices.iter().map(|device| &device.view) {
        let path = format!("/foghorn/v1/devices/{uuid}");
        match api.text("DELETE", &path, None::<&Value>) {
            Err(ApiError::Rehearsed { .. }) => {
                output.say(&format!("would delete device {name} ({uuid})"));
            }
            Ok(_) => output.say(&format!("deleted device {name} ({uuid})")),
            Err(error) => failures.push((name, Failure::from(error))),
        }
    }
    match failures.len() {
        0 => {
            if consent.is_dry_run() {
                output.say(NOTHING_CHANGED);
            }
            Ok(Exit::Ok)
        }
        1 if devices.len() == 1 => Err(failures.remove(0).1),
        failed => {
            for (name, failure) in &failures {
                eprintln!("error: device {name}: {failure}");
            }
            Ok(of_many(devices.len() - failed, failed))
        }
    }
}

fn loss(device: &DeviceStatus) -> String {
    format!(
        "device {} ({}) of {}: its configuration and history are lost, and its certificate is refused from then on",
        device.name, device.uuid, device.factory.name
    )
}

fn denied(api: &Api) -> Result<Vec<Native<DeniedDeviceStatus>>, ApiError> {
    native::listed(api, (DENIED, "devices"), &Wanted::default())
}

/// The device that is meant.
fn known(api: &Api, text: &str) -> Result<Native<DeviceStatus>, Failure> {
    let advice = "`foghorn device list` shows the existing ones";
    if let Ok(uuid) = text.parse::<MachineUuid>() {
        let found = native::at(api, &format!("/foghorn/v1/devices/{uuid}"));
        return found.map_err(|error| match error {
            ApiError::NotFound(_) => none(text).advise(advice),
            error => error.into(),
        });
    }
    let all: Vec<Native<DeviceStatus>> = native::list(api, "devices", &Wanted::default())?;
    let is_meant = |one: &DeviceStatus| is_called(&one.uuid, &one.name, text);
    only(all, text, is_meant, |one| &one.uuid).map_err(|error| error.advise(advice))
}

fn is_called(uuid: &str, name: &str, text: &str) -> bool {
    uuid.eq_ignore_ascii_case(text) || name.to_lowercase() == text.to_lowercase()
}

/// Names are unique in a factory only.
fn only<T>(
    all: Vec<Native<T>>,
    text: &str,
    is_meant: impl Fn(&T) -> bool,
    uuid: impl Fn(&T) -> &str,
) -> Result<Native<T>, Failure> {
    let found = all.into_iter().filter(|one| is_meant(&one.view));
    let mut found: Vec<_> = found.collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(none(text)),
        _ => {
            let uuids: Vec<&str> = found.iter().map(|one| uuid(&one.view)).collect();
            let said = format!("several devices are called {text:?}: {}", uuids.join(", "));
            Err(Failure::usage(said))
        }
    }
}

fn none(text: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("there is no device {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(uuid: &str) -> Native<String> {
        Native {
            view: uuid.to_owned(),
            raw: Value::Null,
        }
    }

    #[test]
    fn a_name_that_two_factories_have_is_not_enough() {
        let one = "0a1b2c3d-0000-4000-8000-00000000000f";
        assert!(is_called(one, "pc", &one.to_uppercase()));
        assert!(is_called(one, "Gate", "gate") && !is_called(one, "gate-2", "gate"));
        let pick = |uuids: &[&str]| {
            let all: Vec<Native<String>> = uuids.iter().map(|uuid| device(uuid)).collect();
            only(all, "gate", |_| true, |uuid| uuid)
        };
        assert_eq!(pick(&[one]).unwrap().view, one);
        assert_eq!(pick(&[]).unwrap_err().exit(), Exit::NotFound);
        let several = pick(&[one, "b"]).unwrap_err();
        assert_eq!(several.exit(), Exit::Usage);
        assert!(several.to_string().contains(one), "{several}");
    }
}
