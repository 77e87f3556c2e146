//! The agent's program ends soon after SIGTERM, whatever it waits for.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use foghorn_proto::http::JOIN_PREFIX;
use foghorn_proto::link::agent_message::Message;
use foghorn_test_ports::dns::{ENDS_WITHIN, SilentDns, terminate};

use crate::support::client::connect_at;
use crate::support::controller::{Controller, capture};

/// Killed when the test ends, whichever way.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command, controller: &Controller, url: &str, state_dir: &Path) -> Process {
    command
        .args(["run", "--listen", "127.0.0.1:0", "--controller", url])
        .arg("--state-dir")
        .arg(state_dir)
        .env(
            "FOGHORN_AGENT_JOIN_TOKEN",
            controller.join_token().to_text(JOIN_PREFIX),
        )
        .env("FOGHORN_LOG", "warn")
        .stdin(Stdio::null());
    Process(command.spawn().unwrap())
}

fn ends_soon(mut process: Process) {
    let (took, code) = tokio::task::block_in_place(|| terminate(&mut process.0)).unwrap();
    assert!(took < ENDS_WITHIN, "it ended after {took:?}");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_soon_with_a_waiting_client_and_without_names() {
    let program = env!("CARGO_BIN_EXE_foghorn-agent");
    let folder = tempfile::tempdir().unwrap();
    let Some(dns) = SilentDns::start(folder.path()).unwrap() else {
        return;
    };
    let controller = Controller::start(std::time::Duration::from_secs(3600)).await;
    // While it enrols.
    let nowhere = folder.path().join("nowhere");
    let url = "https://controller.example:1";
    let process = start(dns.command(program), &controller, url, &nowhere);
    tokio::task::block_in_place(|| dns.was_asked()).unwrap();
    ends_soon(process);

    // With a client that is connected and sends nothing.
    let state = folder.path().join("state");
    let process = start(Command::new(program), &controller, controller.url(), &state);
    let address = controller
        .wait_for("a hello", |message| match message {
            Message::Hello(hello) => Some(hello.quic_address.clone()),
            _ => None,
        })
        .await;
    let issued = controller.authority.client(11, 1);
    controller.order(capture(1, issued.fingerprint)).await;
    let client = connect_at(&address, &controller.authority.pem, &issued, 1)
        .await
        .unwrap();
    ends_soon(process);
    drop(client);

    // Enrolled, and the name of the controller's link has no address.
    let identity = state.join("identity").join("identity.json");
    let text = std::fs::read_to_string(&identity).unwrap();
    let mut known: serde_json::Value = serde_json::from_str(&text).unwrap();
    known["link_address"] = "controller.example:1".into();
    std::fs::write(&identity, known.to_string()).unwrap();
    let process = start(dns.command(program), &controller, controller.url(), &state);
    tokio::task::block_in_place(|| dns.was_asked()).unwrap();
    ends_soon(process);
}
