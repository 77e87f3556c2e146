//! Which disk is meant. Pure: a rule and the disks that were seen go in, one disk or a refusal that
//! lists them comes out.
//!
//! Imaging the wrong disk destroys data, so nothing here guesses: no rule, no match and two matches
//! are all refusals.

use std::fmt;
use std::path::PathBuf;

use foghorn_types::{ByteCount, SectorSize};
pub use foghorn_types::{DiskRule, DiskRules, ParseDiskRuleError};

/// What a disk is made of, which decides whether a rule other than its path may pick it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskKind {
    /// A real drive.
    Drive,
    /// Loop, RAM, optical and stacked (device mapper, md) devices: only an explicit path picks
    /// them.
    Virtual,
    /// A regular file: only an explicit path picks it.
    File,
}

/// A disk as it was found, without having been opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenDisk {
    pub path: PathBuf,
    pub kind: DiskKind,
    pub size: ByteCount,
    /// `None` when the disk does not dictate one (a regular file).
    pub sector_size: Option<SectorSize>,
    pub model: Option<String>,
    pub serial: Option<String>,
    pub wwn: Option<String>,
}

impl SeenDisk {
    /// Which disk this is, for people: path, model and serial number.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = self.path.display().to_string();
        if let Some(model) = &self.model {
            name = format!("{name}, {model}");
        }
        if let Some(serial) = &self.serial {
            name = format!("{name}, serial {serial}");
        }
        name
    }
}

impl fmt::Display for SeenDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        write!(
            f,
            "{} ({}, {} bytes) model {} serial {} wwn {}",
            self.path.display(),
            self.size,
            self.size.bytes(),
            shown(&self.model),
            shown(&self.serial),
            shown(&self.wwn)
        )
    }
}

/// What to do about all of these.
const NAME_IT: &str = "name the disk by --disk or by the host's kernelDevice \
    (path:/dev/…, serial:…, wwn:…, size:>=N,<=N, only)";

/// Why no disk was chosen. Every message lists the disks that were seen, because whoever reads it
/// cannot see the machine.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChooseDiskError {
    #[error(
        "no disk rule is set for this host: {NAME_IT}; disks found: {}",
        list(seen)
    )]
    NoRule { seen: Vec<SeenDisk> },
    #[error("no disk matches {rule}: {NAME_IT}; disks found: {}", list(seen))]
    NoMatch { rule: DiskRule, seen: Vec<SeenDisk> },
    #[error(
        "{count} disks match {rule}, but exactly one must: {NAME_IT}; disks found: {}",
        list(seen)
    )]
    Ambiguous {
        rule: DiskRule,
        count: usize,
        seen: Vec<SeenDisk>,
    },
}

fn list(seen: &[SeenDisk]) -> String {
    if seen.is_empty() {
        return "no disk at all".to_owned();
    }
    seen.iter()
        .map(SeenDisk::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The one disk that fits the rule.
///
/// # Errors
/// When there is no rule, or not exactly one disk fits.
pub fn choose<'a>(
    rule: Option<&DiskRule>,
    seen: &'a [SeenDisk],
) -> Result<&'a SeenDisk, ChooseDiskError> {
    let Some(rule) = rule else {
        return Err(ChooseDiskError::NoRule {
            seen: seen.to_vec(),
        });
    };
    let fitting: Vec<&SeenDisk> = seen.iter().filter(|disk| fits(rule, disk)).collect();
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => Err(ChooseDiskError::NoMatch {
            rule: rule.clone(),
            seen: seen.to_vec(),
        }),
        more => Err(ChooseDiskError::Ambiguous {
            rule: rule.clone(),
            count: more.len(),
            seen: seen.to_vec(),
        }),
    }
}

fn fits(rule: &DiskRule, disk: &SeenDisk) -> bool {
    let drive = disk.kind == DiskKind::Drive;
    match rule {
        DiskRule::Path(path) => disk.path == *path,
        DiskRule::Serial(serial) => disk
            .serial
            .as_deref()
            .is_some_and(|found| found.trim().eq_ignore_ascii_case(serial)),
        DiskRule::Wwn(wwn) => disk
            .wwn
            .as_deref()
            .is_some_and(|found| bare_wwn(found).eq_ignore_ascii_case(bare_wwn(wwn))),
        DiskRule::Size { at_least, at_most } => {
            drive && (*at_least..=*at_most).contains(&disk.size)
        }
        DiskRule::Only => drive,
    }
}

fn bare_wwn(text: &str) -> &str {
    let text = text.trim();
    ["0x", "0X", "naa.", "eui.", "nvme."]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn disk(path: &str, kind: DiskKind, gib: u64, serial: &str, wwn: &str) -> SeenDisk {
        SeenDisk {
            path: path.into(),
            kind,
            size: ByteCount::from_bytes(gib << 30),
            sector_size: Some(SectorSize::B512),
            model: Some("Model X".into()),
            serial: Some(serial.into()),
            wwn: Some(wwn.into()),
        }
    }

    fn machine() -> Vec<SeenDisk> {
        vec![
            disk("/dev/nvme0n1", DiskKind::Drive, 256, "S1", "eui.0025"),
            disk("/dev/sda", DiskKind::Drive, 1024, "W4X", "0x5000c500"),
            disk("/dev/loop0", DiskKind::Virtual, 1, "", ""),
        ]
    }

    fn chosen(rule: &str) -> Result<String, ChooseDiskError> {
        let rule: DiskRule = rule.parse().unwrap();
        choose(Some(&rule), &machine()).map(|disk| disk.path.display().to_string())
    }

    #[test]
    fn each_kind_of_rule_finds_its_disk() {
        for (rule, path) in [
            ("/dev/sda", "/dev/sda"),
            ("path:/dev/loop0", "/dev/loop0"),
            ("serial:w4x", "/dev/sda"),
            ("wwn:naa.5000C500", "/dev/sda"),
            ("size:>=200G,<=300G", "/dev/nvme0n1"),
            ("size:>=1T", "/dev/sda"),
        ] {
            assert_eq!(chosen(rule).unwrap(), path, "{rule}");
        }
    }

    #[test]
    fn none_two_or_no_rule_are_refused_with_the_list() {
        assert!(matches!(
            chosen("only"),
            Err(ChooseDiskError::Ambiguous { count: 2, .. })
        ));
        assert!(
            matches!(chosen("size:<=2G"), Err(ChooseDiskError::NoMatch { .. })),
            "a loop device is not a drive"
        );
        let message = chosen("serial:nope").unwrap_err().to_string();
        for part in [
            "/dev/nvme0n1",
            "/dev/sda",
            "Model X",
            "W4X",
            "0x5000c500",
            "256 GiB",
        ] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
        assert!(matches!(
            choose(None, &machine()),
            Err(ChooseDiskError::NoRule { .. })
        ));
        assert!(choose(Some(&DiskRule::Only), &machine()[..1]).is_ok());
    }

    #[test]
    fn nonsense_is_no_rule() {
        for text in [
            "",
            "sda",
            "disk:1",
            "path:sda",
            "serial:",
            "size:5G",
            "size:>=2G,<=1G",
            "size:>=1,>=2",
            "size:>=99999999999T",
            "Only",
        ] {
            assert!(text.parse::<DiskRule>().is_err(), "{text:?} was taken");
        }
    }

    proptest! {
        #[test]
        fn shown_rules_read_back(low in 0..u64::MAX / 2, extra in 0..u64::MAX / 2) {
            let rule = DiskRule::Size { at_least: ByteCount::from_bytes(low),
                at_most: ByteCount::from_bytes(low + extra) };
            prop_assert_eq!(rule.to_string().parse::<DiskRule>().unwrap(), rule);
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<DiskRule>();
        }
    }
}
