//! Which images there are, and which files are in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::libraries;
use super::tree::Tree;
use crate::layout::{Content, Package, Places, programs};
use crate::sources::Sources;

/// The user that programs in images are run as: one that is nobody on the machine.
pub(crate) const USER: u32 = 65532;
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\n\
    foghorn:x:65532:65532:Foghorn:/var/lib/foghorn:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nfoghorn:x:65532:\n";
const NAMES: &str = "passwd: files\ngroup: files\nhosts: files dns\n";
/// Where distributions keep the certificates that they trust.
const AUTHORITIES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

#[derive(Clone, Copy)]
pub(crate) enum Program {
    Ours(Package),
    /// One that a package of this machine has brought: its path, and the package in Debian.
    Machine(&'static str, &'static str),
}

pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) licences: &'static str,
    /// The first is the one that is started.
    pub(crate) programs: &'static [Program],
}

pub(crate) static ALL: [Recipe; 4] = [
    Recipe {
        name: "foghorn-controller",
        about: "Foghorn: the controller, with the client that it offers for download",
        licences: "Apache-2.0 OR MIT",
        programs: &[
            Program::Ours(Package::Controller),
            Program::Ours(Package::Client),
        ],
    },
    Recipe {
        name: "foghorn-agent",
        about: "Foghorn: a storage node",
        licences: "Apache-2.0 OR MIT",
        programs: &[Program::Ours(Package::Agent)],
    },
    Recipe {
        name: "foghorn",
        about: "Foghorn: the command line, a server in one process, and the client",
        licences: "Apache-2.0 OR MIT",
        programs: &[
            Program::Ours(Package::CommandLine),
            Program::Ours(Package::Client),
        ],
    },
    Recipe {
        name: "foghorn-etcd",
        about: "Debian's etcd, for installations of Foghorn that bring their own",
        licences: "Apache-2.0",
        programs: &[
            Program::Machine("/usr/bin/etcd", "etcd-server"),
            Program::Machine("/usr/bin/etcdctl", "etcd-client"),
        ],
    },
];

/// What is in an image.
pub(crate) struct Contents {
    pub(crate) tree: Tree,
    /// What is started.
    pub(crate) entrypoint: String,
    /// Files of this machine that were copied, for the list of what is in the image.
    pub(crate) copied: Vec<PathBuf>,
}

/// Copies everything that the image is made of.
///
/// # Errors
/// When a program was not compiled or is not installed, or a file cannot be read.
pub(crate) fn contents(recipe: &Recipe, sources: &Sources) -> Result<Contents> {
    let mut tree = base()?;
    let mut copied = Vec::new();
    let scratch = tempfile::tempdir().context("could not make a temporary folder")?;
    let mut entrypoint = None;
    for program in recipe.programs {
        let (path, from) = match *program {
            Program::Ours(package) => put_ours(&mut tree, package, sources, scratch.path())?,
            Program::Machine(path, package) => {
                ensure!(
                    Path::new(path).is_file(),
                    "{path} is not on this machine: install the Debian package {package}"
                );
                copied.push(PathBuf::from(path));
                (path.to_owned(), PathBuf::from(path))
            }
        };
        entrypoint.get_or_insert(path);
        copied.extend(libraries::needed(&from)?);
    }
    copied.sort();
    copied.dedup();
    for path in &copied {
        put_copy(&mut tree, path)?;
    }
    Ok(Contents {
        tree,
        entrypoint: entrypoint.context("an image without a program")?,
        copied,
    })
}

/// What every image has.
fn base() -> Result<Tree> {
    let mut tree = Tree::default();
    tree.file("etc/passwd", 0o644, PASSWD.into());
    tree.file("etc/group", 0o644, GROUP.into());
    tree.file("etc/nsswitch.conf", 0o644, NAMES.into());
    tree.folder("tmp", 0o1777, 0);
    // A new volume that is mounted here takes over whose it is.
    tree.folder("var/lib/foghorn", 0o700, USER);
    for path in AUTHORITIES {
        if let Ok(certificates) = fs::read(path) {
            tree.file(AUTHORITIES[0], 0o644, certificates);
            break;
        }
    }
    Ok(tree)
}

/// Gives the path in the image, and the file that was copied.
fn put_ours(
    tree: &mut Tree,
    package: Package,
    sources: &Sources,
    scratch: &Path,
) -> Result<(String, PathBuf)> {
    let stripped = scratch.join(package.name());
    let command = format!("/usr/bin/{}", package.name());
    for piece in programs(package, &Places::debian(), Some(sources))? {
        let to = piece.to.to_string_lossy().into_owned();
        match &piece.content {
            Content::Program(from) => {
                strip(from, &stripped)?;
                tree.file(&to, piece.mode, fs::read(&stripped)?);
            }
            Content::Link(target) => tree.link(&to, &target.to_string_lossy()),
            Content::Bytes(bytes) => tree.file(&to, piece.mode, bytes.clone()),
        }
    }
    let doc = format!("usr/share/doc/{}", package.name());
    tree.file(
        &format!("{doc}/copyright"),
        0o644,
        include_bytes!("../../files/copyright").to_vec(),
    );
    tree.file(
        &format!("{doc}/third-party-licences.gz"),
        0o644,
        crate::manuals::pack(package.licences())?,
    );
    Ok((command, stripped))
}

fn strip(from: &Path, to: &Path) -> Result<()> {
    let done = Command::new("strip")
        .arg("--strip-unneeded")
        .arg("-o")
        .args([to, from])
        .output()
        .context("could not start strip: install the Debian package binutils")?;
    if !done.status.success() {
        bail!(
            "strip failed for {}: {}",
            from.display(),
            String::from_utf8_lossy(&done.stderr).trim()
        );
    }
    Ok(())
}

/// A file under the path that it has on the machine. Links are followed: names are what the loader
/// looks for.
fn put_copy(tree: &mut Tree, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let read = || -> std::io::Result<(u32, Vec<u8>)> {
        let mode = fs::metadata(path)?.permissions().mode() & 0o755;
        Ok((mode, fs::read(path)?))
    };
    let (mode, bytes) = read().with_context(|| format!("could not read {}", path.display()))?;
    tree.file(&path.to_string_lossy(), mode, bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_has_one_user_who_is_not_root_and_no_shell() {
        let tree = base().unwrap();
        let paths: Vec<&String> = tree.iter().map(|(path, _)| path).collect();
        assert!(paths.iter().any(|path| *path == "etc/nsswitch.conf"));
        assert!(!paths.iter().any(|path| path.ends_with("/sh")), "{paths:?}");
        assert!(PASSWD.contains(&format!(":{USER}:{USER}:")));
        assert!(GROUP.contains(&format!(":{USER}:")));
        let (_, data) = tree
            .iter()
            .find(|(path, _)| *path == "var/lib/foghorn")
            .unwrap();
        assert_eq!((data.owner, data.mode), (USER, 0o700));
    }

    #[test]
    fn a_program_that_is_not_installed_is_named_with_its_package() {
        #[derive(clap::Parser)]
        struct Arguments {
            #[command(flatten)]
            sources: Sources,
        }
        let recipe = Recipe {
            name: "x",
            about: "",
            licences: "",
            programs: &[Program::Machine("/usr/bin/no-such-program", "some-package")],
        };
        let sources = <Arguments as clap::Parser>::parse_from(["x"]).sources;
        let refused = contents(&recipe, &sources).err().unwrap().to_string();
        assert!(
            refused.contains("no-such-program") && refused.contains("some-package"),
            "{refused}"
        );
    }
}
