//! What the command-line client of a FoundriesFactory, the tool that registers devices and the daemon on
//! them send, byte for byte, and whether they can read the answers. See `tests/python/factory_walk.py`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::process::Process;
use foghorn_tests::stack::Engine;
use foghorn_tests::tools::{foghorn, python};

use super::installation;

const MAC: &str = "52:54:00:0f:10:11";
/// Some hundred small requests, and a few check-ins.
const WITHIN: Duration = Duration::from_secs(240);

#[test]
fn every_request_of_the_real_clients_is_understood_and_answered_so_that_they_understand_it()
-> Result<()> {
    let (stack, operator) = installation(Engine::Embedded)?;
    let parts = [(Kind::Raw, 4)];
    let golden = stack.folder().join("golden");
    let golden = disks::make_gpt(&golden, 16 * MIB, 512, &parts, 12)?;
    stack.capture("golden", MAC, &golden.path)?;
    let authority = stack.folder().join("ca.pem");
    fs::write(&authority, &stack.rest.ca_pem)?;
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut walk = Command::new(python("python")?);
    walk.arg(programs.join("factory_walk.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("FOGHORN_URL", &stack.rest.url)
        .env("FOGHORN_CA", authority)
        .env("FOGHORN_HOST", foghorn("foghorn-host")?)
        .env("FACTORY", &operator.factory)
        .env("FACTORY_TOKEN", &operator.token)
        .env("FACTORY_IMAGE", "golden-image")
        .env("FACTORY_FOLDER", stack.folder().join("device"));
    let mut walk = Process::start(stack.folder(), "walk", &mut walk)?;
    let ended = walk.wait(WITHIN)?;
    ensure!(ended.success(), "{ended}:\n{}", walk.log());
    let said = walk.log();
    ensure!(
        said.contains("walked to the end"),
        "it ended early:\n{said}"
    );
    Ok(())
}
