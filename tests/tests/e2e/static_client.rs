//! The client that machines download runs where there is nothing else: in a folder with busybox and
//! no library, as in an initramfs. As the other tests of namespaces, this needs root.

use std::fs;
use std::path::Path;
use std::process::Command;

use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, PATIENCE, Stack};
use foghorn_tests::tools::{find, foghorn, run, static_client};

use crate::block_devices::may_make_loop_devices;

const MAC: &str = "52:54:00:00:5c:01";

/// What an initramfs mounts before it starts anything.
const START: &str = "mount -t proc proc $0/proc && mount -t sysfs sysfs $0/sys && mount --rbind /dev $0/dev && \
                     exec chroot $0 \"$@\"";

/// A root with nothing but busybox and the client.
fn root(folder: &Path) {
    for mount in ["proc", "sys", "dev", "bin"] {
        fs::create_dir_all(folder.join(mount)).unwrap();
    }
    fs::copy(find("busybox").unwrap(), folder.join("bin/busybox")).unwrap();
    fs::copy(static_client().unwrap(), folder.join("foghorn-client")).unwrap();
}

/// What can be armed does not exist in a release build; `crates/faults` says how.
#[test]
fn a_release_build_cannot_be_made_to_fail() {
    let can = |program: &Path| {
        let bytes = fs::read(program).unwrap();
        let name = b"FOGHORN_FAULTS";
        bytes.windows(name.len()).any(|window| window == name)
    };
    assert!(can(&foghorn("foghorn-client").unwrap()));
    assert!(!can(&static_client().unwrap()));
}

#[test]
fn the_client_captures_with_nothing_but_busybox_around_it() {
    if !may_make_loop_devices() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("root");
    root(&place);
    let chroot = place.to_str().unwrap();
    let version = run(
        "chroot",
        [
            chroot,
            "/bin/busybox",
            "sh",
            "-c",
            "/foghorn-client --version",
        ],
    );
    assert_eq!(
        version.unwrap().trim(),
        format!("foghorn-client {}", env!("CARGO_PKG_VERSION"))
    );

    let stack = Stack::start(Engine::Embedded).unwrap();
    let made = disks::make_gpt(&place.join("disk"), 64 * MIB, 512, &[(Kind::Ext4, 32)], 5).unwrap();
    fs::rename(&made.path, place.join("disk.img")).unwrap();
    let host = stack.create_host("bare", MAC).unwrap();
    let image = stack.create_image("bare").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 2).unwrap();
    let token = stack.boot_token(host).unwrap();
    let mut client = Command::new("unshare");
    client
        .args(["--mount", "sh", "-c", START, chroot])
        .args(["/foghorn-client", "run", "--mac", MAC, "--token", &token])
        .args(["--controller", &stack.rest.url, "--disk", "/disk.img"]);
    let mut client = Process::start(stack.folder(), "bare-client", &mut client).unwrap();
    let status = client.wait(PATIENCE).unwrap();
    assert!(status.success(), "{status}: {}", client.log());
    let ended = stack.wait_task(task).unwrap();
    assert_eq!(ended["state"], "complete", "{ended}");
}
