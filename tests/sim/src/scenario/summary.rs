//! A scenario in one line.

use std::fmt;

use super::{Fate, Scenario};
use crate::network::Loss;

/// What is special about a scenario, for people who look through failures.
#[derive(Debug)]
pub struct Summary<'a>(pub &'a Scenario);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(scenario) = self;
        let machines = &scenario.machines;
        let pace = scenario.pace();
        write!(
            f,
            "{} machines, {} chunks",
            machines.len(),
            scenario.image.chunks
        )?;
        if scenario.session.max_rate == 0 {
            f.write_str(", rate searched for")?;
        }
        let mut count = |what: &str, number: usize| {
            if number > 0 {
                write!(f, ", {number} {what}")
            } else {
                Ok(())
            }
        };
        let of = |which: &dyn Fn(&super::MachineShape) -> bool| {
            machines.iter().filter(|shape| which(shape)).count()
        };
        count("lossy", of(&|shape| shape.cable.loss != Loss::None))?;
        count(
            "lossy trunks",
            scenario
                .trunks
                .iter()
                .filter(|trunk| trunk.loss != Loss::None)
                .count(),
        )?;
        count("untidy", of(&|shape| shape.cable.jitter_us > 0))?;
        count("late", of(&|shape| shape.start_ms > 0))?;
        count("with a previous image", of(&|shape| shape.has > 0.0))?;
        count("losing reports", of(&|shape| shape.report_loss > 0.0))?;
        count("very lossy", of(&|shape| shape.cable.loss.mean() > 0.1))?;
        count("with a slow disk", of(&|shape| shape.disk_rate < pace))?;
        count(
            "with a slow line",
            of(&|shape| shape.cable.pipe.rate < pace),
        )?;
        count("cut off", of(&|shape| !shape.cable.cuts_ms.is_empty()))?;
        count("that die", of(&|shape| matches!(shape.fate, Fate::Dies(_))))?;
        count(
            "that pause",
            of(&|shape| matches!(shape.fate, Fate::Pauses(..))),
        )?;
        count("that lie", of(&|shape| shape.fate == Fate::Lies))?;
        count(
            "forged packets a second",
            scenario.attack.per_second as usize,
        )?;
        if scenario.agent_restart_ms.is_some() {
            f.write_str(", the agent restarts")?;
        }
        Ok(())
    }
}
