//! Three controllers on one etcd behind one address, with a storage node: what tests of fail-over
//! begin with.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::balancer::Balancer;
use crate::process::{Process, until};
use crate::rest::Rest;
use crate::stack::{Beside, Engine, PATIENCE, Stack};

pub struct Three {
    pub stack: Stack,
    pub others: [Beside; 2],
    pub balancer: Balancer,
}

impl Three {
    pub const COUNT: usize = 3;

    pub fn start() -> Result<Self> {
        Self::start_with(|stack, name| stack.beside(name))
    }

    /// `beside` starts the second and the third.
    pub fn start_with(beside: impl Fn(&Stack, &str) -> Result<Beside>) -> Result<Self> {
        let stack = Stack::start(Engine::Etcd)?;
        let others = [beside(&stack, "b")?, beside(&stack, "c")?];
        let rests = [&stack.rest, &others[0].rest, &others[1].rest];
        let addresses: Vec<SocketAddr> = rests
            .iter()
            .map(|rest| {
                Ok(rest
                    .url
                    .trim_start_matches("https://")
                    .parse::<SocketAddr>()?)
            })
            .collect::<Result<_>>()?;
        let three = Self {
            balancer: Balancer::start(&addresses)?,
            stack,
            others,
        };
        three.wait_whole()?;
        Ok(three)
    }

    /// A controller by its number, asked directly.
    #[must_use]
    pub fn rest(&self, number: usize) -> &Rest {
        match number {
            0 => &self.stack.rest,
            number => &self.others[number - 1].rest,
        }
    }

    pub fn process(&mut self, number: usize) -> &mut Process {
        match number {
            0 => &mut self.stack.controller,
            number => &mut self.others[number - 1].process,
        }
    }

    /// Starts a controller again that has ended.
    pub fn restart(&mut self, number: usize) -> Result<()> {
        match number {
            0 => self.stack.restart_controller(),
            number => self.others[number - 1].restart(),
        }
    }

    /// A client of whichever controller the balancer chooses.
    pub fn through(&self, timeout: Duration) -> Result<Rest> {
        let known = &self.stack.rest;
        Rest::with_timeout(
            &self.balancer.url(),
            &known.ca_pem,
            (&known.api_token, &known.user_token),
            timeout,
        )
    }

    /// Which controller has the link of the storage node, as it says itself.
    pub fn linked(&self) -> Option<usize> {
        (0..Self::COUNT).find(|number| {
            let own = controllers(self.rest(*number)).unwrap_or_default();
            let own = own.iter().find(|controller| controller["answers"] == true);
            own.is_some_and(|own| own["nodes"].as_u64().unwrap_or(0) > 0)
        })
    }

    /// Waits until all three hear each other, are behind the balancer, and see the storage node.
    pub fn wait_whole(&self) -> Result<()> {
        let until_whole = until("three controllers that hear each other", PATIENCE, || {
            let all = (0..Self::COUNT).all(|number| self.is_whole(number).unwrap_or(false));
            let is_linked = self.linked().is_some();
            Ok((all && is_linked && self.balancer.ready() == Self::COUNT).then_some(()))
        });
        until_whole.with_context(|| self.seen())
    }

    fn is_whole(&self, number: usize) -> Result<bool> {
        let rest = self.rest(number);
        let all = controllers(rest)?;
        let heard = all.iter().filter(|one| one["heard"] == true).count();
        let node = node(rest)?;
        Ok(heard == Self::COUNT && all.len() == Self::COUNT && node["online"] == true)
    }

    /// What each controller says of all, for whoever reads why a test has failed.
    fn seen(&self) -> String {
        let one = |number| {
            let rest = self.rest(number);
            let ready = self.balancer.is_ready(number);
            let (all, node) = (controllers(rest), node(rest));
            format!("controller {number}, ready {ready}: {all:?}, {node:?}")
        };
        (0..Self::COUNT).map(one).collect::<Vec<_>>().join("\n")
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.stack.folder()
    }
}

fn controllers(rest: &Rest) -> Result<Vec<Value>> {
    let list = rest.get("/foghorn/v1/controllers")?.ok()?;
    let list = list["controllers"].as_array();
    list.cloned().context("a list of controllers")
}

/// The first storage node, as a controller shows it.
pub fn node(rest: &Rest) -> Result<Value> {
    let nodes = rest.get("/foghorn/v1/nodes")?.ok()?;
    let first = nodes["nodes"].as_array().and_then(|nodes| nodes.first());
    first.cloned().context("there is no storage node")
}
