//! Container images: the same programs give the same bytes, and what is in an image is enough for
//! its programs. Unpacked they run in a folder of their own; as the other tests of namespaces, this
//! needs root. That a cluster takes and runs them is tested by `make chart-test`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use foghorn_tests::tools::{foghorn, run};
use serde_json::Value;

use crate::block_devices::may_make_loop_devices;

/// Makes images of the programs that the tests were compiled with.
fn make(out: &Path, names: &[&str]) {
    let maker = foghorn("foghorn-packaging").unwrap();
    let mut command = Command::new(&maker);
    command
        .args(["images", "--quick", "--registry", "registry.test"])
        .args(["--tag", "1.2", "--revision", "abc", "--programs"])
        .arg(maker.parent().unwrap())
        .arg("--out")
        .arg(out);
    for name in names {
        command.args(["--only", name]);
    }
    let made = command.output().unwrap();
    let said = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success(), "{said}");
}

/// An image that is unpacked into folders: what surrounds it, and its files.
struct Unpacked {
    around: PathBuf,
    files: PathBuf,
}

impl Unpacked {
    fn new(image: &Path, place: &Path) -> Self {
        let (around, files) = (place.join("around"), place.join("files"));
        for folder in [&around, &files] {
            fs::create_dir_all(folder).unwrap();
        }
        extract(image, &around);
        let list = json(&around.join("manifest.json"));
        let layer = list[0]["Layers"][0].as_str().unwrap().to_owned();
        extract(&around.join(layer), &files);
        Self { around, files }
    }

    fn config(&self) -> Value {
        let list = json(&self.around.join("manifest.json"));
        json(&self.around.join(list[0]["Config"].as_str().unwrap()))
    }

    /// Runs a program of the image as its user, with nothing else in sight.
    fn run(&self, program: &str) -> String {
        let root = self.files.to_str().unwrap();
        run(
            "chroot",
            ["--userspec=65532:65532", root, program, "--version"],
        )
        .unwrap()
    }

    fn names(&self) -> BTreeSet<String> {
        let root = self.files.to_str().unwrap();
        let found = run("find", [root, "-printf", "%P\n"]).unwrap();
        found.lines().map(str::to_owned).collect()
    }
}

fn extract(archive: &Path, to: &Path) {
    let (archive, to) = (archive.to_str().unwrap(), to.to_str().unwrap());
    run("tar", ["-xpf", archive, "-C", to]).unwrap();
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_same_programs_give_the_same_images_and_lists() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["foghorn-agent", "foghorn-etcd"];
    for turn in ["one", "two"] {
        make(&folder.path().join(turn), &names);
    }
    for name in names {
        for file in [format!("{name}.tar"), format!("{name}.cdx.json")] {
            let read = |turn: &str| fs::read(folder.path().join(turn).join(&file)).unwrap();
            assert!(read("one") == read("two"), "{file} differs");
        }
    }
    let list = json(&folder.path().join("one/foghorn-etcd.cdx.json"));
    let has = |name: &str| {
        let components = list["components"].as_array().unwrap();
        components.iter().any(|component| component["name"] == name)
    };
    // A file, and the packages of Debian that it and its library came with.
    for name in ["/usr/bin/etcd", "etcd-server", "etcd-client", "libc6"] {
        assert!(has(name), "{name}: {list}");
    }
}

#[test]
fn an_image_has_what_its_programs_need_and_no_shell() {
    if !may_make_loop_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), &["foghorn"]);
    let image = Unpacked::new(&folder.path().join("foghorn.tar"), &folder.path().join("x"));
    for program in ["foghorn", "foghorn-client"] {
        let version = image.run(&format!("/usr/bin/{program}"));
        assert!(version.starts_with(&format!("{program} ")), "{version}");
    }
    let names = image.names();
    for missing in ["bin/sh", "usr/bin/sh", "usr/bin/env"] {
        assert!(!names.contains(missing), "{missing}");
    }
    for present in [
        "etc/passwd",
        "etc/nsswitch.conf",
        "usr/share/doc/foghorn/third-party-licences.gz",
        "usr/share/doc/libc6/copyright",
    ] {
        assert!(names.contains(present), "{present}: {names:?}");
    }
    let mode = |path: &str| {
        let path = image.files.join(path);
        run("stat", ["--format", "%u %a %Y", path.to_str().unwrap()]).unwrap()
    };
    assert_eq!(mode("tmp").trim(), "0 1777 0");
    assert_eq!(mode("var/lib/foghorn").trim(), "65532 700 0");

    let config = image.config();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"][0], "/usr/bin/foghorn");
    let label =
        |name: &str| config["config"]["Labels"][format!("org.opencontainers.image.{name}")].clone();
    assert_eq!(label("title"), "foghorn");
    assert_eq!(label("version"), "1.2");
    assert_eq!(label("revision"), "abc");
    assert_eq!(label("licenses"), "Apache-2.0 OR MIT");
}
