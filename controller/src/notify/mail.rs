//! E-mail, by SMTP.

use std::time::Duration;

use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};

use super::{SendError, payload};
use crate::app::notices::view;
use crate::state::notify::{Mail, Message, Security};

/// For each step of the conversation.
const STEP: Duration = Duration::from_secs(10);
/// For all of it: shorter than the claim of a message.
const WHOLE: Duration = Duration::from_secs(60);
const LONGEST_SUBJECT: usize = 120;

pub(super) async fn send(
    mail: Mail,
    password: Option<String>,
    message: &Message,
    zone: &TimeZone,
) -> Result<(), SendError> {
    let letter = letter(&mail, message, zone)?;
    let transport = transport(&mail, password)?;
    let work = tokio::task::spawn_blocking(move || transport.send(&letter));
    match tokio::time::timeout(WHOLE, work).await {
        Ok(Ok(Ok(_))) => Ok(()),
        Ok(Ok(Err(error))) => Err(SendError::Mail(foghorn_types::chain(&error).to_string())),
        Ok(Err(_)) => Err(SendError::Aborted),
        Err(_) => Err(SendError::Mail(
            "did not take the message in time".to_owned(),
        )),
    }
}

/// The same message id in every attempt: many programs show such a mail once.
fn letter(mail: &Mail, message: &Message, zone: &TimeZone) -> Result<lettre::Message, SendError> {
    let mailbox = |text: &str| {
        text.parse::<Mailbox>()
            .map_err(|_| SendError::MailAddress(text.to_owned()))
    };
    let from = mailbox(&mail.from)?;
    let id = format!("<{}@{}>", message.id, from.email.domain());
    let mut builder = lettre::Message::builder()
        .from(from)
        .subject(subject(message))
        .message_id(Some(id))
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    let mut text = payload::lines(message, zone);
    text += &format!("\n\n{}\n", payload::time(message.created, zone));
    builder
        .body(text)
        .map_err(|error| SendError::Mail(error.to_string()))
}

fn subject(message: &Message) -> String {
    let title = view::title(message);
    let line: String = title
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if line.chars().count() <= LONGEST_SUBJECT {
        return format!("[Foghorn] {line}");
    }
    let start: String = line.chars().take(LONGEST_SUBJECT).collect();
    format!("[Foghorn] {start}…")
}

fn transport(mail: &Mail, password: Option<String>) -> Result<SmtpTransport, SendError> {
    let tls = match mail.security {
        Security::Plain => Tls::None,
        Security::Starttls => Tls::Required(parameters(mail)?),
        Security::Tls => Tls::Wrapper(parameters(mail)?),
    };
    let mut builder = SmtpTransport::builder_dangerous(mail.server.clone())
        .port(mail.port)
        .tls(tls)
        .timeout(Some(STEP));
    if let (Some(user), Some(password)) = (&mail.user, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

fn parameters(mail: &Mail) -> Result<TlsParameters, SendError> {
    let mut builder = TlsParameters::builder(mail.server.clone());
    if let Some(pem) = &mail.ca_pem {
        let own = Certificate::from_pem(pem.as_bytes()).map_err(|_| SendError::Authority)?;
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(own);
    }
    builder
        .build_rustls()
        .map_err(|error| SendError::Mail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use foghorn_types::{NoticeKind, Timestamp};

    use super::*;
    use crate::state::notify::{Event, Fate};

    #[test]
    fn a_letter_has_one_line_of_subject_and_a_lasting_id() {
        let at = Timestamp::from_millis(1_796_000_000_000);
        let text = format!("Task 7 failed: ä\r\nBcc: x@y.z {}", "long ".repeat(60));
        let message = Message {
            target: 1,
            id: "id-1".to_owned(),
            created: at,
            events: vec![Event::new(NoticeKind::TaskFailed, at, text)],
            failed: 0,
            error: None,
            fate: Fate::Delivered { at },
            modified: 0,
        };
        let mail = Mail {
            to: vec!["anna@example.org".to_owned(), "ben@example.org".to_owned()],
            from: "foghorn@example.org".to_owned(),
            server: "localhost".to_owned(),
            port: 25,
            security: Security::Plain,
            user: None,
            password: None,
            ca_pem: None,
        };
        let letter = letter(&mail, &message, &TimeZone::UTC).unwrap();
        let text = String::from_utf8(letter.formatted()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("Message-ID: <id-1@example.org>"), "{head}");
        assert!(!head.contains("\r\nBcc"), "{head}");
        let receivers = letter.envelope().to();
        assert_eq!(receivers.len(), 2, "nobody else gets it");
    }
}
