//! For what a schedule works and what it does, as given on the command line.

use foghorn_rest_types::fog::{FogObject as _, Group, Host, ScheduleBody, Snapin};

use super::schedule_terms::{Doing, ONE_SNAPIN};
use crate::api::Api;
use crate::confirm::{Consent, confirm};
use crate::exit::Failure;
use crate::find::find;

/// For what a schedule works.
pub(super) struct Target {
    pub(super) number: u32,
    pub(super) is_group: bool,
    pub(super) words: String,
}

/// The target that was given.
///
/// # Errors
/// When there is none of this name.
pub(super) fn target_of(
    api: &Api,
    host: Option<&str>,
    group: Option<&str>,
) -> Result<Option<Target>, Failure> {
    Ok(match (host, group) {
        (Some(host), _) => {
            let host = find::<Host>(api, host)?.view;
            Some(Target {
                number: host.number(),
                is_group: false,
                words: format!("host {}", host.name),
            })
        }
        (None, Some(group)) => {
            let group = find::<Group>(api, group)?.view;
            Some(Target {
                number: group.number(),
                is_group: true,
                words: format!("the hosts of group {}", group.name),
            })
        }
        (None, None) => None,
    })
}

/// What is to be done, as far as it was given.
///
/// # Errors
/// When there is no snapin of this name.
pub(super) fn write_work(
    api: &Api,
    task: Option<Doing>,
    snapin: Option<&str>,
    body: &mut ScheduleBody,
) -> Result<(), Failure> {
    match (task, snapin) {
        (Some(doing), _) => {
            body.task_type = Some(doing.number());
            // A multicast and a deploy run the snapins of each host.
            let all = matches!(doing, Doing::Deploy | Doing::Multicast | Doing::Snapins);
            body.snapins = all.then(|| "-1".to_owned());
        }
        (None, Some(snapin)) => {
            body.task_type = Some(ONE_SNAPIN);
            body.snapins = Some(find::<Snapin>(api, snapin)?.view.id.to_string());
        }
        (None, None) => {}
    }
    Ok(())
}

/// Asks now, since nobody is asked when the schedule starts.
///
/// # Errors
/// When the answer is no.
pub(super) fn ask(consent: Consent, target: &str, question: &str) -> Result<(), Failure> {
    let loss = format!(
        "at that time, the disks of {target} are replaced with their images, without another question"
    );
    confirm(consent, &[loss], question)
}
