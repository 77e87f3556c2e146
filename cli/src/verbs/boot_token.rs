//! `foghorn host boot-token`: what machines are started with by hand.

use foghorn_rest_types::fog::{Host, Row};
use foghorn_rest_types::native::{
    BootTokenRequest, BootTokenResponse, BootTokensRequest, BootTokensResponse, HostBootToken,
};
use serde::Serialize;

use super::Session;
use super::deploy::targets;
use super::wait::parse_duration;
use crate::api::{Api, ApiError};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

/// Arguments of `host boot-token`.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("target").required(true).multiple(true).args(["hosts", "group"])))]
pub struct BootTokenArgs {
    /// Hosts, by name or id
    pub hosts: Vec<String>,
    /// All hosts of this group; may be given several times
    #[arg(long)]
    pub group: Vec<String>,
    /// Time until it expires, such as 600, 30m or 2h (1 second to 24 hours; with --code at most 15m)
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    pub ttl: Option<u32>,
    #[command(flatten)]
    pub form: Form,
    /// Print the whole command for the machines in place of the token
    #[arg(long)]
    pub print_command: bool,
    /// Address of the controller in the printed command; default: what the server says
    #[arg(long, value_name = "URL", requires = "print_command")]
    pub controller: Option<String>,
}

/// What is given to the machines.
#[derive(clap::Args, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Form {
    /// One token for all of the hosts, good for each of them once, in place of one token each
    #[arg(long, conflicts_with = "code")]
    pub room: bool,
    /// A short code that a person types at the machines, good for each of them once
    #[arg(long)]
    pub code: bool,
}

fn ttl(text: &str) -> Result<u32, String> {
    let seconds = parse_duration(text)?.as_secs();
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=86_400).contains(seconds))
        .ok_or_else(|| "it must be from 1 second to 24 hours".to_owned())
}

/// # Errors
/// As the server answers.
pub fn run(args: &BootTokenArgs, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let hosts = targets(&api, &args.hosts, &args.group)?;
    let is_plain = args.form == Form::default() && !args.print_command && args.group.is_empty();
    if let [host] = &hosts[..]
        && is_plain
    {
        let path = format!("/foghorn/v1/hosts/{}/boot-token", host.view.id);
        let ttl_seconds = args.ttl;
        let request = BootTokenRequest { ttl_seconds };
        let answer: Result<BootTokenResponse, ApiError> = api.native("POST", &path, Some(&request));
        let answer = answer.map_err(|error| no_task(error, &host.view.name))?;
        output.show_value(&answer.token, &answer)?;
        return Ok(Exit::Ok);
    }
    let controller = args.controller.as_deref();
    let shown = order(&api, &hosts, args.form, args.ttl, controller)?;
    show(output, shown, args.form, args.print_command)
}

fn no_task(error: ApiError, host: &str) -> Failure {
    match error {
        conflict @ ApiError::Conflict(_) => Failure::from(conflict).advise(format!(
            "order a task first: `foghorn image deploy IMAGE --host {host}` or `foghorn image capture IMAGE --host {host}`"
        )),
        error => error.into(),
    }
}

/// The answer of the server, and what is typed at the machines.
#[derive(Serialize)]
pub struct Ordered {
    #[serde(flatten)]
    answer: BootTokensResponse,
    commands: Vec<String>,
    /// Where the commands send the machines is this machine.
    #[serde(skip)]
    is_here_only: bool,
}

/// Orders tokens for hosts. `controller` is used in the commands in place of what the server says.
///
/// # Errors
/// As the server answers.
pub fn order(
    api: &Api,
    hosts: &[Row<Host>],
    form: Form,
    ttl_seconds: Option<u32>,
    controller: Option<&str>,
) -> Result<Ordered, Failure> {
    let request = BootTokensRequest {
        hosts: Some(hosts.iter().map(|host| host.view.id).collect()),
        group: None,
        ttl_seconds,
        room: form.room,
        code: form.code,
    };
    let answer: Result<BootTokensResponse, ApiError> =
        api.native("POST", "/foghorn/v1/boot-tokens", Some(&request));
    let some = hosts.first().map_or("HOST", |host| host.view.name.as_str());
    let answer = answer.map_err(|error| no_task(error, some))?;
    let known = controller.or(answer.controller.as_deref());
    let controller = known.unwrap_or(api.server());
    Ok(Ordered {
        commands: commands(&answer, form, controller),
        is_here_only: is_loopback(controller),
        answer,
    })
}

/// Prints what was ordered.
///
/// # Errors
/// When standard output cannot be written.
pub fn show(
    output: Output,
    ordered: Ordered,
    form: Form,
    print_command: bool,
) -> Result<Exit, Failure> {
    let answer = &ordered.answer;
    for host in &answer.without_task {
        let name = &host.name;
        eprintln!("host {name} has no active imaging task, and there is no token for it");
    }
    if print_command && ordered.is_here_only {
        eprintln!(
            "warning: the command sends machines to an address that only this machine reaches; start \
             the server with --advertise, or use --controller"
        );
    }
    if form.code && output.is_for_people() {
        let until = output.time(&answer.expires);
        output.say(&match answer.hosts.len() {
            1 => format!("good until {until}, for one machine, once"),
            hosts => format!("good until {until}, for {hosts} machines, once each"),
        });
    }
    let text = if print_command {
        ordered.commands.join("\n")
    } else {
        tokens(answer, form, output.quiet)
    };
    output.show_value(text.trim_end(), &ordered)?;
    Ok(if answer.without_task.is_empty() {
        Exit::Ok
    } else {
        Exit::Partly
    })
}

/// What is good for the machines, without a command.
fn tokens(answer: &BootTokensResponse, form: Form, quiet: bool) -> String {
    let of_all = if form.code {
        &answer.code
    } else {
        &answer.room_token
    };
    if let Some(of_all) = of_all.as_ref().filter(|_| form != Form::default()) {
        return of_all.clone();
    }
    if quiet {
        let tokens = answer.hosts.iter().map(|host| format!("{}\n", host.token));
        return tokens.collect();
    }
    let mut table = Table::new(&["HOST", "TASK", "TOKEN"]);
    for host in &answer.hosts {
        table.row([host.name.clone(), host.task.to_string(), host.token.clone()]);
    }
    table.render()
}

/// What is typed, or put into a script, at the machines: complete lines.
fn commands(answer: &BootTokensResponse, form: Form, controller: &str) -> Vec<String> {
    let controller = short(controller);
    match (&answer.code, &answer.room_token) {
        (Some(code), _) if form.code => vec![format!("fh boot {code} -c {controller}")],
        (_, Some(token)) if form.room => vec![format!(
            "foghorn-client run --controller {controller} --token {token}"
        )],
        _ => {
            let hosts = answer.hosts.iter();
            hosts.map(|host| command(host, &controller)).collect()
        }
    }
}

fn command(host: &HostBootToken, controller: &str) -> String {
    let mac = host.mac.map(|mac| format!(" --mac {mac}"));
    format!(
        "foghorn-client run --controller {controller}{} --token {}  # {}",
        mac.unwrap_or_default(),
        host.token,
        host.name
    )
}

/// Port that the client uses when it is given none.
const PORT: &str = ":8443";

/// The shortest form in which the client takes this URL.
fn short(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Some(host) = url.strip_prefix("https://") else {
        return url.to_owned();
    };
    match host.strip_suffix(PORT) {
        Some(host) if !host.contains(':') => host.to_owned(),
        _ if host
            .rsplit_once(':')
            .is_some_and(|(_, port)| port.parse::<u16>().is_ok()) =>
        {
            host.to_owned()
        }
        _ => url.to_owned(),
    }
}

fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = name.trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> BootTokensResponse {
        serde_json::from_value(json!({"expires": "2026-11-29T15:00:00Z",
            "controller": "https://10.23.0.1:8443", "code": "7KQ-24M", "room_token": "fhb1.r.a",
            "hosts": [
                {"host": 1, "name": "pc1", "mac": "02:00:00:00:00:01", "task": 7, "token": "fhb1.s.a"},
                {"host": 2, "name": "pc2", "mac": null, "task": 8, "token": "fhb1.t.a"}],
            "without_task": []}))
        .unwrap()
    }

    #[test]
    fn every_line_is_complete() {
        let lines = |form| commands(&answer(), form, "https://10.23.0.1:8443");
        let each = lines(Form::default());
        assert_eq!(
            each,
            [
                "foghorn-client run --controller 10.23.0.1 --mac 02:00:00:00:00:01 --token fhb1.s.a  # pc1",
                "foghorn-client run --controller 10.23.0.1 --token fhb1.t.a  # pc2",
            ]
        );
        let (room, code) = (true, true);
        let room = lines(Form { room, code: false });
        assert_eq!(
            room,
            ["foghorn-client run --controller 10.23.0.1 --token fhb1.r.a"]
        );
        let code = lines(Form { room: false, code });
        assert_eq!(code, ["fh boot 7KQ-24M -c 10.23.0.1"]);
        assert!(code[0].len() <= 40);
    }

    #[test]
    fn the_shortest_address_means_the_same() {
        for (url, shown) in [
            ("https://10.23.0.1:8443", "10.23.0.1"),
            ("https://10.23.0.1:9443/", "10.23.0.1:9443"),
            ("https://fog.example", "https://fog.example"),
            ("https://[fd00::1]:8443", "[fd00::1]:8443"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80"),
            ("10.23.0.1", "10.23.0.1"),
        ] {
            assert_eq!(short(url), shown);
        }
    }

    #[test]
    fn what_only_this_machine_reaches_is_known() {
        for url in [
            "https://127.0.0.1:8443",
            "https://localhost",
            "https://[::1]:8443",
        ] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://10.0.0.1:8443",
            "fog.example",
            "https://localhost.example",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }

    #[test]
    fn tokens_are_alone_where_a_script_wants_them() {
        let each = Form::default();
        assert_eq!(tokens(&answer(), each, true), "fhb1.s.a\nfhb1.t.a\n");
        let code = Form { code: true, ..each };
        assert_eq!(tokens(&answer(), code, false), "7KQ-24M");
        assert!(tokens(&answer(), each, false).contains("pc1   7     fhb1.s.a"));
    }

    #[test]
    fn times_are_limited() {
        assert_eq!(ttl("600"), Ok(600));
        assert_eq!(ttl("2h"), Ok(7200));
        for bad in ["0", "25h", "x"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
