//! `foghorn controllers`: the controllers that share a store.

use foghorn_rest_types::controllers::{ControllerList, ControllerStatus};
use serde_json::Value;

use super::Session;
use crate::exit::{Exit, Failure};
use crate::output::Table;

/// # Errors
/// As the server answers.
pub fn run(session: &Session) -> Result<Exit, Failure> {
    let list: ControllerList = session.api()?.get("/foghorn/v1/controllers")?;
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

fn state(controller: &ControllerStatus) -> String {
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
    }
}
