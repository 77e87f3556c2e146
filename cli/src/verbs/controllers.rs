//! `foghorn controllers`: the controllers that share a store.

use std::time::{Duration, Instant};

use clap::Args;
use foghorn_rest_types::controllers::{ControllerList, ControllerStatus};
use serde_json::Value;

use super::Session;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::output::Table;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The controllers.
#[derive(Args, Debug)]
pub struct ControllersArgs {
    /// First wait until the server hears so many, itself included, of which none is about to end: for
    /// upgrades, between one controller and the next
    #[arg(long, value_name = "NUMBER")]
    wait: Option<usize>,
    /// Stop waiting after this time, such as 90s, 30m
    #[arg(long, default_value = "2m", value_parser = super::wait::parse_duration, requires = "wait")]
    timeout: Duration,
}

/// # Errors
/// As the server answers, and when there are not enough in time.
pub fn run(asked: &ControllersArgs, session: &Session) -> Result<Exit, Failure> {
    let api = session.api()?;
    let list = match asked.wait {
        None => api.get("/foghorn/v1/controllers")?,
        Some(number) => wait(&api, number, asked.timeout)?,
    };
    let mut table = Table::new(&["ID", "STATE", "LINK", "NODES", "SOFTWARE"]);
    for controller in &list.controllers {
        table.row(vec![
            controller.id.clone(),
            state(controller),
            controller.link.clone(),
            controller.nodes.to_string(),
            controller.software.clone(),
        ]);
    }
    let raw: Vec<Value> = list
        .controllers
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    session
        .output
        .show(&table, &raw.iter().collect::<Vec<_>>())?;
    if list.controllers.is_empty() {
        session
            .output
            .say("the store is embedded: this controller is the only one");
    }
    Ok(Exit::Ok)
}

/// Asks until there are so many. That nobody answers for a while is what one waits through.
fn wait(api: &Api, number: usize, timeout: Duration) -> Result<ControllerList, Failure> {
    let until = Instant::now() + timeout;
    loop {
        let heard = match api.get::<ControllerList>("/foghorn/v1/controllers") {
            Ok(list) => {
                let stay = list
                    .controllers
                    .iter()
                    .filter(|one| one.heard && !one.leaving);
                let heard = stay.count();
                if heard >= number {
                    return Ok(list);
                }
                heard
            }
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(_) => 0,
        };
        if Instant::now() > until {
            let what = format!(
                "{heard} of {number} controllers are heard after {} seconds",
                timeout.as_secs()
            );
            let todo = "`foghorn controllers` shows which; its log says why";
            return Err(Failure::new(Exit::Failed, what).advise(todo));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn state(controller: &ControllerStatus) -> String {
    if controller.leaving {
        return "leaving".to_owned();
    }
    match (controller.answers, controller.behind) {
        (true, _) => "answers".to_owned(),
        (false, None) => "not heard".to_owned(),
        (false, Some(0)) => "heard".to_owned(),
        (false, Some(behind)) => format!("heard, {behind} changes behind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_says_who_is_not_heard() {
        let controller = |answers, behind: Option<u64>| ControllerStatus {
            id: "a".into(),
            answers,
            heard: answers || behind.is_some(),
            leaving: false,
            behind,
            peers: "a:1".into(),
            link: "a:1".into(),
            software: "s".into(),
            nodes: 0,
        };
        assert_eq!(state(&controller(true, Some(0))), "answers");
        assert_eq!(state(&controller(false, None)), "not heard");
        assert_eq!(state(&controller(false, Some(0))), "heard");
        assert_eq!(
            state(&controller(false, Some(3))),
            "heard, 3 changes behind"
        );
        let leaving = ControllerStatus {
            leaving: true,
            ..controller(false, Some(0))
        };
        assert_eq!(state(&leaving), "leaving");
    }
}
