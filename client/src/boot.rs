//! What the boot script said on the kernel command line: `foghorn.controller=`, `foghorn.token=`,
//! `foghorn.mac=`, `foghorn.disk=`.

/// Settings of one boot, each absent when not given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct BootSettings {
    pub(crate) controller: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) mac: Option<String>,
    pub(crate) disk: Option<String>,
}

impl BootSettings {
    /// Of this boot; empty when the kernel does not tell.
    pub(crate) fn of_this_boot() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }

    /// The last of several equal keys counts, as the kernel itself does it.
    fn parse(line: &str) -> Self {
        let mut found = Self::default();
        for word in line.split_whitespace() {
            let Some((key, value)) = word
                .strip_prefix("foghorn.")
                .and_then(|word| word.split_once('='))
            else {
                continue;
            };
            let value = Some(value.trim_matches('"').to_owned());
            match key {
                "controller" => found.controller = value,
                "token" => found.token = value,
                "mac" => found.mac = value,
                "disk" => found.disk = value,
                _ => tracing::warn!(key, "unknown setting on the kernel command line"),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_among_the_kernels_own() {
        let line = "BOOT_IMAGE=/vmlinuz quiet foghorn.controller=https://c:8443 foghorn.token=fhb1.a.b= foghorn.disk=serial:W4X foghorn.mac=aa:bb:cc:00:01:02\n";
        let found = BootSettings::parse(line);
        assert_eq!(found.controller.as_deref(), Some("https://c:8443"));
        assert_eq!(found.token.as_deref(), Some("fhb1.a.b="));
        assert_eq!(found.disk.as_deref(), Some("serial:W4X"));
        assert_eq!(found.mac.as_deref(), Some("aa:bb:cc:00:01:02"));
        assert_eq!(BootSettings::parse("quiet ro"), BootSettings::default());
    }
}
