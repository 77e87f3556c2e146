//! Shared libraries that a program needs, as this machine's loader finds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// What the C library opens by itself, to look up names. Since glibc 2.34 it has this inside, and
/// the files serve older programs only.
const BESIDE_LIBC: [&str; 3] = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];

/// Paths of the libraries and of the loader; none for a program that is linked statically.
///
/// # Errors
/// When `ldd` cannot be started, or a library is not there.
pub(crate) fn needed(program: &Path) -> Result<Vec<PathBuf>> {
    let asked = Command::new("ldd")
        .env("LC_ALL", "C")
        .arg(program)
        .output()
        .context("could not start ldd, which is part of the C library")?;
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    if !asked.status.success() {
        let complaint = String::from_utf8_lossy(&asked.stderr).into_owned();
        let is_static = format!("{said}{complaint}").contains("not a dynamic executable");
        ensure!(
            is_static,
            "ldd failed for {}: {}",
            program.display(),
            complaint.trim()
        );
        return Ok(Vec::new());
    }
    let mut found = parse(&said)
        .with_context(|| format!("could not find all libraries of {}", program.display()))?;
    let libc = found
        .iter()
        .find(|path| path.file_name().is_some_and(|name| name == "libc.so.6"));
    if let Some(folder) = libc.and_then(|libc| libc.parent()).map(Path::to_owned) {
        let beside = BESIDE_LIBC.iter().map(|name| folder.join(name));
        found.extend(beside.filter(|path| path.is_file()));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Lines such as `libm.so.6 => /lib/libm.so.6 (0x7f…)`, `/lib64/ld-linux-x86-64.so.2 (0x7f…)`, and
/// `linux-vdso.so.1 (0x7f…)`, which is no file.
fn parse(said: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in said.lines().map(str::trim) {
        let path = match line.split_once(" => ") {
            Some((name, "not found")) => bail!("{name} is not on this machine"),
            Some((_, path)) => path,
            None => line,
        };
        let path = path.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            found.push(PathBuf::from(path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ldd_says_is_understood() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f1)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let found = parse(said).unwrap();
        let expected = [
            "/lib/x86_64-linux-gnu/libm.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(
            parse("\tstatically linked\n").unwrap(),
            Vec::<PathBuf>::new()
        );
        let missing = parse("\tlibz.so.1 => not found\n").unwrap_err();
        assert!(missing.to_string().contains("libz.so.1"), "{missing}");
    }

    #[test]
    fn this_test_needs_a_loader_and_a_c_library_that_exist() {
        let found = needed(&std::env::current_exe().unwrap()).unwrap();
        let has = |part: &str| {
            found
                .iter()
                .any(|path| path.to_string_lossy().contains(part))
        };
        assert!(has("/libc.so.6") && has("/ld-linux"), "{found:?}");
        assert!(found.iter().all(|path| path.is_file()), "{found:?}");
    }
}
