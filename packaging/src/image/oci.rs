//! The file of an image: an OCI image layout that has Docker's list beside its own, so that
//! `ctr images import`, `podman load` and every `docker load` take it.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::tar::Archive;
use super::tree::{Entry, Kind, Tree};

/// Images have no time, so that the same content gives the same bytes.
const NO_TIME: &str = "1970-01-01T00:00:00Z";

pub(crate) struct Image {
    /// Before the last colon its name, after it its tag.
    pub(crate) reference: String,
    pub(crate) entrypoint: Vec<String>,
    /// Number of user and group; empty for root.
    pub(crate) user: String,
    pub(crate) labels: Map<String, Value>,
}

/// The content of the file.
///
/// # Errors
/// When a path in the image is too long.
pub(crate) fn archive(image: &Image, tree: &Tree, level: Compression) -> Result<Vec<u8>> {
    let unpacked = tar(tree.iter().map(|(path, entry)| (path.as_str(), entry)))?;
    let layer = Blob::new(pack(&unpacked, level)?);
    let config = Blob::of(&config(image, &sha256(&unpacked)));
    let manifest = Blob::of(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
        "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar+gzip")],
        "annotations": image.labels,
    }));
    let index = index(image, &manifest)?;
    let docker = json!([{
        "Config": config.path(),
        "RepoTags": [image.reference],
        "Layers": [layer.path()],
    }]);
    let mut file = Tree::default();
    for blob in [config, layer, manifest] {
        file.file(&blob.path(), 0o644, blob.bytes);
    }
    file.file("index.json", 0o644, index.to_string().into_bytes());
    file.file("manifest.json", 0o644, docker.to_string().into_bytes());
    let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
    file.file("oci-layout", 0o644, layout.to_vec());
    tar(file.iter().map(|(path, entry)| (path.as_str(), entry)))
}

fn config(image: &Image, unpacked: &str) -> Value {
    json!({
        "created": NO_TIME,
        "architecture": machine(),
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": ["PATH=/usr/bin:/bin"],
            "Entrypoint": image.entrypoint,
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{unpacked}")] },
        "history": [{ "created": NO_TIME, "created_by": "foghorn-packaging" }],
    })
}

fn index(image: &Image, manifest: &Blob) -> Result<Value> {
    let (_, tag) = image
        .reference
        .rsplit_once(':')
        .with_context(|| format!("{} has no tag", image.reference))?;
    let mut entry = manifest.descriptor("application/vnd.oci.image.manifest.v1+json");
    entry["platform"] = json!({ "architecture": machine(), "os": "linux" });
    // The first is read by containerd and podman, the second is what the format knows.
    entry["annotations"] = json!({
        "io.containerd.image.name": image.reference,
        "org.opencontainers.image.ref.name": tag,
    });
    Ok(json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    }))
}

/// What is named by the hash of its content.
struct Blob {
    hash: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        let hash = sha256(&bytes);
        Self { hash, bytes }
    }

    fn of(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.hash)
    }

    fn descriptor(&self, kind: &str) -> Value {
        json!({
            "mediaType": kind,
            "digest": format!("sha256:{}", self.hash),
            "size": self.bytes.len(),
        })
    }
}

fn tar<'t>(entries: impl Iterator<Item = (&'t str, &'t Entry)>) -> Result<Vec<u8>> {
    let mut archive = Archive::new(Vec::new());
    for (path, entry) in entries {
        archive
            .put(path, entry)
            .with_context(|| format!("could not pack {path}"))?;
    }
    Ok(archive.finish()?)
}

fn pack(bytes: &[u8], level: Compression) -> Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), level);
    packer.write_all(bytes)?;
    Ok(packer.finish()?)
}

/// In small hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// The name of this machine's kind in images.
pub(crate) fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Files in the image, with their content.
pub(crate) fn files(tree: &Tree) -> impl Iterator<Item = (&str, &[u8])> {
    tree.iter().filter_map(|(path, entry)| match &entry.kind {
        Kind::File(bytes) => Some((path.as_str(), bytes.as_slice())),
        Kind::Folder | Kind::Link(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            reference: "registry.test:5000/foghorn:1.2".to_owned(),
            entrypoint: vec!["/usr/bin/foghorn".to_owned()],
            user: "65532:65532".to_owned(),
            labels: Map::from_iter([("title".to_owned(), "foghorn".into())]),
        }
    }

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.file("usr/bin/foghorn", 0o755, b"program".to_vec());
        tree
    }

    /// Names and contents of an archive of which all files are small.
    fn unpacked(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 0;
        while archive[at] != 0 {
            let header = &archive[at..at + 512];
            let text = |bytes: &[u8]| {
                let end = bytes.iter().position(|byte| *byte == 0);
                String::from_utf8(bytes[..end.unwrap_or(bytes.len())].to_vec()).unwrap()
            };
            let size = usize::from_str_radix(&text(&header[124..136]), 8).unwrap();
            let content = archive[at + 512..at + 512 + size].to_vec();
            found.push((text(&header[..100]), content));
            at += 512 + size.div_ceil(512) * 512;
        }
        found
    }

    #[test]
    fn every_reference_in_the_file_leads_to_content_with_that_hash() {
        let archive = archive(&image(), &tree(), Compression::fast()).unwrap();
        let files = unpacked(&archive);
        let read = |path: &str| {
            let (_, bytes) = files
                .iter()
                .find(|(name, _)| name == path)
                .unwrap_or_else(|| panic!("{path} is missing"));
            bytes.clone()
        };
        let json = |path: &str| -> Value { serde_json::from_slice(&read(path)).unwrap() };
        let follow = |descriptor: &Value| {
            let hash = descriptor["digest"].as_str().unwrap();
            let hash = hash.strip_prefix("sha256:").unwrap();
            let bytes = read(&format!("blobs/sha256/{hash}"));
            assert_eq!(sha256(&bytes), hash);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            bytes
        };
        let index = json("index.json");
        let manifest: Value = serde_json::from_slice(&follow(&index["manifests"][0])).unwrap();
        let config: Value = serde_json::from_slice(&follow(&manifest["config"])).unwrap();
        let layer = follow(&manifest["layers"][0]);
        let mut plain = Vec::new();
        std::io::copy(
            &mut flate2::read::GzDecoder::new(layer.as_slice()),
            &mut plain,
        )
        .unwrap();
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            format!("sha256:{}", sha256(&plain))
        );
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(
            index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"],
            "1.2"
        );
        // Docker's list says the same.
        let docker = json("manifest.json");
        assert_eq!(docker[0]["RepoTags"][0], image().reference);
        assert_eq!(read(docker[0]["Layers"][0].as_str().unwrap()), layer);
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let one = archive(&image(), &tree(), Compression::best()).unwrap();
        let other = archive(&image(), &tree(), Compression::best()).unwrap();
        assert_eq!(one, other);
    }
}
