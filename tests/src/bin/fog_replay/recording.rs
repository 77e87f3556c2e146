//! The files of recordings: arrays of requests with the answers that a FOG server gave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use serde_json::Value;

/// Name of the file that makes the state from which every other file starts.
pub(crate) const SETUP: &str = "00-setup.json";
/// Default rows of the recorded server.
pub(crate) const SEED: &str = "seed-rows.json";

/// One request and the recorded answer to it.
pub(crate) struct Exchange {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) response: Value,
}

impl Exchange {
    fn new(value: &Value) -> Option<Self> {
        let request = value.get("request")?;
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        let body = match (text("raw_body"), text("raw_body_latin1")) {
            (Some(raw), _) => raw.as_bytes().to_vec(),
            (None, Some(raw)) => raw
                .chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect::<Option<_>>()?,
            (None, None) => match request.get("body") {
                None | Some(Value::Null) => Vec::new(),
                Some(body) => body.to_string().into_bytes(),
            },
        };
        let headers = request
            .get("headers")
            .and_then(Value::as_object)
            .into_iter()
            .flatten();
        Some(Self {
            id: value.get("id")?.as_str()?.to_owned(),
            method: text("method")?.to_owned(),
            path: text("path")?.to_owned(),
            headers: headers
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
            body,
            response: value.get("response")?.clone(),
        })
    }

    /// The class that the request is about, and the id in its path.
    pub(crate) fn object(&self) -> (&str, Option<&str>) {
        let mut parts = self
            .path
            .trim_start_matches("/fog/")
            .split(['/', '?'])
            .filter(|part| !part.is_empty());
        let class = parts.next().unwrap_or_default();
        (
            class,
            parts
                .next()
                .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit())),
        )
    }
}

/// A folder of recordings. What it lacks for a start (setup, default rows) is taken from
/// `fallback`.
pub(crate) struct Folder {
    pub(crate) setup: Vec<Exchange>,
    pub(crate) seed: Value,
    pub(crate) files: Vec<(String, Vec<Exchange>)>,
}

impl Folder {
    pub(crate) fn load(folder: &Path, fallback: &Path, only: &str) -> Result<Self> {
        let beside = |name: &str| {
            let own = folder.join(name);
            if own.is_file() {
                own
            } else {
                fallback.join(name)
            }
        };
        let setup =
            records(&beside(SETUP))?.with_context(|| format!("{SETUP} contains no recordings"))?;
        let seed = beside(SEED);
        let seed = if seed.is_file() {
            read(&seed)?
        } else {
            Value::Null
        };
        let mut files = Vec::new();
        for path in json_files(folder)? {
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.file_name().is_some_and(|name| name == SETUP) || !name.contains(only) {
                continue;
            }
            if let Some(records) = records(&path)? {
                files.push((name, records));
            }
        }
        if files.is_empty() {
            bail!(
                "{} contains no recordings{}",
                folder.display(),
                if only.is_empty() { "" } else { " of that name" }
            );
        }
        Ok(Self { setup, seed, files })
    }
}

fn json_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("could not open the folder {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

/// `None` for a file of something else, such as a description of the classes.
fn records(path: &Path) -> Result<Option<Vec<Exchange>>> {
    let Value::Array(values) = read(path)? else {
        return Ok(None);
    };
    let mut records = Vec::new();
    for (place, value) in values.iter().enumerate() {
        let record = Exchange::new(value);
        records.push(
            record
                .with_context(|| format!("{}: item {place} is not a recording", path.display()))?,
        );
    }
    Ok(Some(records))
}

/// Fills the placeholders of a header; `<B64(x)>` is base64 of x.
pub(crate) fn resolve(value: &str, words: &BTreeMap<String, String>, password: &str) -> String {
    let mut text = value.to_owned();
    for (placeholder, word) in words {
        text = text.replace(placeholder, word);
    }
    while let Some(start) = text.find("<B64(") {
        let Some(end) = text[start..].find(")>").map(|end| start + end) else {
            break;
        };
        // The recorded server's password of this user; ours is made up at every first start.
        let plain = text[start + 5..end].replace("fog:password", &format!("fog:{password}"));
        text.replace_range(start..end + 2, &BASE64.encode(plain.as_bytes()));
    }
    text
}
