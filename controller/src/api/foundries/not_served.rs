//! Routes of the dialect that this program does not have, and why.

use axum::http::Method;

/// Why a path that the dialect has is not served with this method; `None` where it has none either.
pub(super) fn why(method: &Method, path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["ota", "repo", ..] => Some(
            "TUF metadata is not served: a target is verified by the hash of its manifest, which GET …/targets/ shows",
        ),
        ["ota", "factories", _, "waves", ..] => {
            Some("waves are not served: give the tags of targets in steps")
        }
        ["ota", "factories", _, "teams", ..] => {
            Some("teams are not served: every user works in every factory, by role")
        }
        ["ota", "factories", _, "wireguard-ips", ..] => Some("VPN addresses are not served"),
        ["ota", "factories", _, "certs", ..] => {
            Some("certificates are not served here: the controller is the authority")
        }
        ["ota", "factories", _, "targets"] if *method == Method::POST || *method == Method::PUT => {
            Some("targets are not uploaded: capture an image, and its versions are targets")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_a_path_have_the_same_reason() {
        for path in [
            "/ota/repo/lab/api/v1/user_repo/root.json",
            "/ota/factories/lab/waves/w1/",
            "/ota/factories/lab/teams/",
            "/ota/factories/lab/wireguard-ips/",
            "/ota/factories/lab/certs/",
        ] {
            let why = |path: &str| super::why(&Method::GET, path);
            assert!(why(path).is_some(), "{path}");
            assert_eq!(why(path), why(path.trim_end_matches('/')), "{path}");
        }
        let targets = "/ota/factories/lab/targets/";
        assert!(why(&Method::PUT, targets).is_some());
        assert_eq!(why(&Method::GET, targets), None);
        assert_eq!(why(&Method::GET, "/ota/devices/"), None);
    }
}
