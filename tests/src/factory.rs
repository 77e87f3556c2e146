//! An installation that serves the API of a FoundriesFactory: its operator, and devices that are registered.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};

use crate::rest::{Answer, Rest};

/// Scopes with which everything can be done.
pub const SCOPES: [&str; 5] = [
    "devices:read-update",
    "devices:create",
    "devices:delete",
    "targets:read-update",
    "ci:read-update",
];

/// Registrations at the same time may be told to try again.
const ATTEMPTS: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
const TRY_AGAIN: u16 = 503;

/// For [`crate::stack::Options::controller`]: the API, and the gateway of devices at this port.
#[must_use]
pub fn settings(gateway: u16) -> String {
    format!("[dialects.foundries]\nenabled = true\ngateway = \"127.0.0.1:{gateway}\"")
}

/// Somebody with a factory token.
pub struct Operator {
    /// Name of the factory that every installation begins with.
    pub factory: String,
    pub token: String,
    rest: Rest,
}

/// A device with what it got when it was registered.
pub struct Registered {
    pub uuid: String,
    pub key_pem: String,
    files: BTreeMap<String, String>,
}

impl Registered {
    /// One of the files that the device was given.
    pub fn file(&self, name: &str) -> Result<&str> {
        let file = self.files.get(name).map(String::as_str);
        file.with_context(|| format!("{} was given no {name}", self.uuid))
    }
}

impl Operator {
    /// Makes a token with these scopes.
    pub fn new(rest: &Rest, scopes: &[&str]) -> Result<Self> {
        let wanted = json!({ "scopes": scopes, "description": "for tests" });
        let made = rest.post("/foghorn/v1/factory-tokens", &wanted)?.ok()?;
        ensure!(made["served"] == true, "nothing takes the token: {made}");
        let token = made["token"].as_str().context("a token has a text")?;
        let mut operator = Self {
            factory: String::new(),
            token: token.to_owned(),
            // Without the tokens of other dialects.
            rest: Rest::new(&rest.url, &rest.ca_pem, "", "")?,
        };
        let factories = operator.get("/ota/factories/")?;
        let name = factories[0]["name"].as_str();
        operator.factory = name.context("there is a factory")?.to_owned();
        Ok(operator)
    }

    /// The same one with connections of its own.
    pub fn another(&self) -> Result<Self> {
        Ok(Self {
            factory: self.factory.clone(),
            token: self.token.clone(),
            rest: Rest::new(&self.rest.url, &self.rest.ca_pem, "", "")?,
        })
    }

    /// The path of something in the factory.
    #[must_use]
    pub fn at(&self, rest: &str) -> String {
        format!("/ota/factories/{}/{rest}", self.factory)
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Result<Answer> {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let token = [("osf-token", self.token.as_str())];
        self.rest.send_with(method, path, Some(body), &token)
    }

    /// What a request that has to succeed is answered.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.send(method, path, body)?.ok()
    }

    pub fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, &Value::Null)
    }

    /// Registers a device, which makes its own key. `more` are further members of the body.
    pub fn register(&self, uuid: &str, more: &Value) -> Result<Registered> {
        let key = KeyPair::generate()?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, uuid);
        subject.push(DnType::OrganizationalUnitName, self.factory.as_str());
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        // The tool of devices writes every value as a text.
        let mut body = json!({
            "uuid": uuid,
            "csr": params.serialize_request(&key)?.pem()?,
            "use-ostree-server": "true",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let given = self.registered(&body)?;
        Ok(Registered {
            uuid: uuid.to_owned(),
            key_pem: key.serialize_pem(),
            files: serde_json::from_value(given)?,
        })
    }

    fn registered(&self, body: &Value) -> Result<Value> {
        for _ in 0..ATTEMPTS {
            let answer = self.send("POST", "/ota/devices/", body)?;
            if answer.status != TRY_AGAIN {
                ensure!(
                    answer.status == 201,
                    "a registration was answered {}: {}",
                    answer.status,
                    answer.body
                );
                return answer.ok();
            }
            std::thread::sleep(PAUSE);
        }
        bail!("could not register a device in {ATTEMPTS} attempts")
    }
}
