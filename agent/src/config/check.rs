//! Whether a start would find what its configuration names.

use std::path::Path;

use super::joining::token_in;
use super::{Config, Credentials, KnownAuthority, LoadConfigError};

impl Config {
    /// Reads the files that the configuration names. Nothing is opened but for reading.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn check_files(&self) -> Result<(), LoadConfigError> {
        if let Some(path) = &self.join_token_file {
            token_in(path)?;
        }
        if let Some(path) = &self.service_account_token_file {
            readable("service_account_token_file", path)?;
        }
        if let Some(KnownAuthority::File(path)) = &self.authority {
            readable("ca_file", path)?;
        }
        let Some(cold) = &self.cold else {
            return Ok(());
        };
        if let Credentials::File(path) = &cold.credentials {
            readable("cold.credentials", path)?;
        }
        cold.ca
            .as_ref()
            .map_or(Ok(()), |path| readable("cold.ca", path))
    }
}

fn readable(key: &'static str, path: &Path) -> Result<(), LoadConfigError> {
    foghorn_settings::readable(path).map_err(|source| LoadConfigError::File {
        key,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_a_start_would_miss_is_named_by_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let text = format!(
            "state_dir = '/srv/foghorn'\n[cold]\nbucket = 'images'\ncache_mib = 1024\n\
             credentials = {key:?}\n"
        );
        let config = Config::from_toml(&text).unwrap();
        let said = config.check_files().unwrap_err().to_string();
        assert!(said.contains("cold.credentials"), "{said}");
        std::fs::write(&key, "access_key_id = a").unwrap();
        config.check_files().unwrap();
        Config::new("/srv/foghorn").check_files().unwrap();
    }
}
