//! Hosts as people see them.

use foghorn_rest_types::native::{HostStatus, ImageStatus, TaskBrief};

use super::object::dash;
use super::wait;
use crate::human::{argument, yes_no};
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

pub(super) fn table(output: Output, hosts: &[Native<HostStatus>]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "MAC", "IMAGE", "DISK", "TASK", "DEPLOYED"]);
    for host in hosts.iter().map(|host| &host.view) {
        table.row([
            host.id.to_string(),
            host.name.clone(),
            dash(host.macs.first()),
            dash(host.image.as_ref().map(|image| &image.name)),
            dash(host.disk_rule.as_ref()),
            dash(host.tasks.first().map(brief)),
            dash(host.deployed.as_deref().map(|at| output.time(at))),
        ]);
    }
    table
}

pub(super) fn sheet(output: Output, host: &HostStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("host {} (id {})", host.name, host.id));
    sheet.maybe("description", Some(host.description.as_str()));
    sheet.lines("MAC addresses", host.macs.iter().map(ToString::to_string));
    if host.pending {
        sheet.field("approved", yes_no(false));
    }
    sheet.group("imaging");
    let image = host.image.as_ref();
    let image = image.map(|image| format!("{} (id {})", image.name, image.id));
    sheet.field("image", image.unwrap_or_else(|| "none".to_owned()));
    sheet.field("disk rule", host.disk_rule.as_deref().unwrap_or("none"));
    sheet.maybe(
        "identity",
        host.identity.map(|wanted| match wanted {
            true => "put on the disk by deploys",
            false => "not put on the disk, whatever the image says",
        }),
    );
    let deployed = host.deployed.as_deref().map(|at| output.time(at));
    sheet.field(
        "last deploy",
        deployed.unwrap_or_else(|| "never".to_owned()),
    );
    let tasks: Vec<String> = host
        .tasks
        .iter()
        .map(|task| format!("{} ({})", task.id, brief(task)))
        .collect();
    if tasks.is_empty() {
        sheet.field("active task", "none");
    } else {
        sheet.lines("active task", tasks);
    }
    sheet.group("belongs to");
    let groups: Vec<&str> = host
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    sheet.maybe("groups", Some(groups.join(", ")));
    sheet.maybe("created by", Some(host.created_by.as_str()));
    sheet.maybe("created", host.created.as_deref().map(|at| output.time(at)));
    sheet
}

/// What a task does and how far it is.
pub(super) fn brief(task: &TaskBrief) -> String {
    format!("{}, {}", task.work.as_str(), wait::phase(task.state))
}

/// What one usually does with a host next; `image` is its image, if it has one.
pub(super) fn next(host: &HostStatus, image: Option<&ImageStatus>) -> String {
    let name = argument(&host.name, host.id.get());
    match image {
        Some(image) => {
            let has_content = image.content.is_some();
            let image = argument(&image.name, image.id.get());
            if has_content {
                format!("foghorn image deploy {image} --host {name}")
            } else {
                format!("foghorn image capture {image} --host {name}")
            }
        }
        None => {
            let host = format!("IMAGE --host {name}");
            format!("foghorn image capture {host}, or foghorn image deploy {host}")
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::{Named, TaskPhase, TaskWork};
    use foghorn_types::{GroupId, HostId, ImageId, TaskId};

    use super::*;
    use crate::human::Zone;
    use crate::output::Format;

    fn named<Id>(id: Option<Id>, name: &str) -> Named<Id> {
        Named {
            id: id.unwrap(),
            name: name.to_owned(),
        }
    }

    fn host() -> HostStatus {
        HostStatus {
            id: HostId::new(7).unwrap(),
            name: "lab-pc01".into(),
            description: "by the door".into(),
            macs: vec!["52:54:00:00:0a:01".parse().unwrap()],
            image: Some(named(ImageId::new(3), "win11")),
            disk_rule: None,
            identity: None,
            groups: vec![named(GroupId::new(1), "lab")],
            tasks: vec![TaskBrief {
                id: TaskId::new(9).unwrap(),
                work: TaskWork::Deploy,
                state: TaskPhase::Running,
                host: named(HostId::new(7), "lab-pc01"),
            }],
            pending: false,
            deployed: Some("2026-11-29T14:04:05Z".into()),
            created_by: "anna".into(),
            created: None,
        }
    }

    const UTC: Output = Output {
        format: Format::Table,
        quiet: false,
        zone: Zone::Utc,
    };

    #[test]
    fn a_host_is_shown_in_words() {
        assert_eq!(
            sheet(UTC, &host()).render(),
            "\
host lab-pc01 (id 7)
  description    by the door
  MAC addresses  52:54:00:00:0a:01

imaging
  image          win11 (id 3)
  disk rule      none
  last deploy    2026-11-29 14:04:05 +0000
  active task    9 (deploy, running)

belongs to
  groups         lab
  created by     anna
"
        );
    }

    #[test]
    fn the_next_step_fits_the_host() {
        let host = HostStatus {
            image: None,
            ..host()
        };
        assert_eq!(
            next(&host, None),
            "foghorn image capture IMAGE --host lab-pc01, or foghorn image deploy IMAGE --host lab-pc01"
        );
    }
}
