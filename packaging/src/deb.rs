//! Debian packages, by `dpkg-deb`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::elf::newest_glibc;
use crate::install::{put, under};
use crate::layout::{Content, Package, Piece, Places, pieces};
use crate::manuals;
use crate::scripts::scripts;
use crate::sources::Sources;

/// Makes every package; prints their paths.
///
/// # Errors
/// When a program was not compiled, or `strip` or `dpkg-deb` fails.
pub(crate) fn make(sources: &Sources, out: &Path, version: &str, quick: bool) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("could not make {}", out.display()))?;
    for package in Package::ALL {
        let made = make_one(package, sources, out, version, quick)
            .with_context(|| format!("could not make the package {}", package.name()))?;
        println!("{}", made.display());
    }
    Ok(())
}

fn make_one(
    package: Package,
    sources: &Sources,
    out: &Path,
    version: &str,
    quick: bool,
) -> Result<PathBuf> {
    let stage = tempfile::Builder::new()
        .prefix("foghorn-deb-")
        .tempdir_in(out)?;
    let root = stage.path().join("root");
    let maintainer = maintainer();
    let mut pieces = pieces(package, &Places::debian(), Some(sources))?;
    pieces.extend(only_debian(package, version, &maintainer)?);
    let mut glibc = None;
    for piece in &pieces {
        put(piece, &root)?;
        if matches!(piece.content, Content::Program(_)) {
            let program = under(&root, &piece.to);
            run(Command::new("strip").arg("--strip-unneeded").arg(&program))?;
            glibc = newest_glibc(&fs::read(&program)?);
        }
    }
    let meta = root.join("DEBIAN");
    fs::create_dir_all(&meta)?;
    fs::write(
        meta.join("control"),
        control(
            package,
            version,
            &maintainer,
            glibc.as_deref(),
            size(&root)?,
        ),
    )?;
    let conffiles = conffiles(&pieces);
    if !conffiles.is_empty() {
        fs::write(meta.join("conffiles"), conffiles)?;
    }
    for (name, script) in scripts(package) {
        put_script(&meta.join(name), &script)?;
    }
    let file = out.join(format!("{}_{version}_{}.deb", package.name(), machine()));
    let compression: &[&str] = if quick { &["-Znone"] } else { &["-Zxz"] };
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args(compression)
        .arg(&root)
        .arg(&file))?;
    Ok(file)
}

/// Whoever makes packages for others says who they are, as Debian's own tools want it.
fn maintainer() -> String {
    let of = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    format!(
        "{} <{}>",
        of("DEBFULLNAME").unwrap_or_else(|| "Foghorn".to_owned()),
        of("DEBEMAIL").unwrap_or_else(|| "root@localhost".to_owned())
    )
}

/// What other systems have no place for.
fn only_debian(package: Package, version: &str, maintainer: &str) -> Result<Vec<Piece>> {
    let name = package.name();
    let plain = |to: String, bytes: Vec<u8>| Piece {
        to: to.into(),
        mode: 0o644,
        content: Content::Bytes(bytes),
        is_config: false,
    };
    let changes = format!(
        "{name} ({version}) stable; urgency=medium\n\n  * What is new is in CHANGELOG.md.gz in this folder.\n\n \
         -- {maintainer}  {}\n",
        built()?
    );
    let changes = manuals::pack(changes.as_bytes())?;
    let mut pieces = vec![plain(
        format!("/usr/share/doc/{name}/changelog.gz"),
        changes,
    )];
    let why = match (package.service(), package) {
        // It may hold a token or a password.
        (Some(service), _) => format!(
            "{name}: non-standard-file-perm 0640 != 0644 [etc/foghorn/{}]\n",
            service.config
        ),
        // It runs from any Linux, without libraries.
        (None, Package::Client) => format!(
            "{name}: shared-library-lacks-prerequisites [usr/lib/foghorn/clients/foghorn-client-x86_64]\n"
        ),
        (None, Package::Host) => {
            format!("{name}: shared-library-lacks-prerequisites [usr/bin/foghorn-host]\n")
        }
        (None, _) => return Ok(pieces),
    };
    let overrides = format!("/usr/share/lintian/overrides/{name}");
    pieces.push(plain(overrides, why.into_bytes()));
    Ok(pieces)
}

/// When, as changelogs of Debian write it.
fn built() -> Result<String> {
    let mut date = Command::new("date");
    date.args(["-u", "-R"]);
    if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
        date.arg("-d").arg(format!("@{epoch}"));
    }
    Ok(String::from_utf8(run(&mut date)?)?.trim().to_owned())
}

fn put_script(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn conffiles(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .filter(|piece| piece.is_config)
        .fold(String::new(), |mut text, piece| {
            let _ = writeln!(text, "{}", piece.to.display());
            text
        })
}

/// Debian's name of this machine's kind.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the package manager shows and requires.
fn control(
    package: Package,
    version: &str,
    maintainer: &str,
    glibc: Option<&str>,
    kib: u64,
) -> String {
    let mut text = format!(
        "Package: {}\nVersion: {version}\nArchitecture: {}\nMaintainer: {maintainer}\nInstalled-Size: {kib}\n\
         Section: admin\nPriority: optional\n",
        package.name(),
        machine(),
    );
    let mut depends = Vec::new();
    if let Some(glibc) = glibc {
        depends.push(format!("libc6 (>= {glibc})"));
        depends.push("libgcc-s1".to_owned());
    }
    if package.service().is_some() {
        depends.push("passwd".to_owned());
    }
    if !depends.is_empty() {
        let _ = writeln!(text, "Depends: {}", depends.join(", "));
    }
    let (others, about) = words(package);
    text.push_str(others);
    text.push_str("Description: ");
    text.push_str(about);
    text
}

/// How a package stands to the others, and what it is.
fn words(package: Package) -> (&'static str, &'static str) {
    match package {
        Package::Controller => (
            "Recommends: foghorn-client\nSuggests: foghorn, etcd-server\n",
            "imaging of fleets of computers: the controller\n \
             Serves the REST API, keeps the state of the fleet in etcd or in a file, and\n \
             directs storage nodes and the machines that are imaged.\n",
        ),
        Package::Agent => (
            "",
            "imaging of fleets of computers: a storage node\n \
             Keeps images as verified chunks and streams them to the machines that are\n \
             imaged, by unicast or multicast.\n",
        ),
        Package::CommandLine => (
            "Recommends: foghorn-client\n",
            "imaging of fleets of computers: the command line, and a server in one process\n \
             Manages hosts, images and tasks of a controller. `foghorn serve`, which the\n \
             unit foghorn-serve starts, is a controller with a storage node in one process.\n",
        ),
        Package::Client => (
            "",
            "imaging of fleets of computers: the client\n \
             Runs on the machine that is imaged, and captures or deploys its disk. It\n \
             needs no libraries; a controller offers the same file for download.\n",
        ),
        Package::Host => (
            "",
            "imaging of fleets of computers: the service on imaged machines\n \
             Runs on a machine after it was imaged, and keeps it as its configuration says.\n \
             It needs no libraries.\n",
        ),
    }
}

/// In KiB, as the package manager wants it.
fn size(root: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                bytes += entry.metadata()?.len();
            }
        }
    }
    Ok(bytes.div_ceil(1024))
}

/// Gives what it printed.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("could not start {name}: is it installed?"))?;
    ensure!(
        output.status.success(),
        "{name} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_static_program_depends_on_no_library() {
        let text = control(Package::Client, "1.2", "A <a@b>", None, 7);
        assert!(!text.contains("Depends"), "{text}");
        let text = control(Package::Agent, "1.2", "A <a@b>", Some("2.34"), 7);
        assert!(
            text.contains("\nDepends: libc6 (>= 2.34), libgcc-s1, passwd\n"),
            "{text}"
        );
        assert!(text.lines().all(|line| !line.is_empty()), "{text}");
    }
}
