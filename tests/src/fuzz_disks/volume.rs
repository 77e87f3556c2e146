//! One volume in a file: made, and used, by the tools and the kernel of its kind.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::mount::Mounted;
use super::rng::Rng;
use super::shape::{Content, MIB};
use super::tree::{Tree, describe};
use super::usage::{Amount, work};
use super::{judge, signatures, sparse};
use crate::tools::{find, run, run_any};

/// A volume to be made in the file `image`, which has its size already.
pub struct Volume<'a> {
    pub image: &'a Path,
    pub content: Content,
    /// Bytes per sector of the disk.
    pub sector: u64,
    /// Where on the disk it will be, in bytes.
    pub start: u64,
}

/// How a volume is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// As its tool made it.
    Fresh,
    /// With files, cleanly unmounted.
    Used,
    /// With files; the power failed in the middle of the work.
    Unclean,
}

impl Volume<'_> {
    /// Makes the volume; returns its files where it has some that are known for sure.
    ///
    /// # Errors
    /// When a tool or the kernel refuses.
    pub fn make(&self, state: State, rng: &mut Rng) -> Result<Tree> {
        let size = fs::metadata(self.image)?.len();
        let superblocks_only = matches!(
            self.content,
            Content::LvmMember | Content::ZfsMember | Content::RaidMember { .. }
        );
        if superblocks_only {
            signatures::write(self.image, 0, size, self.content, rng)?;
        } else {
            self.format(rng)
                .with_context(|| format!("could not make {:?} of {size} bytes", self.content))?;
        }
        if state == State::Fresh {
            return Ok(Tree::new());
        }
        match self.content {
            Content::Fat { .. } => self.use_fat(rng, size),
            content if content.has_files() => self.use_mounted(state, rng, size),
            Content::Empty | Content::ExFat => Ok(Tree::new()),
            _ => {
                let file = OpenOptions::new().write(true).open(self.image)?;
                noise(&file, rng, size / 4, size - size / 4)?;
                Ok(Tree::new())
            }
        }
    }

    fn format(&self, rng: &mut Rng) -> Result<()> {
        let uuid = rng.uuid();
        let short = format!("{:08x}", rng.number() as u32);
        let sector = self.sector.to_string();
        let lba = (self.start / self.sector).to_string();
        let words: Vec<String> = match self.content {
            Content::Ext {
                version,
                block,
                features,
                group,
            } => return self.format_ext(version, block, features, group, &uuid),
            Content::Ntfs { cluster } => {
                let fixed = "mkfs.ntfs -q -F -Q -T -H 16 -S 63 -c";
                words(fixed, &[&cluster.to_string(), "-s", &sector, "-p", &lba])
            }
            Content::Fat { bits, cluster } => {
                let (bits, cluster) = (bits.to_string(), cluster.to_string());
                let more = [
                    "-F", &bits, "-s", &cluster, "-S", &sector, "-h", &lba, "-i", &short,
                ];
                words("mkfs.fat --invariant", &more)
            }
            Content::ExFat => words("mkfs.exfat", &["-L", &short]),
            Content::Xfs => words(
                "mkfs.xfs -q -K -f",
                &[
                    "-s",
                    &format!("size={sector}"),
                    "-m",
                    &format!("uuid={uuid}"),
                ],
            ),
            Content::Btrfs => words("mkfs.btrfs -q -K -f -M -U", &[&uuid]),
            Content::Swap => words("mkswap -f -U", &[&uuid]),
            Content::Luks { version } => return self.format_luks(version, &uuid),
            _ => return Ok(()),
        };
        self.tool(&words)
    }

    fn format_ext(
        &self,
        version: u8,
        block: u32,
        features: &str,
        group: u32,
        uuid: &str,
    ) -> Result<()> {
        let (kind, block) = (format!("ext{version}"), block.to_string());
        let extended = format!("nodiscard,hash_seed={uuid}");
        let mut words = words(
            "mke2fs -q -F",
            &["-t", &kind, "-b", &block, "-U", uuid, "-E", &extended],
        );
        let group = group.to_string();
        let more = [
            ("-O", features),
            ("-g", if group == "0" { "" } else { &group }),
        ];
        for (option, value) in more {
            if !value.is_empty() {
                words.extend([option.to_owned(), value.to_owned()]);
            }
        }
        self.tool(&words)
    }

    fn format_luks(&self, version: u8, uuid: &str) -> Result<()> {
        let key = self.image.with_extension("key");
        fs::write(&key, "a passphrase")?;
        let kind = format!("luks{version}");
        let mut words = words(
            "cryptsetup -q luksFormat --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --type",
            &[&kind, "--uuid", uuid],
        );
        words.push(self.path()?.to_owned());
        words.push(key.to_str().context("temporary paths are text")?.to_owned());
        run(&words[0], &words[1..])?;
        Ok(())
    }

    fn path(&self) -> Result<&str> {
        self.image.to_str().context("temporary paths are text")
    }

    /// Runs a tool that makes a file system in the file.
    fn tool(&self, words: &[String]) -> Result<()> {
        let output = Command::new(find(&words[0])?)
            .args(&words[1..])
            .arg(self.image)
            // mkfs.xfs makes file systems below 300 MB only for tests, which say so like this.
            .envs([("TEST_DIR", "1"), ("TEST_DEV", "1"), ("QA_CHECK_FS", "1")])
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            bail!("{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn use_mounted(&self, state: State, rng: &mut Rng, size: u64) -> Result<Tree> {
        let mounted = Mounted::new(self.content, self.image, true)?;
        let mut amount = Amount {
            bytes: (size / 4).min(5 * MIB),
            operations: rng.within(5, 110),
            posix: !matches!(self.content, Content::Ntfs { .. }),
            first: 0,
        };
        work(&mounted.root, rng, &amount).context("files could not be made")?;
        if state != State::Unclean {
            let tree = describe(&mounted.root, true)?;
            mounted.end()?;
            return Ok(tree);
        }
        amount.first = 10_000;
        rustix::fs::syncfs(fs::File::open(&mounted.root)?)?;
        work(&mounted.root, rng, &amount).context("files could not be made")?;
        // What a program has made sure of must be there after the power failed.
        // Paths, because an entry keeps its folder open.
        let paths = fs::read_dir(&mounted.root)?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        for path in paths.iter().filter(|path| path.is_file()).take(3) {
            fs::File::open(path)?.sync_all()?;
        }
        // From here on nothing reaches the image.
        let root = mounted.root.to_str().context("temporary paths are text")?;
        run("xfs_io", ["-x", "-c", "shutdown", root])?;
        mounted.end()?;
        // What the kernel makes of it; on a copy, since that repairs it.
        let copy = self.image.with_extension("copy");
        sparse::extract(self.image, 0, size, &copy)?;
        let tree = judge::files(self.content, &copy)?;
        fs::remove_file(&copy)?;
        Ok(tree)
    }

    fn use_fat(&self, rng: &mut Rng, size: u64) -> Result<Tree> {
        let image = self.path()?;
        let folder = self.image.with_extension("files");
        for round in 0..2 {
            fs::create_dir_all(&folder)?;
            let amount = Amount {
                bytes: (size / 5).min(2 * MIB),
                operations: rng.within(4, 40),
                posix: false,
                first: 0,
            };
            let name = folder.join(format!("round{round}"));
            fs::create_dir_all(&name)?;
            work(&name, rng, &amount)?;
            let copied = run_any("mcopy", ["-s", "-Q", "-m", "-i", image, path(&name)?, "::"])?;
            let said = String::from_utf8_lossy(&copied.stderr).into_owned();
            let full = said.contains("full") || said.contains("No free");
            ensure!(copied.status.success() || full, "mcopy: {said}");
            if round == 0 && rng.percent(60) {
                // The space is used again by the second round.
                run("mdeltree", ["-i", image, "::round0"])?;
            }
            fs::remove_dir_all(&folder)?;
        }
        judge::files(self.content, self.image)
    }
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("temporary paths are text")
}

fn words(fixed: &str, more: &[&str]) -> Vec<String> {
    let fixed = fixed.split(' ').map(str::to_owned);
    fixed
        .chain(more.iter().map(|word| (*word).to_owned()))
        .collect()
}

/// Runs of noise between two places of a file.
///
/// # Errors
/// When the file cannot be written.
pub fn noise(file: &fs::File, rng: &mut Rng, from: u64, to: u64) -> Result<()> {
    for _ in 0..rng.within(1, 12) {
        if to <= from {
            return Ok(());
        }
        let at = rng.within(from, to - 1);
        let length = rng.within(1, 30_000).min(to - at);
        let mut bytes = vec![0; length as usize];
        rng.fill(&mut bytes);
        file.write_all_at(&bytes, at)?;
    }
    Ok(())
}
