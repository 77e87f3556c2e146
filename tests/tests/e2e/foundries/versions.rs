//! Versions of an image, the tag that they get, and devices that follow it.

use std::path::Path;

use anyhow::{Result, ensure};
use foghorn_tests::factory::Operator;
use foghorn_tests::stack::{PATIENCE, Stack};
use serde_json::{Value, json};

/// As [`Stack::capture`] calls the image, with its versions.
pub(super) const FIRST: &str = "golden-image-1";
pub(super) const SECOND: &str = "golden-image-2";
pub(super) const RING: &str = "lab";

pub(super) fn device(operator: &Operator, name: &str) -> Result<Value> {
    operator.get(&format!(
        "/ota/devices/{name}/?factory={}",
        operator.factory
    ))
}

/// Whether the only device that follows the tag runs this target, and whether that is the newest one.
pub(super) fn is_up_to_date(
    operator: &Operator,
    name: &str,
    target: &str,
    expected: bool,
) -> Result<()> {
    let device = device(operator, name)?;
    ensure!(device["target-name"] == target, "{device}");
    ensure!(device["up-to-date"] == expected, "{device}");
    let listed = operator.get(&format!("/ota/devices/?match_tag={RING}"))?;
    ensure!(listed["total"] == 1, "{listed}");
    ensure!(listed["devices"][0]["up-to-date"] == expected, "{listed}");
    Ok(())
}

pub(super) fn target(operator: &Operator, name: &str) -> Result<Value> {
    operator.get(&operator.at(&format!("targets/{name}")))
}

pub(super) fn tag(operator: &Operator, name: &str) -> Result<()> {
    let change = json!({"targets": {name: {"custom": {"tags": [RING]}}}});
    let job = operator.call("PATCH", &operator.at("targets/"), &change)?;
    let url = job["jobserv-url"].as_str().unwrap_or_default();
    ensure!(url.ends_with('/'), "{job}");
    let tagged = target(operator, name)?;
    ensure!(tagged["custom"]["tags"] == json!([RING]), "{tagged}");
    Ok(())
}

/// Captures the disk of a host, which has this address, into its image once more.
pub(super) fn capture_again(stack: &Stack, (host, mac): (u32, &str), disk: &Path) -> Result<()> {
    let task = stack.order(host, 2)?;
    let mut client = stack.start_client("recapture", host, mac, disk)?;
    let ended = client.wait(PATIENCE)?;
    ensure!(ended.success(), "{ended}\n{}", client.log());
    let done = stack.wait_task(task)?;
    ensure!(done["state"] == "complete", "{done}");
    Ok(())
}
