//! Images and what each version of them contains.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::rest::Rest;
use serde_json::{Value, json};

pub(crate) const SIZE: u64 = 24 * MIB;

/// A disk that was captured, or is being captured.
struct Version {
    disk: PathBuf,
    complete: bool,
}

struct Image {
    id: u32,
    versions: Vec<Version>,
}

/// All images, by number.
pub(crate) struct Images {
    folder: PathBuf,
    images: Mutex<Vec<Image>>,
}

impl Images {
    /// # Errors
    /// When an image cannot be made.
    pub(crate) fn make(folder: &Path, rest: &Rest, groups: &[u32], count: u64) -> Result<Self> {
        let mut images = Vec::new();
        for number in 0..count {
            let name = format!("golden{number}");
            let body = json!({"name": name, "path": name, "imageTypeID": 1, "imagePartitionTypeID": 1,
                "osID": 50, "isEnabled": "1", "storagegroups": groups});
            let image = rest.post("/fog/image/create", &body)?.ok()?;
            images.push(Image {
                id: id(&image)?,
                versions: Vec::new(),
            });
        }
        Ok(Self {
            folder: folder.to_owned(),
            images: Mutex::new(images),
        })
    }

    fn with<R>(&self, work: impl FnOnce(&mut Vec<Image>) -> R) -> R {
        work(&mut self.images.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn count(&self) -> usize {
        self.with(|images| images.len())
    }

    pub(crate) fn id(&self, number: usize) -> u32 {
        self.with(|images| images[number].id)
    }

    /// A further version of a disk, that is about to be captured: some of it differs.
    pub(crate) fn next_disk(&self, number: usize, seed: u64) -> Result<PathBuf> {
        let count = self.with(|images| images[number].versions.len());
        let disk = self.folder.join(format!("golden{number}.{count}"));
        let before = self.folder.join(format!("golden{number}.0"));
        if count == 0 {
            // Raw: every byte of a target can be compared.
            disks::make_gpt(&disk, SIZE, 512, &[(Kind::Raw, 20)], 900 + number as u64)?;
        } else {
            use std::os::unix::fs::FileExt;
            std::fs::copy(before, &disk)?;
            let mut bytes = vec![0; MIB as usize];
            disks::fill_random(&mut bytes, seed);
            let file = std::fs::File::options().write(true).open(&disk)?;
            file.write_all_at(&bytes, (3 + seed % 15) * MIB)?;
        }
        let version = Version {
            disk: disk.clone(),
            complete: false,
        };
        self.with(|images| images[number].versions.push(version));
        Ok(disk)
    }

    pub(crate) fn captured(&self, number: usize, disk: &Path) {
        self.with(|images| {
            let mut versions = images[number].versions.iter_mut();
            if let Some(version) = versions.find(|version| version.disk == disk) {
                version.complete = true;
            }
        });
    }

    /// The number of the image with this id.
    pub(crate) fn number(&self, id: u32) -> Option<usize> {
        self.with(|images| images.iter().position(|image| image.id == id))
    }

    /// How many captures of the image were complete: whoever orders now gets none before the last.
    pub(crate) fn oldest(&self, number: usize) -> usize {
        self.with(|images| {
            let mut versions = images[number].versions.iter();
            versions.rposition(|version| version.complete).unwrap_or(0)
        })
    }

    /// Whether the disk is what the image was at some time since the version `oldest`.
    pub(crate) fn is_one(&self, number: usize, oldest: usize, disk: &Path) -> Result<bool> {
        let versions: Vec<PathBuf> = self.with(|images| {
            let versions = images[number].versions.iter().skip(oldest);
            versions.map(|version| version.disk.clone()).collect()
        });
        for version in versions.iter().rev() {
            if disks::same(version, disk)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// FOG returns ids as strings.
pub(crate) fn id(value: &Value) -> Result<u32> {
    Ok(value["id"]
        .as_str()
        .with_context(|| format!("{value} has no id"))?
        .parse()?)
}
