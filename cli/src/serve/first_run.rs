//! What people are told at the start: where the site is, and its first credentials.

use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;

use foghorn_controller::Controller;
use serde::{Deserialize, Serialize};

use super::plan::authority;
use crate::context::write_private;
use crate::exit::{Exit, Failure};
use crate::output::print;

/// The credentials that every start shows until they are used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FirstRunFile {
    /// Such as `https://10.0.0.2:8443`.
    pub url: String,
    /// All URLs at which the site is reached, that one first.
    #[serde(default)]
    pub urls: Vec<String>,
    pub api_token: String,
    pub user: String,
    pub user_token: String,
    pub password: String,
    pub ca_pem: String,
    /// SHA-256 of the authority's certificate, as `foghorn login --ca-fingerprint` takes it.
    #[serde(default)]
    pub ca_fingerprint: String,
}

/// `rest_url` is how this machine reaches itself; other machines need one of `hosts`.
pub(super) fn public_urls(rest_url: &str, hosts: &[String]) -> Vec<String> {
    let port = rest_url
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    match port {
        Some(port) if !hosts.is_empty() => hosts
            .iter()
            .map(|host| format!("https://{}", authority(host, port)))
            .collect(),
        _ => vec![rest_url.to_owned()],
    }
}

/// What a machine without a network is told.
pub(super) fn only_loopback(url: &str) -> String {
    format!(
        "WARNING: this machine has no address but loopback: no other machine reaches it, and {url} works here only\n  \
         to do: connect it to a network and start again, or give the name or address by which others reach it: --advertise 10.23.0.1"
    )
}

fn where_it_is(urls: &[String], fingerprint: &str) -> String {
    let first = urls.first().map_or("", String::as_str);
    let mut text = format!("Foghorn is running at {first}\n");
    for url in urls.iter().skip(1) {
        text.push_str(&format!("               and at {url}\n"));
    }
    text.push_str(&format!(
        "Log in with: foghorn login --server {first} --ca-fingerprint {fingerprint}\n"
    ));
    text
}

/// How to get the first credentials, where they are not shown: what a service prints is read by
/// everybody who may see its log.
const HOW_TO_GET_THEM: &str = "\
    The first user and its tokens are not shown here, because this is not a terminal.\n  \
    to do: give --first-run-file FILE, start it once in a terminal, or give the credentials:\n  \
    [controller.first_run] in the configuration\n";

/// Prints the URLs of the site. Until they are used, the first tokens go to the file or to the
/// terminal.
pub(super) fn announce(
    controller: &Controller,
    urls: &[String],
    file: Option<&Path>,
) -> Result<(), Failure> {
    let fingerprint = controller.ca_fingerprint();
    print(&where_it_is(urls, fingerprint))?;
    let Some(first) = controller.first_run() else {
        return Ok(());
    };
    let content = FirstRunFile {
        url: urls.first().cloned().unwrap_or_default(),
        urls: urls.to_vec(),
        api_token: first.api_token.clone(),
        user: first.user.clone(),
        user_token: first.user_token.clone(),
        password: first.password.clone(),
        ca_pem: controller.ca_pem().to_owned(),
        ca_fingerprint: fingerprint.to_owned(),
    };
    match file {
        Some(path) => write_first_run(path, &content),
        None if !std::io::stdout().is_terminal() => print(HOW_TO_GET_THEM),
        None => print(&format!(
            "\nKeep these; they are shown until they are used for the first time:\n{}\n",
            credentials(
                &content.api_token,
                &content.user_token,
                &content.user,
                &content.password
            )
        )),
    }
}

pub(super) fn credentials(api_token: &str, user_token: &str, user: &str, password: &str) -> String {
    format!(
        "API token:  {api_token}\nuser token: {user_token}\nuser:       {user}\npassword:   {password}\n"
    )
}

/// Written atomically, so that a program that waits for the file never reads half of it.
fn write_first_run(path: &Path, content: &FirstRunFile) -> Result<(), Failure> {
    let next = path.with_extension(format!("new-{}", std::process::id()));
    let written = serde_json::to_vec_pretty(content)
        .map_err(std::io::Error::other)
        .and_then(|bytes| write_private(&next, &bytes))
        .and_then(|()| fs::rename(&next, path));
    written.map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("could not write the tokens to {}", path.display()),
        )
        .caused_by(error)
        .advise("the tokens are kept until they are used: start again with a writable file")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_a_url_with_the_port() {
        let hosts = ["fog".to_owned(), "fd00::2".to_owned()];
        assert_eq!(
            public_urls("https://127.0.0.1:8443", &hosts),
            ["https://fog:8443", "https://[fd00::2]:8443"]
        );
        assert_eq!(
            public_urls("https://127.0.0.1:8443", &[]),
            ["https://127.0.0.1:8443"]
        );
    }

    #[test]
    fn people_see_every_url_and_log_in_at_the_first() {
        let urls = ["https://10.0.0.2:8443", "https://10.23.0.1:8443"].map(str::to_owned);
        assert_eq!(
            where_it_is(&urls, "SHA"),
            "Foghorn is running at https://10.0.0.2:8443\n               and at https://10.23.0.1:8443\nLog in with: foghorn login --server https://10.0.0.2:8443 --ca-fingerprint SHA\n"
        );
    }
}
