//! Times as this dialect writes them: each kind of object has a form of its own. Whole seconds, UTC.

use foghorn_types::Timestamp;

fn whole(at: Timestamp) -> String {
    at.to_fog().replacen(' ', "T", 1)
}

/// Of devices: `2021-11-11T14:17:50+00:00`.
pub(super) fn of_device(at: Timestamp) -> String {
    format!("{}+00:00", whole(at))
}

/// Of configurations: `2021-11-11T15:59:07`.
pub(super) fn of_config(at: Timestamp) -> String {
    whole(at)
}

/// Of targets and updates: `2021-07-28T20:40:39Z`.
pub(super) fn of_target(at: Timestamp) -> String {
    format!("{}Z", whole(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_form() {
        let at: Timestamp = "2021-11-11T14:17:50.7Z".parse().unwrap();
        assert_eq!(of_device(at), "2021-11-11T14:17:50+00:00");
        assert_eq!(of_config(at), "2021-11-11T14:17:50");
        assert_eq!(of_target(at), "2021-11-11T14:17:50Z");
    }
}
