//! Cold copies: images in a bucket of a real S3 server, taken off the disk of their node, deployed
//! from there, brought back to an empty node, deleted; with everything going wrong on the way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::page::Page;
use foghorn_tests::process::until;
use foghorn_tests::s3::{Fault, S3, SECRET, size_of};
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::{Value, json};

const MAC_A: &str = "52:54:00:00:0d:0a";
const MAC_B: &str = "52:54:00:00:0d:0b";
const MAC_C: &str = "52:54:00:00:0d:0c";
/// What a fault happens to.
const PACK_GET: &str = "GET /foghorn-images/defaultmember/packs/";

fn golden(stack: &Stack, name: &str, seed: u64) -> Result<disks::Disk> {
    let path = stack.folder().join(name);
    disks::make_gpt(&path, 64 * MIB, 512, &[(Kind::Raw, 60)], seed)
}

/// With a cache for two packs, and nothing else of what is in the bucket on the disk.
fn with_bucket(s3: &S3) -> Result<Stack> {
    let options = Options {
        agent: format!("[upkeep]\ngrace_seconds = 1\n{}", s3.section(48, 0)),
        ..Options::default()
    };
    Stack::start_with(Engine::Embedded, &options)
}

fn node(stack: &Stack) -> Result<Value> {
    stack.rest.get("/foghorn/v1/nodes/1")?.ok()
}

fn wait_node(stack: &Stack, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, PATIENCE, || {
        let node = node(stack)?;
        Ok(is_so(&node).then_some(node))
    })
}

/// Waits until everything is in the bucket, and only there.
fn wait_away(stack: &Stack, images: usize) -> Result<()> {
    let packs = packs_of(stack);
    wait_node(stack, "cold copies that are complete", |node| {
        let found = node["cold"]["images"].as_array();
        let is_away = |image: &Value| image["complete"] == true && image["away"] == true;
        found.is_some_and(|found| found.len() == images && found.iter().all(is_away))
    })?;
    until("the chunks to leave the disk", PATIENCE, || {
        Ok((size_of(&packs)? < MIB).then_some(()))
    })
}

fn packs_of(stack: &Stack) -> PathBuf {
    stack.agents[0].state.join("chunks/packs")
}

fn cache_of(stack: &Stack) -> PathBuf {
    stack.agents[0].state.join("cold/packs")
}

/// Somebody cleans the folder: the node fetches what it needs again.
fn empty_cache(stack: &Stack) -> Result<()> {
    for file in disks::files(&cache_of(stack))? {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn foghorn(stack: &Stack, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(foghorn_tests::tools::foghorn("foghorn")?);
    let output = command
        .envs(stack.cli_environment()?)
        .args(arguments)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text + &String::from_utf8_lossy(&output.stderr))
}

/// Deploys and compares every partition.
fn deploys(stack: &Stack, name: &str, mac: &str, image: u32, disk: &disks::Disk) -> Result<()> {
    let target = stack.folder().join(name);
    disks::blank(&target, 64 * MIB)?;
    stack.deploy(name, mac, image, &target)?;
    same(&target, disk)
}

fn same(target: &Path, disk: &disks::Disk) -> Result<()> {
    let (found, expected) = (
        disks::hash_files(target, &disk.partitions)?,
        disks::hash_files(&disk.path, &disk.partitions)?,
    );
    ensure!(found == expected, "the deployed disk is another");
    Ok(())
}

#[test]
fn an_image_lives_in_a_bucket_and_survives_its_node() {
    live_in_a_bucket().unwrap();
}

fn live_in_a_bucket() -> Result<()> {
    let s3 = S3::start()?;
    let mut stack = with_bucket(&s3)?;
    let disk = golden(&stack, "golden", 61)?;
    let (_, image) = stack.capture("golden", MAC_A, &disk.path)?;
    wait_away(&stack, 1)?;
    ensure!(s3.objects("defaultmember/packs/")?.len() >= 2);
    ensure!(s3.objects("defaultmember/images/")?.len() == 1);

    // Read through the cache, which keeps to its limit.
    deploys(&stack, "first", MAC_B, image, &disk)?;
    let cached = size_of(&cache_of(&stack))?;
    ensure!(
        cached > 0 && cached <= 48 * MIB,
        "{cached} bytes are cached"
    );
    let packs = s3.objects("defaultmember/packs/")?;
    ensure!(s3.count("PUT /foghorn-images/defaultmember/packs/") == packs.len());

    // The same disk again needs no further pack.
    let (_, twin) = stack.capture("twin", MAC_A.replace("0a", "1a").as_str(), &disk.path)?;
    wait_away(&stack, 2)?;
    ensure!(
        s3.objects("defaultmember/packs/")? == packs,
        "equal chunks were stored twice"
    );

    // What people see of it, and what nobody does.
    the_page_does_what_it_says(&stack)?;
    let shown = foghorn(&stack, &["node", "show", "1"])?;
    ensure!(shown.contains("bucket foghorn-images"), "{shown}");
    let status = foghorn(&stack, &["replication", "status"])?;
    ensure!(
        status.contains("in the bucket, read from there as needed"),
        "{status}"
    );
    let doctor = foghorn(&stack, &["doctor"])?;
    ensure!(
        doctor.contains("2 of 2 images in bucket foghorn-images"),
        "{doctor}"
    );
    for text in [
        &stack.agents[0].process.log(),
        &stack.controller.log(),
        &node(&stack)?.to_string(),
        &shown,
    ] {
        ensure!(
            !text.contains(SECRET) && !text.contains("test-key"),
            "{text}"
        );
    }
    verified_in_the_bucket(&stack, image)?;

    // The node loses its disk, but for its identity.
    stack.agents[0].process.kill()?;
    for folder in ["chunks", "cold"] {
        fs::remove_dir_all(stack.agents[0].state.join(folder))?;
    }
    stack.restart_agent(0)?;
    stack.wait_online("defaultmember")?;
    wait_node(&stack, "the images to be back", |node| {
        node["cold"]["complete"] == json!(2) && node["damaged"] == json!([])
    })?;
    deploys(&stack, "second", MAC_C, image, &disk)?;

    // Deleted by order, after its grace; what another image needs stays.
    stack
        .rest
        .delete(&format!("/fog/image/{twin}/delete"))?
        .ok()?;
    until("the object of the image to be deleted", PATIENCE, || {
        Ok((s3.objects("defaultmember/images/")?.len() == 1).then_some(()))
    })?;
    ensure!(s3.objects("defaultmember/packs/")? == packs);
    stack
        .rest
        .delete(&format!("/fog/image/{image}/delete"))?
        .ok()?;
    until("the packs to be deleted", PATIENCE, || {
        Ok(s3.objects("defaultmember/packs/")?.is_empty().then_some(()))
    })?;
    ensure!(s3.objects("")? == ["defaultmember/owner"]);
    Ok(())
}

/// The commands of the page, on the names of this test.
fn the_page_does_what_it_says(stack: &Stack) -> Result<()> {
    let mut page = Page::read("docs/operations/cold-copy.md")?;
    let key = stack.folder().join("bucket-key").display().to_string();
    for start in ["install -m 0600", "printf "] {
        let command = page.take(start)?.replace("/etc/foghorn/bucket-key", &key);
        foghorn_tests::tools::run("sh", ["-c", &command])?;
    }
    let text = fs::read_to_string(&key)?;
    ensure!(
        text.contains("access_key_id = KEY_ID\nsecret_access_key = SECRET_KEY\n"),
        "{text}"
    );
    page.leave_out(&["chown foghorn", "systemctl restart"])?;
    while let Some(command) = page.next_command() {
        let command = command
            .replace("north", "defaultmember")
            .replace("win11", "golden-image");
        let words: Vec<&str> = command.split_whitespace().collect();
        let (program, arguments) = words.split_first().context("a command")?;
        ensure!(*program == "foghorn", "{command}");
        let said = foghorn(stack, arguments)?;
        ensure!(!said.contains("error:"), "{command}: {said}");
    }
    let section = format!("state_dir = '/srv'\n{}", page.text("toml")?);
    let _: toml::Table = toml::from_str(&section)?;
    page.end()
}

/// Verifying an image reads all of it in the bucket.
fn verified_in_the_bucket(stack: &Stack, image: u32) -> Result<()> {
    let path = format!("/foghorn/v1/images/{image}/verify");
    let job = stack.rest.post(&path, &json!({}))?.ok()?["job"].clone();
    let done = until("the end of the check", PATIENCE, || {
        let status = stack.rest.get(&format!("/foghorn/v1/jobs/{job}"))?.ok()?;
        Ok((status["done"] == json!(true)).then_some(status))
    })?;
    ensure!(
        done["damaged"] == json!([]) && done["error"].is_null(),
        "{done}"
    );
    Ok(())
}

#[test]
fn whatever_the_bucket_does_no_disk_is_wrong_and_nothing_is_lost() {
    go_wrong().unwrap();
}

fn go_wrong() -> Result<()> {
    let s3 = S3::start()?;
    // Errors while it is brought there: it arrives all the same, whole.
    s3.let_happen(Fault::Status(500), "/packs/", 5);
    let mut stack = with_bucket(&s3)?;
    let disk = golden(&stack, "golden", 62)?;
    let (host, image) = stack.capture("golden", MAC_A, &disk.path)?;
    // A second node, which keeps everything on its disk.
    stack.add_agent("south", "")?;
    until("a copy on the other node", PATIENCE, || {
        let path = format!("/foghorn/v1/replication?image={image}");
        let list = stack.rest.get(&path)?.ok()?;
        let all = list["replicas"].as_array().context("a list")?;
        let ready = all.iter().filter(|one| one["state"] == "ready").count();
        Ok((ready == 2).then_some(()))
    })?;
    wait_away(&stack, 1)?;
    stack.agents[1].process.kill()?;

    // Answers that are altered, cut off, late, and failed: each deploy is right.
    for (number, fault) in [
        Fault::Flip,
        Fault::Cut,
        Fault::Status(503),
        Fault::Slow(std::time::Duration::from_millis(300)),
    ]
    .into_iter()
    .enumerate()
    {
        empty_cache(&stack)?;
        s3.let_happen(fault, PACK_GET, 2);
        let (name, mac) = (
            format!("target-{number}"),
            format!("52:54:00:00:0d:2{number}"),
        );
        deploys(&stack, &name, &mac, image, &disk).with_context(|| format!("{fault:?}"))?;
        ensure!(s3.left() == 0, "{fault:?} never happened");
    }

    // Refused credentials are said in words, and what is only there waits for them.
    empty_cache(&stack)?;
    s3.let_happen(Fault::Status(403), "/foghorn-images", usize::MAX);
    let is_refused = |node: &Value| {
        let problem = node["cold"]["problem"].as_str();
        problem.is_some_and(|text| text.contains("refuses the credentials from the file"))
    };
    wait_node(&stack, "the refusal", is_refused)?;
    let doctor = foghorn(&stack, &["doctor"])?;
    ensure!(doctor.contains("refuses the credentials"), "{doctor}");
    stack.assign(host, image)?;
    let task = stack.order(host, 1)?;
    until("the task to say what it waits for", PATIENCE, || {
        let status = stack.task(task)?.to_string();
        Ok(status
            .contains("in a bucket only, which cannot be used now")
            .then_some(()))
    })?;
    // Gone altogether, and back.
    s3.let_happen(Fault::Gone, "/", usize::MAX);
    wait_node(&stack, "the silence", |node| {
        let problem = node["cold"]["problem"].as_str();
        problem.is_some_and(|text| text.contains("does not answer as it should"))
    })?;
    s3.heal();
    let target = stack.folder().join("waited");
    disks::blank(&target, 64 * MIB)?;
    let mut client = stack.start_client("client-waited", host, MAC_A, &target)?;
    ensure!(client.wait(PATIENCE)?.success(), "{}", client.log());
    same(&target, &disk)?;

    // A pack is damaged in the bucket for good: it comes from the other node, and is brought there
    // again.
    stack.restart_agent(1)?;
    stack.wait_online("south")?;
    let pack = s3.objects("defaultmember/packs/")?.into_iter().next();
    let pack = pack.context("a pack")?;
    s3.damage(&pack)?;
    empty_cache(&stack)?;
    let _ = s3.count("");
    let path = format!("/foghorn/v1/images/{image}/verify");
    stack.rest.post(&path, &json!({}))?.ok()?;
    until("the pack to be brought there again", PATIENCE, || {
        let healed = node(&stack)?["damaged"] == json!([]);
        let written = s3.count("PUT /foghorn-images/defaultmember/packs/") > 0;
        Ok((healed && written).then_some(()))
    })?;
    wait_away(&stack, 1)?;
    stack.agents[1].process.kill()?;
    deploys(&stack, "healed", "52:54:00:00:0d:31", image, &disk)
}
