//! Mails and chats, to real servers.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::smtp::{MailServer, Way};
use super::{ALL, deliveries, quick};
use crate::native::fleet::Fleet;

async fn told(fleet: &Fleet, body: Value) -> u64 {
    let made = fleet.good("POST", ALL, Some(body)).await;
    assert!(made.get("secret").is_none(), "{made}");
    let id = made["notification"]["id"].as_u64().unwrap();
    fleet.good("POST", &format!("{ALL}/{id}/test"), None).await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_by_every_way() {
    let fleet = Fleet::with(quick).await;
    for (way, word) in [
        (Way::Plain, "plain"),
        (Way::Starttls, "starttls"),
        (Way::Tls, "tls"),
    ] {
        let server = MailServer::start(way).await;
        let mut body = json!({"name": word, "by": "mail", "from": "foghorn@example.org",
            "to": ["anna@example.org", "ben@example.org"], "server": "localhost",
            "port": server.port, "security": word});
        if way != Way::Plain {
            body["ca_pem"] = json!(server.ca_pem);
            body["user"] = json!("foghorn");
            body["password"] = json!("s3cret");
        }
        let id = told(&fleet, body).await;
        let list = deliveries(&fleet, id, |list| {
            list[0]["state"] != "waiting" && list[0]["state"] != "sending"
        })
        .await;
        assert_eq!(list[0]["state"], "delivered", "{word}: {list:?}");
        let letter = server.letters(1).await.remove(0);
        assert_eq!(letter.to.len(), 2, "{letter:?}");
        assert!(letter.from.contains("foghorn@example.org"), "{letter:?}");
        assert_eq!(letter.by_tls, way != Way::Plain);
        let login = (way != Way::Plain).then(|| ("foghorn".to_owned(), "s3cret".to_owned()));
        assert_eq!(letter.login, login);
        let line = format!("Subject: [Foghorn] This is a test of {word}, sent by fog");
        assert!(letter.text.contains(&line), "{}", letter.text);
        let shown = fleet.good("GET", &format!("{ALL}/{id}"), None).await;
        assert_eq!(shown["mail"]["has_password"], json!(way != Way::Plain));
        assert!(!shown.to_string().contains("s3cret"));
    }
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_does_not_prove_who_it_is_gets_nothing() {
    let fleet = Fleet::with(quick).await;
    let server = MailServer::start(Way::Starttls).await;
    let body = json!({"name": "mail", "by": "mail", "from": "foghorn@example.org",
        "to": ["anna@example.org"], "server": "localhost", "port": server.port,
        "user": "foghorn", "password": "s3cret"});
    let id = told(&fleet, body).await;
    let list = deliveries(&fleet, id, |list| list[0]["state"] == "dead").await;
    let why = list[0]["error"].as_str().unwrap();
    assert!(
        why.contains("ertificate") && !why.contains("s3cret"),
        "{why}"
    );
    assert!(server.letters(0).await.is_empty());
    // A server without STARTTLS is not spoken to in plain.
    let plain = MailServer::start(Way::Plain).await;
    let port = json!({"port": plain.port});
    fleet
        .good("PATCH", &format!("{ALL}/{id}"), Some(port))
        .await;
    fleet.good("POST", &format!("{ALL}/{id}/test"), None).await;
    deliveries(&fleet, id, |list| {
        list.len() == 2 && list[0]["state"] == "dead"
    })
    .await;
    assert!(plain.letters(0).await.is_empty());
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_gets_its_own_json() {
    let fleet = Fleet::with(quick).await;
    let receiver = Receiver::http().await;
    let template = r#"{"blocks": [{"text": "*{kind}* {text}"}], "channel": "room"}"#;
    let body =
        json!({"name": "a \"room\"", "by": "chat", "url": receiver.url, "template": template});
    let id = told(&fleet, body).await;
    let taken = receiver.taken(1).await;
    assert_eq!(
        taken[0].json(),
        json!({"blocks": [{"text": "*test* This is a test of a \"room\", sent by fog"}],
            "channel": "room"})
    );
    assert!(!taken[0].headers.contains_key("webhook-signature"));
    deliveries(&fleet, id, |list| list[0]["state"] == "delivered").await;
    fleet.stop().await;
}
