//! A newcomer: an empty Debian, the packages, and the page "A room of thirty by hand" becomes three
//! machines that are imaged, in a network of namespaces. What is typed on the server is what the
//! page says, line by line; what is typed at the machines is what the server prints. Both are
//! counted, and the terminals are kept in `target/newcomer/` for people.

mod install;
mod machine;

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use foghorn_tests::debian::{Debian, Sight};
use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::page::Page;
use foghorn_tests::process::until;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::terminal::Terminal;
use foghorn_tests::tools::{find, for_people};

use crate::block_devices::may_make_loop_devices;
use crate::packages;
use machine::Machine;

const PAGE: &str = "docs/operations/a-room-by-hand.md";
const LAB: &str = "newcomer";
/// More is too much for a newcomer.
const MOST_COMMANDS: usize = 12;
const MOST_CHARACTERS: usize = 40;
/// The first commands, which are those of `install.md` as well.
const INSTALLING: usize = 2;
/// The machine that is captured, as the page has it.
const GOLDEN: (&str, &str) = ("golden", "52:54:00:00:00:01");
/// The address of the server in the page.
const IN_THE_PAGE: &str = "10.23.0.1";

/// The server, and the person at its terminal.
struct Server {
    terminal: Terminal,
    debian: Debian,
    commands: Vec<String>,
}

impl Server {
    /// Types one line of the page, when its time has come. What it prints for the machines.
    fn follow(&mut self, line: &str) -> Result<Option<String>> {
        self.commands.push(line.to_owned());
        let printed = if line.starts_with("foghorn image deploy") {
            self.terminal.run_and_answer(line, &[("[y/N]", "y")])?
        } else {
            if line.starts_with("foghorn login") {
                self.wait_until_started()?;
            }
            self.terminal.run(line)?
        };
        let for_machines = printed.lines().rfind(|line| line.starts_with("fh boot "));
        Ok(for_machines.map(str::to_owned))
    }

    /// A person takes longer than the server does.
    fn wait_until_started(&self) -> Result<()> {
        until("the server", PATIENCE, || {
            let asked = self
                .debian
                .in_network(&find("curl")?)
                .args(["-fsk", "https://127.0.0.1:8443/readyz"])
                .output()?;
            Ok(asked.status.success().then_some(()))
        })
    }
}

/// Names and MAC addresses of a list of hosts.
fn room(csv: &str) -> Vec<(&str, &str)> {
    let rows = csv.lines().skip(1).filter_map(|line| {
        let mut fields = line.split(',');
        Some((fields.next()?, fields.next()?))
    });
    rows.collect()
}

/// The machine that is captured, and the room.
fn start_machines(lab: &Lab, folder: &Path, csv: &str) -> Result<Vec<Machine>> {
    let stick = folder.join("stick");
    let all = std::iter::once(GOLDEN).chain(room(csv));
    let machines = all.enumerate().map(|(number, (name, mac))| {
        let disk = folder.join(name);
        if number == 0 {
            disks::make_gpt(&disk, 64 * MIB, 512, &[(Kind::Ext4, 40)], 114)?;
        } else {
            disks::blank(&disk, 64 * MIB)?;
        }
        Machine::start(lab, number + 1, (name, mac), (&stick, &disk))
    });
    machines.collect()
}

fn start_server(folder: &Path, lab: &Lab) -> Result<Server> {
    let sight = Sight {
        shared: &folder.join("packages"),
        folders: &[(&folder.join("stick"), "/mnt/stick")],
        network: Some(&lab.server_namespace()),
    };
    let debian = Debian::boot_with(LAB, folder, &sight)?;
    // Bars that are drawn over lines are not for people who read them later.
    let plain = "echo 'Binary::apt::DPkg::Progress-Fancy \"0\";' > /etc/apt/apt.conf.d/99plain";
    debian.run(&["sh", "-c", plain])?;
    let terminal = Terminal::open(folder, "server", &debian.shell("/shared"), PATIENCE)?;
    Ok(Server {
        terminal,
        debian,
        commands: Vec::new(),
    })
}

/// Follows the page; gives the seconds that it took.
fn follow(mut page: Page, server: &mut Server, machines: &mut [Machine]) -> Result<f64> {
    let start = Instant::now();
    let example = page.text("text")?.trim().to_owned();
    while let Some(line) = page.next_command() {
        let Some(typed) = server.follow(&line)? else {
            continue;
        };
        let shown = typed.replace(SERVER, IN_THE_PAGE);
        ensure!(
            shown.len() == example.len() && shown.ends_with(&example[15..]),
            "the page shows {example}, the server {typed}"
        );
        let (golden, others) = machines.split_at_mut(1);
        let now = if line.starts_with("foghorn image capture") {
            golden
        } else {
            others
        };
        for machine in &mut *now {
            machine.enter(&typed)?;
        }
        for machine in now {
            machine.ended_well()?;
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Writes the terminals down; the table says what was typed.
fn keep(server: &Server, machines: &[Machine], seconds: f64) -> Result<String> {
    let place = for_people("newcomer")?;
    fs::write(place.join("server.txt"), server.terminal.screen())?;
    let mut table = format!(
        "from an empty Debian to {} machines: {} commands on the server, {seconds:.0} seconds\n",
        machines.len() - 1,
        server.commands.len()
    );
    for machine in machines {
        fs::write(
            place.join(format!("{}.txt", machine.name)),
            machine.screen(),
        )?;
        let typed = machine.typed();
        table.push_str(&format!(
            "{}: {typed} characters, with Enter\n",
            machine.name
        ));
    }
    fs::write(place.join("count.txt"), &table)?;
    Ok(table)
}

#[test]
fn a_newcomer_images_three_machines_by_the_page() -> Result<()> {
    if !may_make_loop_devices() {
        return Ok(());
    }
    let page = Page::read(PAGE)?;
    let csv = page.text("csv")?.to_owned();
    let csv = csv.as_str();
    let temporary = tempfile::tempdir()?;
    let folder = temporary.path();
    packages::make(folder, "packages", "0.0.1");
    fs::write(folder.join("packages/room.csv"), csv)?;
    machine::make_stick(&folder.join("stick"))?;
    let lab = Lab::up(LAB, room(csv).len() + 1, "0")?;
    let mut server = start_server(folder, &lab)?;
    let mut machines = start_machines(&lab, folder, csv)?;
    let seconds = follow(page, &mut server, &mut machines)?;
    let table = keep(&server, &machines, seconds)?;
    println!("{table}");

    ensure!(server.commands.len() <= MOST_COMMANDS, "{table}");
    for machine in &machines {
        let typed = machine.typed();
        ensure!((1..=MOST_CHARACTERS).contains(&typed), "{table}");
    }
    let (golden, others) = machines.split_first().context("machines")?;
    ensure!(others.len() == 3, "{table}");
    for machine in others {
        machine.check_same(&golden.disk)?;
    }
    install::check(
        &mut server.terminal,
        &lab,
        folder,
        &server.commands[..INSTALLING],
    )
}
