//! `foghorn login`: checks a server and its tokens, and stores them as a context.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use foghorn_types::is_mistyped;
use serde::Deserialize;
use serde_json::Value;
use ureq::tls::{Certificate, TlsConfig};

use super::Session;
use crate::api::{Api, ApiError, Token, agent, certificates};
use crate::connection::{normal_url, read_ca};
use crate::context::{Context, Contexts, default_path};
use crate::exit::{Exit, Failure};
use crate::fingerprint::Fingerprint;
use crate::password::{ask, line};

/// Path of the authority's certificate on every Foghorn server; agents and clients use it as well.
const CA_PATH: &str = "/foghorn/v1/ca";

#[derive(clap::Args, Debug)]
pub struct LoginArgs {
    /// Name of the context; default: the host name of the server, with its port if another server
    /// has that name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// SHA-256 of the server's certificate authority, as printed by `foghorn serve`; the
    /// certificate is fetched and compared
    #[arg(long, value_name = "SHA", conflicts_with = "ca")]
    ca_fingerprint: Option<Fingerprint>,
    /// File that `foghorn serve --first-run-file` has written: address, authority and tokens
    #[arg(long, value_name = "FILE")]
    first_run_file: Option<PathBuf>,
}

/// What a file of `serve` says; a file of `foghorn-controller` has tokens only.
#[derive(Default, Deserialize)]
struct FirstRun {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    ca_pem: Option<String>,
    #[serde(default)]
    api_token: Option<String>,
    #[serde(default)]
    user_token: Option<String>,
}

fn first_run(path: Option<&PathBuf>) -> Result<FirstRun, Failure> {
    let Some(path) = path else {
        return Ok(FirstRun::default());
    };
    let shown = path.display();
    let text = std::fs::read(path)
        .map_err(|error| Failure::usage(format!("could not read {shown}")).caused_by(error))?;
    let found: FirstRun = serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format!("{shown} is not a file of first credentials"))
            .caused_by(error)
            .advise("give the file that `foghorn serve --first-run-file` has written")
    })?;
    if found.api_token.is_none() || found.user_token.is_none() {
        let what = format!("{shown} does not contain both tokens");
        return Err(Failure::usage(what)
            .advise("give the file that `foghorn serve --first-run-file` has written"));
    }
    Ok(found)
}

/// # Errors
/// When the server cannot be reached, its authority does not match the fingerprint, or it refuses
/// the tokens.
pub fn run(args: &LoginArgs, session: &Session) -> Result<Exit, Failure> {
    let flags = &session.connection;
    let first = first_run(args.first_run_file.as_ref())?;
    let server = flags.server.clone().or(first.url).ok_or_else(|| {
        Failure::usage("--server is missing")
            .advise("for example: foghorn login --server https://fog.example.org:8443")
    })?;
    let server = normal_url(&server)?;
    let ca_pem = match (&flags.ca, args.ca_fingerprint) {
        (Some(path), _) => Some(read_ca(path)?),
        (None, Some(expected)) => Some(fetch_authority(&server, expected)?),
        (None, None) => first.ca_pem,
    };
    let given = |flag: &Option<String>, file| flag.clone().or(file);
    let api_token = token(given(&flags.api_token, first.api_token), Token::Api)?;
    let user_token = token(given(&flags.user_token, first.user_token), Token::User)?;
    if api_token == user_token {
        return Err(
            Failure::usage("the API token and the user token are the same")
                .advise("give both: the server printed two different ones"),
        );
    }
    let context = Context {
        api_token,
        user_token,
        ca_pem,
        server,
    };
    let context = accepted(context, session)?;
    keep(args.name.as_deref(), context, session)?;
    Ok(Exit::Ok)
}

/// The context as the server accepts it: tokens that were given in the other order are exchanged.
fn accepted(context: Context, session: &Session) -> Result<Context, Failure> {
    let check = |context: &Context| {
        let answer = Api::new(context)?.text("GET", "/fog/system/info", None::<&Value>);
        answer.map(drop)
    };
    match check(&context) {
        Ok(()) => Ok(context),
        Err(
            error @ ApiError::Credentials {
                token: Token::Api, ..
            },
        ) => {
            let exchanged = Context {
                api_token: context.user_token.clone(),
                user_token: context.api_token.clone(),
                ..context
            };
            check(&exchanged).map_err(|_| error)?;
            session
                .output
                .say("the two tokens were given in the other order; they are right");
            Ok(exchanged)
        }
        Err(error) => Err(error.into()),
    }
}

/// Stores the context under its name and makes it the current one.
fn keep(name: Option<&str>, context: Context, session: &Session) -> Result<(), Failure> {
    let path = default_path()?;
    let mut contexts = Contexts::load(&path)?;
    let name = name.map_or_else(|| free_name(&contexts, &context.server), str::to_owned);
    let before = contexts
        .contexts
        .get(&name)
        .map(|before| before.server.clone());
    let server = context.server.clone();
    contexts.contexts.insert(name.clone(), context);
    contexts.current = Some(name.clone());
    contexts.save(&path)?;
    let replaced = before
        .filter(|before| *before != server)
        .map_or_else(String::new, |before| {
            format!("; this context was that of {before} before")
        });
    session.output.say(&format!(
        "logged in to {server} as context {name}{replaced}"
    ));
    Ok(())
}

/// The name of the context that this server has already; otherwise that of its host, with the port
/// if another server has it.
fn free_name(contexts: &Contexts, server: &str) -> String {
    let mut known = contexts.contexts.iter();
    if let Some((name, _)) = known.find(|(_, context)| context.server == server) {
        return name.clone();
    }
    let host = host_of(server);
    if !contexts.contexts.contains_key(host) {
        return host.to_owned();
    }
    let port = server.rsplit_once(':').map_or("", |(_, port)| port);
    let port = if port.bytes().all(|b| b.is_ascii_digit()) {
        port
    } else {
        "443"
    };
    let named = format!("{host}-{port}");
    if !contexts.contexts.contains_key(&named) {
        return named;
    }
    let more = (2..).map(|number| format!("{named}-{number}"));
    let mut free = more.filter(|name| !contexts.contexts.contains_key(name));
    free.next().unwrap_or(named)
}

/// Fetches the authority from the server without verification and accepts it only if its
/// fingerprint matches.
fn fetch_authority(server: &str, expected: Fingerprint) -> Result<String, Failure> {
    let blind = agent(TlsConfig::builder().disable_verification(true).build());
    let unreachable = |source| ApiError::Unreachable {
        server: server.to_owned(),
        source,
    };
    let mut response = blind
        .get(format!("{server}{CA_PATH}"))
        .call()
        .map_err(unreachable)?;
    let status = response.status().as_u16();
    let pem = response
        .body_mut()
        .with_config()
        .limit(1 << 20)
        .read_to_string()
        .map_err(unreachable)?;
    if status != 200 {
        return Err(Failure::new(
            Exit::Failed,
            format!("{server} did not send its certificate authority (status {status})"),
        )
        .advise("give the certificate of the authority as a file with --ca"));
    }
    let found = certificates(&pem).map_err(ApiError::Authority)?;
    match found.iter().find(|certificate| Fingerprint::of(certificate) == expected) {
        // Only the certificate with this fingerprint is stored; nothing else in the answer was
        // verified.
        Some(certificate) => Ok(to_pem(certificate.der())),
        None => Err(Failure::new(
            Exit::Refused,
            format!(
                "the certificate authority of {server} does not have the fingerprint {expected}"
            ),
        )
        .advise(
            if is_mistyped(&expected.to_string(), &of_first(&found)) {
                "the fingerprint is mistyped in one place: copy it again from what `foghorn serve` prints when it starts"
            } else {
                "compare it with what `foghorn serve` prints when it starts on that machine; if it is the same, somebody intercepts the connection: do not log in from here"
            },
        )),
    }
}

fn to_pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| {
            std::str::from_utf8(line).expect("base64 is ASCII, so every cut is between characters")
        })
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

fn of_first(found: &[Certificate<'_>]) -> String {
    let first = found
        .first()
        .map(|certificate| Fingerprint::of(certificate).to_string());
    first.unwrap_or_default()
}

/// A token as given, or asked for without echo, or one line of standard input: other users can see
/// tokens on a command line.
fn token(given: Option<String>, which: Token) -> Result<String, Failure> {
    let text = match given {
        Some(token) => token,
        None if io::stdin().is_terminal() => ask(&format!("{which}: "), &which.to_string())?,
        None => line(io::stdin().lock(), &which.to_string())
            .map_err(|failure| failure.advise(HOW_TO_GIVE))?,
    };
    let text = text.trim();
    match mistake(text) {
        None => Ok(text.to_owned()),
        Some(what) => {
            Err(Failure::usage(format!("the {which} {what}")).advise("copy both tokens again"))
        }
    }
}

const HOW_TO_GIVE: &str = "give both tokens as two lines of standard input, or use --first-run-file FILE, or --api-token and --user-token";

/// Digits of the tokens that servers make.
const DIGITS: usize = 128;

/// What is wrong with a text that no server takes for a token.
fn mistake(text: &str) -> Option<String> {
    if text.is_empty() {
        return Some("is missing".to_owned());
    }
    for (prefix, kind) in [
        ("fhj1.", "join token of a storage node"),
        ("fhm1.", "join token of many storage nodes"),
        ("fhb1.", "boot token of a host"),
    ] {
        if text.starts_with(prefix) {
            return Some(format!("is not one for logging in: it is the {kind}"));
        }
    }
    if let Some(strange) = text.chars().find(|c| !c.is_ascii_graphic()) {
        return Some(format!("is mistyped: it contains {strange:?}"));
    }
    let len = text.len();
    let is_ours = len > DIGITS / 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    (is_ours && len != DIGITS)
        .then(|| format!("is not whole, or too long: it has {len} characters instead of {DIGITS}"))
}

fn host_of(server: &str) -> &str {
    let authority = server.split_once("://").map_or(server, |(_, rest)| rest);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_named_after_its_host() {
        assert_eq!(host_of("https://fog.example.org:8443"), "fog.example.org");
        assert_eq!(host_of("https://fog"), "fog");
        assert_eq!(host_of("https://[::1]:8443"), "[::1]");
    }

    #[test]
    fn another_port_of_a_host_is_another_context() {
        let mut contexts = Contexts::default();
        let mut log_in = |server: &str| {
            let name = free_name(&contexts, server);
            let context = Context {
                server: server.to_owned(),
                ca_pem: None,
                api_token: "a".into(),
                user_token: "u".into(),
            };
            contexts.contexts.insert(name.clone(), context);
            name
        };
        assert_eq!(log_in("https://fog:8443"), "fog");
        assert_eq!(log_in("https://fog:9443"), "fog-9443");
        assert_eq!(log_in("https://fog"), "fog-443");
        assert_eq!(log_in("https://fog:8443"), "fog", "the same again");
    }

    #[test]
    fn a_mistyped_token_is_known_before_it_is_sent() {
        let right = "0123456789abcdef".repeat(8);
        assert_eq!(mistake(&right), None);
        assert_eq!(mistake("own-token-of-the-site"), None);
        for (wrong, word) in [
            (String::new(), "missing"),
            (right[1..].to_owned(), "127 characters"),
            (format!("{right}0"), "129 characters"),
            (right.replace("89", "8\u{a0}"), "contains"),
            ("fhj1.secret.authority".to_owned(), "join token"),
            ("fhb1.secret.authority".to_owned(), "boot token"),
        ] {
            let said = mistake(&wrong).unwrap_or_default();
            assert!(said.contains(word), "{wrong}: {said}");
        }
    }

    #[test]
    fn what_is_kept_of_an_authority_is_a_certificate_again() {
        let der = [7_u8; 100];
        assert_eq!(certificates(&to_pem(&der)).unwrap()[0].der(), der);
    }
}
