//! Pages about the daily work, on the server of the quick start.

use std::fs;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::page::Page;
use foghorn_tests::process::until;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::run;
use serde_json::json;

use super::site::{ADDRESS, Site};
use super::told::{ended_well, machine, shown, word};

pub(super) fn host_lists(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/host-lists.md")?;
    let list = page.text("text")?.to_owned();
    site.run(&page.take("foghorn host export hosts.csv")?)?;
    let exported = fs::read_to_string(site.folder().join("hosts.csv"))?;
    ensure!(
        exported.starts_with("name,macs,") && exported.contains("golden"),
        "{exported}"
    );
    // The example of the page is imported.
    site.write("hosts.csv", &list)?;
    site.write(
        "fog-export.csv",
        "\"primac\",\"name\",\"description\",\"imageID\",\"associations\"\n\
         \"00:1a:2b:3c:4d:31\",\"fog-pc01\",\"\",\"4\",\"groups:attic\"\n",
    )?;
    site.run("foghorn image create win11")?;
    site.run("foghorn group create lab")?;
    site.run("foghorn group create first-floor")?;
    site.run_rest(page)?;
    let hosts = shown(site, "foghorn host list")?.to_string();
    for name in ["lab-pc01", "lab-pc02", "fog-pc01"] {
        ensure!(hosts.contains(name), "{hosts}");
    }
    Ok(())
}

pub(super) fn snapins(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/snapins.md")?;
    site.write("7z2409-x64.msi", "the older one")?;
    site.write("7z2410-x64.msi", "the newer one")?;
    site.run_until(&mut page, "foghorn snapin upload")?;
    site.run("foghorn task cancel --group lab --yes")?;
    site.run_rest(page)?;
    let copy = fs::read_to_string(site.folder().join("copy.msi"))?;
    ensure!(copy == "the newer one", "{copy}");
    Ok(())
}

/// Logging in, and schedules.
pub(super) fn command_line(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/cli.md")?;
    site.log_in(&page.take("foghorn login")?)?;
    let curl = format!("curl -fsk https://{ADDRESS}:8443/foghorn/v1/ca -o ca.pem");
    site.run(&curl)?;
    let ca = fs::read_to_string(site.folder().join("ca.pem"))?;
    let first = json!({ "url": format!("https://{ADDRESS}:8443"), "ca_pem": ca,
        "api_token": site.fill("API_TOKEN"), "user_token": site.fill("USER_TOKEN") });
    site.write("first-run.json", &first.to_string())?;
    site.run(&page.take("foghorn login --first-run-file")?)?;
    let printf = page.take("printf")?;
    site.run(&printf.replace('$', ""))?;
    site.run_until(&mut page, "foghorn schedule create night")?;

    site.run("foghorn host create golden-pc --mac 52:54:00:00:00:02")?;
    site.run("foghorn group create lab-2 --host fog-pc01")?;
    site.run("foghorn host edit golden-pc --image win11")?;
    let tomorrow = run("date", ["--date", "tomorrow", "+%Y-%m-%d"])?;
    site.means("2026-12-01", tomorrow.trim());
    site.run_rest(page)?;
    for schedule in ["night", "golden", "7zip"] {
        site.run(&format!("foghorn schedule delete {schedule} --yes"))?;
    }
    Ok(())
}

/// Join tokens for many nodes.
pub(super) fn joining(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/joining.md")?;
    site.run("foghorn storage-group create north")?;
    let printed = site.run(&page.take("foghorn node join-token --for-many")?)?;
    ensure!(printed.contains("fhm1."), "{printed}");
    let listed = site.run(&page.take("foghorn node join-tokens list")?)?;
    ensure!(listed.contains("20 of 20"), "{listed}");
    site.run_rest(page)?;
    site.run("foghorn storage-group delete north --yes")
        .map(drop)
}

pub(super) fn notifications(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/notifications.md")?;
    let password = site.write("mail-password", "secret\n")?;
    site.means("/root/mail-password", &password.display().to_string());
    site.run_until(&mut page, "foghorn notify test")?;
    // Nobody is there who takes it, and it says so.
    let test = page.take("foghorn notify test")?;
    let (status, said) = site.person.try_run(&test, &[])?;
    ensure!(status == 1 && said.contains("pager"), "{status}: {said}");
    site.run_until(&mut page, "key=")?;
    // How a receiver checks a message: run by a test of the controller, on a real message.
    page.leave_out(&["key=", "own=", "[ \"$own\""])?;
    page.end()?;
    for name in ["pager", "room", "anna@example.org"] {
        site.run(&format!("foghorn notify delete {name} --yes"))?;
    }
    Ok(())
}

/// Captures the image of the pages from the host `golden-pc`.
fn capture_win11(site: &mut Site) -> Result<()> {
    let order = "foghorn image capture win11 --host golden-pc --print-command --code --yes";
    let printed = site.run(order)?;
    let code = word(&printed, "\nfh boot ")?.to_owned();
    let disk = site.folder().join("golden-pc");
    if disk.exists() {
        // Something new.
        disks::make_gpt(&disk, 24 * MIB, 512, &[(Kind::Ext4, 8)], 13)?;
    } else {
        fs::copy(site.folder().join("golden"), &disk)?;
    }
    ended_well(machine(site, "golden-pc", "52:54:00:00:00:02", &code)?)
}

/// Versions of images.
pub(super) fn versions(site: &mut Site) -> Result<()> {
    for _ in 0..3 {
        capture_win11(site)?;
    }
    let mut page = Page::read("docs/operations/README.md")?;
    // `lost_credentials` and `several_servers` run these: nothing may use the store then.
    page.leave_out(&["foghorn-controller reset-admin", "foghorn serve"])?;
    site.run_rest(page)?;
    site.run("foghorn task cancel --group lab --yes").map(drop)
}

pub(super) fn multicast(site: &mut Site) -> Result<()> {
    let mut page = Page::read("docs/operations/multicast.md")?;
    let deploy = site.fill(&page.take("foghorn image deploy")?);
    let mut waits = site.terminal("waits")?;
    let (mut machines, mut codes) = (Vec::new(), String::new());
    waits.enter(&deploy)?;
    waits.wait_for("[y/N]")?;
    waits.enter("y")?;
    until("the order", PATIENCE, || {
        let command = "foghorn host boot-token --group lab --code";
        let (status, printed) = site.person.try_run(command, &[])?;
        codes = printed;
        Ok((status == 0).then_some(()))
    })?;
    let code = codes.trim_end().lines().rev().find(|line| line.len() == 7);
    let code = code.with_context(|| codes.clone())?;
    for (name, mac) in [
        ("lab-pc01", "00:1a:2b:3c:4d:01"),
        ("lab-pc02", "00:1a:2b:3c:4d:02"),
    ] {
        machines.push(machine(site, name, mac, code)?);
    }
    let sessions = shown(site, "foghorn session list --all")?;
    let id = sessions.pointer("/sessions/0/session");
    let id = id.with_context(|| sessions.to_string())?;
    site.means("watch 7", &format!("watch {id}"));
    site.run_rest(page)?;
    machines.into_iter().try_for_each(ended_well)?;
    waits.ended()
}
