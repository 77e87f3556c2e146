//! What is in an image, as CycloneDX: libraries that are linked in, packages of the machine that
//! files were copied from, and every file with its hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::debian::{Owner, distribution};
use super::oci::{files, sha256};
use super::recipes::{Program, Recipe};
use super::tree::Tree;

/// The text of the list. It has no time and no number of its own, so that the same image gives the
/// same list.
///
/// # Errors
/// When what the build has collected cannot be read.
pub(crate) fn list<'o>(
    recipe: &Recipe,
    version: &str,
    tree: &Tree,
    owners: impl Iterator<Item = &'o Owner>,
) -> Result<String> {
    // By reference, so that what two programs have in common is there once.
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    for program in recipe.programs {
        let Program::Ours(package) = program else {
            continue;
        };
        let linked: Vec<Value> = serde_json::from_slice(package.components())
            .context("could not read what the program is linked with")?;
        for component in linked {
            let reference = component["bom-ref"].as_str().unwrap_or_default();
            components.insert(reference.to_owned(), component);
        }
    }
    let of = distribution();
    for owner in owners {
        let component = package(owner, of.as_ref());
        let reference = component["bom-ref"].as_str().unwrap_or_default();
        components.insert(reference.to_owned(), component);
    }
    for (path, bytes) in files(tree) {
        let reference = format!("file:/{path}");
        let component = json!({
            "type": "file",
            "bom-ref": reference,
            "name": format!("/{path}"),
            "hashes": [{ "alg": "SHA-256", "content": sha256(bytes) }],
        });
        components.insert(reference, component);
    }
    let list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": recipe.name,
                "name": recipe.name,
                "version": version,
                "description": recipe.about,
                "licenses": [{ "expression": recipe.licences }],
            },
        },
        "components": components.into_values().collect::<Vec<_>>(),
    });
    Ok(format!("{}\n", serde_json::to_string_pretty(&list)?))
}

fn package(owner: &Owner, of: Option<&(String, String)>) -> Value {
    let (id, release) = of.map_or(("debian", "debian"), |(id, release)| {
        (id.as_str(), release.as_str())
    });
    let address = format!(
        "pkg:deb/{id}/{}@{}?arch={}&distro={release}",
        escape(&owner.name),
        escape(&owner.version),
        owner.machine
    );
    json!({
        "type": "library",
        "bom-ref": address,
        "name": owner.name,
        "version": owner.version,
        "purl": address,
    })
}

/// As addresses of packages want names and versions.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::recipes::ALL;
    use super::*;

    fn owner() -> Owner {
        Owner {
            name: "libc6".to_owned(),
            version: "1:2.36-9+deb12u14".to_owned(),
            machine: "amd64".to_owned(),
        }
    }

    #[test]
    fn a_package_of_the_machine_has_an_address() {
        let of = ("debian".to_owned(), "debian-12".to_owned());
        assert_eq!(
            package(&owner(), Some(&of))["purl"],
            "pkg:deb/debian/libc6@1%3A2.36-9%2Bdeb12u14?arch=amd64&distro=debian-12"
        );
    }

    #[test]
    fn the_list_has_libraries_packages_and_files_each_once() {
        let mut tree = Tree::default();
        tree.file("usr/bin/foghorn", 0o755, b"program".to_vec());
        let recipe = ALL.iter().find(|recipe| recipe.name == "foghorn").unwrap();
        let text = list(recipe, "1.2", &tree, [owner()].iter()).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["metadata"]["component"]["version"], "1.2");
        let components = list["components"].as_array().unwrap();
        let named = |name: &str| {
            let found: Vec<&Value> = components
                .iter()
                .filter(|component| component["name"] == name)
                .collect();
            found
        };
        // Both programs of the image have it.
        let serde = named("serde");
        assert_eq!(serde.len(), 1, "{serde:?}");
        assert_eq!(serde[0]["hashes"][0]["alg"], "SHA-256");
        assert!(
            serde[0]["purl"]
                .as_str()
                .unwrap()
                .starts_with("pkg:cargo/serde@1.")
        );
        assert_eq!(named("libc6").len(), 1);
        let file = named("/usr/bin/foghorn");
        assert_eq!(file[0]["hashes"][0]["content"], sha256(b"program"));
    }

    #[test]
    fn the_same_image_gives_the_same_list() {
        let recipe = &ALL[0];
        let made = || list(recipe, "1", &Tree::default(), [owner()].iter()).unwrap();
        assert_eq!(made(), made());
    }
}
