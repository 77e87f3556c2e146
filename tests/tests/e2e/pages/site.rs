//! A place where the pages are true: a network with the address that they use, empty folders where
//! they store things, and terminals. Needs root; what is done in it is gone with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use foghorn_tests::page::Page;
use foghorn_tests::process::{Process, until_answer};
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::terminal::Terminal;
use foghorn_tests::tools::foghorn;

/// The server, as the pages call it.
pub(super) const ADDRESS: &str = "10.23.0.1";
const NAMES: &str = "127.0.0.1 localhost\n10.23.0.1 images.example.org hooks.example.org \
    chat.example.org mail.example.org\n";
/// `$0` is the folder of the site. A cable from this machine to itself has an address that is not
/// loopback.
const MAKE: &str = r#"
set -e
ip link set lo up
ip link add lan type veth peer name far
ip addr add 10.23.0.1/24 dev lan
ip link set lan up
ip link set far up
ip route add default dev lan
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /srv
mount --bind "$0/hosts" /etc/hosts
touch "$0/made"
exec sleep infinity
"#;

pub(super) struct Site {
    /// Where the commands are typed.
    pub(super) person: Terminal,
    /// Where what goes on is started.
    pub(super) server: Terminal,
    /// What stands in the pages for something else, and what it is here.
    words: Vec<(String, String)>,
    /// Holds the namespaces.
    holder: Process,
    folder: tempfile::TempDir,
}

impl Site {
    pub(super) fn new() -> Result<Self> {
        let temporary = tempfile::tempdir()?;
        let folder = temporary.path();
        fs::write(folder.join("hosts"), NAMES)?;
        let mut make = Command::new("unshare");
        make.args(["--mount", "--net", "sh", "-c", MAKE])
            .arg(folder);
        let mut holder = Process::start(folder, "holder", &mut make)?;
        until_answer(&mut holder, "the namespaces", PATIENCE, || {
            Ok(folder.join("made").exists().then_some(()))
        })?;
        Ok(Self {
            person: terminal(&holder, folder, "person")?,
            server: terminal(&holder, folder, "server")?,
            words: vec![("SERVER".to_owned(), ADDRESS.to_owned())],
            holder,
            folder: temporary,
        })
    }

    pub(super) fn terminal(&self, name: &str) -> Result<Terminal> {
        terminal(&self.holder, self.folder.path(), name)
    }

    /// The folder in which the commands are typed.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A program that goes on without anybody.
    pub(super) fn start(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<Process> {
        let mut command = inside(&self.holder);
        command.arg(program).args(arguments);
        Process::start(self.folder(), name, &mut command)
    }

    /// From now on, this stands for that.
    pub(super) fn means(&mut self, word: &str, here: &str) {
        self.words.retain(|(known, _)| known != word);
        self.words.push((word.to_owned(), here.to_owned()));
    }

    /// A command with what is meant.
    pub(super) fn fill(&self, command: &str) -> String {
        let words = self.words.iter();
        words.fold(command.to_owned(), |text, (word, here)| {
            text.replace(word.as_str(), here)
        })
    }

    /// Runs a command of a page, and says yes to what it asks.
    pub(super) fn run(&mut self, command: &str) -> Result<String> {
        let command = self.fill(command);
        self.person.run_with_yes(&command)
    }

    /// Runs the commands of a page before the one that begins like this.
    pub(super) fn run_until(&mut self, page: &mut Page, start: &str) -> Result<()> {
        for command in page.take_until(start)? {
            self.run(&command)?;
        }
        Ok(())
    }

    /// Runs what is left of a page.
    pub(super) fn run_rest(&mut self, mut page: Page) -> Result<()> {
        for command in page.take_rest() {
            self.run(&command)?;
        }
        Ok(())
    }

    /// Types a command that asks for the two tokens.
    pub(super) fn log_in(&mut self, command: &str) -> Result<String> {
        let command = self.fill(command);
        let [api, user] = ["API_TOKEN", "USER_TOKEN"].map(|word| self.fill(word));
        let answers = [("API token:", api.as_str()), ("user token:", &user)];
        self.person.run_and_answer(&command, &answers)
    }

    pub(super) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder().join(name);
        fs::write(&path, content)?;
        Ok(path)
    }
}

/// A program in the namespaces of this process.
fn inside(holder: &Process) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &holder.id().to_string()])
        .args(["--mount", "--net", "--"]);
    command
}

fn terminal(holder: &Process, folder: &Path, name: &str) -> Result<Terminal> {
    let program = foghorn("foghorn")?;
    let programs = program.parent().context("a program is in a folder")?;
    let home = folder.display();
    let mut shell = inside(holder);
    shell
        .args(["env", "-i", "-C"])
        .arg(folder)
        .args(["LC_ALL=C.UTF-8", "TERM=xterm"])
        .arg(format!("HOME={home}"))
        .arg(r"PS1=\[\e]0;$?\a\]# ")
        .arg(format!(
            "PATH={}:/usr/sbin:/usr/bin:/sbin:/bin",
            programs.display()
        ))
        .args(["bash", "--norc", "--noprofile", "-i"]);
    Terminal::open(folder, name, &shell, PATIENCE)
}
