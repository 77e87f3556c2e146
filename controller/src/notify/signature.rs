//! Signatures as Standard Webhooks have them: HMAC-SHA256 over id, time and body, so that a receiver
//! can tell that a message is ours, and that it is not an old one that somebody sends again.

use data_encoding::BASE64;
use foghorn_types::Timestamp;
use ring::hmac;

/// The headers of a message.
pub(super) fn headers(
    key: &[u8],
    id: &str,
    now: Timestamp,
    body: &str,
) -> Vec<(&'static str, String)> {
    let seconds = now.as_millis().div_euclid(1000);
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature(key, id, seconds, body)),
    ]
}

fn signature(key: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let signed = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64.encode(signed.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::notices::secrets::signing_key;

    /// The example in the specification of Standard Webhooks.
    #[test]
    fn a_known_message_has_its_known_signature() {
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let text = signature(
            &key,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(text, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_change_of_any_part_changes_the_signature() {
        let of = |key: &[u8], id: &str, seconds, body: &str| signature(key, id, seconds, body);
        let right = of(b"key", "id", 5, "{}");
        assert_ne!(right, of(b"kez", "id", 5, "{}"));
        assert_ne!(right, of(b"key", "ie", 5, "{}"));
        assert_ne!(right, of(b"key", "id", 6, "{}"));
        assert_ne!(right, of(b"key", "id", 5, "{ }"));
        let headers = headers(b"key", "id", Timestamp::from_millis(5999), "{}");
        assert_eq!(headers[2], ("webhook-signature", right));
    }
}
