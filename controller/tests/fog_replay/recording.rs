//! The files of recordings.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::BASE64;
use serde_json::Value;

pub struct Record {
    pub id: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub response: Value,
}

pub fn load(path: &Path) -> Vec<Record> {
    let records: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    records.into_iter().map(record).collect()
}

fn record(value: Value) -> Record {
    let request = &value["request"];
    let headers = request["headers"].as_object().unwrap();
    let body = if let Some(raw) = request["raw_body"].as_str() {
        raw.as_bytes().to_vec()
    } else if let Some(raw) = request["raw_body_latin1"].as_str() {
        raw.chars().map(|c| u8::try_from(c as u32).unwrap()).collect()
    } else if request["body"].is_null() {
        Vec::new()
    } else {
        request["body"].to_string().into_bytes()
    };
    Record {
        id: value["id"].as_str().unwrap().to_owned(),
        method: request["method"].as_str().unwrap().to_owned(),
        path: request["path"].as_str().unwrap().to_owned(),
        headers: headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        body,
        response: value["response"].clone(),
    }
}

/// Fills the placeholders of a header. The password of user `fog` is another one here.
pub fn resolve(value: &str, words: &BTreeMap<String, String>, password: &str) -> String {
    let mut text = value.to_owned();
    for (placeholder, word) in words {
        text = text.replace(placeholder, word);
    }
    while let Some(start) = text.find("<B64(") {
        let end = start + text[start..].find(")>").unwrap();
        let plain = text[start + 5..end].replace("fog:password", &format!("fog:{password}"));
        text.replace_range(start..end + 2, &BASE64.encode(plain.as_bytes()));
    }
    text
}
