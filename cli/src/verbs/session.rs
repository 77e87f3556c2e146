//! `foghorn session`: deploys to several hosts that share a stream.

use std::time::Duration;

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Host};
use foghorn_rest_types::multicast::{
    MulticastEdit, MulticastList, MulticastReceiver, MulticastStatus, MulticastSummary,
};
use foghorn_types::{BitRate, ByteCount, SessionId};
use serde_json::{Value, json};

use super::Session;
use super::object::dash;
use super::session_watch;
use super::wait::parse_duration;
use crate::api::{Api, ApiError};
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::human;
use crate::number::rate_limit;
use crate::output::{Table, print};

const SESSIONS: &str = "/foghorn/v1/multicast-sessions";
/// FOG's task type for multicast.
const MULTICAST: u32 = 8;

#[derive(Subcommand, Debug)]
pub enum SessionCommand {
    /// List multicast sessions
    #[command(after_help = "Example:\n  foghorn session list --all")]
    List {
        /// Include sessions that have ended
        #[arg(long)]
        all: bool,
    },
    /// Show one session, with a line for each receiver
    #[command(after_help = "Example:\n  foghorn session show 7")]
    Show { session: SessionId },
    /// Follow a session until it ends, with a line for each receiver
    #[command(after_help = "Example:\n  foghorn session watch 7 --timeout 1h")]
    Watch {
        session: SessionId,
        /// Stop watching after this time, such as 90s, 30m, 2h
        #[arg(long, value_parser = parse_duration)]
        timeout: Option<Duration>,
    },
    /// Start a waiting session with the hosts that have checked in; others can join while it runs
    #[command(after_help = "Example:\n  foghorn session start 7")]
    Start {
        session: SessionId,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change the maximum rate of a session
    #[command(after_help = "Example:\n  foghorn session rate 7 500m")]
    Rate {
        session: SessionId,
        /// Maximum rate in bits per second on the wire, such as 500m or 1g; 0 for no limit
        #[arg(value_parser = rate_limit)]
        rate: BitRate,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Add hosts to a session, also while it is being sent
    #[command(after_help = "Example:\n  foghorn session join 7 lab-pc09")]
    Join {
        session: SessionId,
        #[arg(required = true)]
        hosts: Vec<String>,
    },
    /// Cancel a session and its tasks
    #[command(after_help = "Example:\n  foghorn session cancel 7")]
    Cancel {
        session: SessionId,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: SessionCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        SessionCommand::List { all } => list(&api, session, all)?,
        SessionCommand::Show { session: id } => {
            let status = of(&api, id)?;
            if !output.is_for_people() {
                output.show(&receivers(&status), &status)?;
                return Ok(Exit::Ok);
            }
            print(&format!(
                "{}\n{}",
                heading(&status),
                receivers(&status).render()
            ))?;
        }
        SessionCommand::Watch {
            session: id,
            timeout,
        } => return session_watch::watch(&api, output, id, timeout),
        SessionCommand::Start {
            session: id,
            rehearsal,
        } => {
            rehearsal.tell(&format!(
                "start session {id} with the hosts that have checked in"
            ));
            let api = api.rehearsing(rehearsal.dry_run)?;
            edit(
                &api,
                id,
                &MulticastEdit {
                    start_now: true,
                    ..MulticastEdit::default()
                },
            )?;
            output.say(&format!(
                "session {id} starts with the hosts that have checked in"
            ));
        }
        SessionCommand::Rate {
            session: id,
            rate,
            rehearsal,
        } => {
            let most = limit(rate.bytes_per_second());
            rehearsal.tell(&format!("set the maximum rate of session {id}: {most}"));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let max_rate_bytes_per_second = Some(rate.bytes_per_second());
            edit(
                &api,
                id,
                &MulticastEdit {
                    max_rate_bytes_per_second,
                    ..MulticastEdit::default()
                },
            )?;
            output.say(&format!(
                "the maximum rate of session {id} is {most}, also for hosts that receive by unicast"
            ));
        }
        SessionCommand::Join { session: id, hosts } => join(&api, session, id, &hosts)?,
        SessionCommand::Cancel {
            session: id,
            rehearsal,
        } => {
            rehearsal.tell(&format!("cancel session {id} and its tasks"));
            let api = api.rehearsing(rehearsal.dry_run)?;
            api.text("DELETE", &format!("{SESSIONS}/{id}"), None::<&Value>)
                .map_err(|error| known(id, error))?;
            output.say(&format!("cancelled session {id}"));
        }
    }
    Ok(Exit::Ok)
}

/// The session.
fn of(api: &Api, session: SessionId) -> Result<MulticastStatus, Failure> {
    ask(api, session).map_err(|error| known(session, error))
}

pub(super) fn ask(api: &Api, session: SessionId) -> Result<MulticastStatus, ApiError> {
    api.get(&format!("{SESSIONS}/{session}"))
}

/// The error of the server, with advice when the session does not exist.
pub(super) fn known(session: SessionId, error: ApiError) -> Failure {
    match error {
        ApiError::NotFound(_) => Failure::new(
            Exit::NotFound,
            format!("there is no multicast session {session}"),
        )
        .advise("`foghorn session list --all` shows the existing ones"),
        error => error.into(),
    }
}

fn edit(api: &Api, session: SessionId, body: &MulticastEdit) -> Result<MulticastStatus, Failure> {
    let answer = api.native("PATCH", &format!("{SESSIONS}/{session}"), Some(body));
    answer.map_err(|error| known(session, error))
}

fn list(api: &Api, session: &Session, all: bool) -> Result<(), Failure> {
    let list: MulticastList = api.get(&format!("{SESSIONS}?all={all}"))?;
    let mut table = Table::new(&[
        "ID",
        "NAME",
        "IMAGE",
        "STATE",
        "HOSTS",
        "DONE",
        "UNICAST",
        "RATE",
        "WAITING FOR",
    ]);
    for one in &list.sessions {
        table.row([
            one.session.to_string(),
            dash(Some(&one.name).filter(|name| !name.is_empty())),
            dash(one.image.as_ref().map(|image| &image.name)),
            one.phase.as_str().to_owned(),
            format!("{} of {}", one.joined, one.receivers),
            format!("{} %", one.percent),
            one.by_unicast.to_string(),
            wire(one.rate_bytes_per_second),
            dash(one.waiting_for.as_ref()),
        ]);
    }
    session.output.show(&table, &list)
}

/// Hosts join by the name of the session, as in FOG.
fn join(api: &Api, session: &Session, id: SessionId, names: &[String]) -> Result<(), Failure> {
    let summary = of(api, id)?.summary;
    if summary.phase.is_finished() {
        return Err(Failure::new(
            Exit::Conflict,
            format!(
                "multicast session {id} has already ended as {}",
                summary.phase.as_str()
            ),
        ));
    }
    let hosts = names
        .iter()
        .map(|name| find::<Host>(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    for host in &hosts {
        let body =
            json!({"taskTypeID": MULTICAST, "taskName": "Join", "sessionjoin": summary.name});
        api.text(
            "POST",
            &format!("/fog/host/{}/task", host.view.number()),
            Some(&body),
        )?;
        session
            .output
            .say(&format!("{} joins session {id}", host.view.name()));
    }
    Ok(())
}

/// Two lines about the whole session, or more when several nodes send it.
pub(super) fn heading(status: &MulticastStatus) -> String {
    let mut text = format!("{}\n", summary_line(&status.summary));
    for sender in &status.senders {
        let parity = human::percent(sender.parity_bytes.bytes(), sender.wire_bytes.bytes());
        text.push_str(&format!(
            "{} to {}: {}, {}, {} sent, {parity:.1} % of it parity\n",
            sender.node.name,
            sender.group,
            sender.phase.as_deref().unwrap_or("not started"),
            wire(sender.rate_bytes_per_second),
            sender.wire_bytes,
        ));
    }
    text
}

/// A session in one line.
pub(super) fn summary_line(summary: &MulticastSummary) -> String {
    let image = summary
        .image
        .as_ref()
        .map_or("no image", |image| &image.name);
    let mut text = format!(
        "session {} ({image}): {}, {} of {} hosts checked in, {} done, {} by unicast, {} %",
        summary.session,
        summary.phase.as_str(),
        summary.joined,
        summary.receivers,
        summary.done,
        summary.by_unicast,
        summary.percent
    );
    if let Some(what) = &summary.waiting_for {
        text.push_str(&format!(", waiting for {what}"));
    }
    text
}

const COLUMNS: [&str; 10] = [
    "TASK",
    "HOST",
    "STAGE",
    "DONE",
    "RATE",
    "LOSS",
    "PARITY",
    "LIMITED BY",
    "LEFT",
    "REMARK",
];

/// One row for each receiver.
pub(super) fn receivers(status: &MulticastStatus) -> Table {
    let mut table = Table::new(&COLUMNS);
    for receiver in &status.receivers {
        table.row(cells(receiver));
    }
    table
}

fn cells(receiver: &MulticastReceiver) -> [String; 10] {
    let remark = match &receiver.reason {
        Some(reason) => reason.clone(),
        None if receiver.next_unicast => "next to be moved to unicast".to_owned(),
        None => String::new(),
    };
    [
        receiver.task.to_string(),
        receiver.host.name.clone(),
        receiver.path.as_str().to_owned(),
        format!("{} %", receiver.percent),
        human::rate(receiver.rate_bytes_per_second),
        format!("{:.1} %", f64::from(receiver.loss_ppm) / 1e4),
        receiver.parity_used.to_string(),
        dash(receiver.limiting_stage.as_ref()),
        dash(receiver.eta_seconds.map(human::duration)),
        remark,
    ]
}

/// A receiver in one line, for logs.
pub(super) fn receiver_line(receiver: &MulticastReceiver) -> String {
    let mut text = format!(
        "{}: {} {} %",
        receiver.host.name,
        receiver.path.as_str(),
        receiver.percent
    );
    if receiver.bytes_total.bytes() > 0 {
        text.push_str(&format!(
            ", {}, loss {:.1} %, parity {}",
            human::rate(receiver.rate_bytes_per_second),
            f64::from(receiver.loss_ppm) / 1e4,
            receiver.parity_used
        ));
        if let Some(stage) = &receiver.limiting_stage {
            text.push_str(&format!(", limited by {stage}"));
        }
        if let Some(seconds) = receiver.eta_seconds {
            text.push_str(&format!(", {} left", human::duration(seconds)));
        }
    }
    if receiver.next_unicast {
        text.push_str(", next to be moved to unicast");
    }
    if let Some(reason) = &receiver.reason {
        text.push_str(&format!(" ({reason})"));
    }
    text
}

/// A rate on the wire.
fn wire(rate: ByteCount) -> String {
    BitRate::from_bytes_per_second(rate.bytes()).to_string()
}

/// A rate as text; 0 is no limit.
fn limit(bytes_per_second: u64) -> String {
    match bytes_per_second {
        0 => "not limited".to_owned(),
        bytes => BitRate::from_bytes_per_second(bytes).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::multicast::{MulticastPath, MulticastPhase};
    use foghorn_rest_types::native::Named;
    use foghorn_types::{HostId, ImageId, TaskId};

    use super::*;

    fn receiver() -> MulticastReceiver {
        MulticastReceiver {
            task: TaskId::new(4).unwrap(),
            host: Named {
                id: HostId::new(1).unwrap(),
                name: "pc1".into(),
            },
            node: Some("north".into()),
            path: MulticastPath::Multicast,
            reason: None,
            percent: 50,
            bytes_done: ByteCount::from_mib(512),
            bytes_total: ByteCount::from_mib(1024),
            rate_bytes_per_second: ByteCount::from_mib(110),
            loss_ppm: 12_000,
            parity_used: 44,
            forged: 0,
            limiting_stage: Some("disk".into()),
            eta_seconds: Some(75),
            next_unicast: true,
        }
    }

    #[test]
    fn a_receiver_is_one_line() {
        assert_eq!(
            receiver_line(&receiver()),
            "pc1: multicast 50 %, 110 MiB/s, loss 1.2 %, parity 44, limited by disk, 1:15 min left, next to be moved to \
             unicast"
        );
        let reason = Some("the group was not heard within 2 s".to_owned());
        let deaf = MulticastReceiver {
            path: MulticastPath::Unicast,
            next_unicast: false,
            bytes_total: ByteCount::ZERO,
            reason,
            ..receiver()
        };
        assert_eq!(
            receiver_line(&deaf),
            "pc1: unicast 50 % (the group was not heard within 2 s)"
        );
        assert_eq!(
            cells(&deaf),
            [
                "4",
                "pc1",
                "unicast",
                "50 %",
                "110 MiB/s",
                "1.2 %",
                "44",
                "disk",
                "1:15 min",
                "the group was not heard within 2 s"
            ]
        );
    }

    #[test]
    fn a_session_says_what_it_waits_for() {
        let summary = MulticastSummary {
            session: "7".parse().unwrap(),
            name: "lab".into(),
            phase: MulticastPhase::Waiting,
            waiting_for: Some("receivers: 1 of 3 have checked in".into()),
            image: Some(Named {
                id: ImageId::new(2).unwrap(),
                name: "win11".into(),
            }),
            receivers: 3,
            joined: 1,
            done: 0,
            by_unicast: 0,
            percent: 0,
            rate_bytes_per_second: ByteCount::ZERO,
            created: None,
            completed: None,
        };
        assert_eq!(
            summary_line(&summary),
            "session 7 (win11): waiting, 1 of 3 hosts checked in, 0 done, 0 by unicast, 0 %, waiting for receivers: 1 of 3 have \
             checked in"
        );
        assert_eq!(limit(0), "not limited");
    }
}
