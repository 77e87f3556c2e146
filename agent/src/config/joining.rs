//! How a node is let in that has no identity: by a join token, or by the token of its service account
//! in a Kubernetes cluster, which names neither the node nor the authority to trust.

use std::path::{Path, PathBuf};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
use foghorn_proto::http::{JoinToken, ParseTokenError, TokenText};
use foghorn_types::{NodeName, ParseNodeNameError};

use super::Config;
use crate::controller_url::ControllerUrl;

/// The authority of a controller, as somebody has told the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KnownAuthority {
    /// PEM; the first certificate in it counts.
    File(PathBuf),
    /// SHA-256 of the certificate as tokens spell it; the certificate comes from the controller.
    Fingerprint(String),
}

/// What lets a node in.
#[derive(Clone, Debug)]
pub enum Ticket {
    /// It belongs to one node, whose name the controller knows.
    One(TokenText),
    Many {
        token: TokenText,
        name: NodeName,
    },
    ServiceAccount {
        /// Read for every attempt: Kubernetes replaces what is in it.
        token_file: PathBuf,
        authority: KnownAuthority,
        name: NodeName,
    },
}

/// Where a node may come in, and with what.
#[derive(Clone, Debug)]
pub struct Offer {
    pub controller: ControllerUrl,
    pub ticket: Ticket,
}

impl Ticket {
    /// Whether it is still good for the same node, and the same key, when an answer was lost.
    #[must_use]
    pub const fn is_good_again(&self) -> bool {
        !matches!(self, Self::One(_))
    }
}

/// Why it is not clear how a node is to be let in.
#[derive(Debug, thiserror::Error)]
pub enum JoiningError {
    #[error("`{one}` and `{other}` are given: only one of them can be")]
    TwoTokens {
        one: &'static str,
        other: &'static str,
    },
    #[error("could not read {}, the file with the join token (`join_token_file`)", path.display())]
    ReadToken {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} (`join_token_file`) is empty: write the join token into it", path.display())]
    NoToken { path: PathBuf },
    #[error("{} (`join_token_file`) has no join token in it", path.display())]
    NotAToken {
        path: PathBuf,
        source: ParseTokenError,
    },
    #[error("`ca_file` and `ca_fingerprint` are given: only one of them can be")]
    TwoAuthorities,
    #[error(
        "`service_account_token_file` needs `ca_file` or `ca_fingerprint`, the certificate authority of the controller: this token does not say whom to trust"
    )]
    NoAuthority,
    #[error(
        "`ca_file` and `ca_fingerprint` are for `service_account_token_file`: a join token says itself whom to trust"
    )]
    NeedlessAuthority,
    #[error(
        "`name` is needed, because this machine is called {machine:?}, which cannot be the name of a storage node"
    )]
    NoName { machine: String },
}

impl Config {
    /// Whether the keys about it fit together, whatever this machine is called.
    ///
    /// # Errors
    /// See [`JoiningError`].
    pub(crate) fn check_joining(&self) -> Result<(), JoiningError> {
        let in_a_pod = self.service_account_token_file.is_some();
        let given = [
            ("join_token", self.join_token.is_some()),
            ("join_token_file", self.join_token_file.is_some()),
            ("service_account_token_file", in_a_pod),
        ];
        let given: Vec<&'static str> = given
            .into_iter()
            .filter_map(|(key, is_given)| is_given.then_some(key))
            .collect();
        match (&given[..], self.authority.is_some()) {
            (&[one, other, ..], _) => Err(JoiningError::TwoTokens { one, other }),
            (&[_], true) if !in_a_pod => Err(JoiningError::NeedlessAuthority),
            (&[_], false) if in_a_pod => Err(JoiningError::NoAuthority),
            _ => Ok(()),
        }
    }

    /// How this node may be let in, if somebody has said so. A join token in a file is read now, so
    /// that the next attempt has the one that is there by then.
    ///
    /// # Errors
    /// See [`JoiningError`].
    pub fn offer(&self) -> Result<Option<Offer>, JoiningError> {
        self.check_joining()?;
        let Some(ticket) = self.ticket()? else {
            return Ok(None);
        };
        let offer = |controller| Offer { controller, ticket };
        Ok(self.controller.clone().map(offer))
    }

    fn ticket(&self) -> Result<Option<Ticket>, JoiningError> {
        if let Some(file) = &self.service_account_token_file {
            return Ok(Some(Ticket::ServiceAccount {
                token_file: file.clone(),
                authority: self.authority.clone().ok_or(JoiningError::NoAuthority)?,
                name: self.own_name()?,
            }));
        }
        let token = match &self.join_token_file {
            Some(path) => Some(token_in(path)?),
            None => self.join_token.clone(),
        };
        Ok(match token {
            None => None,
            Some(JoinToken { token, is_for_many }) if is_for_many => Some(Ticket::Many {
                token,
                name: self.own_name()?,
            }),
            Some(JoinToken { token, .. }) => Some(Ticket::One(token)),
        })
    }

    fn own_name(&self) -> Result<NodeName, JoiningError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => name_of(&rustix::system::uname().nodename().to_string_lossy()),
        }
    }
}

/// The join token in this file.
///
/// # Errors
/// When there is none. What else is in the file is not shown.
pub(super) fn token_in(path: &Path) -> Result<JoinToken, JoiningError> {
    let path = path.to_owned();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(JoiningError::ReadToken { path, source }),
    };
    if text.trim().is_empty() {
        return Err(JoiningError::NoToken { path });
    }
    JoinToken::parse_typed(text.trim()).map_err(|source| JoiningError::NotAToken { path, source })
}

/// The name of the storage node on a machine.
fn name_of(machine: &str) -> Result<NodeName, JoiningError> {
    let name = NodeName::of_machine(machine);
    let is_one = |name: &NodeName| name.as_str().split('-').next() != Some("localhost");
    name.ok()
        .filter(is_one)
        .ok_or_else(|| JoiningError::NoName {
            machine: machine.to_owned(),
        })
}

/// The name of a node as somebody has written it, also that of a machine with its domain.
///
/// # Errors
/// When it is none.
pub(crate) fn node_name(text: &str) -> Result<NodeName, ParseNodeNameError> {
    NodeName::of_machine(text)
}

/// The SHA-256 of an authority, in the form of tokens or in that of `openssl x509 -fingerprint
/// -sha256`, as tokens spell it.
///
/// # Errors
/// When it is none.
pub(crate) fn fingerprint(text: &str) -> Result<String, String> {
    let plain: String = text.trim().chars().filter(|c| *c != ':').collect();
    let decoded = match plain.len() {
        64 => HEXLOWER_PERMISSIVE.decode(plain.as_bytes()),
        _ => BASE64URL_NOPAD.decode(plain.as_bytes()),
    };
    match decoded {
        Ok(bytes) if bytes.len() == 32 => Ok(BASE64URL_NOPAD.encode(&bytes)),
        _ => Err(format!(
            "{text:?} is not a SHA-256: expected 64 hexadecimal digits (colons allowed) or 43 characters of base64url"
        )),
    }
}

/// What one of the two keys says.
///
/// # Errors
/// When both are there.
pub(crate) fn known_authority(
    ca_file: Option<PathBuf>,
    ca_fingerprint: Option<String>,
) -> Result<Option<KnownAuthority>, JoiningError> {
    match (ca_file, ca_fingerprint) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(KnownAuthority::File(file))),
        (None, Some(text)) => Ok(Some(KnownAuthority::Fingerprint(text))),
        (Some(_), Some(_)) => Err(JoiningError::TwoAuthorities),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    fn offer(text: &str) -> Result<Option<Offer>, String> {
        let base = "state_dir = '/srv/foghorn'\ncontroller = 'https://fog.example'\n";
        let config = Config::from_toml(&format!("{base}{text}"));
        let config = config.map_err(|error| foghorn_types::chain(&error).to_string())?;
        config.offer().map_err(|error| error.to_string())
    }

    fn ticket(text: &str) -> Ticket {
        offer(text).unwrap().unwrap().ticket
    }

    #[test]
    fn a_token_says_whether_the_node_has_to_say_its_name() {
        assert!(offer("").unwrap().is_none());
        let one = ticket(&format!("join_token = 'fhj1.s.{AUTHORITY}'"));
        assert!(matches!(one, Ticket::One(_)) && !one.is_good_again());
        let many = format!("join_token = 'fhm1.s.{AUTHORITY}'\nname = 'Store-1.Example'");
        let Ticket::Many { name, .. } = ticket(&many) else {
            panic!("it is for many")
        };
        assert_eq!(name.as_str(), "store-1-example");
    }

    #[test]
    fn the_token_of_a_service_account_needs_an_authority() {
        let file = "service_account_token_file = '/t'\nname = 'a'\n";
        let Ticket::ServiceAccount { authority, .. } =
            ticket(&format!("{file}ca_file = '/ca.pem'"))
        else {
            panic!("it is of a service account")
        };
        assert_eq!(authority, KnownAuthority::File("/ca.pem".into()));
        let said = offer(file).unwrap_err();
        assert!(said.contains("`ca_fingerprint`"), "{said}");
        let both = format!("{file}ca_file = '/c'\nca_fingerprint = '{AUTHORITY}'");
        assert!(offer(&both).unwrap_err().contains("only one"));
        let token = format!("join_token = 'fhj1.s.{AUTHORITY}'\n");
        assert!(
            offer(&format!("{token}{file}"))
                .unwrap_err()
                .contains("only one")
        );
        let said = offer(&format!("{token}ca_file = '/c'")).unwrap_err();
        assert!(said.contains("says itself"), "{said}");
        assert!(
            offer("ca_fingerprint = 'short'")
                .unwrap_err()
                .contains("ca_fingerprint")
        );
        assert!(offer("name = 'a b'").unwrap_err().contains("name"));
    }

    #[test]
    fn a_token_in_a_file_is_the_one_that_is_there_when_it_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let text = format!(
            "state_dir = '/s'\ncontroller = 'https://fog.example'\njoin_token_file = {path:?}\nname = 'a'"
        );
        let config = Config::from_toml(&text).unwrap();
        let why = || {
            let error = config.offer().unwrap_err();
            assert!(config.check_files().is_err());
            let said = foghorn_types::chain(&error).to_string();
            assert!(said.contains(&*path.to_string_lossy()), "{said}");
            said
        };
        assert!(why().contains("could not read"));
        std::fs::write(&path, " \n").unwrap();
        assert!(why().contains("is empty"));
        std::fs::write(&path, "s3cret").unwrap();
        let said = why();
        assert!(
            said.contains("no join token") && !said.contains("s3cret"),
            "{said}"
        );

        std::fs::write(&path, format!("fhj1.first.{AUTHORITY}\n")).unwrap();
        config.check_files().unwrap();
        let Ticket::One(token) = config.offer().unwrap().unwrap().ticket else {
            panic!("it is for one")
        };
        assert_eq!(token.secret, "first");
        std::fs::write(&path, format!("fhm1.second.{AUTHORITY}")).unwrap();
        let Ticket::Many { token, name } = config.offer().unwrap().unwrap().ticket else {
            panic!("it is for many")
        };
        assert_eq!((token.secret.as_str(), name.as_str()), ("second", "a"));
    }

    #[test]
    fn only_one_kind_of_token_is_taken() {
        let token = format!("join_token = 'fhj1.s.{AUTHORITY}'\n");
        let (file, pod) = (
            "join_token_file = '/j'\n",
            "service_account_token_file = '/p'\n",
        );
        for (text, keys) in [
            (
                format!("{token}{file}"),
                ["`join_token` ", "`join_token_file`"],
            ),
            (
                format!("{file}{pod}"),
                ["`join_token_file` ", "`service_account_token_file`"],
            ),
        ] {
            let said = offer(&text).unwrap_err();
            assert!(
                keys.iter().all(|key| said.contains(key)) && said.contains("only one"),
                "{said}"
            );
        }
        let said = offer(&format!("{file}ca_file = '/c'")).unwrap_err();
        assert!(said.contains("says itself"), "{said}");
    }

    #[test]
    fn two_spellings_are_one_fingerprint() {
        let hex = "00ff".repeat(16);
        let pairs: Vec<&str> = hex
            .as_bytes()
            .chunks(2)
            .map(|pair| std::str::from_utf8(pair).unwrap())
            .collect();
        let text = fingerprint(&pairs.join(":").to_uppercase()).unwrap();
        assert_eq!(fingerprint(&hex).unwrap(), text);
        assert_eq!(fingerprint(&text).unwrap(), text);
        assert!(fingerprint(&hex[1..]).is_err() && fingerprint("").is_err());
    }

    #[test]
    fn a_machine_without_a_name_has_to_be_given_one() {
        assert_eq!(
            name_of("Store.example.org").unwrap().as_str(),
            "store-example-org"
        );
        for machine in [
            "localhost",
            "localhost.localdomain",
            "my_host",
            "",
            "(none)",
        ] {
            assert!(name_of(machine).is_err(), "{machine:?} was taken");
        }
    }
}
