//! Which server a command uses: flags and environment take precedence over the context file.

use std::path::{Path, PathBuf};

use crate::api::Api;
use crate::context::{Context, ContextError, Contexts, default_path};
use crate::exit::{Exit, Failure};

/// The flags that choose a server; clap fills the environment variables in.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConnectionArgs {
    /// Context to use instead of the current one
    #[arg(
        long,
        global = true,
        env = "FOGHORN_CONTEXT",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub context: Option<String>,
    /// URL of the server, such as `https://fog.example.org:8443`
    #[arg(
        long,
        global = true,
        env = "FOGHORN_SERVER",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub server: Option<String>,
    /// Certificate authority of the server, as a PEM file
    #[arg(
        long,
        global = true,
        env = "FOGHORN_CA",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub ca: Option<PathBuf>,
    /// API token of the server
    #[arg(
        long,
        global = true,
        env = "FOGHORN_API_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Connection"
    )]
    pub api_token: Option<String>,
    /// File with nothing but that token, such as a mounted Secret
    #[arg(
        long,
        global = true,
        env = "FOGHORN_API_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub api_token_file: Option<PathBuf>,
    /// Token of the user
    #[arg(
        long,
        global = true,
        env = "FOGHORN_USER_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        help_heading = "Connection"
    )]
    pub user_token: Option<String>,
    /// File with nothing but that token, such as a mounted Secret
    #[arg(
        long,
        global = true,
        env = "FOGHORN_USER_TOKEN_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    pub user_token_file: Option<PathBuf>,
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        let advice = match &error {
            ContextError::TooOpen { path } => Some(format!("chmod 600 {}", path.display())),
            ContextError::Parse { .. } => {
                Some("correct the file, or remove it and log in again".to_owned())
            }
            _ => None,
        };
        let failure =
            Failure::new(Exit::Failed, "could not use the stored contexts").caused_by(error);
        match advice {
            Some(advice) => failure.advise(advice),
            None => failure,
        }
    }
}

impl ConnectionArgs {
    /// The connection that results from these flags, the environment and the context file.
    ///
    /// # Errors
    /// When no server is set or a token is missing.
    pub fn resolve(&self) -> Result<Context, Failure> {
        let stored = self.stored()?;
        let server = self
            .server
            .clone()
            .or_else(|| stored.as_ref().map(|context| context.server.clone()));
        let server = server.ok_or_else(|| {
            Failure::usage("no server is set")
                .advise("run `foghorn login --server URL`, or set FOGHORN_SERVER")
        })?;
        let server = normal_url(&server)?;
        // Tokens and authority belong to one server: those of the context are not sent to another
        // server.
        let stored = stored.filter(|context| context.server == server);
        let ca_pem = match &self.ca {
            Some(path) => Some(read_ca(path)?),
            None => stored.as_ref().and_then(|context| context.ca_pem.clone()),
        };
        let missing = |name: &str| {
            Failure::usage(format!("no {name} token is set for {server}"))
                .advise("run `foghorn login`, or set FOGHORN_API_TOKEN and FOGHORN_USER_TOKEN")
        };
        let (kept_api, kept_user) = stored
            .map(|context| (context.api_token, context.user_token))
            .unzip();
        let api_token = given(&self.api_token, self.api_token_file.as_deref())?.or(kept_api);
        let user_token = given(&self.user_token, self.user_token_file.as_deref())?.or(kept_user);
        Ok(Context {
            api_token: api_token.ok_or_else(|| missing("API"))?,
            user_token: user_token.ok_or_else(|| missing("user"))?,
            ca_pem,
            server,
        })
    }

    /// A client for the resolved connection.
    ///
    /// # Errors
    /// As [`Self::resolve`], and when the authority is not a certificate.
    pub fn api(&self) -> Result<Api, Failure> {
        Ok(Api::new(&self.resolve()?)?)
    }

    fn stored(&self) -> Result<Option<Context>, Failure> {
        // When everything is given, neither a file nor a home directory is needed.
        if self.context.is_none()
            && self.server.is_some()
            && (self.api_token.is_some() || self.api_token_file.is_some())
            && (self.user_token.is_some() || self.user_token_file.is_some())
        {
            return Ok(None);
        }
        let contexts = Contexts::load(&default_path()?)?;
        let Some(name) = self.context.as_ref().or(contexts.current.as_ref()) else {
            return Ok(None);
        };
        match contexts.contexts.get(name) {
            Some(context) => Ok(Some(context.clone())),
            None => Err(Failure::usage(format!("there is no context named {name}"))
                .advise("see `foghorn context list`, or run `foghorn login`")),
        }
    }
}

/// A token that was given itself, or else that of a file.
fn given(token: &Option<String>, file: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(path) = file.filter(|_| token.is_none()) else {
        return Ok(token.clone());
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        let what = format!("could not read the token in {}", path.display());
        Failure::new(Exit::Failed, what).caused_by(error)
    })?;
    match text.trim() {
        "" => Err(Failure::usage(format!(
            "there is no token in {}",
            path.display()
        ))),
        found => Ok(Some(found.to_owned())),
    }
}

/// Reads a PEM file with at least one certificate.
pub(crate) fn read_ca(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "could not read the certificate authority {}",
            path.display()
        ))
        .caused_by(error)
    })?;
    ureq::tls::Certificate::from_pem(text.as_bytes()).map_err(|error| {
        Failure::usage(format!("{} contains no PEM certificate", path.display())).caused_by(error)
    })?;
    Ok(text)
}

/// The base URL of a server: a scheme, a host and a port, nothing after them.
pub(crate) fn normal_url(text: &str) -> Result<String, Failure> {
    let refuse = |why| {
        Failure::usage(format!("{text:?} is not a valid server URL: {why}"))
            .advise("give https://HOST:PORT")
    };
    let trimmed = text.trim().trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("https://")
        .or_else(|| trimmed.strip_prefix("http://"))
        .ok_or_else(|| refuse("it does not start with https://"))?;
    if rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) {
        return Err(refuse(
            "only a host and a port are allowed after the scheme",
        ));
    }
    if trimmed.starts_with("http://") && !is_loopback(rest) {
        return Err(refuse(
            "plain http would expose the tokens to the network; it is allowed for this machine only",
        ));
    }
    Ok(trimmed.to_owned())
}

/// Whether `authority` (host and port) is this machine.
fn is_loopback(authority: &str) -> bool {
    if let Ok(address) = authority.parse::<std::net::SocketAddr>() {
        return address.ip().is_loopback();
    }
    let bare = match authority
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(bare) => bare,
        None => authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host),
    };
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_scheme_and_an_authority() {
        assert_eq!(
            normal_url(" https://fog:8443/ ").unwrap(),
            "https://fog:8443"
        );
        for loopback in [
            "http://127.0.0.1:80",
            "http://localhost",
            "http://[::1]:8443",
            "http://[::1]",
        ] {
            assert!(normal_url(loopback).is_ok(), "{loopback}");
        }
        for bad in [
            "fog",
            "ftp://fog",
            "https://",
            "https://fog/x",
            "http://fog:80",
            "https://user@fog",
            "http://127.0.0.1.example.org",
        ] {
            assert_eq!(normal_url(bad).unwrap_err().exit(), Exit::Usage, "{bad}");
        }
    }

    #[test]
    fn flags_alone_are_a_connection() {
        let args = ConnectionArgs {
            server: Some("https://fog".into()),
            api_token: Some("a".into()),
            user_token: Some("u".into()),
            ..Default::default()
        };
        let context = args.resolve().unwrap();
        assert_eq!(
            (context.server.as_str(), context.api_token.as_str()),
            ("https://fog", "a")
        );
    }

    #[test]
    fn tokens_come_from_files_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "of-a-file\n").unwrap();
        let args = ConnectionArgs {
            server: Some("https://fog".into()),
            api_token: Some("a".into()),
            api_token_file: Some("/nowhere".into()),
            user_token_file: Some(path.clone()),
            ..Default::default()
        };
        let context = args.resolve().unwrap();
        let tokens = (context.api_token.as_str(), context.user_token.as_str());
        assert_eq!(
            tokens,
            ("a", "of-a-file"),
            "the nearer one takes precedence"
        );
        std::fs::write(&path, "\n").unwrap();
        assert!(args.resolve().unwrap_err().to_string().contains("no token"));
    }
}
