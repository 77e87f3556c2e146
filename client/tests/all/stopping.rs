//! The client's program ends soon after SIGTERM, although names have no addresses.

use std::process::{Child, Stdio};

use foghorn_test_ports::dns::{ENDS_WITHIN, SilentDns, terminate};

/// Killed when the test ends, whichever way.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_ends_soon_although_the_controller_cannot_be_found() {
    let folder = tempfile::tempdir().unwrap();
    let Some(dns) = SilentDns::start(folder.path()).unwrap() else {
        return;
    };
    let token = format!("fhb1.{}.{}", "a".repeat(64), "b".repeat(43));
    let mut command = dns.command(env!("CARGO_BIN_EXE_foghorn-client"));
    command.args(["run", "--controller", "https://controller.example:1"]);
    command.args(["--mac", "52:54:00:00:00:01", "--token", &token]);
    command
        .args(["--disk", "/dev/nothing"])
        .stdin(Stdio::null());
    let mut process = Process(command.spawn().unwrap());
    dns.was_asked().unwrap();
    let (took, code) = terminate(&mut process.0).unwrap();
    assert!(took < ENDS_WITHIN, "it ended after {took:?}");
    assert_eq!(code, Some(6), "cancelled");
}
