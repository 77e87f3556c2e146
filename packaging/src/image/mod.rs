//! Container images, made of compiled programs and this machine's C library: without a daemon,
//! without a registry, and without anything that has to be fetched. The same programs give the same
//! bytes.

mod debian;
mod libraries;
mod oci;
mod recipes;
mod sbom;
mod tar;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use flate2::Compression;
use serde_json::{Map, Value};

use self::oci::Image;
use self::recipes::{ALL, Recipe, USER};
use self::tree::Tree;
use crate::sources::Sources;

/// No image is larger, in bytes of its file: it has to reach every node of a cluster.
const MOST: usize = 40_000_000;

#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    sources: Sources,
    /// Folder for the images and the lists of what is in them.
    #[arg(long, default_value = "target/images")]
    out: PathBuf,
    /// What comes before the names of the images: a registry, with a folder in it if you like.
    #[arg(long, default_value = "localhost")]
    registry: String,
    /// Tag of the images; default: the version of Foghorn.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Commit that the programs were compiled from.
    #[arg(long)]
    revision: Option<String>,
    /// Address of the source code.
    #[arg(long)]
    source: Option<String>,
    /// Compress little, whatever the size: for tests.
    #[arg(long)]
    quick: bool,
    /// Make this image only; may be repeated.
    #[arg(long = "only", value_name = "NAME")]
    only: Vec<String>,
}

#[derive(Args)]
pub(crate) struct FolderOptions {
    /// What is in the image.
    folder: PathBuf,
    /// Name and tag of the image.
    #[arg(long)]
    name: String,
    /// File to write.
    #[arg(long)]
    out: PathBuf,
    /// What is started; repeated for its arguments.
    #[arg(long = "entrypoint", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
}

/// Makes every image and its list; prints the paths of the images with their sizes.
///
/// # Errors
/// When a program is missing, a file cannot be read or written, or an image is too large.
pub(crate) fn make(options: &Options) -> Result<()> {
    let names: Vec<&str> = ALL.iter().map(|recipe| recipe.name).collect();
    for name in &options.only {
        ensure!(
            names.contains(&name.as_str()),
            "there is no image {name}; there are {}",
            names.join(", ")
        );
    }
    let out = &options.out;
    fs::create_dir_all(out).with_context(|| format!("could not make {}", out.display()))?;
    for recipe in &ALL {
        if options.only.is_empty() || options.only.iter().any(|name| name == recipe.name) {
            make_one(recipe, options)
                .with_context(|| format!("could not make the image {}", recipe.name))?;
        }
    }
    Ok(())
}

fn make_one(recipe: &Recipe, options: &Options) -> Result<()> {
    let mut contents = recipes::contents(recipe, &options.sources)?;
    let owners = debian::owners(&contents.copied);
    for owner in &owners {
        if let Some(text) = debian::copyright(owner) {
            let path = format!("usr/share/doc/{}/copyright", owner.name);
            contents.tree.file(&path, 0o644, text);
        }
    }
    let image = Image {
        reference: reference(options, recipe),
        entrypoint: vec![contents.entrypoint],
        user: format!("{USER}:{USER}"),
        labels: labels(options, recipe),
    };
    let level = if options.quick {
        Compression::fast()
    } else {
        Compression::best()
    };
    let archive = oci::archive(&image, &contents.tree, level)?;
    // Programs of tests are larger than those of a release, and are compressed less.
    if !options.quick {
        small_enough(recipe.name, archive.len())?;
    }
    let path = options.out.join(format!("{}.tar", recipe.name));
    let list = sbom::list(recipe, &options.tag, &contents.tree, owners.iter())?;
    write(
        &options.out.join(format!("{}.cdx.json", recipe.name)),
        list.as_bytes(),
    )?;
    write(&path, &archive)?;
    println!(
        "{} {} {}",
        path.display(),
        image.reference,
        megabytes(archive.len())
    );
    Ok(())
}

/// Makes an image of a folder, as it is.
///
/// # Errors
/// When the folder cannot be read, or the file not be written.
pub(crate) fn make_of_folder(options: &FolderOptions) -> Result<()> {
    let tree = Tree::of_folder(&options.folder)?;
    let image = Image {
        reference: options.name.clone(),
        entrypoint: options.entrypoint.clone(),
        user: String::new(),
        labels: Map::new(),
    };
    let archive = oci::archive(&image, &tree, Compression::fast())?;
    write(&options.out, &archive)
}

fn reference(options: &Options, recipe: &Recipe) -> String {
    let registry = options.registry.trim_end_matches('/');
    format!("{registry}/{}:{}", recipe.name, options.tag)
}

fn labels(options: &Options, recipe: &Recipe) -> Map<String, Value> {
    let known = [
        ("title", Some(recipe.name)),
        ("description", Some(recipe.about)),
        ("version", Some(options.tag.as_str())),
        ("revision", options.revision.as_deref()),
        ("source", options.source.as_deref()),
        ("licenses", Some(recipe.licences)),
        ("vendor", Some("Foghorn")),
    ];
    known
        .into_iter()
        .filter_map(|(name, value)| {
            let value = value.filter(|value| !value.is_empty())?;
            Some((
                format!("org.opencontainers.image.{name}"),
                Value::from(value),
            ))
        })
        .collect()
}

fn small_enough(name: &str, size: usize) -> Result<()> {
    ensure!(
        size <= MOST,
        "{name} would have {}, which is {} more than the {} that an image may have",
        megabytes(size),
        megabytes(size - MOST),
        megabytes(MOST),
    );
    Ok(())
}

/// With one digit behind the point, as registries show sizes.
fn megabytes(bytes: usize) -> String {
    let tenths = bytes.div_ceil(100_000);
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        options: Options,
    }

    fn options(more: &[&str]) -> Options {
        let arguments = ["x"].iter().chain(more);
        <Arguments as clap::Parser>::parse_from(arguments).options
    }

    #[test]
    fn an_image_that_is_too_large_is_refused_with_how_much() {
        small_enough("x", MOST).unwrap();
        let refused = small_enough("x", MOST + 1_234_567).unwrap_err().to_string();
        assert!(
            refused.contains("41.3 MB") && refused.contains("1.3 MB more than the 40.0 MB"),
            "{refused}"
        );
    }

    #[test]
    fn labels_say_what_is_known() {
        let options = options(&["--tag", "1.2", "--revision", "abc", "--source", ""]);
        let labels = labels(&options, &ALL[0]);
        let of = |name: &str| labels.get(&format!("org.opencontainers.image.{name}"));
        assert_eq!(of("title").unwrap(), "foghorn-controller");
        assert_eq!(of("version").unwrap(), "1.2");
        assert_eq!(of("revision").unwrap(), "abc");
        assert_eq!(of("licenses").unwrap(), "Apache-2.0 OR MIT");
        assert_eq!(of("source"), None);
    }

    #[test]
    fn names_of_images_begin_with_the_registry() {
        let options = options(&["--registry", "registry.test/lab/", "--tag", "7"]);
        let names: Vec<String> = ALL
            .iter()
            .map(|recipe| reference(&options, recipe))
            .collect();
        assert_eq!(names[2], "registry.test/lab/foghorn:7");
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("registry.test/lab/foghorn"))
        );
    }

    #[test]
    fn an_image_that_does_not_exist_is_refused_with_those_that_do() {
        let refused = make(&options(&["--only", "foghorn-x"])).unwrap_err();
        assert!(refused.to_string().contains("foghorn-etcd"), "{refused}");
    }
}
