//! `foghorn schedule` and `foghorn wake`: tasks that are created later, and waking hosts.

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Row, Schedule, ScheduleBody, Setting};
use foghorn_rest_types::native::{ScheduleList, ScheduleStatus, ScheduleTarget};
use jiff::{Timestamp, Zoned};
use serde_json::json;

use super::Session;
use super::made::{made, no_change, or_dash, yes};
use super::object::{change, dash, delete_all};
use super::schedule_target::{ask, target_of, write_work};
use super::schedule_terms::{Calendar, Doing, calendar_of, parse_calendar, word};
use crate::api::Api;
use crate::confirm::Consent;
use crate::exit::{Exit, Failure};
use crate::find::find;
use crate::human::Zone;
use crate::moment;
use crate::output::Table;

#[derive(Subcommand, Debug)]
pub enum ScheduleCommand {
    /// List schedules with their next start and last result
    #[command(after_help = "Example:\n  foghorn schedule list")]
    List,
    /// Show one schedule
    #[command(after_help = "Example:\n  foghorn schedule show night")]
    Show { schedule: String },
    /// Do something for a host or a group later: once, or by the calendar
    #[command(
        after_help = "Examples:\n  foghorn schedule create night --task deploy --group lab --cron '0 3 * * 1' --wake\n  foghorn schedule create once --task capture --host golden-pc --at '2026-12-01 22:00'\n  foghorn schedule create 7zip --snapin 7zip --group lab --at +2h"
    )]
    Create(CreateArgs),
    /// Change a schedule; options that are not given stay as they are
    #[command(after_help = "Example:\n  foghorn schedule edit night --cron '30 2 * * 1-5'")]
    Edit(EditArgs),
    /// Delete schedules; tasks that they have created stay
    #[command(after_help = "Example:\n  foghorn schedule delete night --yes")]
    Delete {
        #[arg(required = true)]
        schedules: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Switch schedules on; what was missed in the meantime is not done
    #[command(after_help = "Example:\n  foghorn schedule enable night")]
    Enable {
        #[arg(required = true)]
        schedules: Vec<String>,
    },
    /// Switch schedules off until they are switched on again
    #[command(after_help = "Example:\n  foghorn schedule disable night")]
    Disable {
        #[arg(required = true)]
        schedules: Vec<String>,
    },
}

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("target").required(true))]
#[command(group = clap::ArgGroup::new("what").required(true))]
#[command(group = clap::ArgGroup::new("time").required(true))]
pub struct CreateArgs {
    /// Its name, which its tasks have too
    name: String,
    /// What to do
    #[arg(long, value_enum, group = "what")]
    task: Option<Doing>,
    /// Run this snapin
    #[arg(long, group = "what")]
    snapin: Option<String>,
    /// Host for which it is done
    #[arg(long, group = "target")]
    host: Option<String>,
    /// Group for whose hosts it is done: those that are in it then
    #[arg(long, group = "target")]
    group: Option<String>,
    #[command(flatten)]
    times: Times,
    /// Wake the hosts first
    #[arg(long)]
    wake: bool,
    /// Power the hosts off afterwards
    #[arg(long)]
    shutdown: bool,
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    consent: Consent,
}

#[derive(clap::Args, Debug)]
pub struct Times {
    /// Once at this time, such as '2026-12-01 22:00' (local), 2026-12-01T21:00:00Z, 22:00, +2h
    #[arg(long, value_name = "TIME", group = "time", value_parser = later)]
    at: Option<Timestamp>,
    /// By the calendar, as five fields of a crontab in the site's time zone (setting FOG_TZ_INFO):
    /// minute, hour, day of the month, month, day of the week
    #[arg(long, value_name = "FIELDS", group = "time", value_parser = parse_calendar)]
    cron: Option<Calendar>,
}

#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("time"))]
#[command(group = clap::ArgGroup::new("target"))]
#[command(group = clap::ArgGroup::new("what"))]
pub struct EditArgs {
    schedule: String,
    #[arg(long)]
    name: Option<String>,
    /// What to do
    #[arg(long, value_enum, group = "what")]
    task: Option<Doing>,
    /// Run this snapin
    #[arg(long, group = "what")]
    snapin: Option<String>,
    /// Host for which it is done
    #[arg(long, group = "target")]
    host: Option<String>,
    /// Group for whose hosts it is done: those that are in it then
    #[arg(long, group = "target")]
    group: Option<String>,
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    times: Times,
    /// Whether the hosts are woken first
    #[arg(long, value_name = "true|false")]
    wake: Option<bool>,
    /// Whether the hosts are powered off afterwards
    #[arg(long, value_name = "true|false")]
    shutdown: Option<bool>,
    #[command(flatten)]
    consent: Consent,
}

/// A time that has not passed.
fn later(text: &str) -> Result<Timestamp, String> {
    let now = Zoned::now();
    let time = moment::parse(text, &now)?;
    if time > now.timestamp() {
        Ok(time)
    } else {
        let shown = Zone::Local.time(&time.to_string());
        Err(format!("{shown} has passed"))
    }
}

impl Times {
    fn write_to(self, body: &mut ScheduleBody) {
        if let Some(at) = self.at {
            body.kind = Some("S".to_owned());
            body.time = Some(at.as_second());
        }
        if let Some(calendar) = self.cron {
            calendar.write_to(body);
        }
    }
}

/// # Errors
/// As the server answers.
pub fn run(command: ScheduleCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        ScheduleCommand::List => list(&api, session)?,
        ScheduleCommand::Show { schedule } => show(&api, session, &schedule)?,
        ScheduleCommand::Create(args) => create(&api, session, args)?,
        ScheduleCommand::Edit(args) => edit(&api, session, args)?,
        ScheduleCommand::Delete { schedules, consent } => {
            return delete_all::<Schedule>(&api, output, &schedules, consent, |row| {
                Ok(format!(
                    "schedule {}: it creates no more tasks",
                    row.view.name
                ))
            });
        }
        ScheduleCommand::Enable { schedules } => switch(&api, session, &schedules, true)?,
        ScheduleCommand::Disable { schedules } => switch(&api, session, &schedules, false)?,
    }
    Ok(Exit::Ok)
}

fn all(api: &Api) -> Result<ScheduleList, Failure> {
    Ok(api.get("/foghorn/v1/schedules")?)
}

fn list(api: &Api, session: &Session) -> Result<(), Failure> {
    let list = all(api)?;
    let time = |text: &str| session.output.time(text);
    let mut table = Table::new(&[
        "ID", "NAME", "DOES", "FOR", "ACTIVE", "NEXT", "LAST", "RESULT",
    ]);
    for schedule in &list.schedules {
        table.row([
            schedule.id.to_string(),
            or_dash(&schedule.name),
            word(schedule.task_type.into()),
            target(schedule),
            yes(schedule.active),
            dash(schedule.next.as_deref().map(time)),
            dash(schedule.last.as_deref().map(time)),
            or_dash(&schedule.outcome),
        ]);
    }
    session.output.show(&table, &list)
}

fn target(schedule: &ScheduleStatus) -> String {
    let (kind, id) = match schedule.target {
        ScheduleTarget::Host { id } => ("host", id),
        ScheduleTarget::Group { id } => ("group", id),
    };
    if schedule.target_name.is_empty() {
        format!("{kind} {id} (deleted)")
    } else {
        format!("{kind} {}", schedule.target_name)
    }
}

fn status(api: &Api, id: u32) -> Result<Option<ScheduleStatus>, Failure> {
    let list = all(api)?.schedules.into_iter();
    Ok(list.into_iter().find(|schedule| schedule.id == id))
}

fn show(api: &Api, session: &Session, name: &str) -> Result<(), Failure> {
    let row = find::<Schedule>(api, name)?;
    let schedule = &row.view;
    let id = schedule.number();
    let found = session.output.is_for_people().then(|| status(api, id));
    let Some(status) = found.transpose()?.flatten() else {
        return session.output.show_object(&id.to_string(), &row.raw);
    };
    let time = |text: &str| session.output.time(text);
    let once = (schedule.kind == "S").then(|| {
        let seconds = i64::try_from(schedule.time).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).map_or_else(|_| "-".to_owned(), |at| time(&at.to_string()))
    });
    let fields = json!({
        "id": id,
        "name": schedule.name,
        "description": schedule.description,
        "does": word(schedule.task_type),
        "for": target(&status),
        "once at": once,
        "calendar": calendar_of(schedule),
        "time zone": calendar_of(schedule).map(|_| zone(api)).transpose()?,
        "active": yes(status.active),
        "wake": yes(schedule.wake),
        "shutdown": yes(schedule.shutdown),
        "next": status.next.as_deref().map(time),
        "last": status.last.as_deref().map(time),
        "result": status.outcome,
    });
    session.output.show_object(&id.to_string(), &fields)
}

/// The time zone in which calendars are meant.
fn zone(api: &Api) -> Result<String, Failure> {
    let filter = json!({ "name": "FOG_TZ_INFO" });
    let rows = api.list_at::<Setting>("/fog/service", Some(filter))?;
    let value = rows.into_iter().map(|row| row.view.value).next();
    Ok(value
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| "UTC".to_owned()))
}

fn create(api: &Api, session: &Session, args: CreateArgs) -> Result<(), Failure> {
    let Some(target) = target_of(api, args.host.as_deref(), args.group.as_deref())? else {
        return Err(Failure::usage("give --host or --group"));
    };
    let mut body = ScheduleBody {
        name: Some(args.name),
        description: args.description,
        for_group: Some(target.is_group),
        target: Some(target.number),
        shutdown: args.shutdown.then_some(true),
        wake: args.wake.then_some(true),
        active: Some(true),
        ..ScheduleBody::default()
    };
    if args.task.is_none() && args.snapin.is_none() {
        return Err(Failure::usage("give --task or --snapin"));
    }
    write_work(api, args.task, args.snapin.as_deref(), &mut body)?;
    if let Some(doing) = args.task {
        doing.check(target.is_group).map_err(Failure::usage)?;
    }
    if args.task.is_some_and(Doing::replaces_disks) {
        ask(args.consent, &target.words, "Create the schedule?")?;
    }
    args.times.write_to(&mut body);
    let api = &api.rehearsing(args.consent.is_dry_run())?;
    let row = api.create::<Schedule>(&body)?;
    say(api, session, "created", &row)
}

fn edit(api: &Api, session: &Session, args: EditArgs) -> Result<(), Failure> {
    let mut body = ScheduleBody {
        name: args.name,
        description: args.description,
        wake: args.wake,
        shutdown: args.shutdown,
        ..ScheduleBody::default()
    };
    args.times.write_to(&mut body);
    let target = target_of(api, args.host.as_deref(), args.group.as_deref())?;
    body.target = target.as_ref().map(|target| target.number);
    body.for_group = target.as_ref().map(|target| target.is_group);
    write_work(api, args.task, args.snapin.as_deref(), &mut body)?;
    if args.task.is_some() && body.snapins.is_none() {
        // Those of what it did before.
        body.snapins = Some(String::new());
    }
    if body == ScheduleBody::default() {
        return Err(no_change("schedule edit"));
    }
    let row = find::<Schedule>(api, &args.schedule)?;
    if target.is_some() || body.task_type.is_some() {
        let number = body.task_type.map_or(row.view.task_type, u64::from);
        let is_group = target.as_ref().map_or(row.view.for_group, |it| it.is_group);
        if let Some(doing) = Doing::of_number(number) {
            doing.check(is_group).map_err(Failure::usage)?;
            if doing.replaces_disks() {
                let before = || format!("the target of schedule {}", row.view.name);
                let words = target.map_or_else(before, |target| target.words);
                ask(args.consent, &words, "Change the schedule?")?;
            }
        }
    }
    let row = change(api, args.consent.rehearsal, &row, &body)?;
    say(api, session, "changed", &row)
}

/// All names are looked up first.
fn switch(api: &Api, session: &Session, names: &[String], on: bool) -> Result<(), Failure> {
    let rows = names
        .iter()
        .map(|name| find::<Schedule>(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    for row in &rows {
        if on && row.view.kind == "S" && row.view.time <= now {
            let what = format!("the time of schedule {} has passed", row.view.name);
            let todo = format!(
                "give it another one first: `foghorn schedule edit {} --at TIME`",
                row.view.name
            );
            return Err(Failure::usage(what).advise(todo));
        }
    }
    for row in &rows {
        let body = ScheduleBody {
            active: Some(on),
            ..ScheduleBody::default()
        };
        let row = api.edit::<Schedule>(row.view.number(), &body)?;
        say(
            api,
            session,
            if on { "switched on" } else { "switched off" },
            &row,
        )?;
    }
    Ok(())
}

/// What was done, and when the schedule starts next.
fn say(api: &Api, session: &Session, done: &str, row: &Row<Schedule>) -> Result<(), Failure> {
    let id = row.view.number();
    let mut said = format!("{done} schedule {} ({id})", row.view.name);
    if session.output.is_for_people()
        && let Some(status) = status(api, id)?
    {
        let next = match (&status.next, status.active) {
            (Some(next), _) => format!("next start {}", session.output.time(next)),
            (None, false) => "it is switched off".to_owned(),
            (None, true) => "it does not start any more".to_owned(),
        };
        said = format!(
            "{said}: {} for {}, {next}",
            word(row.view.task_type),
            target(&status)
        );
        if calendar_of(&row.view).is_some() {
            said = format!("{said} (the calendar is in {})", zone(api)?);
        }
    }
    made(session.output, id, &row.raw, &said)
}
