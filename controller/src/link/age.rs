//! How old a certificate is, measured by the enrolment of its storage node.

use foghorn_types::Timestamp;

use crate::state::enrolment::{EnrolledNode, Standing};
use crate::trust::{CLOCK_TOLERANCE, key_of_certificate};

/// How much later than the certificate its enrolment may be stored: changes wait for their turn.
const STORED_WITHIN: i64 = 60;
/// The same where an earlier version has stored it, without the key. A certificate of before the
/// enrolment is taken for so long, too.
const STORED_SOON: i64 = 2;

/// A node that was revoked, or whose agent has lost its key, and has joined again has a new
/// certificate; the old one stays invalid.
pub(super) fn is_older_than_enrolment(leaf: &[u8], node: &EnrolledNode) -> bool {
    let Standing::Enrolled { at } = node.standing else {
        return true;
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else {
        return true;
    };
    // Certificates start some minutes early because clocks can be slow, and X.509 has a resolution
    // of seconds.
    let issued =
        certificate.validity().not_before.timestamp() + CLOCK_TOLERANCE.as_secs().cast_signed();
    let earlier = match &node.key {
        Some(key) if *key == key_of_certificate(&certificate) => STORED_WITHIN,
        // Of before, or of a renewal, which comes much later.
        Some(_) => 0,
        None => STORED_SOON,
    };
    issued + earlier < at.as_millis() / 1000
}

/// When a certificate ends.
pub(super) fn ends(leaf: &[u8]) -> Option<Timestamp> {
    let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foghorn_types::StorageNodeId;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::trust::{Trust, key_of_request};

    /// The certificate of a new key, and what the store would have of that key.
    fn certificate(trust: &Trust) -> (Vec<u8>, String) {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key);
        let csr_pem = request.unwrap().pem().unwrap();
        let issued = trust.issue_node(&"north".parse().unwrap(), &csr_pem);
        let der = issued.unwrap().der.to_vec();
        (der, key_of_request(&csr_pem).unwrap())
    }

    #[test]
    fn what_is_older_than_an_enrolment_with_another_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::load_or_create(folder.path()).unwrap();
        let ((own, key), (other, _)) = (certificate(&trust), certificate(&trust));
        let now = Timestamp::now();
        let enrolled = |key: Option<&String>, at| EnrolledNode {
            node: StorageNodeId::new(1).unwrap(),
            name: "north".parse().unwrap(),
            standing: Standing::Enrolled { at },
            key: key.cloned(),
            vouched: false,
            named_after: None,
            modified: 1,
        };
        let (soon, late) = (now + Duration::from_secs(2), now + Duration::from_secs(90));
        assert!(!is_older_than_enrolment(&own, &enrolled(Some(&key), soon)));
        assert!(is_older_than_enrolment(&own, &enrolled(Some(&key), late)));
        let before = now - Duration::from_secs(2);
        assert!(!is_older_than_enrolment(
            &other,
            &enrolled(Some(&key), before)
        ));
        assert!(
            is_older_than_enrolment(&other, &enrolled(Some(&key), soon)),
            "it belongs to an agent of before"
        );
        assert!(!is_older_than_enrolment(&other, &enrolled(None, now)));
        assert!(is_older_than_enrolment(&other, &enrolled(None, late)));
        let revoked = EnrolledNode {
            standing: Standing::Revoked { at: before },
            ..enrolled(Some(&key), now)
        };
        assert!(is_older_than_enrolment(&own, &revoked));
    }
}
