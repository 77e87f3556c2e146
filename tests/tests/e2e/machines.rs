//! A machine after imaging, with the real host service: it enrols with a token and fetches its configuration.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use foghorn_test_ports::free_port;
use foghorn_tests::stack::{Engine, Options, Stack};
use foghorn_tests::tools::foghorn;
use serde_json::json;

const TOKENS: &str = "/foghorn/v1/host-tokens";

/// What the service prints; an error shows what it says.
fn service(arguments: &[&str]) -> Result<String> {
    let output = Command::new(foghorn("foghorn-host")?)
        .args(arguments)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn token(stack: &Stack, host: u32) -> Result<String> {
    let made = stack.rest.post(TOKENS, &json!({"host": host}))?.ok()?;
    Ok(made["token"].as_str().unwrap_or_default().to_owned())
}

/// Enrols a machine whose files are in this folder.
fn enrol(stack: &Stack, folder: &Path, token: &str) -> Result<String> {
    let file = folder.join("token");
    std::fs::write(&file, token)?;
    let (file, dir) = (file.display().to_string(), sota(folder));
    let server = stack.rest.url.as_str();
    let (file, dir) = (file.as_str(), dir.as_str());
    service(&[
        "enrol",
        "--server",
        server,
        "--token-file",
        file,
        "--dir",
        dir,
    ])
}

fn check_in(folder: &Path) -> Result<String> {
    let settings = format!("{}/sota.toml", sota(folder));
    let secrets = folder.join("secrets").display().to_string();
    // Its work would give this machine the name of its host, and more.
    let verb = ["check-in", "--no-work"];
    let places = ["--config", &settings, "--secrets-dir", &secrets];
    service(&[verb.as_slice(), places.as_slice()].concat())
}

fn sota(folder: &Path) -> String {
    folder.join("sota").display().to_string()
}

#[test]
fn a_machine_enrols_checks_in_and_gives_way_to_the_one_in_its_place() {
    let gateway = free_port().unwrap();
    let options = Options {
        controller: format!("dialects = {{ foundries = {{ gateway = '127.0.0.1:{gateway}' }} }}"),
        ..Options::default()
    };
    let stack = Stack::controller_only(Engine::Embedded, &options).unwrap();
    let host = stack.create_host("pc1", "52:54:00:00:00:01").unwrap();
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = token(&stack, host).unwrap();
    let said = enrol(&stack, old.path(), &first).unwrap();
    assert!(said.contains("this machine is device "), "{said}");
    let said = check_in(old.path()).unwrap();
    assert!(
        said.contains("there is no config for this machine"),
        "{said}"
    );

    let refused = enrol(&stack, new.path(), &first).unwrap_err().to_string();
    assert!(refused.contains("as many machines as it may"), "{refused}");
    let second = token(&stack, host).unwrap();
    enrol(&stack, new.path(), &second).unwrap();
    check_in(new.path()).unwrap();
    let refused = check_in(old.path()).unwrap_err().to_string();
    assert!(refused.contains("is known with another key"), "{refused}");
    let tokens = stack.rest.get(TOKENS).unwrap().ok().unwrap();
    let tokens = tokens["tokens"].as_array().unwrap();
    assert!(tokens.iter().all(|token| token["left"] == 0));
}
