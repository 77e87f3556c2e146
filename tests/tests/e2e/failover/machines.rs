//! Machines for the pages of operations: folders and processes. `ssh`, `scp`, `apt-get` and
//! `systemctl` are stand-ins that do the same to them, so that the commands are run as they are
//! printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_tests::process::until;
use foghorn_tests::tools::foghorn;

/// A command on a machine: its own paths are those of its folder.
const SSH: &str = r#"#!/bin/sh
export BOX="$LAB/$1"
shift
[ -d "$BOX" ] || { echo "ssh: no such machine: $BOX" >&2; exit 255; }
command=$(printf '%s' "$*" | sed "s#/etc/foghorn#$BOX/etc#g; s#/var/lib#$BOX/var#g; s#/root/#$BOX/root/#g")
cd "$BOX/root" && exec sh -c "$command"
"#;

const SCP: &str = r#"#!/bin/sh
there() {
	case $1 in
	*:/root/*) printf '%s' "$LAB/${1%%:*}/root/${1#*:/root/}" ;;
	*:) printf '%s' "$LAB/${1%%:*}/root/" ;;
	*) printf '%s' "$1" ;;
	esac
}
exec cp -a "$(there "$1")" "$(there "$2")"
"#;

/// A unit is a script of the machine. A process that has ended and waits for nobody has no program.
const SYSTEMCTL: &str = r#"#!/bin/sh
verb=$1
[ "$2" = --now ] && shift
unit=$2
file="$BOX/$unit.pid"
runs() { [ -s "$file" ] && readlink -e "/proc/$(cat "$file")/exe" > /dev/null; }
stop() {
	runs && kill "$(cat "$file")"
	while runs; do sleep 0.05; done
	rm -f "$file"
}
start() {
	runs && return
	cd "$BOX" || exit 1
	setsid sh -c 'echo $$ > "$0"; exec sh "$1"' "$file" "$BOX/units/$unit" >> "$BOX/$unit.log" 2>&1 < /dev/null &
	until [ -s "$file" ]; do sleep 0.05; done
}
case $verb in
start | enable) start ;;
stop) stop ;;
restart) stop; start ;;
*) echo "systemctl: $verb?" >&2; exit 1 ;;
esac
"#;

/// Installing a package restarts its service if that runs, as the package does.
const APT_GET: &str = r#"#!/bin/sh
file=$(basename "$3" .deb)
[ -e "$3" ] || { echo "apt-get: no $3" >&2; exit 100; }
[ -s "$BOX/$file.pid" ] && systemctl restart "$file"
echo "$file" >> "$BOX/installed"
"#;

/// The service's user is the one who runs the tests.
const CHOWN: &str = "#!/bin/sh\nexit 0\n";

pub(super) struct Machines {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Machines {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("foghorn-lab-").tempdir()?;
        let bin = folder.path().join("bin");
        fs::create_dir(&bin)?;
        for (name, script) in [
            ("ssh", SSH),
            ("scp", SCP),
            ("systemctl", SYSTEMCTL),
            ("apt-get", APT_GET),
            ("chown", CHOWN),
        ] {
            let file = bin.join(name);
            fs::write(&file, script)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        }
        fs::create_dir(folder.path().join("home"))?;
        let program = foghorn("foghorn-controller")?;
        let programs = program.parent().context("a program is in a folder")?;
        let path = format!(
            "{}:{}:/usr/sbin:/usr/bin:/sbin:/bin",
            bin.display(),
            programs.display()
        );
        let home = folder.path().join("home").display().to_string();
        let lab = folder.path().display().to_string();
        let environment = [
            ("PATH", path),
            ("HOME", home),
            ("LAB", lab),
            ("TZ", "UTC".into()),
        ];
        Ok(Self {
            environment: environment
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            folder,
        })
    }

    /// A further machine.
    pub(super) fn add(&self, name: &str) -> Result<PathBuf> {
        let machine = self.machine(name);
        for folder in ["etc", "var/foghorn", "root", "units"] {
            fs::create_dir_all(machine.join(folder))?;
        }
        Ok(machine)
    }

    pub(super) fn machine(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the operator types.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(super) fn sets(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a command of a page and gives what it printed.
    pub(super) fn run(&self, command: &str) -> Result<String> {
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).env_clear();
        shell.envs(self.environment.iter().cloned());
        shell
            .current_dir(self.home())
            .stdin(std::process::Stdio::null());
        let done = shell.output()?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let errors = String::from_utf8_lossy(&done.stderr);
        eprintln!("$ {command}\n{said}{errors}");
        ensure!(
            done.status.success(),
            "`{command}` ended with {}:\n{said}{errors}\n{}",
            done.status,
            self.logs()
        );
        Ok(said)
    }

    /// Runs a command until it succeeds.
    pub(super) fn run_until(&self, command: &str, wanted: &str) -> Result<String> {
        until(
            &format!("`{command}` to say {wanted}"),
            Duration::from_secs(60),
            || {
                let said = self.run(command).unwrap_or_default();
                Ok(said.contains(wanted).then_some(said))
            },
        )
    }

    fn logs(&self) -> String {
        let mut text = String::new();
        for machine in fs::read_dir(self.folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            for file in fs::read_dir(machine.path()).into_iter().flatten().flatten() {
                let path = file.path();
                if path.extension().is_some_and(|end| end == "log") {
                    let log = fs::read_to_string(&path).unwrap_or_default();
                    let lines: Vec<&str> = log.lines().rev().take(15).collect();
                    text.push_str(&format!("== {}\n", path.display()));
                    lines
                        .iter()
                        .rev()
                        .for_each(|line| text.push_str(&format!("{line}\n")));
                }
            }
        }
        text
    }

    /// Ends a machine without a word.
    pub(super) fn cut_power(&self, name: &str) {
        cut_power(&self.machine(name));
    }
}

fn cut_power(machine: &Path) {
    for file in fs::read_dir(machine).into_iter().flatten().flatten() {
        let path = file.path();
        if path.extension().is_some_and(|end| end == "pid")
            && let Ok(text) = fs::read_to_string(&path)
            && let Some(id) = text
                .trim()
                .parse()
                .ok()
                .and_then(rustix::process::Pid::from_raw)
        {
            let _gone = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            let _removed = fs::remove_file(&path);
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for machine in fs::read_dir(self.folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            cut_power(&machine.path());
        }
    }
}
