//! Storage nodes that hold what the first one holds, without a copy by replication.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::stack::{PATIENCE, Stack};

/// Gives all nodes what the first one holds, as copies of its chunks while they are stopped.
pub fn copy_chunks(stack: &mut Stack) -> Result<()> {
    for agent in &mut stack.agents {
        agent.process.stop(PATIENCE)?;
    }
    let from = stack.agents[0].state.join("chunks");
    for agent in &stack.agents[1..] {
        let to = agent.state.join("chunks");
        std::fs::remove_dir_all(&to)?;
        let copied = Command::new("cp").arg("-a").args([&from, &to]).status()?;
        ensure!(copied.success(), "the chunks were not copied");
    }
    for index in 0..stack.agents.len() {
        stack.restart_agent(index)?;
    }
    let names: Vec<_> = stack
        .agents
        .iter()
        .map(|agent| agent.name.clone())
        .collect();
    names.iter().try_for_each(|name| stack.wait_online(name))
}
