use std::collections::BTreeSet;

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Only {
    #[command(flatten)]
    serve: ServeArgs,
}

fn from(args: &[&str]) -> Result<Plan, Failure> {
    let args = ["serve"].iter().chain(args);
    Plan::new(Only::try_parse_from(args).unwrap().serve)
}

fn plan(args: &[&str]) -> Result<Plan, Failure> {
    from(&[&["--state-dir", "/srv/foghorn"][..], args].concat())
}

/// The plan of a file and flags, or what is said about it.
fn with_file(text: &str, args: &[&str]) -> Result<Plan, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("serve.toml");
    std::fs::write(&path, text).unwrap();
    let file = ["--config", path.to_str().unwrap()];
    from(&[&file[..], args].concat()).map_err(|failure| failure.to_string())
}

#[test]
fn clients_are_told_an_address_that_they_can_reach() {
    let open = plan(&["--advertise", "fog.example.org"]).unwrap();
    assert_eq!(
        open.agent.advertise.as_deref(),
        Some("fog.example.org:7472")
    );
    assert_eq!(
        open.controller.link.advertise.as_deref(),
        Some("fog.example.org:8444")
    );
    assert_eq!(open.controller.rest.names, ["fog.example.org"]);
    assert_eq!(open.hosts, ["fog.example.org"]);

    let one = plan(&["--listen", "10.0.0.2:443"]).unwrap();
    assert_eq!(
        (one.hosts[0].as_str(), one.agent.listen.to_string().as_str()),
        ("10.0.0.2", "10.0.0.2:7472")
    );
    let everywhere = plan(&[]).unwrap();
    assert_eq!(
        everywhere.agent.advertise, None,
        "the node finds its addresses itself, and finds them again when they change"
    );
    let own: Vec<String> = reached_at("0.0.0.0".parse().unwrap())
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(everywhere.hosts, own);
    assert!(
        plan(&["--advertise", "fog", "--quic-listen", "0.0.0.0:0"]).is_err(),
        "nobody could be told the port"
    );
    for wrong in [
        "https://fog",
        "fog:8443",
        "",
        "10.23.0.1:8443",
        "0.0.0.0",
        "[::]",
    ] {
        assert!(plan(&["--advertise", wrong]).is_err(), "{wrong}");
    }
}

#[test]
fn plain_http_and_proxies_are_asked_for() {
    let open = plan(&["--plain-http", "--trusted-proxy", "10.0.0.5"]).unwrap();
    assert!(open.controller.is_exposed());
    assert_eq!(
        open.controller.login.trusted_proxies,
        ["10.0.0.5".parse::<IpAddr>().unwrap()]
    );
    let here = plan(&["--plain-http", "--listen", "127.0.0.1:8443"]).unwrap();
    assert!(!here.controller.is_exposed(), "nobody else can listen");
    assert!(!plan(&[]).unwrap().controller.rest.plain_http);
}

#[test]
fn flags_take_precedence_over_the_file() {
    let text = "state_dir = '/a'\nadvertise = 'fog'\nfirst_run_file = '/a/first'\n\
        [controller.rest]\nlisten = '10.0.0.2:443'\nplain_http = true\n\
        [agent]\nlisten = '10.0.0.3:7000'\n[agent.limits]\nconnections = 7\n";
    let file = with_file(text, &[]).unwrap();
    assert_eq!(file.controller.data_dir, PathBuf::from("/a/controller"));
    assert_eq!(file.controller.rest.listen.to_string(), "10.0.0.2:443");
    assert_eq!(file.controller.link.listen.to_string(), "10.0.0.2:8444");
    assert_eq!(file.agent.listen.to_string(), "10.0.0.3:7000");
    assert_eq!(file.agent.advertise.as_deref(), Some("fog:7000"));
    assert_eq!(file.agent.limits.connections, 7);
    assert_eq!(file.hosts, ["fog"]);
    assert!(file.controller.rest.plain_http);

    let flags = [
        "--state-dir",
        "/b",
        "--listen",
        "10.0.0.9:8443",
        "--quic-listen",
        "10.0.0.9:7472",
        "--advertise",
        "10.23.0.1",
        "--first-run-file",
        "/b/first",
    ];
    let both = with_file(text, &flags).unwrap();
    assert_eq!(both.agent.state_dir, PathBuf::from("/b/agent"));
    assert_eq!(both.controller.rest.listen.to_string(), "10.0.0.9:8443");
    assert_eq!(both.agent.listen.to_string(), "10.0.0.9:7472");
    assert_eq!(both.agent.advertise.as_deref(), Some("10.23.0.1:7472"));
    assert_eq!(both.first_run_file, Some(PathBuf::from("/b/first")));
    assert_eq!(both.agent.limits.connections, 7, "the rest stays");
}

#[test]
fn what_the_file_must_not_say_is_refused_by_its_name() {
    for (text, named) in [
        ("state_dri = '/a'", "state_dri"),
        ("[controller.rest]\nlsten = 'x'", "lsten"),
        ("[controller]\ndata_dir = '/a'", "data_dir"),
        ("[controller]\nfirst_run_file = '/a'", "first_run_file"),
        (
            "[controller.limits]\nstall_seconds = 0",
            "limits.stall_seconds",
        ),
        ("[agent]\nstate_dir = '/a'", "state_dir"),
        ("[agent]\njoin_token = 'x'", "join_token"),
        ("[agent.limits]\nconnections = 0", "limits.connections"),
        ("[agnt]", "agnt"),
        ("", "state_dir"),
    ] {
        let args: &[&str] = if text.is_empty() {
            &[]
        } else {
            &["--state-dir", "/srv"]
        };
        let said = with_file(text, args).map(drop).unwrap_err();
        assert!(said.contains(named), "{text:?}: {said}");
    }
}

const EXAMPLE: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/operations/serve.toml"
));

/// Keys that belong to the programs alone, and not to `foghorn serve`.
const NOT_HERE: [&str; 5] = [
    "controller.data_dir",
    "controller.first_run_file",
    "agent.state_dir",
    "agent.controller",
    "agent.join_token",
];

/// The names that a section may have, from the complaint about one that it may not have.
fn allowed(section: &str) -> Option<Vec<String>> {
    let header = if section.is_empty() {
        String::new()
    } else {
        format!("[{section}]\n")
    };
    let error = toml::from_str::<SiteFile>(&format!("{header}nothing_of_the_kind = 1"))
        .err()?
        .to_string();
    let (_, names) = error.split_once("unknown field `nothing_of_the_kind`, expected ")?;
    Some(
        names
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect(),
    )
}

/// Every key that the file may have, as `section.key`.
fn every_key(section: &str, into: &mut BTreeSet<String>) {
    for name in allowed(section).unwrap_or_default() {
        let path = format!("{section}.{name}");
        let path = path.trim_start_matches('.').to_owned();
        if allowed(&path).is_some() {
            every_key(&path, into);
        } else if !NOT_HERE.contains(&path.as_str()) {
            into.insert(path);
        }
    }
}

fn keys_of(table: &toml::Table, section: &str, into: &mut BTreeSet<String>) {
    for (name, value) in table {
        let path = format!("{section}.{name}");
        let path = path.trim_start_matches('.').to_owned();
        match value {
            toml::Value::Table(inner) => keys_of(inner, &path, into),
            _ => {
                into.insert(path);
            }
        }
    }
}

/// Lines that begin with `#` and directly a letter or a bracket are keys without a default.
fn with_everything_on() -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_has_every_key_and_parses() {
    let all = with_everything_on();
    let table: toml::Table = toml::from_str(&all).unwrap();
    let (mut shown, mut known) = (BTreeSet::new(), BTreeSet::new());
    keys_of(&table, "", &mut shown);
    every_key("", &mut known);
    assert!(known.len() > 40, "{known:?}");
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(
        missing.is_empty(),
        "docs/operations/serve.toml lacks {missing:?}"
    );
    let all = all.replace("engine = \"embedded\"", "engine = \"etcd\"");
    // One of the two.
    let all = all.replace("\npassword_file = ", "\n#password_file = ");
    with_file(&all, &[]).map(drop).unwrap();
}

#[test]
fn the_example_shows_the_defaults() {
    let example = with_file(EXAMPLE, &[]).unwrap();
    let nothing = from(&["--state-dir", "/var/lib/foghorn"]).unwrap();
    assert_eq!(
        format!("{:#?}", example.controller),
        format!("{:#?}", nothing.controller)
    );
    assert_eq!(
        format!("{:#?}", example.agent),
        format!("{:#?}", nothing.agent)
    );
}
