//! Where etcd is and how it knows us.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answer::is_permission;

/// How long one member has for a connection, and for a log-in.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection that is silent this long is asked whether it lives. etcd refuses more than one
/// question in five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(4);

/// How to reach etcd.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdOptions {
    /// `host:port` or URL of each member.
    pub endpoints: Vec<String>,
    #[serde(default)]
    pub tls: Option<EtcdTls>,
    #[serde(default)]
    pub login: Option<EtcdLogin>,
}

/// With etcd over TLS. The files are read again for every new connection to a member that was lost.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdTls {
    /// File with the authority of the members' certificates (PEM).
    #[schemars(extend("examples" = ["/etc/foghorn/etcd-ca.pem"]))]
    pub ca: PathBuf,
    pub client: Option<EtcdClientIdentity>,
    /// The name in the members' certificates, when it is not the host of the endpoint.
    #[schemars(extend("examples" = ["etcd.example.org"]))]
    pub server_name: Option<String>,
}

/// The controller's own certificate, where etcd asks for one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdClientIdentity {
    /// File with the certificate (PEM).
    #[schemars(extend("examples" = ["/etc/foghorn/etcd-client.pem"]))]
    pub certificate: PathBuf,
    /// File with its private key (PEM).
    #[schemars(extend("examples" = ["/etc/foghorn/etcd-client.key"]))]
    pub key: PathBuf,
}

/// User and password, where etcd has users.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EtcdLogin {
    /// Name of the user.
    #[schemars(extend("examples" = ["foghorn"]))]
    pub user: String,
    /// A file with nothing but the password, whose last line end does not count. It is read again for
    /// every new connection.
    #[schemars(extend("examples" = ["/etc/foghorn/etcd-password"]))]
    pub password_file: Option<PathBuf>,
    /// In place of a file: the password itself.
    #[schemars(extend("examples" = ["secret"], "writeOnly" = true))]
    pub password: Option<String>,
}

impl fmt::Debug for EtcdLogin {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLogin")
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectEtcdError {
    #[error("no etcd endpoint is given")]
    NoEndpoints,
    #[error("the endpoint {endpoint} begins with http://, but TLS is configured: use https://")]
    PlainEndpoint { endpoint: String },
    #[error("the log-in of etcd needs either a password or a password file")]
    Password,
    #[error("could not read {path}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not connect to or log in at etcd at {endpoint}")]
    Connect {
        endpoint: String,
        source: etcd_client::Error,
    },
    #[error("etcd at {endpoint} did not answer the log-in in time")]
    TooLate { endpoint: String },
}

impl ConnectEtcdError {
    /// Whether nothing but another configuration helps.
    pub(crate) fn is_for_ever(&self) -> bool {
        match self {
            Self::Connect { source, .. } => {
                !matches!(source, etcd_client::Error::GRpcStatus(_)) || is_permission(source)
            }
            Self::TooLate { .. } => false,
            _ => true,
        }
    }
}

impl EtcdOptions {
    /// Members without TLS and without users.
    #[must_use]
    pub fn plain(endpoints: impl IntoIterator<Item = String>) -> Self {
        Self {
            endpoints: endpoints.into_iter().collect(),
            ..Self::default()
        }
    }

    /// # Errors
    /// When it contradicts itself.
    pub fn check(&self) -> Result<(), ConnectEtcdError> {
        if self.endpoints.is_empty() {
            return Err(ConnectEtcdError::NoEndpoints);
        }
        let plain = |endpoint: &&String| endpoint.starts_with("http://");
        if let (Some(_), Some(endpoint)) = (&self.tls, self.endpoints.iter().find(plain)) {
            return Err(ConnectEtcdError::PlainEndpoint {
                endpoint: endpoint.clone(),
            });
        }
        match &self.login {
            Some(login) if login.password.is_some() == login.password_file.is_some() => {
                Err(ConnectEtcdError::Password)
            }
            _ => Ok(()),
        }
    }
}

/// The options with the content of their files.
pub(super) struct Keys(ConnectOptions);

impl Keys {
    pub(super) async fn read(options: &EtcdOptions) -> Result<Self, ConnectEtcdError> {
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(KEEP_ALIVE, KEEP_ALIVE_ANSWER)
            .with_keep_alive_while_idle(true)
            // A member that has lost its cluster must not keep us waiting, nor feed a watch that
            // has gone silent.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = &options.tls {
            connect = connect.with_tls(tls.load().await?);
        }
        if let Some(login) = &options.login {
            connect = connect.with_user(&login.user, login.password().await?);
        }
        Ok(Self(connect))
    }

    /// A client for one member. Without a log-in, nothing is sent yet.
    pub(super) async fn connect(&self, endpoint: &str) -> Result<Client, ConnectEtcdError> {
        let connecting = Client::connect([endpoint], Some(self.0.clone()));
        let endpoint = || endpoint.to_owned();
        match tokio::time::timeout(CONNECT, connecting).await {
            Ok(connected) => connected.map_err(|source| ConnectEtcdError::Connect {
                endpoint: endpoint(),
                source,
            }),
            Err(_) => Err(ConnectEtcdError::TooLate {
                endpoint: endpoint(),
            }),
        }
    }
}

impl EtcdLogin {
    async fn password(&self) -> Result<String, ConnectEtcdError> {
        match (&self.password, &self.password_file) {
            (Some(password), None) => Ok(password.clone()),
            (None, Some(path)) => {
                let text = read(path).await?;
                let text = String::from_utf8(text).map_err(|error| ConnectEtcdError::Read {
                    path: path.clone(),
                    source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
                })?;
                let text = text.strip_suffix('\n').unwrap_or(&text);
                Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
            }
            _ => Err(ConnectEtcdError::Password),
        }
    }
}

impl EtcdTls {
    async fn load(&self) -> Result<TlsOptions, ConnectEtcdError> {
        let mut tls =
            TlsOptions::new().ca_certificate(Certificate::from_pem(read(&self.ca).await?));
        if let Some(client) = &self.client {
            tls = tls.identity(Identity::from_pem(
                read(&client.certificate).await?,
                read(&client.key).await?,
            ));
        }
        if let Some(name) = &self.server_name {
            tls = tls.domain_name(name);
        }
        Ok(tls)
    }
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, ConnectEtcdError> {
    tokio::fs::read(path)
        .await
        .map_err(|source| ConnectEtcdError::Read {
            path: path.clone(),
            source,
        })
}
