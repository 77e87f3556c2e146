//! Whether a start would find what its configuration names. Nothing is opened but for reading.

use std::io;
use std::path::{Path, PathBuf};

use crate::app::given::{self, ReadGivenError};
use crate::config::{AuthorityConfig, Config, StoreConfig};
use crate::state::kept_authority::{KeptError, given as given_authority};
use crate::store::etcd::EtcdOptions;
use crate::trust::KeySource;

/// What a start would not find.
#[derive(Debug, thiserror::Error)]
pub enum CheckFilesError {
    #[error("`{key}`: could not read {}", path.display())]
    Read {
        key: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("the certificate authority that is given (trust.authority_dir) cannot be used")]
    Authority(#[source] KeptError),
    #[error("the first user and its credentials (first_run) cannot be used")]
    Given(#[source] ReadGivenError),
}

/// Reads the files that the configuration names and a start reads.
///
/// # Errors
/// When one cannot be read, or has what cannot be used in it.
pub fn check_files(config: &Config) -> Result<(), CheckFilesError> {
    if let StoreConfig::Etcd(options) = &config.store {
        for (key, path) in files_of_etcd(options) {
            readable(key, path)?;
        }
    }
    match &config.authority {
        AuthorityConfig::Own | AuthorityConfig::Store(KeySource::Command(_)) => {}
        AuthorityConfig::Given(folder) => {
            given_authority(folder).map_err(CheckFilesError::Authority)?;
        }
        AuthorityConfig::Store(KeySource::File(path)) => {
            readable("trust.store_key_file", path)?;
        }
    }
    if let Some(cluster) = &config.kubernetes {
        readable("kubernetes.ca_file", &cluster.ca_file)?;
        readable("kubernetes.token_file", &cluster.token_file)?;
    }
    given::check_user(&config.first_user).map_err(CheckFilesError::Given)?;
    if let Some(source) = &config.given {
        given::read(source).map_err(CheckFilesError::Given)?;
    }
    Ok(())
}

fn files_of_etcd(options: &EtcdOptions) -> Vec<(&'static str, &Path)> {
    let mut files = Vec::new();
    if let Some(tls) = &options.tls {
        files.push(("store.tls.ca", tls.ca.as_path()));
        if let Some(client) = &tls.client {
            files.push(("store.tls.client.certificate", client.certificate.as_path()));
            files.push(("store.tls.client.key", client.key.as_path()));
        }
    }
    let login = options.login.as_ref();
    if let Some(path) = login.and_then(|login| login.password_file.as_deref()) {
        files.push(("store.login.password_file", path));
    }
    files
}

fn readable(key: &'static str, path: &Path) -> Result<(), CheckFilesError> {
    foghorn_settings::readable(path).map_err(|source| CheckFilesError::Read {
        key,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GivenCredentials, SecretSource};
    use crate::store::etcd::EtcdTls;
    use crate::trust::Trust;

    #[test]
    fn a_file_that_a_start_would_miss_is_named_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::local(folder.path().join("data"));
        check_files(&config).unwrap();
        let mut options = EtcdOptions::plain(["https://etcd:2379".to_owned()]);
        options.tls = Some(EtcdTls {
            ca: folder.path().join("ca.pem"),
            client: None,
            server_name: None,
        });
        config.store = StoreConfig::Etcd(options);
        let said = check_files(&config).unwrap_err().to_string();
        assert!(
            said.contains("store.tls.ca") && said.contains("ca.pem"),
            "{said}"
        );
        std::fs::write(folder.path().join("ca.pem"), "PEM").unwrap();
        check_files(&config).unwrap();
        let authority = folder.path().join("authority");
        std::fs::create_dir(&authority).unwrap();
        config.authority = AuthorityConfig::Given(authority.clone());
        let error = check_files(&config).unwrap_err();
        let said = foghorn_types::chain(&error).to_string();
        assert!(said.contains("trust.authority_dir"), "{said}");
        let made = Trust::generate().unwrap().to_pem();
        std::fs::write(authority.join("tls.crt"), made.certificate).unwrap();
        std::fs::write(authority.join("tls.key"), made.key).unwrap();
        check_files(&config).unwrap();
        config.first_user = "an:na".to_owned();
        let error = check_files(&config).unwrap_err();
        let said = foghorn_types::chain(&error).to_string();
        assert!(said.contains("first_run.user"), "{said}");
        config.first_user = "fog".to_owned();
        config.given = Some(GivenCredentials {
            user: "fog".to_owned(),
            api_token: SecretSource::Known("short".to_owned()),
            user_token: None,
            password: Some(SecretSource::Known("pass word".to_owned())),
        });
        let error = check_files(&config).unwrap_err();
        let said = foghorn_types::chain(&error).to_string();
        assert!(said.contains("first_run.api_token"), "{said}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
}
