//! How etcd is: its members, its alarms and the size of its database.

use std::time::Duration;

use etcd_client::{AlarmAction, AlarmType};
use foghorn_types::ByteCount;

use super::EtcdStore;
use super::answer::FULL;
use super::members::{CallError, Look};
use crate::store::{Condition, MemberCondition};

const WITHIN: Duration = Duration::from_secs(2);

impl EtcdStore {
    pub(super) async fn find_condition(&self) -> Condition {
        let (alarm, looks) = tokio::join!(self.alarm(), self.members.look());
        let answering = looks.iter().filter(|look| look.status.is_ok());
        let sizes = answering.filter_map(|look| look.status.as_ref().ok());
        let size = sizes.map(etcd_client::StatusResponse::db_size).max();
        Condition {
            engine: "etcd",
            place: self.members.place(),
            free: None,
            total: None,
            used: size.map(|size| ByteCount::from_bytes(u64::try_from(size).unwrap_or(0))),
            problem: problem(alarm, &looks),
            alarm: alarm.unwrap_or_default(),
            members: looks.into_iter().map(member).collect(),
        }
    }

    /// The name of etcd's alarm, if there is one. `Err` when it does not say so in time.
    async fn alarm(&self) -> Result<Option<&'static str>, ()> {
        let asked = self.members.read(|client| async move {
            let mut maintenance = client.maintenance_client();
            maintenance
                .alarm(AlarmAction::Get, AlarmType::None, None)
                .await
        });
        let found = match tokio::time::timeout(WITHIN, asked).await {
            Ok(Ok(found)) => found,
            // A user who may not ask.
            Ok(Err(CallError::Answer(error))) if super::answer::is_permission(&error) => {
                return Ok(None);
            }
            _ => return Err(()),
        };
        Ok(found.alarms().iter().find_map(|alarm| match alarm.alarm() {
            AlarmType::None => None,
            AlarmType::Nospace => Some("NOSPACE"),
            AlarmType::Corrupt => Some("CORRUPT"),
        }))
    }
}

fn problem(alarm: Result<Option<&'static str>, ()>, looks: &[Look]) -> Option<String> {
    match alarm {
        Ok(Some("NOSPACE")) => return Some(FULL.to_owned()),
        Ok(Some(_)) => {
            let text = "a member of etcd holds other data than the others (alarm CORRUPT): replace it as etcd's documentation says, then run `etcdctl alarm disarm`";
            return Some(text.to_owned());
        }
        _ => {}
    }
    let silent: Vec<String> = looks
        .iter()
        .filter_map(|look| {
            let why = look.status.as_ref().err()?;
            Some(format!("{}: {why}", look.endpoint))
        })
        .collect();
    let list = silent.join("; ");
    if silent.len() == looks.len() {
        return Some(format!(
            "no member of etcd that is configured here has a leader, so nothing can be changed until a majority of the members runs again: {list}"
        ));
    }
    if alarm.is_err() {
        return Some(format!(
            "etcd does not answer questions that need a majority of its members: {list}"
        ));
    }
    (!silent.is_empty()).then(|| {
        format!(
            "{} of {} members of etcd do not serve; start or replace them before another is lost: {list}",
            silent.len(),
            looks.len()
        )
    })
}

fn member(look: Look) -> MemberCondition {
    MemberCondition {
        endpoint: look.endpoint,
        leads: look.status.as_ref().is_ok_and(|status| {
            status.header().map(etcd_client::ResponseHeader::member_id) == Some(status.leader())
        }),
        version: look
            .status
            .as_ref()
            .map_or_else(|_| String::new(), |status| status.version().to_owned()),
        problem: look.status.err(),
    }
}
