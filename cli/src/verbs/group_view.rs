//! Groups of hosts as people see them.

use foghorn_rest_types::native::GroupStatus;

use super::host_view::brief;
use crate::human::{argument, count};
use crate::native::Native;
use crate::output::{Output, Table};
use crate::sheet::Sheet;

pub(super) fn table(groups: &[Native<GroupStatus>]) -> Table {
    let mut table = Table::new(&["ID", "NAME", "HOSTS", "DESCRIPTION"]);
    for group in groups.iter().map(|group| &group.view) {
        table.row([
            group.id.to_string(),
            group.name.clone(),
            group.host_count.to_string(),
            group.description.clone(),
        ]);
    }
    table
}

pub(super) fn sheet(output: Output, group: &GroupStatus) -> Sheet {
    let mut sheet = Sheet::new(format!("group {} (id {})", group.name, group.id));
    sheet.maybe("description", Some(group.description.as_str()));
    sheet.maybe("created by", Some(group.created_by.as_str()));
    sheet.maybe(
        "created",
        group.created.as_deref().map(|at| output.time(at)),
    );
    sheet.group("members");
    sheet.field("number", count(group.host_count as usize, "host"));
    let hosts = group.hosts.iter().flatten();
    sheet.lines("hosts", hosts.map(|host| host.name.clone()));
    let images: Vec<_> = group
        .images
        .iter()
        .flatten()
        .map(|image| &*image.name)
        .collect();
    sheet.maybe("images", Some(images.join(", ")));
    sheet.group("active tasks");
    for task in group.tasks.iter().flatten() {
        sheet.field(
            &format!("task {}", task.id),
            format!("{}: {}", task.host.name, brief(task)),
        );
    }
    sheet
}

/// What one usually does with a group next.
pub(super) fn next(group: &GroupStatus) -> String {
    let name = argument(&group.name, group.id.get());
    if group.host_count == 0 {
        return format!("foghorn group edit {name} --add-host HOST");
    }
    format!("foghorn image deploy IMAGE --group {name}")
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::native::{Named, TaskBrief, TaskPhase, TaskWork};
    use foghorn_types::{GroupId, HostId, TaskId};

    use super::*;
    use crate::human::Zone;
    use crate::output::Format;

    #[test]
    fn a_group_is_shown_with_members_and_their_tasks() {
        let host = |id, name: &str| Named {
            id: HostId::new(id).unwrap(),
            name: name.to_owned(),
        };
        let mut group = GroupStatus {
            id: GroupId::new(1).unwrap(),
            name: "lab".into(),
            description: String::new(),
            host_count: 2,
            hosts: Some(vec![host(7, "pc1"), host(8, "pc2")]),
            images: None,
            tasks: Some(vec![TaskBrief {
                id: TaskId::new(9).unwrap(),
                work: TaskWork::Deploy,
                state: TaskPhase::CheckedIn,
                host: host(8, "pc2"),
            }]),
            created_by: String::new(),
            created: None,
        };
        let output = Output {
            format: Format::Table,
            quiet: false,
            zone: Zone::Utc,
        };
        assert_eq!(
            sheet(output, &group).render(),
            "\
group lab (id 1)

members
  number  2 hosts
  hosts   pc1
          pc2

active tasks
  task 9  pc2: deploy, checked in
"
        );
        assert_eq!(next(&group), "foghorn image deploy IMAGE --group lab");
        group.host_count = 0;
        assert_eq!(next(&group), "foghorn group edit lab --add-host HOST");
    }
}
