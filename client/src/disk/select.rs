//! From rules to open disks.

use std::path::PathBuf;

use foghorn_types::{DiskRule, DiskRules};

use super::target::{ChooseDiskError, SeenDisk, choose};
use super::{Access, Disk, DiskSet, FileSectors, OpenDiskError, linux, users};

#[derive(Debug, thiserror::Error)]
pub enum SelectDisksError {
    #[error("could not look for disks")]
    Scan(#[from] linux::ScanDisksError),
    #[error("the disk was refused")]
    Choose(#[from] ChooseDiskError),
    #[error("the disk was refused")]
    Open(#[from] OpenDiskError),
    #[error(
        "{rules} selects {several}, but the image is of one disk: give one rule (--disk, or that of the host), or make the image one of all disks (foghorn image edit --all-disks true)",
        several = match rules.count() { Some(count) => format!("{count} disks"), None => "all disks".to_owned() }
    )]
    OneIsWanted { rules: DiskRules },
    #[error("{first} and {second} are the same disk, which has been selected twice", first = first.display(), second = second.display())]
    Same { first: PathBuf, second: PathBuf },
    #[error("could not find out what {path} is", path = path.display())]
    Identify {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("no drive of this machine is built in and free{}", why(.left_out))]
    NoneFree { left_out: Vec<LeftOut> },
    #[error("all stands for {count} drives of this machine, more than an image can have")]
    TooMany { count: usize },
}

fn why(left_out: &[LeftOut]) -> String {
    let list: Vec<String> = left_out.iter().map(LeftOut::to_string).collect();
    if list.is_empty() {
        String::new()
    } else {
        format!(" ({})", list.join("; "))
    }
}

/// A drive that `all` does not stand for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    pub disk: SeenDisk,
    pub why: String,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}", self.disk.path.display(), self.why)
    }
}

/// The disks of a task.
#[derive(Debug)]
pub struct Selected {
    pub disks: DiskSet,
    /// Drives that `all` does not stand for.
    pub left_out: Vec<LeftOut>,
}

/// How disks are opened.
#[derive(Clone, Copy, Debug)]
pub struct HowToOpen {
    pub access: Access,
    pub file_sectors: FileSectors,
    /// Whether the task may be about several disks.
    pub several: bool,
}

/// Finds the disks and opens all of them. Each rule finds exactly one disk, and no disk is there
/// twice.
///
/// # Errors
/// [`SelectDisksError`]; nothing was written.
pub fn select(rules: Option<&DiskRules>, how: HowToOpen) -> Result<Selected, SelectDisksError> {
    if let Some(rules) = rules
        && !how.several
        && rules.count() != Some(1)
    {
        return Err(SelectDisksError::OneIsWanted {
            rules: rules.clone(),
        });
    }
    let (seen, left_out) = match rules {
        None => (vec![find(None)?], Vec::new()),
        Some(DiskRules::Each(rules)) => {
            let found = rules.iter().map(|rule| find(Some(rule)));
            (found.collect::<Result<_, _>>()?, Vec::new())
        }
        Some(DiskRules::All) => all(how.access)?,
    };
    let mut disks: Vec<Disk> = Vec::with_capacity(seen.len());
    for disk in &seen {
        check_new(disk, &disks)?;
        disks.push(Disk::open(disk, how.access, how.file_sectors)?);
    }
    let Some(set) = DiskSet::new(disks) else {
        return Err(SelectDisksError::NoneFree { left_out });
    };
    let unordered = rules == Some(&DiskRules::All);
    Ok(Selected {
        disks: if unordered { set.without_order() } else { set },
        left_out,
    })
}

fn find(rule: Option<&DiskRule>) -> Result<SeenDisk, SelectDisksError> {
    let seen = linux::scan(rule)?;
    Ok(choose(rule, &seen)?.clone())
}

/// Two paths may lead to the same bytes: by links, or through a loop device.
fn check_new(disk: &SeenDisk, open: &[Disk]) -> Result<(), SelectDisksError> {
    if open.is_empty() {
        return Ok(());
    }
    let bytes_of = |path: &std::path::Path| {
        users::bytes_of(path).map_err(|source| SelectDisksError::Identify {
            path: path.to_owned(),
            source,
        })
    };
    let bytes = bytes_of(&disk.path)?;
    for other in open {
        if bytes_of(other.path())? == bytes {
            return Err(SelectDisksError::Same {
                first: other.path().to_owned(),
                second: disk.path.clone(),
            });
        }
    }
    Ok(())
}

/// What `all` stands for: every drive that is built in and free.
fn all(access: Access) -> Result<(Vec<SeenDisk>, Vec<LeftOut>), SelectDisksError> {
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for (disk, why) in linux::built_in()? {
        let why = match why {
            Some(why) => Some(why.to_owned()),
            None if access == Access::ReadInUse => None,
            None => in_use(&disk)?,
        };
        match why {
            Some(why) => left_out.push(LeftOut { disk, why }),
            None => found.push(disk),
        }
    }
    if found.len() > foghorn_image::MAX_DISKS {
        return Err(SelectDisksError::TooMany { count: found.len() });
    }
    Ok((found, left_out))
}

fn in_use(disk: &SeenDisk) -> Result<Option<String>, SelectDisksError> {
    let users = users::users_of(&disk.path).map_err(|source| OpenDiskError::Users {
        path: disk.path.clone(),
        source,
    })?;
    Ok((!users.is_empty()).then(|| format!("in use: {}", users.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(files: &[&tempfile::NamedTempFile]) -> DiskRules {
        let rule = |file: &&tempfile::NamedTempFile| DiskRule::Path(file.path().to_owned());
        DiskRules::Each(files.iter().map(rule).collect())
    }

    fn disk_file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 20).unwrap();
        file
    }

    const SEVERAL: HowToOpen = HowToOpen {
        access: Access::Read,
        file_sectors: FileSectors::Unknown,
        several: true,
    };

    #[test]
    fn disks_are_opened_in_the_order_of_their_rules() {
        let (a, b) = (disk_file(), disk_file());
        let found = select(Some(&rules(&[&b, &a])), SEVERAL).unwrap();
        let paths: Vec<_> = found.disks.iter().map(|(_, disk)| disk.path()).collect();
        assert_eq!(paths, [b.path(), a.path()]);
        assert!(found.disks.is_in_order());
    }

    #[test]
    fn several_disks_for_an_image_of_one_are_refused() {
        let (a, b) = (disk_file(), disk_file());
        let one = HowToOpen {
            several: false,
            ..SEVERAL
        };
        assert!(select(Some(&rules(&[&a])), one).is_ok());
        for (rules, count) in [(rules(&[&a, &b]), "2 disks"), (DiskRules::All, "all disks")] {
            let error = select(Some(&rules), one).unwrap_err();
            assert!(error.to_string().contains(count), "{error}");
        }
    }

    #[test]
    fn one_disk_under_two_names_is_refused() {
        let (a, link) = (disk_file(), tempfile::tempdir().unwrap());
        let link = link.path().join("link");
        std::os::unix::fs::symlink(a.path(), &link).unwrap();
        let twice = DiskRules::Each(vec![
            DiskRule::Path(a.path().to_owned()),
            DiskRule::Path(link),
        ]);
        let error = select(Some(&twice), SEVERAL).unwrap_err();
        assert!(error.to_string().contains("the same disk"), "{error}");
    }

    #[test]
    fn a_rule_without_a_disk_is_refused() {
        let (a, gone) = (disk_file(), disk_file());
        let rules = rules(&[&a, &gone]);
        drop(gone);
        let error = select(Some(&rules), SEVERAL).unwrap_err();
        assert!(matches!(
            error,
            SelectDisksError::Choose(ChooseDiskError::NoMatch { .. })
        ));
    }
}
