//! `foghorn login`: checks a server and its tokens, and stores them as a context.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use serde_json::Value;
use ureq::tls::TlsConfig;

use super::Session;
use crate::api::{Api, ApiError, agent, certificates};
use crate::connection::{normal_url, read_ca};
use crate::context::{Context, Contexts, default_path};
use crate::exit::{Exit, Failure};
use crate::fingerprint::Fingerprint;

/// Path of the authority's certificate on every Foghorn server; agents and clients use it as well.
const CA_PATH: &str = "/foghorn/v1/ca";

#[derive(clap::Args, Debug)]
pub struct LoginArgs {
    /// Name of the context; default: the host name of the server
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// SHA-256 of the server's certificate authority, as printed by `foghorn serve`; the
    /// certificate is fetched and compared
    #[arg(long, value_name = "SHA", conflicts_with = "ca")]
    ca_fingerprint: Option<Fingerprint>,
}

/// # Errors
/// When the server cannot be reached, its authority does not match the fingerprint, or it refuses
/// the tokens.
pub fn run(args: &LoginArgs, session: &Session) -> Result<Exit, Failure> {
    let flags = &session.connection;
    let server = flags.server.as_deref().ok_or_else(|| {
        Failure::usage("--server is missing")
            .advise("for example: foghorn login --server https://fog.example.org:8443")
    })?;
    let server = normal_url(server)?;
    let ca_pem = match (&flags.ca, args.ca_fingerprint) {
        (Some(path), _) => Some(read_ca(path)?),
        (None, Some(expected)) => Some(fetch_authority(&server, expected)?),
        (None, None) => None,
    };
    let context = Context {
        api_token: token(flags.api_token.as_deref(), "API token")?,
        user_token: token(flags.user_token.as_deref(), "user token")?,
        ca_pem,
        server,
    };
    Api::new(&context)?.text("GET", "/fog/system/info", None::<&Value>)?;

    let path = default_path()?;
    let mut contexts = Contexts::load(&path)?;
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| host_of(&context.server).to_owned());
    session.output.say(&format!(
        "logged in to {} as context {name}",
        context.server
    ));
    contexts.contexts.insert(name.clone(), context);
    contexts.current = Some(name);
    contexts.save(&path)?;
    Ok(Exit::Ok)
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
        .advise("compare the fingerprint with the one that the server printed; the connection may be intercepted")),
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

/// A token from the flag, or one line of standard input, because other users can see tokens on a
/// command line.
fn token(given: Option<&str>, what: &str) -> Result<String, Failure> {
    if let Some(token) = given {
        return Ok(token.to_owned());
    }
    if io::stdin().is_terminal() {
        eprint!("{what}: ");
        // The answer is read whether or not the prompt could be shown.
        let _ = io::stderr().flush();
    }
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match (read, line.trim()) {
        (Ok(_), token) if !token.is_empty() => Ok(token.to_owned()),
        _ => Err(Failure::usage(format!("the {what} is missing"))
            .advise("use --api-token and --user-token, or write both as lines to standard input")),
    }
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
    fn what_is_kept_of_an_authority_is_a_certificate_again() {
        let der = [7_u8; 100];
        assert_eq!(certificates(&to_pem(&der)).unwrap()[0].der(), der);
    }
}
