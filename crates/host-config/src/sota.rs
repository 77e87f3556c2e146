//! The settings of the update agent that the host service needs, from its files in TOML (`sota.toml`).

use std::path::PathBuf;

use toml::{Table, Value};

use crate::settings::put_over;

/// Where the agent keeps what lasts, unless a file says otherwise.
pub const STORAGE: &str = "/var/sota";

/// Who this device is, and whom it asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sota {
    /// `tls.server` without a slash at its end: the gateway, such as `https://gateway.example:8443`.
    pub server: String,
    /// `import.tls_cacert_path`: who signs the gateway's certificate.
    pub authority: PathBuf,
    /// `import.tls_clientcert_path`.
    pub certificate: PathBuf,
    /// `import.tls_pkey_path`: of the certificate, and for secrets.
    pub key: PathBuf,
    /// `storage.path`.
    pub storage: PathBuf,
    /// `pacman.tags`: which tags this device follows, with commas between them.
    pub tags: Option<String>,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what the variants mean")]
pub enum BadSota {
    #[error("{file} is no TOML")]
    Toml {
        file: String,
        source: Box<toml::de::Error>,
    },
    #[error("{key} is not set in any settings file; it says {what}")]
    Missing {
        key: &'static str,
        what: &'static str,
    },
    #[error("{key} is no text")]
    NoText { key: &'static str },
    #[error("{key} is {found:?}: only keys and certificates in files can be used (\"file\")")]
    Source { key: &'static str, found: String },
    #[error("tls.server is {0:?}; expected https://HOST[:PORT]")]
    Server(String),
}

/// One file of settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SotaFile {
    /// Where it was read, for errors.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl Sota {
    /// From files in their order: later ones are put over earlier ones, key by key.
    ///
    /// # Errors
    /// [`BadSota`].
    pub fn of(files: &[SotaFile]) -> Result<Self, BadSota> {
        let mut all = Table::new();
        for SotaFile { file, text } in files {
            let table = text.parse::<Table>().map_err(|source| BadSota::Toml {
                file: file.clone(),
                source: Box::new(source),
            })?;
            put_over(&mut all, table);
        }
        for key in ["tls.ca_source", "tls.pkey_source", "tls.cert_source"] {
            if let Some(found) = text(&all, key)?.filter(|found| found != "file") {
                return Err(BadSota::Source { key, found });
            }
        }
        let storage =
            PathBuf::from(text(&all, "storage.path")?.unwrap_or_else(|| STORAGE.to_owned()));
        let needed = |key, what| text(&all, key)?.ok_or(BadSota::Missing { key, what });
        // A path that is not absolute is one below the storage.
        let path = |key, what| needed(key, what).map(|path| storage.join(path));
        let server = needed("tls.server", "which gateway is asked")?;
        let host = server
            .strip_prefix("https://")
            .map(|rest| rest.trim_end_matches('/'));
        match host {
            Some(host) if !host.is_empty() && !host.contains(['/', ' ', '@', '?', '#']) => {}
            _ => return Err(BadSota::Server(server)),
        }
        Ok(Self {
            server: server.trim_end_matches('/').to_owned(),
            authority: path(
                "import.tls_cacert_path",
                "who signs the gateway's certificate",
            )?,
            certificate: path(
                "import.tls_clientcert_path",
                "which certificate this device has",
            )?,
            key: path("import.tls_pkey_path", "which key this device has")?,
            storage: storage.clone(),
            tags: tags_in(&all),
        })
    }
}

/// The tags that a file of settings says this device follows, with commas between them: `pacman.tags`, a text or a list of
/// texts. `None` when it says nothing of them, or is no TOML.
#[must_use]
pub fn tags(text: &str) -> Option<String> {
    tags_in(&text.parse().ok()?)
}

fn tags_in(of: &Table) -> Option<String> {
    match of.get("pacman")?.get("tags")? {
        Value::String(tags) => Some(tags.clone()),
        Value::Array(tags) => {
            let tags: Vec<&str> = tags.iter().filter_map(Value::as_str).collect();
            Some(tags.join(","))
        }
        _ => None,
    }
}

/// The text at `section.key`; `None` when it is not there or empty.
fn text(of: &Table, key: &'static str) -> Result<Option<String>, BadSota> {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    match of.get(section).and_then(|section| section.get(name)) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(_) => Err(BadSota::NoText { key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_a_text_or_a_list() {
        let of = |pacman: &str| tags(&format!("[pacman]\n{pacman}\n"));
        assert_eq!(of("tags = \"lab,test\"").as_deref(), Some("lab,test"));
        assert_eq!(
            of("tags = [\"lab\", \"test\"]").as_deref(),
            Some("lab,test")
        );
        assert_eq!(of("tags = \"\"").as_deref(), Some(""));
        assert_eq!(of("tags = 7"), None);
        assert_eq!(of("compose_apps = \"a\""), None);
        assert_eq!(tags("no TOML"), None);
    }

    const WHOLE: &str = "[tls]\nserver = \"https://gateway.example:8443/\"\nca_source = \"file\"\n\
        [import]\ntls_cacert_path = \"/var/sota/root.crt\"\ntls_pkey_path = \"/var/sota/pkey.pem\"\n\
        tls_clientcert_path = \"client.pem\"\n[storage]\npath = \"/data/sota\"\n[pacman]\ntags = 1\n";

    fn of(texts: &[&str]) -> Result<Sota, BadSota> {
        let file = |text: &&str| SotaFile {
            file: "a.toml".to_owned(),
            text: (*text).to_owned(),
        };
        Sota::of(&texts.iter().map(file).collect::<Vec<_>>())
    }

    #[test]
    fn the_keys_of_an_agent_are_read() {
        let sota = of(&[WHOLE]).unwrap();
        assert_eq!(sota.server, "https://gateway.example:8443");
        assert_eq!(sota.authority, PathBuf::from("/var/sota/root.crt"));
        assert_eq!(sota.certificate, PathBuf::from("/data/sota/client.pem"));
        assert_eq!(sota.storage, PathBuf::from("/data/sota"));
    }

    #[test]
    fn later_files_win_key_by_key() {
        let later = "[tls]\nserver = \"https://other.example\"\n[storage]\npath = \"\"\n";
        let sota = of(&[WHOLE, later]).unwrap();
        assert_eq!(sota.server, "https://other.example");
        assert_eq!(sota.key, PathBuf::from("/var/sota/pkey.pem"));
        assert_eq!(sota.storage, PathBuf::from(STORAGE));
    }

    #[test]
    fn what_cannot_be_used_is_told_with_its_key() {
        let changed =
            |from: &str, to: &str| of(&[&WHOLE.replace(from, to)]).unwrap_err().to_string();
        assert!(changed("[import]", "[import").contains("a.toml is no TOML"));
        assert!(changed("tls_pkey_path", "other").contains("import.tls_pkey_path is not set"));
        assert!(changed("\"file\"", "\"pkcs11\"").contains("tls.ca_source is \"pkcs11\""));
        assert!(changed("\"client.pem\"", "7").contains("import.tls_clientcert_path is no text"));
        for server in [
            "http://gateway.example",
            "https://",
            "https://a/b",
            "https://u@a",
        ] {
            assert!(changed("https://gateway.example:8443/", server).contains("tls.server"));
        }
    }
}
