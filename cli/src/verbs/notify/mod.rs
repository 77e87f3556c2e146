//! `foghorn notify`: who is told of what happens.

mod args;
mod show;

use std::time::{Duration, Instant};

use foghorn_rest_types::fog::{FogObject as _, Group};
use foghorn_rest_types::notifications::{
    DeliveryList, DeliveryState, DeliveryView, NewNotification, NotificationCreated,
    NotificationEdit, NotificationList, NotificationView, NotifyBy, Retried, RetryRequest,
    TestSent,
};
use foghorn_types::NoticeKind;
use serde_json::Value;

pub use self::args::NotifyCommand;
use self::args::{AddCommand, Common, MailOptions};
use super::Session;
use crate::api::{Api, ApiError};
use crate::confirm::{Consent, NOTHING_CHANGED, confirm};
use crate::exit::{Exit, Failure};
use crate::find::find as find_object;
use crate::output::Output;

const ALL: &str = "/foghorn/v1/notifications";
/// How long `test` waits for the message to be delivered.
const TEST_WITHIN: Duration = Duration::from_secs(90);

/// # Errors
/// As the server answers.
pub fn run(command: NotifyCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        NotifyCommand::List => show::list(output, &all(&api)?)?,
        NotifyCommand::Show { name } => show::one(output, &find(&api, &name)?)?,
        NotifyCommand::Add(command) => add(&api, output, *command)?,
        NotifyCommand::Edit(args) => edit(&api, output, *args)?,
        NotifyCommand::Delete { names, consent } => delete(&api, output, &names, consent)?,
        NotifyCommand::Test { name } => return test(&api, output, &name),
        NotifyCommand::Deliveries { name, dead, limit } => {
            let id = find(&api, &name)?.id;
            let path = format!("{ALL}/{id}/deliveries?dead={dead}&limit={limit}");
            show::deliveries(output, &api.get::<DeliveryList>(&path)?.deliveries)?;
        }
        NotifyCommand::Retry { name, delivery } => {
            let id = find(&api, &name)?.id;
            let path = format!("{ALL}/{id}/deliveries/retry");
            let request = RetryRequest { delivery };
            let again: Retried = api.native("POST", &path, Some(&request))?;
            output.say(&format!(
                "sending {} again: `foghorn notify deliveries {name}` shows what becomes of it",
                messages(again.messages)
            ));
            output.show_value(&again.messages.to_string(), &again)?;
        }
    }
    Ok(Exit::Ok)
}

fn messages(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} message{s}")
}

fn all(api: &Api) -> Result<Vec<NotificationView>, Failure> {
    Ok(api.get::<NotificationList>(ALL)?.notifications)
}

/// The one that `text` identifies by name or id, also as `id:7` or `name:7`.
fn find(api: &Api, text: &str) -> Result<NotificationView, Failure> {
    let (by_id, by_name) = match (text.strip_prefix("id:"), text.strip_prefix("name:")) {
        (Some(id), _) => (Some(id), None),
        (None, Some(name)) => (None, Some(name)),
        (None, None) => (Some(text), Some(text)),
    };
    let fits = |one: &NotificationView| {
        by_id.is_some_and(|id| id == one.id.to_string())
            || by_name.is_some_and(|name| name.to_lowercase() == one.name.to_lowercase())
    };
    let mut found: Vec<NotificationView> = all(api)?.into_iter().filter(fits).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(
            Failure::new(Exit::NotFound, format!("there is no notification {text:?}"))
                .advise("`foghorn notify list` shows the existing ones"),
        ),
        _ => Err(
            Failure::usage(format!("{text:?} matches several notifications"))
                .advise("use id:NUMBER or name:NAME"),
        ),
    }
}

fn add(api: &Api, output: Output, command: AddCommand) -> Result<(), Failure> {
    let (by, name, terms, rehearsal) = match command {
        AddCommand::Webhook {
            url,
            secret_file,
            common,
            rehearsal,
        } => {
            let mut terms = terms(api, &common)?;
            terms.secret = secret_file.map(|file| first_line(&file)).transpose()?;
            terms.url = Some(url.clone());
            (
                NotifyBy::Webhook,
                common.name.unwrap_or_else(|| host_of(&url)),
                terms,
                rehearsal,
            )
        }
        AddCommand::Chat {
            url,
            template,
            common,
            rehearsal,
        } => {
            let mut terms = terms(api, &common)?;
            terms.template = template.map(|file| read(&file)).transpose()?;
            terms.url = Some(url.clone());
            (
                NotifyBy::Chat,
                common.name.unwrap_or_else(|| host_of(&url)),
                terms,
                rehearsal,
            )
        }
        AddCommand::Mail {
            to,
            mail,
            common,
            rehearsal,
        } => {
            let mut terms = terms(api, &common)?;
            with_mail(&mut terms, mail)?;
            let name = common.name.unwrap_or_else(|| to[0].clone());
            terms.to = Some(to);
            (NotifyBy::Mail, name, terms, rehearsal)
        }
    };
    rehearsal.tell(&format!("tell {name}"));
    let api = api.rehearsing(rehearsal.dry_run)?;
    let request = NewNotification::new(name, by).with(terms);
    show_made(output, &api.native("POST", ALL, Some(&request))?)
}

fn show_made(output: Output, made: &NotificationCreated) -> Result<(), Failure> {
    let name = &made.notification.name;
    output.say(&format!(
        "{name} is told from now on, of: {}",
        show::kinds(&made.notification)
    ));
    if made.secret.is_some() {
        output.say("the secret with which its messages are signed is shown once:");
    } else {
        output.say(&format!(
            "`foghorn notify test {name}` sends a message to try it"
        ));
    }
    let id = made.notification.id.to_string();
    output.show_value(made.secret.as_ref().unwrap_or(&id), made)
}

fn edit(api: &Api, output: Output, args: args::EditArgs) -> Result<(), Failure> {
    let before = find(api, &args.notification)?;
    let mut request = terms(api, &args.common)?;
    request.name.clone_from(&args.common.name);
    request.enabled = args.enabled;
    request.url = args.url;
    request.to = (!args.to.is_empty()).then_some(args.to);
    request.template = args.template.map(|file| read(&file)).transpose()?;
    request.secret = args.secret_file.map(|file| first_line(&file)).transpose()?;
    with_mail(&mut request, args.mail)?;
    if request == NotificationEdit::default() {
        return Err(Failure::usage("no change was given")
            .advise("`foghorn notify edit --help` lists what can be changed"));
    }
    let path = format!("{ALL}/{}", before.id);
    args.rehearsal
        .tell(&format!("change what {} is told, or how", before.name));
    let api = api.rehearsing(args.rehearsal.dry_run)?;
    let after: NotificationView = api.native("PATCH", &path, Some(&request))?;
    output.say(&format!("changed {}", after.name));
    show::one(output, &after)
}

fn terms(api: &Api, common: &Common) -> Result<NotificationEdit, Failure> {
    let groups = match common.group.as_slice() {
        [] => None,
        [none] if none.is_empty() => Some(Vec::new()),
        names => Some(
            names
                .iter()
                .map(|name| Ok(find_object::<Group>(api, name)?.view.number()))
                .collect::<Result<Vec<u32>, Failure>>()?,
        ),
    };
    let kinds = match common.kind.as_slice() {
        [] => None,
        [none] if none.is_empty() => Some(Vec::new()),
        words => Some(
            words
                .iter()
                .map(|word| {
                    word.parse::<NoticeKind>()
                        .map_err(|error| Failure::usage(error.to_string()))
                })
                .collect::<Result<Vec<_>, Failure>>()?,
        ),
    };
    Ok(NotificationEdit {
        groups,
        kinds,
        burst: common.burst,
        interval_seconds: common.interval,
        ca_pem: common.ca_file.as_ref().map(|file| read(file)).transpose()?,
        ..NotificationEdit::default()
    })
}

fn with_mail(terms: &mut NotificationEdit, mail: MailOptions) -> Result<(), Failure> {
    terms.from = mail.from;
    let (server, port) = mail.smtp.map_or((None, None), with_port);
    terms.server = server;
    terms.port = mail.port.and_then(|port| u16::try_from(port).ok()).or(port);
    terms.security = mail.security.map(Into::into);
    terms.user = mail.user;
    terms.password = mail
        .password_file
        .map(|file| first_line(&file))
        .transpose()?;
    Ok(())
}

/// `mail.example.org:25` as people write it; an IPv6 address without brackets has no port.
fn with_port(given: String) -> (Option<String>, Option<u16>) {
    if let Some((host, port)) = given.rsplit_once(':')
        && let Ok(port) = port.parse()
        && (!host.contains(':') || host.ends_with(']'))
    {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        return (Some(host.to_owned()), Some(port));
    }
    (Some(given), None)
}

fn read(file: &std::path::Path) -> Result<String, Failure> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    text.map_err(|error| {
        Failure::usage(format!("could not read {}", file.display())).caused_by(error)
    })
}

/// A secret never comes from an argument, where others on the machine could see it.
fn first_line(file: &std::path::Path) -> Result<String, Failure> {
    let text = read(file)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The host in a URL: a name for whoever gets none.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#', ':']).unwrap_or(rest.len());
    rest[..end].to_owned()
}

fn delete(api: &Api, output: Output, names: &[String], consent: Consent) -> Result<(), Failure> {
    let found = names
        .iter()
        .map(|name| find(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    let losses: Vec<String> = found
        .iter()
        .map(|one| format!("{}: is told nothing any more", one.name))
        .collect();
    confirm(consent, &losses, "Delete?")?;
    let api = api.rehearsing(consent.is_dry_run())?;
    for one in found {
        match api.text("DELETE", &format!("{ALL}/{}", one.id), None::<&Value>) {
            Err(ApiError::Rehearsed { .. }) => output.say(&format!("would delete {}", one.name)),
            Ok(_) => output.say(&format!("deleted {}", one.name)),
            Err(error) => return Err(error.into()),
        }
    }
    if consent.is_dry_run() {
        output.say(NOTHING_CHANGED);
    }
    Ok(())
}

fn test(api: &Api, output: Output, name: &str) -> Result<Exit, Failure> {
    let target = find(api, name)?;
    let path = format!("{ALL}/{}/test", target.id);
    let sent: TestSent = api.native("POST", &path, None::<&Value>)?;
    let path = format!("{ALL}/{}/deliveries?limit=600", target.id);
    let begun = Instant::now();
    loop {
        let list = api.get::<DeliveryList>(&path)?.deliveries;
        let mine = list.into_iter().find(|one| one.id == sent.delivery);
        if let Some(end) = mine.as_ref().and_then(|mine| tested(&target, mine)) {
            if end.is_ok() {
                output.say(&format!("{} has taken the message", target.address));
                output.show_value(&sent.delivery, &mine)?;
            }
            return end;
        }
        if begun.elapsed() > TEST_WITHIN {
            return Err(Failure::new(
                Exit::Failed,
                format!("the message to {} was not sent in time", target.name),
            )
            .advise("`foghorn doctor` says whether the server works"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// How a test went; `None` while it goes on.
fn tested(target: &NotificationView, message: &DeliveryView) -> Option<Result<Exit, Failure>> {
    match (message.state, &message.error) {
        (DeliveryState::Delivered, _) => Some(Ok(Exit::Ok)),
        (DeliveryState::Sending, _) | (DeliveryState::Waiting, None) => None,
        (DeliveryState::Waiting | DeliveryState::Dead, error) => {
            let why = error
                .clone()
                .unwrap_or_else(|| "nobody knows why".to_owned());
            let what = format!("the message to {} was not delivered", target.address);
            Some(Err(Failure::new(Exit::Failed, what).caused_by(why).advise(
                format!(
                    "correct it with `foghorn notify edit {}`; the server tries again by itself",
                    target.name
                ),
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_may_be_given_with_its_port() {
        for (given, host, port) in [
            ("mail.example.org:25", "mail.example.org", Some(25)),
            ("[fd00::1]:465", "fd00::1", Some(465)),
            ("mail.example.org", "mail.example.org", None),
            ("fd00::1", "fd00::1", None),
            ("mail:smtp", "mail:smtp", None),
        ] {
            let found = with_port(given.to_owned());
            assert_eq!(found, (Some(host.to_owned()), port), "{given}");
        }
    }

    #[test]
    fn a_target_is_named_after_its_host() {
        assert_eq!(
            host_of("https://hooks.slack.com/services/x"),
            "hooks.slack.com"
        );
        assert_eq!(host_of("http://10.0.0.1:8080"), "10.0.0.1");
        assert_eq!(host_of("lab?x"), "lab");
    }
}
