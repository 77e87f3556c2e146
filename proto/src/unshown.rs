//! What `Debug` shows of bodies with tokens: that there is one, never the token. A body that is logged
//! lets nobody in.

use std::fmt;

use crate::http::{CheckInRequest, CheckInResponse, EnrolRequest, LookRequest, Order, TokenText};

/// A secret, of which only this is told.
struct Secret {
    is_given: bool,
}

impl Secret {
    const fn of(text: &str) -> Self {
        Self {
            is_given: !text.is_empty(),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_given { "(given)" } else { "(none)" })
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenText")
            .field("secret", &Secret::of(&self.secret))
            .field("ca_fingerprint", &self.ca_fingerprint)
            .finish()
    }
}

impl fmt::Debug for EnrolRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let account = self.service_account_token.as_deref().unwrap_or_default();
        f.debug_struct("EnrolRequest")
            .field("join_token", &Secret::of(&self.join_token))
            .field("csr_pem", &self.csr_pem)
            .field("name", &self.name)
            .field("service_account_token", &Secret::of(account))
            .finish()
    }
}

impl fmt::Debug for LookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LookRequest")
            .field("mac", &self.mac)
            .field("boot_token", &Secret::of(&self.boot_token))
            .field("options_for", &self.options_for)
            .finish()
    }
}

impl fmt::Debug for CheckInRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckInRequest")
            .field("mac", &self.mac)
            .field("boot_token", &Secret::of(&self.boot_token))
            .field("csr_pem", &self.csr_pem)
            .field("software", &self.software)
            .field("options_for", &self.options_for)
            .field("hardware", &self.hardware)
            .finish()
    }
}

impl fmt::Debug for CheckInResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckInResponse")
            .field("host", &self.host)
            .field("host_name", &self.host_name)
            .field("task", &self.task)
            .field("chain_pem", &self.chain_pem)
            .field("session", &Secret::of(&self.session))
            .field("order", &self.order)
            .finish()
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.machine_token.as_deref().unwrap_or_default();
        f.debug_struct("Order")
            .field("task", &self.task)
            .field("kind", &self.kind)
            .field("image", &self.image)
            .field("image_name", &self.image_name)
            .field("sources", &self.sources)
            .field("disk_rule", &self.disk_rule)
            .field("traceparent", &self.traceparent)
            .field("machine_token", &Secret::of(token))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::{HostId, ImageId, MacAddress, TaskId};

    use super::*;
    use crate::http::{JoinToken, OrderKind};

    #[test]
    fn what_is_shown_of_a_body_says_that_there_is_a_token_and_not_which() {
        let mac: MacAddress = "00:16:3e:00:00:01".parse().unwrap();
        let secret = || "s3cret".to_owned();
        let enrol = EnrolRequest {
            join_token: secret(),
            service_account_token: Some(secret()),
            ..EnrolRequest::default()
        };
        let look = LookRequest {
            mac,
            boot_token: secret(),
            options_for: None,
        };
        let check_in = CheckInRequest {
            mac,
            boot_token: secret(),
            csr_pem: String::new(),
            software: String::new(),
            options_for: None,
            hardware: None,
        };
        let answer = CheckInResponse {
            host: HostId::new(1).unwrap(),
            host_name: "pc1".to_owned(),
            task: TaskId::new(2).unwrap(),
            chain_pem: String::new(),
            session: secret(),
            order: None,
        };
        let order = Order {
            task: TaskId::new(2).unwrap(),
            kind: OrderKind::Capture,
            image: ImageId::new(3).unwrap(),
            image_name: "win11".to_owned(),
            sources: Vec::new(),
            disk_rule: None,
            traceparent: None,
            machine_token: Some(secret()),
        };
        let token = JoinToken::parse("fhj1.s3cret.abc").unwrap();
        for shown in [
            format!("{enrol:?}"),
            format!("{look:?}"),
            format!("{check_in:#?}"),
            format!("{answer:?}"),
            format!("{order:?}"),
            format!("{token:?}"),
        ] {
            assert!(shown.contains("(given)"), "{shown}");
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let none = format!("{:?}", EnrolRequest::default());
        assert!(none.contains("join_token: (none)"), "{none}");
    }
}
