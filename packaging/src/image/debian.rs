//! Which package of this machine a file belongs to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A package of the distribution.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Owner {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) machine: String,
}

/// The packages of all these files; none where there is no dpkg.
pub(crate) fn owners(paths: &[PathBuf]) -> BTreeSet<Owner> {
    paths.iter().filter_map(|path| owner(path)).collect()
}

fn owner(path: &Path) -> Option<Owner> {
    // /lib may be a link to /usr/lib, and the package knows one of the two names.
    let other = match path.strip_prefix("/usr") {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => Path::new("/usr").join(path.strip_prefix("/").ok()?),
    };
    let name = [path, other.as_path()].into_iter().find_map(|path| {
        let said = ask(&["--search", path.to_str()?])?;
        // `libc6:amd64: /lib/…`
        let (name, _) = said.split_once(": ")?;
        Some(name.split(':').next()?.to_owned())
    })?;
    let said = ask(&["--show", "--showformat=${Version} ${Architecture}\n", &name])?;
    let (version, machine) = said.lines().next()?.split_once(' ')?;
    Some(Owner {
        version: version.to_owned(),
        machine: machine.to_owned(),
        name,
    })
}

fn ask(arguments: &[&str]) -> Option<String> {
    let asked = Command::new("dpkg-query").args(arguments).output().ok()?;
    let said = String::from_utf8(asked.stdout).ok()?;
    (asked.status.success() && !said.is_empty()).then_some(said)
}

/// The text of the package's licence.
pub(crate) fn copyright(owner: &Owner) -> Option<Vec<u8>> {
    fs::read(format!("/usr/share/doc/{}/copyright", owner.name)).ok()
}

/// Name and version of the distribution, such as `debian` and `debian-12`.
pub(crate) fn distribution() -> Option<(String, String)> {
    parse_release(&fs::read_to_string("/etc/os-release").ok()?)
}

fn parse_release(text: &str) -> Option<(String, String)> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
    };
    let id = value("ID")?;
    let version = value("VERSION_ID").unwrap_or_default();
    let both = format!("{id}-{version}");
    Some((id, both))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_file_names_the_distribution() {
        let text = "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n";
        let expected = ("debian".to_owned(), "debian-12".to_owned());
        assert_eq!(parse_release(text), Some(expected));
    }

    #[test]
    fn a_file_of_nobody_has_no_owner() {
        assert!(owners(&[PathBuf::from("/no/such/file")]).is_empty());
    }
}
