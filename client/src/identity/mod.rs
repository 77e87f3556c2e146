//! The identity of a machine, put on the disk that was just deployed: the root file system is found among
//! the partitions and mounted where only one thread sees it, and the machine enrols into it.
//!
//! The disk is whole before and after: a deploy that ends with an error here has written all of the image.

mod kind;
mod room;
mod root;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use foghorn_proto::http::{HOST_PREFIX, ParseTokenError, TokenText};
use foghorn_types::{DiskPart, chain};
use tokio_util::sync::CancellationToken;

use self::kind::Kind;
use self::room::{Mounted, Room};
use crate::check_in::CheckInError;
use crate::disk::{DiskSet, Volume, reread};
use crate::host::{Enrol, EnrolError, Enrolled, enrol};

/// Where the host service looks for its settings.
const FOLDER: &str = "/var/sota";

/// Why a machine cannot be given an identity, or has none now.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the machine token of the order is not valid")]
    Token(#[source] ParseTokenError),
    #[error("{} is a file, and an identity is put on block devices only: attach it (losetup --partscan --find --show), or switch identity off for the image and the host", path.display())]
    File { path: PathBuf },
    #[error(
        "could not get a view of the file systems for the client alone, which only root may have"
    )]
    Alone(#[source] io::Error),
    #[error("could not read the partitions of {}", path.display())]
    Partitions { path: PathBuf, source: io::Error },
    #[error("could not look at {what}")]
    Volume { what: String, source: io::Error },
    #[error(
        "there is no root file system with systemd on {disks}; those of ext4, XFS and btrfs were looked for, without LVM and encryption{left_out}"
    )]
    NoRoot { disks: String, left_out: String },
    #[error("could not mount {what} for writing")]
    Mount { what: String, source: io::Error },
    #[error("could not look at {}", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error(
        "the deployed system would not find its identity in {}: its /etc/fstab mounts another file system at {}",
        folder.display(), at.display()
    )]
    Elsewhere { folder: PathBuf, at: PathBuf },
    #[error("{} is a link that leads out of the deployed file system, or nowhere", path.display())]
    Link { path: PathBuf },
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    #[error("could not write the identity back to {what}")]
    Finish { what: String, source: io::Error },
    #[error("the thread that did it panicked")]
    Panicked,
}

impl IdentityError {
    /// What people can do about it.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::Enrol(error) => error.advice(),
            _ => None,
        }
    }

    /// Whether the client was told to stop.
    pub(crate) fn is_stop(&self) -> bool {
        matches!(
            self,
            Self::Enrol(EnrolError::Controller(CheckInError::Stopped))
        )
    }
}

/// What is to be done once the disks are written.
#[derive(Debug)]
pub(crate) struct Wish {
    server: String,
    token: TokenText,
    disks: Vec<PathBuf>,
    part: DiskPart,
}

impl Wish {
    /// Before anything is written: whether it can be done, as far as that can be known.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub(crate) fn new(
        token: &str,
        server: &str,
        disks: &DiskSet,
        part: DiskPart,
    ) -> Result<Self, IdentityError> {
        let token = TokenText::parse(HOST_PREFIX, token).map_err(IdentityError::Token)?;
        let file = disks.iter().find(|(_, disk)| !disk.is_block_device());
        if let Some((_, disk)) = file {
            let path = disk.path().to_owned();
            return Err(IdentityError::File { path });
        }
        let paths = disks.iter().map(|(_, disk)| disk.path().to_owned());
        Ok(Self {
            server: server.to_owned(),
            token,
            disks: paths.collect(),
            part,
        })
    }

    /// Does it. The disks must not be open any more.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub(crate) async fn grant(self, stop: CancellationToken) -> Result<Enrolled, IdentityError> {
        // The view of the file systems goes with the thread: it is none that does other things later.
        let done = tokio::task::spawn_blocking(move || {
            let thread = std::thread::Builder::new().name("identity".to_owned());
            let begun = thread.spawn(move || self.grant_here(&stop));
            let begun = begun.map_err(IdentityError::Alone)?;
            begun.join().map_err(|_| IdentityError::Panicked)?
        });
        done.await.map_err(|_| IdentityError::Panicked)?
    }

    fn grant_here(&self, stop: &CancellationToken) -> Result<Enrolled, IdentityError> {
        let folder = std::env::temp_dir().join(format!(
            "foghorn-identity-{}-{:x}",
            std::process::id(),
            getrandom::u64().unwrap_or_default()
        ));
        fs::create_dir_all(&folder).map_err(IdentityError::Alone)?;
        let done = Room::open(&folder)
            .map_err(IdentityError::Alone)
            .and_then(|room| self.grant_in(&room, stop));
        // What is mounted there ends with this thread; it hides the folder until then.
        let _gone = rustix::mount::unmount(&folder, rustix::mount::UnmountFlags::DETACH);
        if let Err(error) = fs::remove_dir(&folder) {
            tracing::debug!(path = %folder.display(), error = %chain(&error), "could not remove a folder");
        }
        done
    }

    fn grant_in(&self, room: &Room, stop: &CancellationToken) -> Result<Enrolled, IdentityError> {
        let found = self.find_root(room)?;
        let what = found.what;
        let mounted = room.enter(&found.device, found.kind);
        let mounted = mounted.map_err(|source| IdentityError::Mount {
            what: what.clone(),
            source,
        })?;
        let root = room.root();
        root::check_folder(&root, Path::new(FOLDER))?;
        let enrolled = enrol(
            &Enrol {
                server: self.server.clone(),
                token: self.token.clone(),
                // As its host.
                name: None,
                folder: PathBuf::from(FOLDER),
                root,
                tells_hardware: true,
                // That of the machine that was captured, or of this one before.
                replaces: true,
            },
            stop,
        )?;
        let finished = mounted.finish();
        finished.map_err(|source| IdentityError::Finish { what, source })?;
        Ok(enrolled)
    }

    /// The volumes that this deploy has written.
    fn volumes(&self) -> Result<Vec<(&Path, Volume)>, IdentityError> {
        let mut all = Vec::new();
        for disk in &self.disks {
            let read = room::while_busy(|| reread(disk));
            let volumes = read.map_err(|source| IdentityError::Partitions {
                path: disk.clone(),
                source,
            })?;
            let written = volumes.into_iter().filter(|volume| match self.part {
                DiskPart::Everything => true,
                DiskPart::Table => false,
                DiskPart::Partition(number) => number.get() == volume.number,
            });
            all.extend(written.map(|volume| (disk.as_path(), volume)));
        }
        Ok(all)
    }

    fn find_root(&self, room: &Room) -> Result<Found, IdentityError> {
        let (mut candidates, mut left_out) = (Vec::new(), String::new());
        for (disk, volume) in self.volumes()? {
            let what = describe(disk, volume);
            let seen = room.device(volume).and_then(|device| {
                let kind = room::kind_of(&device)?;
                Ok((device, kind))
            });
            match seen {
                Ok((device, Some(kind))) => candidates.push(Found { kind, device, what }),
                Ok((_, None)) => left_out += &format!("; {what} has none of these"),
                Err(source) => return Err(IdentityError::Volume { what, source }),
            }
        }
        // Stable: among those of one kind, the first partition comes first.
        candidates.sort_by_key(|found| found.kind);
        for found in candidates {
            let looked = room.look(&found.device, found.kind).and_then(|mounted| {
                let is_root = root::is_root(&room.root());
                Mounted::leave(mounted)?;
                Ok(is_root)
            });
            match looked {
                Ok(true) => return Ok(found),
                Ok(false) => left_out += &format!("; {} is no root", found.what),
                // It may be damaged, or of a kind that this kernel does not have: another one may be the root.
                Err(error) => {
                    left_out += &format!("; {} could not be mounted ({error})", found.what);
                }
            }
        }
        let disks: Vec<String> = self
            .disks
            .iter()
            .map(|disk| disk.display().to_string())
            .collect();
        Err(IdentityError::NoRoot {
            disks: disks.join(", "),
            left_out,
        })
    }
}

/// A volume that has a file system.
struct Found {
    kind: Kind,
    device: PathBuf,
    what: String,
}

/// The volume, for people.
fn describe(disk: &Path, volume: Volume) -> String {
    match volume.number {
        0 => disk.display().to_string(),
        number => format!("partition {number} of {}", disk.display()),
    }
}
