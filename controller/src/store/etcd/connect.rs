//! Where etcd is and how it knows us.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use serde::Deserialize;

use super::EtcdStore;

const CONNECT: Duration = Duration::from_secs(3);
/// A connection that is silent this long is asked whether it lives. etcd refuses more than one
/// question in five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(4);

/// How to reach etcd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdOptions {
    /// `host:port` or URL of each member.
    pub endpoints: Vec<String>,
    #[serde(default)]
    pub tls: Option<EtcdTls>,
    #[serde(default)]
    pub login: Option<EtcdLogin>,
}

/// Files for TLS to etcd.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdTls {
    /// Authority of the members' certificates, PEM.
    pub ca: PathBuf,
    /// Our own certificate, where etcd asks for one.
    #[serde(default)]
    pub client: Option<EtcdClientIdentity>,
    /// The name in the members' certificates, when it is not the host of the endpoint.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// A certificate and its private key, PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdClientIdentity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// User and password, where etcd has users.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtcdLogin {
    pub user: String,
    pub password: String,
}

impl fmt::Debug for EtcdLogin {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLogin")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectEtcdError {
    #[error("no etcd endpoint is given")]
    NoEndpoints,
    #[error("could not read {path}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not connect to or log in at the etcd endpoints {endpoints:?}")]
    Connect {
        endpoints: Vec<String>,
        source: etcd_client::Error,
    },
    #[error("etcd at {endpoints:?} did not answer the log-in in time")]
    TooLate { endpoints: Vec<String> },
}

impl EtcdStore {
    /// Makes the client. Connections are opened with the first call, and again whenever they are
    /// lost; only with [`EtcdOptions::login`] etcd has to answer now.
    ///
    /// # Errors
    /// When an endpoint is no address, a file cannot be read, or the log-in fails.
    pub async fn connect(options: &EtcdOptions) -> Result<Self, ConnectEtcdError> {
        if options.endpoints.is_empty() {
            return Err(ConnectEtcdError::NoEndpoints);
        }
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
            connect = connect.with_user(&login.user, &login.password);
        }
        let endpoints = || options.endpoints.clone();
        match tokio::time::timeout(
            super::CALL,
            Client::connect(&options.endpoints, Some(connect)),
        )
        .await
        {
            Ok(Ok(client)) => Ok(Self {
                client,
                endpoints: endpoints(),
            }),
            Ok(Err(source)) => Err(ConnectEtcdError::Connect {
                endpoints: endpoints(),
                source,
            }),
            Err(_) => Err(ConnectEtcdError::TooLate {
                endpoints: endpoints(),
            }),
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
