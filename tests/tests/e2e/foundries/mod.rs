//! The API of a FoundriesFactory, its gateway and the host service, as processes: from a captured disk to
//! a machine that follows a ring.

mod configured;
mod deployed;
mod described;
mod imaged;
mod installed;
mod machine;
mod operator_client;
mod places;
mod ring;
mod versions;
mod whole;

use anyhow::Result;
use foghorn_test_ports::free_port;
use foghorn_tests::factory::{self, Operator, SCOPES};
use foghorn_tests::stack::{Engine, Options, Stack};

/// A controller that serves the dialect, and somebody who may do everything with it.
fn controller(engine: Engine) -> Result<(Stack, Operator)> {
    let options = Options {
        controller: factory::settings(free_port()?),
        ..Options::default()
    };
    let stack = Stack::controller_only(engine, &options)?;
    let operator = Operator::new(&stack.rest, &SCOPES)?;
    Ok((stack, operator))
}

/// The same with a storage node.
fn installation(engine: Engine) -> Result<(Stack, Operator)> {
    let (mut stack, operator) = controller(engine)?;
    stack.add_agent("defaultmember", "")?;
    Ok((stack, operator))
}
