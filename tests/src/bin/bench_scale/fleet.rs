//! All simulated agents.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use foghorn_proto::http::ENROL_PATH;
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::UnboundedSender;

use super::agent::{Agent, Command, Joined};
use super::board::Board;
use super::for_each;

const ALL_LINKED_WITHIN: Duration = Duration::from_secs(180);

pub(crate) struct Fleet {
    pub(crate) board: Arc<Board>,
    agents: Vec<UnboundedSender<Command>>,
    _runtime: Runtime,
}

impl Fleet {
    /// Lets `count` agents join, each with a token and a key of its own, and waits until all are
    /// linked.
    pub(crate) fn start(rest: &Rest, count: u32) -> Result<Self> {
        let joined = Mutex::new(Vec::new());
        let numbers: Vec<u32> = (1..=count).collect();
        for_each(rest, &numbers, |rest, number| {
            let agent = join(rest, &format!("node{number:04}"))?;
            let mut joined = joined.lock().unwrap_or_else(PoisonError::into_inner);
            joined.push(agent);
            Ok(())
        })?;
        eprintln!("{count} agents have joined");
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let (board, mut agents) = (Arc::<Board>::default(), Vec::new());
        let joined = joined.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (index, joined) in joined.into_iter().enumerate() {
            let (agent, commands) = Agent::new(index, joined, board.clone());
            agents.push(commands);
            runtime.spawn(agent.run());
        }
        let linked = until("all agents to be linked", ALL_LINKED_WITHIN, || {
            Ok((board.links() >= u64::from(count)).then_some(()))
        });
        linked.with_context(|| {
            let problem = board.problem().unwrap_or_default();
            format!("{} of {count} are linked; {problem}", board.links())
        })?;
        Ok(Self {
            board,
            agents,
            _runtime: runtime,
        })
    }

    pub(crate) fn tell(&self, agent: usize, command: Command) {
        // An agent lives as long as the fleet.
        let _told = self.agents[agent].send(command);
    }

    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }
}

/// What `foghorn-agent join` does.
fn join(rest: &Rest, name: &str) -> Result<Joined> {
    let token = rest
        .post("/foghorn/v1/nodes/join-token", &json!({ "name": name }))?
        .ok()?;
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::default().serialize_request(&key)?;
    let body = json!({ "join_token": token["token"], "csr_pem": request.pem()? });
    let enrolled = rest.post(ENROL_PATH, &body)?.ok()?;
    Ok(Joined {
        enrolled: serde_json::from_value(enrolled)?,
        key_pem: key.serialize_pem(),
        ca_pem: rest.ca_pem.clone(),
    })
}
