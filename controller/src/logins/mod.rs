//! Recent failed log-ins.

mod codes;
mod peer;
mod throttle;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use foghorn_types::HostId;
use tracing::warn;

use self::codes::Codes;
use self::throttle::Buckets;
use crate::config::{LoginConfig, TrustedProxy, is_one_of};
use crate::shares::source;
use crate::state::value::fold;

/// Failed log-ins by name and by address. Locks are held for a map access.
#[derive(Debug)]
pub struct Doors {
    /// By the BLAKE3 hash of the case-folded name, because attempted names may be long.
    names: Mutex<Buckets<[u8; 32]>>,
    addresses: Mutex<Buckets<IpAddr>>,
    proxies: Vec<TrustedProxy>,
    /// Names whose refusal was written to the history, and when.
    told: Mutex<HashMap<[u8; 32], Instant>>,
    codes: Mutex<Codes>,
    /// Whether a request is removing the first credentials.
    pub(crate) forgetting: AtomicBool,
}

/// Minimum time between two history entries for the same name.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Maximum number of names in the history in that time: guessing with many names must not fill the
/// store.
const MOST_TOLD: usize = 20;

impl Default for Doors {
    fn default() -> Self {
        Self::new(&LoginConfig::default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(name: &str) -> [u8; 32] {
    *blake3::hash(fold(name).as_bytes()).as_bytes()
}

impl Doors {
    #[must_use]
    pub fn new(config: &LoginConfig) -> Self {
        Self {
            names: Mutex::new(Buckets::new(config.per_name)),
            addresses: Mutex::new(Buckets::new(config.per_address)),
            proxies: config.trusted_proxies.clone(),
            told: Mutex::default(),
            codes: Mutex::new(Codes::new()),
            forgetting: AtomicBool::new(false),
        }
    }

    /// How long a short code from this address has to wait.
    pub(crate) fn wait_of_codes(&self, from: IpAddr) -> Option<Duration> {
        lock(&self.codes).wait(source(from), Instant::now())
    }

    /// Counts a short code that was tried.
    pub(crate) fn tried_code(&self, from: IpAddr) {
        if lock(&self.codes).tried(source(from), Instant::now()) {
            warn!(%from, "too many short codes were tried, further ones are refused for a while");
        }
    }

    /// Counts a try of the code of this room for this host. Returns whether it is allowed.
    pub(crate) fn may_try_code_of(&self, room: [u8; 32], host: HostId) -> bool {
        lock(&self.codes).may_try((room, host.get()), Instant::now())
    }

    /// The address that a request comes from: that of its connection, or what a trusted proxy says
    /// in the headers.
    pub(crate) fn address_of(&self, connection: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
        peer::address(connection, headers, &self.proxies)
    }

    /// Whether a trusted proxy is at the other end of the connection.
    pub(crate) fn is_proxy(&self, connection: Option<IpAddr>) -> bool {
        connection.is_some_and(|peer| is_one_of(&self.proxies, peer.to_canonical()))
    }

    /// How long log-ins from this address have to wait.
    pub(crate) fn wait_of_address(&self, from: IpAddr) -> Option<Duration> {
        lock(&self.addresses).wait(&source(from), Instant::now())
    }

    /// How long log-ins with this name have to wait.
    pub(crate) fn wait_of_name(&self, name: &str) -> Option<Duration> {
        lock(&self.names).wait(&key(name), Instant::now())
    }

    /// Counts a wrong token.
    pub(crate) fn failed_from(&self, from: IpAddr) {
        metrics::counter!("foghorn_failed_logins_total").increment(1);
        if lock(&self.addresses).fail(&source(from), Instant::now()) {
            warn!(
                %from,
                "too many failed log-ins from one address, further ones are refused for a while"
            );
        }
    }

    fn may_tell(&self, name: [u8; 32], now: Instant) -> bool {
        let mut told = lock(&self.told);
        told.retain(|_, since| now.duration_since(*since) < TELL_EVERY);
        if told.len() >= MOST_TOLD || told.contains_key(&name) {
            return false;
        }
        told.insert(name, now);
        true
    }

    /// Counts a wrong password, or any password for an unknown name. Returns the text for the
    /// history, if any.
    pub(crate) fn failed_login(&self, name: &str, from: IpAddr) -> Option<String> {
        self.failed_from(from);
        if lock(&self.names).fail(&key(name), Instant::now()) {
            let name: String = name.chars().take(40).collect();
            warn!(
                name,
                %from,
                "too many failed log-ins with one name, further ones are refused for a while"
            );
            return self.may_tell(key(&name), Instant::now()).then(|| {
                format!("Too many failed log-ins as {name}: further ones are refused for a while")
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_once_a_minute_and_many_names_are_not_told_at_all() {
        let (doors, start) = (Doors::default(), Instant::now());
        assert!(doors.may_tell(key("anna"), start));
        assert!(!doors.may_tell(key("ANNA"), start + TELL_EVERY / 2));
        let others = (0..100)
            .filter(|number| doors.may_tell(key(&format!("name {number}")), start))
            .count();
        assert_eq!(others, MOST_TOLD - 1);
        assert!(doors.may_tell(key("anna"), start + TELL_EVERY));
    }
}
