//! All devices: registered by an operator, and what they have when the measuring begins.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::factory::{Operator, Registered};
use foghorn_types::MachineUuid;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::device::{Answer, Device};

/// Concurrent registrations.
const WORKERS: usize = 8;
/// One device of so many is in the group whose configuration changes.
const GROUP_OF: u32 = 10;
const GROUP: &str = "one-of-ten";
/// Devices that make themselves known at a time …
const FIRST_AT_ONCE: usize = 32;
/// … and how often each tries: every first contact is written to the store.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// How many devices are in the group.
pub(crate) fn grouped(devices: u32) -> u32 {
    devices.div_ceil(GROUP_OF)
}

/// Makes a configuration for all, and the devices.
pub(crate) fn register(operator: &Operator, count: u32) -> Result<Vec<Arc<Device>>> {
    let group = json!({ "name": GROUP });
    operator.call("POST", &operator.at("device-groups/"), &group)?;
    let handler = "/usr/share/fioconfig/handlers/restart";
    let value = "[page]\nurl = \"https://shop.example\"\n".repeat(10);
    let files = json!([{ "name": "shop.toml", "value": value, "unencrypted": true, "on-changed": [handler] }]);
    let body = json!({ "reason": "bench", "files": files });
    operator.call("PATCH", &operator.at("config/"), &body)?;

    let (next, made) = (AtomicU32::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let worker = || -> Result<()> {
            let operator = operator.another()?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let registered = register_one(&operator, number)?;
                let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                made.push((number, registered));
            }
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(number, _)| *number);
    devices(&made)
}

fn register_one(operator: &Operator, number: u32) -> Result<Registered> {
    let uuid = MachineUuid::from_bits(u128::from(number) + 1).to_string();
    let more = match number % GROUP_OF {
        0 => json!({ "group": GROUP }),
        _ => Value::Null,
    };
    operator.register(&uuid, &more)
}

fn devices(made: &[(u32, Registered)]) -> Result<Vec<Arc<Device>>> {
    let (_, first) = made.first().context("there are devices")?;
    let mut authority = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(first.file("root.crt")?.as_bytes())?;
    authority.add(root)?;
    let authority = Arc::new(authority);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    made.iter()
        .map(|(number, registered)| {
            let device = Device::new(*number, registered, &authority, &provider)?;
            Ok(Arc::new(device))
        })
        .collect()
}

/// Every device makes itself known and fetches its configuration.
pub(crate) async fn first_contact(devices: &Arc<[Arc<Device>]>, gateway: SocketAddr) -> Result<()> {
    let (next, mut workers) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
    for _ in 0..FIRST_AT_ONCE {
        let (devices, next) = (devices.clone(), next.clone());
        workers.spawn(async move {
            while let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
                first_of(device, gateway).await?;
            }
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(ended) = workers.join_next().await {
        ended.context("a worker panicked")??;
    }
    Ok(())
}

async fn first_of(device: &Device, gateway: SocketAddr) -> Result<()> {
    let mut attempts = 1..ATTEMPTS;
    loop {
        match (device.poll(gateway).await, attempts.next()) {
            (Ok((answer, _)), _) => {
                ensure!(
                    answer == Answer::Config,
                    "a device got no configuration at first"
                );
                return Ok(());
            }
            (Err(_), Some(_)) => sleep(PAUSE).await,
            (Err(error), None) => return Err(error.context("the first contact of a device")),
        }
    }
}

/// One device of ten has a newer configuration from now on.
pub(crate) fn change(operator: &Operator) -> Result<()> {
    let files = json!([{ "name": "seat.txt", "value": "by the door", "unencrypted": true }]);
    let body = json!({ "reason": "bench", "files": files });
    let path = operator.at(&format!("device-groups/{GROUP}/config/"));
    operator.call("PATCH", &path, &body).map(drop)
}
