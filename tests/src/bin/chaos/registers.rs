//! Four clients that write and read descriptions of a few hosts through all controllers: registers,
//! whose histories are checked at the end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_tests::persistent::Persistent;
use foghorn_tests::rest::Rest;
use foghorn_tests::writers::Gate;
use serde_json::{Value, json};

use crate::history::{Did, History, Operation};

const KEYS: u64 = 6;
/// Between two operations of a client.
const PAUSE: Duration = Duration::from_millis(60);
/// What a controller promises of a read that does not say that it is older.
pub(crate) const BEHIND: Duration = Duration::from_secs(2);

/// The registers: hosts, by their numbers.
pub(crate) struct Registers {
    hosts: Vec<String>,
    pub history: History,
}

impl Registers {
    /// # Errors
    /// When the hosts cannot be made.
    pub(crate) fn make(rest: &Rest) -> Result<Self> {
        let mut hosts = Vec::new();
        for number in 0..KEYS {
            let mac = format!("02:0e:00:00:00:{number:02x}");
            let body =
                json!({"name": format!("register{number}"), "macs": [mac], "description": ""});
            let host = rest.post("/fog/host/create", &body)?.ok()?;
            hosts.push(host["id"].as_str().context("an id")?.to_owned());
        }
        Ok(Self {
            hosts,
            history: History::default(),
        })
    }

    /// Writes and reads until the gate stops.
    #[must_use]
    pub(crate) fn start(
        self: &Arc<Self>,
        number: u64,
        seed: u64,
        rests: Vec<Rest>,
        gate: Arc<Gate>,
    ) -> JoinHandle<()> {
        let registers = self.clone();
        std::thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(seed ^ (number << 32));
            let mut api = Persistent::new(rests, Duration::ZERO);
            let mut turn = 0_u64;
            while !gate.is_stopped() {
                gate.pass(|| {
                    let host = &registers.hosts[random.usize(..registers.hosts.len())];
                    if random.bool() {
                        registers.write(api.any(), host, &format!("{number}.{turn}"));
                    } else {
                        registers.read(api.any(), host);
                    }
                });
                turn += 1;
                std::thread::sleep(PAUSE);
            }
        })
    }

    /// One attempt: sent again, it would be another write, and might be stored twice.
    fn write(&self, rest: &Rest, host: &str, value: &str) {
        let asked = self.history.now();
        let path = format!("/fog/host/{host}/edit");
        let answer = rest.put(&path, &json!({"description": value}));
        let answered = match answer {
            Ok(answer) if answer.status == 200 => Some(self.history.now()),
            _ => None,
        };
        self.note(rest, host, Did::Wrote(value.to_owned()), asked, answered);
    }

    fn note(&self, rest: &Rest, host: &str, did: Did, asked: Duration, answered: Option<Duration>) {
        let operation = Operation {
            did,
            asked,
            answered,
            at: rest.url.clone(),
        };
        self.history.add(host, operation);
    }

    fn read(&self, rest: &Rest, host: &str) {
        let asked = self.history.now();
        let Ok(answer) = rest.get(&format!("/fog/host/{host}")) else {
            return;
        };
        let answered = Some(self.history.now());
        // It says how much older than promised it may be.
        let stale = answer
            .header("foghorn-stale")
            .and_then(|text| text.parse().ok());
        let stale = stale.map_or(Duration::ZERO, |seconds: u64| {
            Duration::from_secs(seconds + 1)
        });
        let Ok(Value::Object(row)) = answer.ok() else {
            return;
        };
        let Some(value) = row.get("description").and_then(Value::as_str) else {
            return;
        };
        let asked = asked.saturating_sub(stale);
        self.note(rest, host, Did::Read(value.to_owned()), asked, answered);
    }

    /// One read of each at each controller, when all is well: they all have to agree.
    ///
    /// # Errors
    /// When one does not answer.
    pub(crate) fn read_all(&self, rests: &[Rest]) -> Result<Vec<String>> {
        let mut differ = Vec::new();
        for host in &self.hosts {
            let mut values = Vec::new();
            for rest in rests {
                let row = rest.get(&format!("/fog/host/{host}"))?.ok()?;
                values.push(row["description"].clone());
                self.read(rest, host);
            }
            if values.iter().any(|value| *value != values[0]) {
                differ.push(format!("host {host} says {values:?} at the controllers"));
            }
        }
        Ok(differ)
    }
}
