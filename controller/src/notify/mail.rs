//! E-mail: the letter itself.

use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;

use super::{SendError, payload, smtp};
use crate::app::notices::view;
use crate::state::notify::{Mail, Message};

const LONGEST_SUBJECT: usize = 120;

pub(super) async fn send(
    mail: Mail,
    password: Option<String>,
    message: &Message,
    zone: &TimeZone,
) -> Result<(), SendError> {
    let letter = letter(&mail, message, zone)?;
    smtp::send(&mail, password, letter).await
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
    let line = super::one_line(&title, usize::MAX);
    if line.chars().count() <= LONGEST_SUBJECT {
        return format!("[Foghorn] {line}");
    }
    let start: String = line.chars().take(LONGEST_SUBJECT).collect();
    format!("[Foghorn] {start}…")
}

#[cfg(test)]
mod tests {
    use foghorn_types::{NoticeKind, Timestamp};

    use super::*;
    use crate::state::notify::{Event, Fate, Security};

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
