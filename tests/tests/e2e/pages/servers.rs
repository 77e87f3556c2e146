//! Pages that start servers: the quick start, and what follows it.

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::page::Page;
use foghorn_tests::process::until;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::find;
use serde_json::Value;

use super::site::Site;
use super::told::{shown, word};

/// The boot token that was printed is the one that the next client uses.
fn keep_token(site: &mut Site, printed: &str) -> Result<()> {
    let token = format!("fhb1.{}", word(printed, "fhb1.")?);
    site.means("fhb1.…", &token);
    Ok(())
}

/// The server of all pages, and the first machines.
pub(super) fn quick_start(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/quick-start.md")?;
    // The programs are those that the tests were compiled with.
    page.leave_out(&["make build", "export PATH"])?;
    let serve = site.fill(&page.take("foghorn serve")?);
    site.server.enter(&serve)?;
    let printed = site.server.wait_for("password:   ")?;
    for (name, start) in [
        ("FINGERPRINT", "--ca-fingerprint "),
        ("API_TOKEN", "API token:  "),
        ("USER_TOKEN", "user token: "),
    ] {
        site.means(name, word(&printed, start)?);
    }
    site.log_in(&page.take("foghorn login")?)?;
    until("the storage node", PATIENCE, || {
        let nodes = shown(site, "foghorn node list")?;
        Ok(nodes.to_string().contains("\"online\":true").then_some(()))
    })?;
    site.run_until(&mut page, "foghorn host boot-token")?;

    let disk = site.folder().join("golden");
    let golden = disks::make_gpt(&disk, 24 * MIB, 512, &[(Kind::Ext4, 16)], 12)?;
    let printed = site.run(&page.take("foghorn host boot-token")?)?;
    keep_token(site, &printed)?;
    site.means("/dev/sda", &disk.display().to_string());
    let client = page.take("foghorn-client run")?;
    site.run(&client)?;

    site.run_until(&mut page, "foghorn host boot-token")?;
    let printed = site.run(&page.take("foghorn host boot-token")?)?;
    keep_token(site, &printed)?;
    let tasks = shown(site, "foghorn task list --active")?;
    let task = tasks[0]["id"].to_string();
    site.means("wait ID", &format!("wait {}", task.trim_matches('"')));
    let other = site.folder().join("pc-1");
    disks::blank(&other, 24 * MIB)?;
    // "Run the client as above, with its own MAC address and token."
    let mac = "52:54:00:00:00:11";
    site.means("/dev/sda", &other.display().to_string());
    let client = client.replace("52:54:00:00:00:01", mac);
    let mut on_machine = site.terminal("pc-1-terminal")?;
    on_machine.enter(&site.fill(&client))?;
    site.run(&page.take("foghorn task wait")?)?;
    on_machine.ended()?;
    ensure!(disks::same(&golden.path, &other)?);
    // `several_servers` goes on here.
    page.take("foghorn-controller run").map(drop)
}

pub(super) fn readme(site: &mut Site) -> Result<()> {
    let mut page = Page::read("README.md")?;
    // What continuous integration does; the server is that of the quick start.
    page.leave_out(&[
        "make demo",
        "make test",
        "make build",
        "export PATH",
        "foghorn serve",
    ])?;
    site.log_in(&page.take("foghorn login")?)?;
    site.run("foghorn host delete pc-1 --yes")?;
    site.run_until(&mut page, "foghorn host boot-token")?;
    let printed = site.run(&page.take("foghorn host boot-token")?)?;
    keep_token(site, &printed)?;
    let disk = site.folder().join("golden").display().to_string();
    site.means("/dev/nvme0n1", &disk);
    site.run_rest(page)
}

/// New credentials for a server that is stopped.
pub(super) fn lost_credentials(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/README.md")?;
    page.take_until("foghorn serve")?;
    site.server.interrupt()?;
    site.means("--state-dir DIR", "--state-dir /var/lib/foghorn");
    let printed = site.run(&page.take("foghorn serve")?)?;
    let token = word(&printed, "user token: ")?;
    ensure!(token != site.fill("USER_TOKEN"), "{printed}");
    Ok(())
}

/// The server of `reverse-proxy.md`; its nginx is run by a test of the controller.
pub(super) fn behind_a_proxy(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/reverse-proxy.md")?;
    let serve = page.take("foghorn serve")?;
    page.end()?;
    let mut other = site.terminal("behind-a-proxy")?;
    other.enter(&serve)?;
    other.wait_for("password:   ")?;
    other.interrupt()
}

/// The last part of the quick start: etcd, a controller and an agent, as services of their own.
pub(super) fn several_servers(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/quick-start.md")?;
    page.take_until("foghorn-controller run")?;
    site.run("rm -rf /var/lib/foghorn")?;
    let config = page.text("toml")?.to_owned();
    site.write("controller.toml", &config)?;
    let etcd = site.start(
        "etcd",
        &find("etcd")?,
        &["--log-level", "warn", "--data-dir", "/srv/etcd"],
    )?;
    let mut controller = site.terminal("controller")?;
    controller.enter(&page.take("foghorn-controller run")?)?;
    let printed = controller.wait_for("\n}")?;
    let start = printed.find('{').context("no JSON")?;
    let first = serde_json::Deserializer::from_str(&printed[start..]).into_iter::<Value>();
    let first = first.flatten().next().context("no JSON")?;
    for (word, name) in [("API_TOKEN", "api_token"), ("USER_TOKEN", "user_token")] {
        site.means(word, first[name].as_str().context("no token")?);
    }
    site.log_in(&page.take("foghorn login")?)?;
    let printed = site.run(&page.take("foghorn node join-token")?)?;
    let token = format!("fhj1.{}", word(&printed, "fhj1.")?);
    site.means("fhj1.…", &token);
    let mut agent = site.terminal("agent")?;
    agent.enter(&site.fill(&page.take("foghorn-agent run")?))?;
    page.end()?;
    until("the storage node", PATIENCE, || {
        let nodes = shown(site, "foghorn node list")?;
        Ok(nodes.to_string().contains("\"online\":true").then_some(()))
    })?;
    agent.interrupt()?;
    controller.interrupt()?;

    let mut page = Page::read("docs/operations/README.md")?;
    page.take_until("foghorn-controller reset-admin")?;
    site.means("--config FILE", "--config controller.toml");
    let printed = site.run(&page.take("foghorn-controller reset-admin")?)?;
    ensure!(printed.contains("user_token"), "{printed}");
    drop(etcd);
    Ok(())
}
