//! The layout of keys in the store. Every key of Foghorn starts with [`ROOT`], but for those of the
//! audit log ([`super::audit`]).
//!
//! | key | value |
//! | --- | --- |
//! | `/foghorn/v1/obj/<class>/<id, ten digits>` | record of one object (`state/record.rs`) |
//! | `/foghorn/v1/uniq/<class>/<field>/<value>` | id of the object that owns the value |
//! | `/foghorn/v1/seq/<class>` | last id of the class that some controller may give out (`state::ids`) |
//! | `/foghorn/v1/new/<class>` | id of the last object made; for [`super::class::Class::ANNOUNCED`] only |
//! | `/foghorn/v1/new/<class>-<id>` | written by whoever begins to point at the object, and by whoever takes its turn ([`super::Draft::take_turn_of`]); gone with the object |
//! | `/foghorn/v1/new/name-<class>-<hash>` | written by whoever names an object of a class whose names no guard holds |
//! | `/foghorn/v1/setting/<name>` | settings ([`super::settings`]) |
//! | `/foghorn/v1/schedule/…`, `/wake/…` | see [`super::schedule`], [`super::wake`] |
//! | `/foghorn/v1/idem/<user, ten digits>/<hash of the key>` | a request with an idempotency key ([`super::keyed`]) |
//! | `/foghorn/v1/run/…`, `/content/…`, `/snapinfile/…` | see [`super::run`], [`super::content`], [`super::snapin_file`] |
//! | `/foghorn/v1/removal/…` | see [`super::removal`] |
//! | `/foghorn/v1/replica-job/…`, `/replica-limit/…` | see [`super::replica`] |
//! | `/foghorn/v1/multicast/…` | see [`super::multicast`] |
//! | `/foghorn/v1/token/…`, `/node/…` | see [`super::enrolment`] |
//! | `/foghorn/v1/join-many/…` | see [`super::join_token`] |
//! | `/foghorn/v1/device…`, `/target-tags/…`, `/ring-policy/…`, `/factory-token/…`, `/identity/…` | see [`super::machines`] |

/// Prefix of the state: what the watch cache holds.
pub const ROOT: &str = "/foghorn/v1/";
/// Prefix of everything that belongs to Foghorn, with the audit log and what only proves that the store
/// can be written to.
pub const ALL: &str = "/foghorn/";

/// What a key is about, as far as this module decides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place<'a> {
    Object {
        class: &'a str,
        id: u32,
    },
    Unique,
    Sequence {
        class: &'a str,
    },
    Announcement {
        class: &'a str,
    },
    Setting {
        name: &'a str,
    },
    /// The first word of a key that another module owns (`run`, `content`, …).
    Other(&'a str),
}

/// Key of one object. Ten digits keep the order of keys and of ids the same.
#[must_use]
pub fn object(class: &str, id: u32) -> String {
    format!("{ROOT}obj/{class}/{id:010}")
}

/// Guard key: exists while some object of the class has this value.
#[must_use]
pub fn unique(class: &str, field: &str, value: &str) -> String {
    format!("{ROOT}uniq/{class}/{field}/{value}")
}

#[must_use]
pub fn sequence(class: &str) -> String {
    format!("{ROOT}seq/{class}")
}

/// Written whenever an object of the class is made. Nobody has to compare it who makes one, so
/// makers don't conflict.
#[must_use]
pub fn announcement(class: &str) -> String {
    format!("{ROOT}new/{class}")
}

/// Written whenever something begins to point at the object.
#[must_use]
pub fn pointed_at(class: &str, id: u32) -> String {
    announcement(&turn_of(class, id))
}

/// The turn of one object.
pub(super) fn turn_of(class: &str, id: u32) -> String {
    format!("{class}-{id}")
}

#[must_use]
pub fn setting(name: &str) -> String {
    format!("{ROOT}setting/{name}")
}

/// Takes a key apart.
///
/// # Errors
/// When the key is not one of ours or its id is no number.
pub fn parse(key: &str) -> Result<Place<'_>, String> {
    let refuse = || format!("key {key:?} is not a Foghorn key");
    let rest = key.strip_prefix(ROOT).ok_or_else(refuse)?;
    let (kind, rest) = rest.split_once('/').ok_or_else(refuse)?;
    Ok(match kind {
        "obj" => {
            let (class, id) = rest.split_once('/').ok_or_else(refuse)?;
            Place::Object {
                class,
                id: id.parse().map_err(|_| refuse())?,
            }
        }
        "uniq" => Place::Unique,
        "seq" => Place::Sequence { class: rest },
        "new" => Place::Announcement { class: rest },
        "setting" => Place::Setting { name: rest },
        other => Place::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_apart_as_they_were_made() {
        assert_eq!(
            parse(&object("host", 7)),
            Ok(Place::Object {
                class: "host",
                id: 7
            })
        );
        assert_eq!(parse(&unique("host", "name", "A/B")), Ok(Place::Unique));
        assert_eq!(parse(&sequence("os")), Ok(Place::Sequence { class: "os" }));
        assert_eq!(
            parse(&announcement("task")),
            Ok(Place::Announcement { class: "task" })
        );
        assert_eq!(parse("/foghorn/v1/run/1"), Ok(Place::Other("run")));
        assert!(parse("/other/x").is_err() && parse("/foghorn/v1/obj/host/x").is_err());
    }

    #[test]
    fn keys_sort_as_ids_do() {
        assert!(object("host", 9) < object("host", 10));
    }
}
