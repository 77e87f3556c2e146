//! Storage nodes: how they join, renew their certificates, and go.

use anyhow::{Context, Result, ensure};
use foghorn_test_ports::free_udp_port;
use foghorn_tests::process::Process;
use foghorn_tests::stack::{Engine, Options, start_agent};
use serde_json::json;

use crate::list::Fault;
use crate::rig::{Reached, Rig, Saga, environment};

/// Of nodes, in seconds: two thirds of it pass until it is renewed. In the rest programs are killed twice and started
/// again, beside all other sagas; whose certificate has expired meanwhile stays out.
const CERTIFICATE: u64 = 30;
/// Starts with one join token, and tokens.
const STARTS: usize = 3;
const TOKENS: usize = 4;

/// Nodes join, are shut out, and are deleted.
pub(crate) fn joining(faults: &[Fault]) -> Result<Reached> {
    let mut rig = Rig::start(Engine::Embedded, Options::default())?;
    let saga = Saga {
        prepare: |_, number: &mut u32| {
            *number += 1;
            Ok(())
        },
        act: |rig, number| {
            join_and_leave(rig, *number)?;
            join_by_many(rig, *number)
        },
    };
    rig.with_each(faults, &mut 0, &saga)?;
    Ok(rig.reached())
}

/// Certificates of nodes are renewed.
pub(crate) fn renewal(faults: &[Fault]) -> Result<Reached> {
    let options = Options {
        controller: format!("trust = {{ node_certificate_seconds = {CERTIFICATE} }}"),
        ..Options::default()
    };
    let mut rig = Rig::start(Engine::Embedded, options)?;
    let saga = Saga {
        prepare: |_, _: &mut ()| Ok(()),
        act: |rig, _| renewed(rig),
    };
    rig.with_each(faults, &mut (), &saga)?;
    Ok(rig.reached())
}

fn join_and_leave(rig: &mut Rig, number: u32) -> Result<()> {
    let name = format!("node-{number}");
    let state = rig.folder().join(format!("agent-{name}"));
    let config = rig.folder().join(format!("agent-{name}.toml"));
    let port = free_udp_port()?;
    let mut joined = None;
    for _ in 0..TOKENS {
        let token = rig.ask(
            "POST",
            "/foghorn/v1/nodes/join-token",
            Some(&json!({ "name": name })),
        )?;
        let token = token.ok()?["token"].as_str().unwrap_or_default().to_owned();
        std::fs::write(
            &config,
            format!(
                "state_dir = {state:?}\ncontroller = {:?}\njoin_token = {token:?}\nlisten = \"127.0.0.1:{port}\"\n",
                rig.stack.rest.url
            ),
        )?;
        for _ in 0..STARTS {
            let folder = rig.folder();
            let mut agent = start_agent(&folder, &name, &config, &[], &environment(&folder))?;
            if comes_up(rig, &name, &mut agent)? {
                joined = Some(agent);
                break;
            }
        }
        if joined.is_some() {
            break;
        }
    }
    let mut agent = joined.context("the node does not come up with any token")?;
    ensure!(
        agent.is_running()?,
        "it came up and ended:\n{}",
        agent.log()
    );
    leave(rig, &name)?;
    agent.kill()
}

/// The same with a token for many nodes: whatever gets lost, the node asks again with the same token, and
/// takes one place.
fn join_by_many(rig: &mut Rig, number: u32) -> Result<()> {
    let name = format!("many-{number}");
    let state = rig.folder().join(format!("agent-{name}"));
    let config = rig.folder().join(format!("agent-{name}.toml"));
    let port = free_udp_port()?;
    let wanted = json!({ "names": format!("{name}*"), "count": 2, "ttl_seconds": 600 });
    let made = rig.ask("POST", "/foghorn/v1/join-tokens", Some(&wanted))?;
    let made = made.ok()?;
    let token = made["token"].as_str().context("a token")?;
    std::fs::write(
        &config,
        format!(
            "state_dir = {state:?}\ncontroller = {:?}\njoin_token = {token:?}\nname = {name:?}\nlisten = \"127.0.0.1:{port}\"\n",
            rig.stack.rest.url
        ),
    )?;
    let mut joined = None;
    for _ in 0..STARTS * TOKENS {
        let folder = rig.folder();
        let mut agent = start_agent(&folder, &name, &config, &[], &environment(&folder))?;
        if comes_up(rig, &name, &mut agent)? {
            joined = Some(agent);
            break;
        }
    }
    let mut agent = joined.context("the node does not come up with a token for many")?;
    let tokens = rig.get("/foghorn/v1/join-tokens")?;
    let all = tokens["tokens"].as_array().context("a list")?;
    let own = all.iter().find(|one| one["id"] == made["id"]);
    let left = &own.context("the token is there")?["left"];
    ensure!(
        *left == json!(1),
        "it took more than one place: {left} left"
    );
    leave(rig, &name)?;
    let path = format!("/foghorn/v1/join-tokens/{}", made["id"]);
    rig.until("the token to be deleted", |rig| {
        let answer = rig.stack.rest.delete(&path)?;
        Ok((answer.status < 300 || answer.status == 404).then_some(()))
    })?;
    agent.kill()
}

/// Whether the node is online before it ends.
fn comes_up(rig: &mut Rig, name: &str, agent: &mut Process) -> Result<bool> {
    rig.until("the node to be online or to end", |rig| {
        if !agent.is_running()? {
            return Ok(Some(false));
        }
        Ok(rig.is_online(name)?.then_some(true))
    })
}

fn leave(rig: &mut Rig, name: &str) -> Result<()> {
    let nodes = rig.get("/fog/storagenode")?;
    let rows = nodes["storagenodes"].as_array().context("a list")?;
    let row = rows.iter().find(|row| row["name"] == name);
    let id = row.and_then(|row| row["id"].as_str()).context("its row")?;
    let id = id.to_owned();
    let revoked = rig.ask(
        "POST",
        &format!("/foghorn/v1/nodes/{id}/revoke"),
        Some(&json!({})),
    )?;
    ensure!(revoked.status < 300, "{}", revoked.body);
    rig.until("the node to be offline", |rig| {
        Ok((!rig.is_online(name)?).then_some(()))
    })?;
    let path = format!("/fog/storagenode/{id}/delete");
    rig.until("its row to be deleted", |rig| {
        let answer = rig.stack.rest.delete(&path)?;
        Ok((answer.status < 300 || answer.status == 404).then_some(()))
    })
}

/// The certificate of the node is renewed, and the node is online with it.
fn renewed(rig: &mut Rig) -> Result<()> {
    let file = rig.stack.agents[0].state.join("identity/identity.json");
    let (before, mut seen) = (std::fs::read(&file)?, 0);
    rig.until("another certificate", |rig| {
        // A renewal that was refused is tried again after a while, and at once by a node that was
        // started again.
        if rig.all_that_happened() > seen {
            seen = rig.all_that_happened();
            rig.stack.agents[0].process.kill()?;
        }
        Ok((std::fs::read(&file)? != before).then_some(()))
    })?;
    let name = rig.stack.agents[0].name.clone();
    rig.until("the node to be online", |rig| {
        Ok(rig.is_online(&name)?.then_some(()))
    })
}
