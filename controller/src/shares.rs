//! A bounded resource and who holds how much of it: connections by address, memory by user. Nobody
//! can take all of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module. The unit is up to its user.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: u64,
    most_each: u64,
    held: Mutex<Held<K>>,
}

#[derive(Debug)]
struct Held<K> {
    all: u64,
    /// Holders of something only, so its size is bounded by `most`.
    by: HashMap<K, u64>,
}

/// Whose part is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// That of this holder.
    One,
    /// That of all together.
    All,
}

/// What somebody holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Hash + Eq> {
    of: Arc<Shares<K>>,
    holder: K,
    amount: u64,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// At most `most` for all together and `most_each` for each holder.
    pub(crate) fn new(most: u64, most_each: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each,
            held: Mutex::new(Held {
                all: 0,
                by: HashMap::new(),
            }),
        })
    }

    fn held(&self) -> MutexGuard<'_, Held<K>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn most_each(&self) -> u64 {
        self.most_each
    }

    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    pub(crate) fn take(self: &Arc<Self>, holder: K, amount: u64) -> Result<Share<K>, Full> {
        let mut share = Share {
            of: self.clone(),
            holder,
            amount: 0,
        };
        share.grow(amount).map(|()| share)
    }
}

impl<K: Hash + Eq + Clone> Share<K> {
    /// Takes more; when there is not enough, what is held stays as it is.
    pub(crate) fn grow(&mut self, more: u64) -> Result<(), Full> {
        let mut held = self.of.held();
        let mine = held.by.get(&self.holder).copied().unwrap_or(0);
        if mine.saturating_add(more) > self.of.most_each {
            return Err(Full::One);
        }
        if held.all.saturating_add(more) > self.of.most {
            return Err(Full::All);
        }
        if more > 0 {
            held.all += more;
            held.by.insert(self.holder.clone(), mine + more);
            self.amount += more;
        }
        Ok(())
    }
}

impl<K: Hash + Eq> Drop for Share<K> {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= self.amount;
        if let Some(mine) = held.by.get_mut(&self.holder) {
            *mine -= self.amount;
            if *mine == 0 {
                held.by.remove(&self.holder);
            }
        }
    }
}

/// The part of an address that one machine controls: a whole IPv4 address, or an IPv6 /64.
#[must_use]
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_all_and_what_is_dropped_comes_back() {
        let shares = Shares::new(10, 6);
        let mut anna = shares.take("anna", 4).unwrap();
        assert_eq!(shares.take("anna", 3).unwrap_err(), Full::One);
        anna.grow(2).unwrap();
        assert_eq!(anna.grow(1), Err(Full::One));
        let berta = shares.take("berta", 4).unwrap();
        assert_eq!(shares.take("clara", 1).unwrap_err(), Full::All);
        drop(anna);
        assert!(shares.take("clara", 6).is_ok());
        drop(berta);
        let held = shares.held();
        assert_eq!((held.all, held.by.len()), (0, 0));
    }

    #[test]
    fn a_network_of_version_six_is_one_source() {
        let source = |text: &str| source(text.parse().unwrap());
        assert_eq!(source("2001:db8:1:2:3:4:5:6"), source("2001:db8:1:2::9"));
        assert_ne!(source("2001:db8:1:2::"), source("2001:db8:1:3::"));
        assert_eq!(source("::ffff:10.0.0.1"), source("10.0.0.1"));
        assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    }
}
