use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Only {
    #[command(flatten)]
    serve: ServeArgs,
}

fn from(args: &[&str]) -> Result<Plan, Failure> {
    with_variables(args, &[])
}

fn with_variables(args: &[&str], variables: &[(&str, &str)]) -> Result<Plan, Failure> {
    let args = ["serve"].iter().chain(args);
    let args = Only::try_parse_from(args).unwrap().serve;
    let variables = variables.iter();
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    Plan::new(&args, &layers(&args, variables)?)
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
    let open = plan(&[
        "--plain-http",
        "--trusted-proxy",
        "10.0.0.5",
        "--trusted-proxy",
        "10.244.0.0/16",
    ]);
    let open = open.unwrap();
    assert!(open.controller.is_exposed());
    let proxies = open.controller.login.trusted_proxies.iter();
    let proxies: Vec<String> = proxies.map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.5", "10.244.0.0/16"]);
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
fn variables_are_between_the_file_and_the_flags() {
    let variables = [
        ("FOGHORN_SERVE__STATE_DIR", "/c"),
        ("FOGHORN_SERVE__CONTROLLER__REST__LISTEN", "10.0.0.4:443"),
        ("FOGHORN_SERVE__CONTROLLER__LINK__LISTEN", "10.0.0.4:444"),
        ("FOGHORN_SERVE__AGENT__LIMITS__CONNECTIONS", "9"),
        ("FOGHORN_SERVE__LOG__FILTER", "debug"),
    ];
    let flags = ["--listen", "10.0.0.9:8443"];
    let plan = with_variables(&flags, &variables).unwrap();
    assert_eq!(plan.agent.state_dir, PathBuf::from("/c/agent"));
    assert_eq!(plan.controller.rest.listen.to_string(), "10.0.0.9:8443");
    assert_eq!(plan.controller.link.listen.to_string(), "10.0.0.4:444");
    assert_eq!(plan.agent.listen.to_string(), "10.0.0.9:7472");
    assert_eq!(plan.agent.limits.connections, 9);
    assert_eq!(plan.log_filter, "debug");
    for (name, value) in [
        ("FOGHORN_SERVE__CONTROLLER__DATA_DIR", "/a"),
        ("FOGHORN_SERVE__CONTROLLER__LOG__FILTER", "debug"),
        ("FOGHORN_SERVE__AGENT__JOIN_TOKEN", "x"),
        ("FOGHORN_SERVE__CONTROLLER__LIMITS__STALL_SECONDS", "0"),
        ("FOGHORN_SERVE__AGENT__LIMITS__CONNECTIONS", "0"),
        ("FOGHORN_SERVE__LOG__FILTER", "foghorn=loud"),
    ] {
        let refused = with_variables(&["--state-dir", "/srv"], &[(name, value)]);
        let said = refused.map(drop).unwrap_err().to_string();
        assert!(said.contains(name), "{said}");
    }
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
        ("[agent]\nname = 'x'", "name"),
        (
            "[controller.kubernetes]\nenrol = true",
            "kubernetes.allowed",
        ),
        ("[controller.log]\nfilter = 'info'", "log"),
        ("[log]\nfilter = 'foghorn=loud'", "log filter"),
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

/// The sample, as it is installed.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/serve.toml");
const SCHEMA: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../docs/config/serve.schema.json"
);

#[test]
fn the_committed_files_are_what_the_program_prints() {
    let form = form();
    for (path, printed, flag) in [
        (SAMPLE, form.sample(), "--print-default-config"),
        (SCHEMA, form.schema(), "--print-config-schema"),
    ] {
        if std::env::var_os("CONFIG_FILES").is_some_and(|how| how == "write") {
            std::fs::write(path, &printed).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == printed,
            "{path} is not what `foghorn serve {flag}` prints: run this test with CONFIG_FILES=write"
        );
    }
}

/// Lines that begin with `#` and directly a letter or a bracket are keys without a default.
fn with_everything_on(sample: &str) -> String {
    let on = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    sample.lines().map(on).collect::<Vec<_>>().join("\n")
}

/// Of these and another key of their section, only one can be set: of a secret and its file.
const NOT_BESIDE_OTHERS: [&str; 5] = [
    "password = ",
    "api_token = ",
    "user_token = ",
    "authority_dir = ",
    "store_key_command = ",
];

#[test]
fn the_sample_has_every_key_with_its_meaning_and_parses() {
    let form = form();
    let all = with_everything_on(&form.sample());
    let table: toml::Table = toml::from_str(&all).unwrap();
    assert!(form.keys().len() > 80, "{}", form.keys().len());
    for key in form.keys() {
        let mut parts = key.path.split('.');
        let first = table.get(parts.next().unwrap());
        let found = parts.fold(first, |at, part| at?.get(part));
        assert!(found.is_some(), "{} is not in the sample", key.path);
        assert!(!key.description.is_empty(), "{} is not described", key.path);
    }
    let all = all.replace("engine = \"embedded\"", "engine = \"etcd\"");
    let all = all.replace(
        "endpoints = []",
        "endpoints = [\"https://etcd1:2379\", \"https://etcd2:2379\"]",
    );
    let is_one = |line: &&str| !NOT_BESIDE_OTHERS.iter().any(|key| line.starts_with(key));
    let all: Vec<&str> = all.lines().filter(is_one).collect();
    with_file(&all.join("\n"), &[]).map(drop).unwrap();
}

#[test]
fn the_sample_shows_the_defaults() {
    let sample = with_file(&form().sample(), &[]).unwrap();
    let nothing = from(&["--state-dir", "/var/lib/foghorn"]).unwrap();
    assert_eq!(
        format!("{:#?}", sample.controller),
        format!("{:#?}", nothing.controller)
    );
    assert_eq!(
        format!("{:#?}", sample.agent),
        format!("{:#?}", nothing.agent)
    );
    assert_eq!(sample.log_filter, nothing.log_filter);
}
