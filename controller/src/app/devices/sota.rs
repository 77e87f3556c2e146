//! The settings that a new device is given: where its gateway is, and where its key and certificates
//! are. Pure.

use serde_json::{Map, Value as Json};
use toml::{Table, Value};

/// Where a device keeps these files, unless it says otherwise.
pub const FOLDER: &str = "/var/sota";
/// Sections that a device may add or change, and keys of each.
const MOST: usize = 32;
/// Bytes of a value.
const LONGEST: usize = 1024;

/// Why settings of a device cannot be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSettings {
    #[error("is not the path of a folder")]
    Folder,
    #[error("is not a map from sections to maps of texts, {MOST} of each at most")]
    Overrides,
}

/// What is special about a device.
pub struct Settings<'a> {
    /// `host:port` of its gateway.
    pub gateway: &'a str,
    /// Where it keeps its files.
    pub folder: &'a str,
    pub hardware_id: Option<&'a str>,
    /// Values by section and key, over ours.
    pub overrides: &'a Map<String, Json>,
}

/// The text of `sota.toml`.
///
/// # Errors
/// See [`BadSettings`].
pub fn sota_toml(settings: &Settings<'_>) -> Result<String, BadSettings> {
    let folder = settings.folder.trim_end_matches('/');
    let is_path = folder.starts_with('/')
        && folder.len() <= LONGEST
        && !folder.contains(char::is_control)
        && folder.split('/').all(|part| part != "..");
    if !is_path {
        return Err(BadSettings::Folder);
    }
    let server = format!("https://{}", settings.gateway);
    let at = |name: &str| format!("{folder}/{name}");
    let mut all = Table::new();
    let mut put = |section: &str, key: &str, value: String| {
        let section = all.entry(section).or_insert_with(|| Table::new().into());
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value.into());
        }
    };
    put("tls", "server", server.clone());
    for source in ["ca_source", "pkey_source", "cert_source"] {
        put("tls", source, "file".to_owned());
    }
    put("provision", "server", server);
    if let Some(id) = settings.hardware_id {
        put("provision", "primary_ecu_hardware_id", id.to_owned());
    }
    put("import", "tls_cacert_path", at("root.crt"));
    put("import", "tls_pkey_path", at("pkey.pem"));
    put("import", "tls_clientcert_path", at("client.pem"));
    put("storage", "type", "sqlite".to_owned());
    put("storage", "path", format!("{folder}/"));
    put("pacman", "packagemanager", "none".to_owned());
    if settings.overrides.len() > MOST {
        return Err(BadSettings::Overrides);
    }
    for (section, values) in settings.overrides {
        let values = values.as_object().filter(|values| values.len() <= MOST);
        for (key, value) in values.ok_or(BadSettings::Overrides)? {
            put(section, key, plain(value)?);
        }
    }
    // Texts in tables in a table: there is nothing that TOML could not express.
    toml::to_string(&all).map_err(|_| BadSettings::Overrides)
}

/// The tool writes texts of TOML, with their quotation marks, or just texts.
fn plain(value: &Json) -> Result<String, BadSettings> {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        _ => return Err(BadSettings::Overrides),
    };
    if text.len() > LONGEST {
        return Err(BadSettings::Overrides);
    }
    let quoted = text.starts_with('"').then(|| serde_json::from_str(&text));
    Ok(quoted.and_then(Result::ok).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(folder: &str, overrides: &Json) -> Result<Table, BadSettings> {
        let settings = Settings {
            gateway: "devices.example:8445",
            folder,
            hardware_id: Some("pc \"1\""),
            overrides: overrides.as_object().unwrap(),
        };
        let text = sota_toml(&settings)?;
        Ok(text.parse::<Table>().unwrap())
    }

    #[test]
    fn a_device_is_told_its_gateway_and_its_files() {
        let all = write("/var/sota/", &json!({})).unwrap();
        let text = |section: &str, key: &str| all[section][key].as_str().unwrap().to_owned();
        assert_eq!(text("tls", "server"), "https://devices.example:8445");
        assert_eq!(text("tls", "pkey_source"), "file");
        assert_eq!(text("import", "tls_cacert_path"), "/var/sota/root.crt");
        assert_eq!(text("storage", "path"), "/var/sota/");
        assert_eq!(text("provision", "primary_ecu_hardware_id"), "pc \"1\"");
    }

    #[test]
    fn overrides_are_texts_over_ours_with_and_without_quotation_marks() {
        let overrides = json!({
            "tls": {"pkey_source": "\"pkcs11\"", "server": "https://other"},
            "pacman": {"tags": "lab\nnext", "force": true},
        });
        let all = write("/var/sota", &overrides).unwrap();
        assert_eq!(all["tls"]["pkey_source"].as_str(), Some("pkcs11"));
        assert_eq!(all["tls"]["server"].as_str(), Some("https://other"));
        assert_eq!(all["pacman"]["tags"].as_str(), Some("lab\nnext"));
        assert_eq!(all["pacman"]["force"].as_str(), Some("true"));
        for wrong in [
            json!({"tls": "x"}),
            json!({"tls": {"server": ["x"]}}),
            json!({"tls": {"server": "x".repeat(LONGEST + 1)}}),
        ] {
            assert_eq!(write("/var/sota", &wrong), Err(BadSettings::Overrides));
        }
        for folder in ["", "var/sota", "/var/../etc", "/a\nb"] {
            assert_eq!(write(folder, &json!({})), Err(BadSettings::Folder));
        }
    }
}
