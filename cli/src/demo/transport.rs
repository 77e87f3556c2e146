//! How the image is sent to the three machines.

use std::fmt;

use foghorn_rest_types::fog::{Host, Image, Row};
use foghorn_rest_types::multicast::MulticastPath;
use foghorn_rest_types::native::TaskStatus;
use foghorn_rest_types::tasks::{TaskKind, TaskRequest};
use foghorn_types::TaskId;

use super::site::{Site, broken};
use crate::exit::Failure;
use crate::verbs::order::{order, request};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transport {
    /// One stream for all machines.
    Multicast,
    /// One stream per machine.
    Unicast,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Multicast => "multicast",
            Self::Unicast => "unicast",
        })
    }
}

impl Transport {
    /// Creates the deploy tasks, one for each host, in the order of the hosts.
    pub(super) fn order(
        self,
        site: &Site,
        image: &Row<Image>,
        hosts: &[Row<Host>],
    ) -> Result<Vec<TaskId>, Failure> {
        let request = TaskRequest {
            hosts: Some(hosts.iter().map(|host| host.view.id).collect()),
            multicast: self == Self::Multicast,
            ..request(TaskKind::Deploy, image)
        };
        let created = order(&site.api, &request)?;
        if created.tasks.len() != hosts.len() {
            return Err(broken(format!(
                "the server created {1} tasks for {0} hosts",
                hosts.len(),
                created.tasks.len()
            )));
        }
        Ok(created
            .tasks
            .into_iter()
            .map(|created| created.task)
            .collect())
    }

    /// Whether a completed task was sent in this way. On one machine nothing is between sender and
    /// receivers, so a multicast that ends as unicast is an error.
    pub(super) fn check(self, site: &Site, task: TaskId) -> Result<(), Failure> {
        if self == Self::Unicast {
            return Ok(());
        }
        let status: TaskStatus = site.api.get(&format!("/foghorn/v1/tasks/{task}"))?;
        match status.multicast {
            Some(how) if how.path == MulticastPath::Unicast => {
                let why = how
                    .reason
                    .unwrap_or_else(|| "no reason was given".to_owned());
                Err(broken(format!(
                    "the task of {} was served by unicast: {why}",
                    status.host.name
                )))
            }
            _ => Ok(()),
        }
    }
}
