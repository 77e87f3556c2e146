//! Collects the libraries that are linked into each program: with their licences for its package,
//! and as a list for its image.
//!
//! It is done where Cargo is at hand anyway: `make install` may run as somebody without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The crate of each program, and the name of its file.
const PROGRAMS: [(&str, &str); 5] = [
    ("foghorn-cli", "foghorn"),
    ("foghorn-controller", "foghorn-controller"),
    ("foghorn-agent", "foghorn-agent"),
    ("foghorn-client", "foghorn-client"),
    ("foghorn-client", "foghorn-host"),
];
/// How files with licences begin, in small letters.
const NAMES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let metadata = metadata(&root)?;
    let graph = Graph::of(&metadata)?;
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let checksums = checksums(&lock);
    for (library, program) in PROGRAMS {
        let linked = graph.linked_into(library)?;
        fs::write(out.join(program), text(program, &linked)?)?;
        let list = Value::from_iter(linked.iter().map(|package| component(package, &checksums)));
        fs::write(out.join(format!("{program}.json")), list.to_string())?;
    }
    Ok(())
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", &env::var("TARGET")?])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Packages by id, and what each is linked with.
struct Graph<'m> {
    packages: BTreeMap<&'m str, &'m Value>,
    uses: BTreeMap<&'m str, Vec<&'m str>>,
}

impl<'m> Graph<'m> {
    fn of(metadata: &'m Value) -> Result<Self> {
        let mut packages = BTreeMap::new();
        for package in list(&metadata["packages"])? {
            packages.insert(word(&package["id"]), package);
        }
        let mut uses = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"])? {
            let mut linked = Vec::new();
            for used in list(&node["deps"])? {
                // Tests and build scripts are of another kind.
                let mut kinds = list(&used["dep_kinds"])?.iter();
                if kinds.any(|kind| kind["kind"].is_null()) {
                    linked.push(word(&used["pkg"]));
                }
            }
            uses.insert(word(&node["id"]), linked);
        }
        Ok(Self { packages, uses })
    }

    /// What others have written, in the order of names.
    fn linked_into(&self, library: &str) -> Result<Vec<&'m Value>> {
        let mut all = self.packages.iter();
        let first = all
            .find(|(_, package)| word(&package["name"]) == library)
            .ok_or_else(|| format!("there is no crate {library}"))?;
        let (mut seen, mut open) = (BTreeSet::from([*first.0]), vec![*first.0]);
        while let Some(id) = open.pop() {
            for used in self.uses.get(id).into_iter().flatten() {
                if seen.insert(*used) {
                    open.push(*used);
                }
            }
        }
        let mut linked: Vec<&Value> = seen
            .iter()
            .filter_map(|id| self.packages.get(id).copied())
            .filter(|package| !package["source"].is_null())
            .collect();
        linked.sort_by_key(|package| (word(&package["name"]), word(&package["version"])));
        Ok(linked)
    }
}

/// Hashes of the archives of packages, by name and version, from the lock file.
fn checksums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let mut found = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            let lines = package.lines();
            let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            values.next().map(|value| value.trim_matches('"'))
        };
        if let (Some(name), Some(version), Some(hash)) =
            (value("name"), value("version"), value("checksum"))
        {
            found.insert((name, version), hash);
        }
    }
    found
}

/// A library as CycloneDX describes it.
fn component(package: &Value, checksums: &BTreeMap<(&str, &str), &str>) -> Value {
    let (name, version) = (word(&package["name"]), word(&package["version"]));
    // A plus sign means something in addresses.
    let address = format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"));
    let mut component = json!({
        "type": "library",
        "bom-ref": address,
        "name": name,
        "version": version,
        "purl": address,
    });
    if let Some(licence) = package["license"].as_str() {
        // As it was written before there were expressions.
        let expression = licence.replace(" / ", "/").replace('/', " OR ");
        component["licenses"] = json!([{ "expression": expression }]);
    }
    if let Some(hash) = checksums.get(&(name, version)) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": hash }]);
    }
    component
}

fn text(program: &str, linked: &[&Value]) -> Result<String> {
    let mut text = format!(
        "Libraries that are linked into {program}, with their licences. Each text is here once.\n\n"
    );
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked {
        let name = format!("{} {}", word(&package["name"]), word(&package["version"]));
        let licence = package["license"].as_str().unwrap_or("see its text below");
        let from = package["repository"].as_str().unwrap_or_default();
        writeln!(text, "{name}: {licence} {from}")?;
        for found in licences(package)? {
            texts.entry(found).or_default().push(name.clone());
        }
    }
    for (licence, names) in texts {
        let line = "-".repeat(80);
        write!(text, "\n{line}\n{}:\n\n{licence}\n", names.join(", "))?;
    }
    Ok(text)
}

/// The texts in the folder of a package.
fn licences(package: &Value) -> Result<Vec<String>> {
    let manifest = Path::new(word(&package["manifest_path"]));
    let folder = manifest.parent().ok_or("a manifest without a folder")?;
    let mut files: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file() && is_licence(path))
        .collect();
    if let Some(named) = package["license_file"].as_str() {
        files.push(folder.join(named));
    }
    files.sort();
    files.dedup();
    let mut texts = Vec::new();
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(file)?).replace('\r', "");
        texts.push(text.trim_end().to_owned());
    }
    Ok(texts)
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_lowercase();
    NAMES.iter().any(|begin| name.starts_with(begin))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value
        .as_array()
        .ok_or_else(|| "cargo metadata has another form".into())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
