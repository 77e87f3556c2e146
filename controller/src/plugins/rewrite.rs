//! Lets plugins change an answer that has been rendered.

use std::sync::Arc;
use std::time::Instant;

use rhai::Map;
use serde_json::Value;

use super::convert;
use super::event::Event;
use super::loaded::{Loaded, Plugin, embedded};
use super::sandbox::{CallError, Sandbox, Size};

/// The kind of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// One object.
    Object,
    /// A list or the result of a search: objects inside an envelope.
    List,
}

/// Objects inside objects inside objects … in an answer.
const MOST_DEPTH: usize = 6;

/// Passes an answer to one plugin after the other. A failing plugin has no effect. `None` when
/// nothing has changed.
pub(super) fn rewrite(
    sandbox: &Sandbox,
    loaded: &Loaded,
    class: &str,
    answer: Answer,
    body: &[u8],
    deadline: Instant,
) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    let mut changed = false;
    for plugin in &loaded.plugins {
        if plugin
            .events
            .is_disjoint(&[Event::Getter, Event::MassData, Event::IndivData].into())
        {
            continue;
        }
        let mut round = Round {
            sandbox,
            plugin,
            deadline,
            asked: false,
        };
        let mut candidate = value.clone();
        match round.answer(class, answer, &mut candidate) {
            Ok(()) if !round.asked => {}
            Ok(()) => {
                plugin.health.succeeded();
                value = candidate;
                changed = true;
            }
            Err((event, error)) => {
                plugin
                    .health
                    .failed(&plugin.name, event.name(), &error.to_string())
            }
        }
    }
    changed.then(|| serde_json::to_vec(&value).expect("a tree of JSON values can be written"))
}

type Failed = (Event, CallError);

/// Passes one answer to one plugin.
struct Round<'a> {
    sandbox: &'a Sandbox,
    plugin: &'a Arc<Plugin>,
    deadline: Instant,
    asked: bool,
}

impl Round<'_> {
    fn answer(&mut self, class: &str, answer: Answer, value: &mut Value) -> Result<(), Failed> {
        match answer {
            Answer::Object => {
                self.get(class, value, 0)?;
                self.ask(Event::IndivData, Size::One, class, value)
            }
            Answer::List => {
                let list = format!("{class}s");
                for row in value
                    .get_mut(&list)
                    .and_then(Value::as_array_mut)
                    .into_iter()
                    .flatten()
                {
                    self.get(class, row, 0)?;
                }
                self.ask(Event::MassData, Size::List, class, value)?;
                if value
                    .get(&list)
                    .and_then(Value::as_array)
                    .is_none_or(|rows| !rows.iter().all(Value::is_object))
                {
                    let wanted = "map with the list of objects";
                    return Err((
                        Event::MassData,
                        CallError::WrongType {
                            variable: "data",
                            wanted,
                        },
                    ));
                }
                Ok(())
            }
        }
    }

    /// An object and, before it, those inside it: each looks the same wherever it is shown.
    fn get(&mut self, class: &str, value: &mut Value, depth: usize) -> Result<(), Failed> {
        if depth > MOST_DEPTH {
            return Ok(());
        }
        for (member, inner) in embedded(class) {
            // An object that does not exist is shown with empty members, or with none.
            let there = |value: &&mut Value| {
                value
                    .get("id")
                    .is_some_and(|id| id.as_str().is_none_or(|id| !id.is_empty() && id != "0"))
            };
            if let Some(object) = value.get_mut(member).filter(there) {
                self.get(inner, object, depth + 1)?;
            }
        }
        self.ask(Event::Getter, Size::One, class, value)
    }

    fn ask(
        &mut self,
        event: Event,
        size: Size,
        class: &str,
        value: &mut Value,
    ) -> Result<(), Failed> {
        if !self.plugin.is_asked(event, class) {
            return Ok(());
        }
        self.asked = true;
        let mut beside = Map::new();
        beside.insert("classname".into(), class.into());
        match event {
            Event::MassData => beside.insert(
                "classman".into(),
                [("class".into(), class.into())]
                    .into_iter()
                    .collect::<Map>()
                    .into(),
            ),
            _ => beside.insert("class".into(), convert::to_dynamic(value)),
        };
        let after = self
            .sandbox
            .change(
                size,
                &self.plugin.ast,
                event.name(),
                "data",
                value,
                beside,
                self.deadline,
            )
            .map_err(|error| (event, error))?;
        if !after.is_object() {
            return Err((
                event,
                CallError::WrongType {
                    variable: "data",
                    wanted: "map",
                },
            ));
        }
        *value = after;
        Ok(())
    }
}
