//! What people and scripts see: each file in `transcripts` has commands, and what they printed.
//! Lines with `$` are run, one after the other, against a real server (`foghorn serve`); after them
//! is what was written to standard output, what was written to standard error behind `!`, and the
//! exit code if it was not 0. Times, addresses and the like are replaced by placeholders.
//!
//! `TRANSCRIPTS=write` writes what is printed now into the files.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_foghorn");
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with the test.
struct Site {
    server: Child,
    folder: tempfile::TempDir,
    environment: Vec<(&'static str, String)>,
}

impl Site {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (any, first) = ("127.0.0.1:0", folder.path().join("first.json"));
        let mut command = Command::new(PROGRAM);
        command.args([
            "serve",
            "--listen",
            any,
            "--link-listen",
            any,
            "--quic-listen",
            any,
        ]);
        command.arg("--state-dir").arg(folder.path().join("site"));
        command.arg("--first-run-file").arg(&first);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().expect("the server starts");
        let mut site = Self {
            server,
            folder,
            environment: Vec::new(),
        };
        let begun = Instant::now();
        let tokens: Value = loop {
            if let Ok(bytes) = std::fs::read(&first) {
                break serde_json::from_slice(&bytes).expect("the file is whole");
            }
            let ended = site.server.try_wait().expect("a child");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(begun.elapsed() < PATIENCE, "the server gave no tokens");
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = |key: &str| tokens[key].as_str().expect("a text").to_owned();
        let ca = site.folder.path().join("ca.pem");
        std::fs::write(&ca, text("ca_pem")).expect("the authority is written");
        site.environment = vec![
            ("FOGHORN_SERVER", text("url")),
            ("FOGHORN_API_TOKEN", text("api_token")),
            ("FOGHORN_USER_TOKEN", text("user_token")),
            ("FOGHORN_CA", ca.display().to_string()),
            ("TZ", "Asia/Kolkata".to_owned()),
        ];
        site
    }

    /// What a command prints, and its exit code.
    fn transcript(&self, line: &str) -> String {
        let words = line.strip_prefix("foghorn ").expect("a command of foghorn");
        let mut command = Command::new(PROGRAM);
        command.args(words.split_whitespace()).env_clear();
        command.envs(
            self.environment
                .iter()
                .map(|(key, value)| (*key, value.as_str())),
        );
        command.env("HOME", self.folder.path()).stdin(Stdio::null());
        let output = command.output().expect("the program runs");
        let mut text = String::from_utf8(output.stdout).expect("text");
        for line in String::from_utf8(output.stderr).expect("text").lines() {
            text.push_str(format!("! {line}").trim_end());
            text.push('\n');
        }
        match output.status.code() {
            Some(0) => {}
            code => text.push_str(&format!("exit code {}\n", code.expect("no signal"))),
        }
        self.with_placeholders(&text)
    }

    fn with_placeholders(&self, text: &str) -> String {
        let text = text.replace(&self.environment[0].1, "SERVER");
        text.lines()
            .map(|line| without_times(line) + "\n")
            .collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The forms of a time in tables and in JSON; digits stand for themselves everywhere else.
const FORMS: [&str; 2] = ["9999-99-99 99:99:99", "9999-99-99T99:99:99"];

/// Replaces the digits of times. Their offsets stay.
fn without_times(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    for form in FORMS {
        let form: Vec<char> = form.chars().collect();
        let fits = |found: &[char]| {
            let mut both = found.iter().zip(&form);
            both.all(|(c, form)| c == form || (*form == '9' && c.is_ascii_digit()))
        };
        let mut start = 0;
        while let Some(found) = chars.get_mut(start..start + form.len()) {
            if fits(found) {
                for c in found.iter_mut().filter(|c| c.is_ascii_digit()) {
                    *c = '0';
                }
                // Fractions of a second are as long as they need to be.
                let end = start + form.len();
                if chars.get(end) == Some(&'.') {
                    let digits = chars[end + 1..].iter().take_while(|c| c.is_ascii_digit());
                    let digits = digits.count();
                    chars.drain(end..=end + digits);
                }
            }
            start += 1;
        }
    }
    chars.into_iter().collect()
}

fn check(path: &Path) {
    let kept = std::fs::read_to_string(path).expect("a transcript");
    let site = Site::start();
    let mut now = String::new();
    for line in kept.lines() {
        if line.starts_with('#') {
            now.push_str(&format!("{line}\n"));
        } else if let Some(command) = line.strip_prefix("$ ") {
            if !now.is_empty() {
                now.push('\n');
            }
            now.push_str(&format!("{line}\n{}", site.transcript(command)));
        }
    }
    if std::env::var("TRANSCRIPTS").as_deref() == Ok("write") {
        std::fs::write(path, &now).expect("it is written");
        return;
    }
    let differs = kept
        .lines()
        .zip(now.lines())
        .position(|(kept, now)| kept != now);
    let number = differs.unwrap_or_else(|| kept.lines().count().min(now.lines().count()));
    assert!(
        kept == now,
        "{} differs from line {}; TRANSCRIPTS=write writes what is printed now:\n{now}",
        path.display(),
        number + 1
    );
}

#[test]
fn commands_print_what_is_kept() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    paths.iter().for_each(|path| check(path));
}

#[test]
fn times_are_replaced_and_nothing_else() {
    assert_eq!(
        without_times("7  2026-11-29 15:04:05 +0100  2026-1"),
        "7  0000-00-00 00:00:00 +0100  2026-1"
    );
    assert_eq!(
        without_times("\"at\": \"2026-11-29T15:04:05.123Z\","),
        "\"at\": \"0000-00-00T00:00:00Z\","
    );
}
