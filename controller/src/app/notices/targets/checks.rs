//! How somebody is told: what callers say of it, checked, with its secrets encrypted.

use std::net::IpAddr;

use axum::http::Uri;
use lettre::Address as MailAddress;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{By, TargetError, Terms};
use crate::app::notices::secrets::{self, What};
use crate::app::notices::template::{self, Template};
use crate::state::Refusal;
use crate::state::notify::{Address, Mail, Sealed, Security, Web};
use crate::trust::Trust;

const LONGEST_NAME: usize = 60;
const LONGEST_TEMPLATE: usize = 16 * 1024;
const MOST_RECEIVERS: usize = 20;

pub(super) fn invalid(field: &'static str, why: &str) -> Refusal {
    Refusal::Invalid {
        field,
        why: why.to_owned(),
    }
}

pub(super) fn check_name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    let fits = (1..=LONGEST_NAME).contains(&name.chars().count());
    if !fits || name.chars().any(char::is_control) {
        return Err(invalid(
            "name",
            "must have 1 to 60 characters and no control characters",
        ));
    }
    Ok(name.to_owned())
}

/// What a caller said of how it is told.
pub(super) struct Said<'t> {
    terms: &'t Terms,
    url: Option<(Sealed, Uri)>,
    signing: Option<Sealed>,
    password: Option<Sealed>,
}

impl<'t> Said<'t> {
    pub(super) fn seal(trust: &Trust, terms: &'t Terms) -> Result<Self, TargetError> {
        let url = match &terms.url {
            Some(text) => Some((secrets::seal(trust, What::Url, text)?, check_url(text)?)),
            None => None,
        };
        let signing = match &terms.secret {
            Some(secret) if secrets::signing_key(secret).is_some() => {
                Some(secrets::seal(trust, What::Signing, secret)?)
            }
            Some(_) => {
                let why = "must be whsec_ and 24 to 64 bytes in base64; leave it out for a new one";
                return Err(invalid("secret", why).into());
            }
            None => None,
        };
        let password = match &terms.password {
            Some(password) => Some(secrets::seal(trust, What::Password, password)?),
            None => None,
        };
        if let Some(pem) = &terms.ca_pem {
            check_authorities(pem)?;
        }
        Ok(Self {
            terms,
            url,
            signing,
            password,
        })
    }

    /// Of a new target.
    pub(super) fn address(&self, by: By) -> Result<Address, TargetError> {
        let missing = |field| Refusal::Missing { field };
        if by == By::Mail {
            let blank = Mail {
                to: Vec::new(),
                from: String::new(),
                server: String::new(),
                port: 0,
                security: Security::Starttls,
                user: None,
                password: None,
                ca_pem: None,
            };
            for (is_missing, field) in [
                (self.terms.to.is_none(), "to"),
                (self.terms.from.is_none(), "from"),
                (self.terms.server.is_none(), "server"),
            ] {
                if is_missing {
                    return Err(missing(field).into());
                }
            }
            return self.changed(&Address::Mail(blank));
        }
        let (url, _) = self.url.clone().ok_or(missing("url"))?;
        let web = Web {
            shown: String::new(),
            url,
            ca_pem: None,
        };
        let blank = if by == By::Webhook {
            Address::Webhook {
                web,
                secret: self.signing.clone().ok_or(missing("secret"))?,
            }
        } else {
            Address::Chat {
                web,
                template: template::USUAL.to_owned(),
            }
        };
        self.changed(&blank)
    }

    /// What was, with what is said. What does not belong to it is refused.
    pub(super) fn changed(&self, before: &Address) -> Result<Address, TargetError> {
        let terms = self.terms;
        let of_mail = [
            (terms.to.is_some(), "to"),
            (terms.from.is_some(), "from"),
            (terms.server.is_some(), "server"),
            (terms.port.is_some(), "port"),
            (terms.security.is_some(), "security"),
            (terms.user.is_some(), "user"),
            (terms.password.is_some(), "password"),
        ];
        let (url, secret, template) = (
            [(terms.url.is_some(), "url")],
            [(terms.secret.is_some(), "secret")],
            [(terms.template.is_some(), "template")],
        );
        match before {
            Address::Webhook { web, secret } => {
                refuse(&[&of_mail[..], &template[..]], "a webhook")?;
                Ok(Address::Webhook {
                    web: self.web(web, true),
                    secret: self.signing.clone().unwrap_or_else(|| secret.clone()),
                })
            }
            Address::Chat { web, template } => {
                refuse(&[&of_mail[..], &secret[..]], "a chat")?;
                Ok(Address::Chat {
                    web: self.web(web, false),
                    template: match &terms.template {
                        Some(text) => check_template(text)?,
                        None => template.clone(),
                    },
                })
            }
            Address::Mail(mail) => {
                refuse(&[&url[..], &secret[..], &template[..]], "a mail")?;
                Ok(Address::Mail(self.mail(mail)?))
            }
        }
    }

    fn web(&self, before: &Web, with_path: bool) -> Web {
        let (url, shown) = match &self.url {
            Some((url, parsed)) => (url.clone(), without_secrets(parsed, with_path)),
            None => (before.url.clone(), before.shown.clone()),
        };
        Web {
            shown,
            url,
            ca_pem: self.authorities(&before.ca_pem),
        }
    }

    fn authorities(&self, before: &Option<String>) -> Option<String> {
        match &self.terms.ca_pem {
            Some(pem) if pem.trim().is_empty() => None,
            Some(pem) => Some(pem.clone()),
            None => before.clone(),
        }
    }

    fn mail(&self, before: &Mail) -> Result<Mail, Refusal> {
        let terms = self.terms;
        let to = match &terms.to {
            Some(to) => check_receivers(to)?,
            None => before.to.clone(),
        };
        let from = match &terms.from {
            Some(from) => check_mail_address("from", from)?,
            None => before.from.clone(),
        };
        let security = terms.security.unwrap_or(before.security);
        let usual = match security {
            Security::Starttls => 587,
            Security::Tls => 465,
            Security::Plain => 25,
        };
        let keeps_port = terms.security.is_none() && before.port != 0;
        let port = terms
            .port
            .unwrap_or(if keeps_port { before.port } else { usual });
        if port == 0 {
            return Err(invalid("port", "must be between 1 and 65535"));
        }
        let server = match &terms.server {
            Some(server) => check_server(server)?,
            None => before.server.clone(),
        };
        if security == Security::Plain && !is_loopback(&server) {
            let why = "plain is for a server on the controller's own machine (localhost, 127.0.0.1, ::1): use starttls or tls";
            return Err(invalid("security", why));
        }
        let (user, password) = self.login(before)?;
        Ok(Mail {
            to,
            from,
            server,
            port,
            security,
            user,
            password,
            ca_pem: self.authorities(&before.ca_pem),
        })
    }

    fn login(&self, before: &Mail) -> Result<(Option<String>, Option<Sealed>), Refusal> {
        let user = match &self.terms.user {
            Some(user) if user.is_empty() => return Ok((None, None)),
            Some(user) => Some(user.clone()),
            None => before.user.clone(),
        };
        let password = self.password.clone().or_else(|| before.password.clone());
        match (&user, &password) {
            (Some(_), None) => Err(Refusal::Missing { field: "password" }),
            (None, Some(_)) => Err(Refusal::Missing { field: "user" }),
            _ => Ok((user, password)),
        }
    }
}

fn refuse(given: &[&[(bool, &'static str)]], of: &str) -> Result<(), Refusal> {
    let mut all = given.iter().copied().flatten().copied();
    match all.find(|(given, _)| *given) {
        Some((_, field)) => Err(invalid(field, &format!("{of} has none"))),
        None => Ok(()),
    }
}

pub(in crate::app) fn check_url(text: &str) -> Result<Uri, Refusal> {
    let bad = |why: &str| invalid("url", why);
    let uri: Uri = text
        .parse()
        .map_err(|_| bad("is not a URL: write it as https://HOST/PATH"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(bad("must begin with https:// or http://"));
    }
    let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
    if authority.host().is_empty() {
        return Err(bad("names no host"));
    }
    if authority.as_str().contains('@') {
        return Err(bad(
            "must not contain a user or password: they would not be sent",
        ));
    }
    Ok(uri)
}

/// What people may see: query strings hold tokens, and so do the paths of chat services.
pub(in crate::app) fn without_secrets(uri: &Uri, with_path: bool) -> String {
    let scheme = uri.scheme_str().unwrap_or("https");
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let path = match (uri.path(), with_path) {
        ("" | "/", _) => "/",
        (path, true) => path,
        (_, false) => "/…",
    };
    let query = if uri.query().is_some() && with_path {
        "?…"
    } else {
        ""
    };
    format!("{scheme}://{host}{path}{query}")
}

pub(in crate::app) fn check_authorities(pem: &str) -> Result<(), Refusal> {
    if pem.trim().is_empty() {
        return Ok(());
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        _ => Err(invalid("ca_pem", "contains no certificate in PEM form")),
    }
}

fn check_template(text: &str) -> Result<String, Refusal> {
    if text.len() > LONGEST_TEMPLATE {
        return Err(invalid("template", "is longer than 16 KiB"));
    }
    Template::parse(text).map_err(|error| invalid("template", &error.to_string()))?;
    Ok(text.to_owned())
}

fn check_mail_address(field: &'static str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    let address: Result<MailAddress, _> = text.parse();
    address.map_err(|_| invalid(field, &format!("{text:?} is not a mail address")))?;
    Ok(text.to_owned())
}

fn check_receivers(to: &[String]) -> Result<Vec<String>, Refusal> {
    if !(1..=MOST_RECEIVERS).contains(&to.len()) {
        return Err(invalid("to", "must be 1 to 20 addresses"));
    }
    to.iter()
        .map(|address| check_mail_address("to", address))
        .collect()
}

fn check_server(server: &str) -> Result<String, Refusal> {
    let server = server.trim();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
    if server.is_empty() || server.len() > 253 || !server.chars().all(fits) {
        return Err(invalid("server", "must be the name or address of a server"));
    }
    let is_address = server.parse::<IpAddr>().is_ok();
    if server.contains(':') && !is_address {
        return Err(invalid("server", "must have no port: give that as port"));
    }
    Ok(server.to_owned())
}

fn is_loopback(server: &str) -> bool {
    server.eq_ignore_ascii_case("localhost")
        || server
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_their_secrets() {
        let shown =
            |text: &str, with_path| without_secrets(&check_url(text).expect("a URL"), with_path);
        let hook = "https://10.0.0.5:8443/hook?token=s3cret";
        assert_eq!(shown(hook, true), "https://10.0.0.5:8443/hook?…");
        let slack = "https://hooks.slack.com/services/T0/B0/s3cret";
        assert_eq!(shown(slack, false), "https://hooks.slack.com/…");
        assert_eq!(shown("http://lab", true), "http://lab/");
        for bad in ["", "lab", "ftp://lab/x", "https://", "https://a:b@lab/"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_loopback_may_be_plain() {
        assert!(is_loopback("localhost") && is_loopback("127.1.2.3") && is_loopback("::1"));
        assert!(!is_loopback("mail.example.org") && !is_loopback("10.0.0.1"));
        assert!(check_server("mail.example.org:25").is_err() && check_server("::1").is_ok());
    }
}
