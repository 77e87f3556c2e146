//! Why a server cannot be used, where trying again would not help.

use foghorn_reach::{Trouble, trouble};

/// `None` for what may pass, and for another authority, about which there is more to say.
pub(super) fn of(error: &ureq::Error) -> Option<Trouble> {
    let found = match error {
        ureq::Error::Io(error) => trouble(error),
        ureq::Error::Rustls(error) => trouble(error),
        ureq::Error::HostNotFound => Some(Trouble::UnknownName),
        _ => None,
    };
    found.filter(|trouble| *trouble != Trouble::OtherAuthority)
}
