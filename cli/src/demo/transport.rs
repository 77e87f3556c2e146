//! How the image is sent to the three machines.

use std::fmt;

use foghorn_rest_types::fog::{Host, HostBody, Image, Row};
use foghorn_rest_types::multicast::{MulticastCreated, MulticastPath, MulticastRequest, MulticastStatus};
use foghorn_rest_types::native::TaskStatus;
use foghorn_types::TaskId;

use super::site::{Site, broken};
use crate::exit::Failure;
use crate::verbs::order::{Kind, order};

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
    pub(super) fn order(self, site: &Site, image: &Row<Image>, hosts: &[Row<Host>]) -> Result<Vec<TaskId>, Failure> {
        match self {
            Self::Unicast => hosts.iter().map(|host| order(&site.api, host, image, Kind::Deploy)).collect(),
            Self::Multicast => together(site, image, hosts),
        }
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
                let why = how.reason.unwrap_or_else(|| "no reason was given".to_owned());
                Err(broken(format!("the task of {} was served by unicast: {why}", status.host.name)))
            }
            _ => Ok(()),
        }
    }
}

fn together(site: &Site, image: &Row<Image>, hosts: &[Row<Host>]) -> Result<Vec<TaskId>, Failure> {
    for host in hosts {
        let body = HostBody { image: Some(image.view.id), ..HostBody::default() };
        site.api.edit::<Host>(host.view.id.get(), &body)?;
    }
    let hosts: Vec<_> = hosts.iter().map(|host| host.view.id).collect();
    let request = MulticastRequest { hosts: Some(hosts.clone()), ..MulticastRequest::default() };
    let created: MulticastCreated = site.api.native("POST", "/foghorn/v1/multicast-sessions", Some(&request))?;
    let [session] = created.sessions[..] else { return Err(broken("the server did not create exactly one session")) };
    let status: MulticastStatus = site.api.get(&format!("/foghorn/v1/multicast-sessions/{session}"))?;
    let task_of =
        |host| status.receivers.iter().find(|receiver| receiver.host.id == host).map(|receiver| receiver.task);
    hosts
        .into_iter()
        .map(|host| task_of(host).ok_or_else(|| broken(format!("the server created no task for host {host}"))))
        .collect()
}
