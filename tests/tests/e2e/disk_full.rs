//! Disks that are full, on either side: a small tmpfs in a mount namespace of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use foghorn_tests::tools::{find, foghorn};

const MAC_A: &str = "52:54:00:00:04:0a";
const MAC_B: &str = "52:54:00:00:04:0b";

/// `script` with a tmpfs of `mib` MiB on `folder`, seen by nobody else and gone with the process.
fn on_small_disk(folder: &Path, mib: u64, script: &str) -> Result<Command> {
    std::fs::create_dir_all(folder)?;
    let mut command = Command::new(find("unshare")?);
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    command
        .arg(format!(
            "mount -t tmpfs -o size={mib}m tmpfs '{}' && {script}",
            folder.display()
        ))
        .arg("sh");
    Ok(command)
}

#[test]
fn the_target_disk_is_full() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        96 * MIB,
        512,
        &[(Kind::Raw, 90)],
        51,
    )
    .unwrap();
    let (_, image) = stack.capture("golden", MAC_A, &golden.path).unwrap();
    let host = stack.create_host("target", MAC_B).unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 1).unwrap();
    let small = stack.folder().join("small");
    let target = small.join("disk");
    let script = format!("truncate -s 96M '{}' && exec \"$@\"", target.display());
    let mut command = on_small_disk(&small, 16, &script).unwrap();
    let inner = stack.client_command(host, MAC_B, &target).unwrap();
    command.arg(inner.get_program()).args(inner.get_args());
    let mut client = Process::start(stack.folder(), "deploy", &mut command).unwrap();
    let status = client.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1), "{}", client.log());
    let ended = stack.wait_task(task).unwrap();
    assert_eq!(ended["state"], "failed", "{ended}");
    assert!(
        ended["reason"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("space"),
        "{ended}"
    );
}

#[test]
fn the_storage_node_is_full() {
    fn scenario() -> Result<()> {
        let mut stack = Stack::controller_only(Engine::Embedded, &Options::default())?;
        let state = stack.folder().join("agent-defaultmember");
        let wrap = on_small_disk(&state, 40, "exec \"$@\"")?;
        let words: Vec<String> = std::iter::once(wrap.get_program())
            .chain(wrap.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        ensure!(foghorn("foghorn-agent")?.is_file());
        stack.add_agent_wrapped("defaultmember", words, "[limits]\nkeep_free_mib = 4")?;
        let small = disks::make_gpt(
            &stack.folder().join("small"),
            16 * MIB,
            512,
            &[(Kind::Raw, 4)],
            53,
        )?;
        let (_, small_image) = stack.capture("small", MAC_B, &small.path)?;
        let golden = disks::make_gpt(
            &stack.folder().join("golden"),
            200 * MIB,
            512,
            &[(Kind::Raw, 190)],
            52,
        )?;
        let (host, image) = (
            stack.create_host("golden", MAC_A)?,
            stack.create_image("image")?,
        );
        stack.assign(host, image)?;
        let task = stack.order(host, 2)?;
        let mut client = stack.start_client("capture", host, MAC_A, &golden.path)?;
        let status = client.wait(PATIENCE)?;
        ensure!(
            status.code() == Some(1),
            "the client ended with {status}:\n{}",
            client.log()
        );
        let ended = stack.wait_task(task)?;
        ensure!(ended["state"] == "failed", "{ended}");
        let reason = ended["reason"].as_str().unwrap_or_default().to_lowercase();
        ensure!(
            reason.contains("space") || reason.contains("full"),
            "{ended}"
        );
        let content = stack
            .rest
            .get(&format!("/foghorn/v1/images/{image}"))?
            .ok()?;
        ensure!(
            content["content"].is_null(),
            "half an image was recorded: {content}"
        );

        // The node still serves what it has.
        let target = stack.folder().join("target");
        disks::blank(&target, 16 * MIB)?;
        stack.deploy("target", "52:54:00:00:04:0c", small_image, &target)?;
        ensure!(
            disks::hash_files(&target, &small.partitions)?
                == disks::hash_files(&small.path, &small.partitions)?
        );
        Ok(())
    }
    scenario().unwrap();
}
