//! What must hold after every run.

use crate::clock::Nanos;
use crate::scenario::{Fate, Scenario};
use crate::world::{MachineOutcome, RunOutcome, World};

/// How much later than without the misfits an ordinary machine may be done: so much more of its
/// time…
///
/// One dead machine may cost a second and one slow machine 2 %; `figures` holds that at realistic
/// sizes. Here sessions last a second, and misfits may be most of the machines.
const DELAY_SHARE: f64 = 0.1;
/// … and so much in any case.
const DELAY_SPAN: Nanos = Nanos::millis(1500);
/// The same where the rate is searched for: in a run this short the search takes most of the time,
/// and chance much of that.
const SEARCH_SHARE: f64 = 0.5;
const SEARCH_SPAN: Nanos = Nanos::millis(3000);
/// A receiver that is silent is dropped after this: a second, and the time between two looks.
const SILENCE: Nanos = Nanos::millis(1050);

/// Runs a scenario, with and without its misfits, and says what is wrong.
#[must_use]
pub fn problems(scenario: &Scenario) -> Vec<String> {
    let outcome = World::new(scenario).run();
    let mut problems = Vec::new();
    everybody_ends(&outcome, &mut problems);
    nothing_false_is_taken(scenario, &outcome, &mut problems);
    buffers_are_bounded(scenario, &outcome, &mut problems);
    the_silent_are_dropped(scenario, &outcome, &mut problems);
    if let Some((alone, indices)) = scenario.without_misfits() {
        nobody_is_held_up(
            scenario,
            &outcome,
            &World::new(&alone).run(),
            &indices,
            &mut problems,
        );
    }
    problems
}

fn everybody_ends(outcome: &RunOutcome, problems: &mut Vec<String>) {
    for (index, machine) in outcome.machines.iter().enumerate() {
        if machine.must_finish && (machine.finished_at.is_none() || machine.lacks > 0) {
            problems.push(format!(
                "machine {index} never got {} chunks",
                machine.lacks
            ));
        }
    }
    if problems.is_empty() && !outcome.is_over {
        problems.push(format!(
            "the sender still had members at {:.3} s",
            outcome.ended_at.as_secs()
        ));
    }
}

fn nothing_false_is_taken(scenario: &Scenario, outcome: &RunOutcome, problems: &mut Vec<String>) {
    for (index, machine) in outcome.machines.iter().enumerate() {
        if machine.bad_chunks > 0 {
            problems.push(format!(
                "machine {index} put together {} chunks that were wrong",
                machine.bad_chunks
            ));
        }
        let cable = &scenario.machines[index].cable;
        let tidy = cable.garble == 0.0 && cable.duplicate == 0.0 && scenario.attack.per_second == 0;
        // Packets of a sender before its agent died may still arrive.
        if tidy && machine.rejected > 0 && machine.rejoined == 0 {
            problems.push(format!(
                "machine {index} rejected {} packets that were in order",
                machine.rejected
            ));
        }
    }
}

fn buffers_are_bounded(scenario: &Scenario, outcome: &RunOutcome, problems: &mut Vec<String>) {
    let group =
        usize::from(scenario.session.group_symbols) * usize::from(scenario.session.symbol_bytes);
    for (index, machine) in outcome.machines.iter().enumerate() {
        let limit = scenario.session.receiver_bytes as usize + group;
        if machine.most_held > limit {
            problems.push(format!(
                "machine {index} held {} bytes, more than {limit}",
                machine.most_held
            ));
        }
    }
    // A group that was repaired has 64 symbols of parity; and one group is added before an old one
    // goes.
    let parity = 64.0 / f64::from(scenario.session.group_symbols);
    let limit = (f64::from(scenario.session.window_bytes) * (1.0 + parity)) as usize + group * 2;
    if outcome.most_window > limit {
        problems.push(format!(
            "the sender kept {} bytes for repairs, more than {limit}",
            outcome.most_window
        ));
    }
}

/// A member that dies is out of the session within a second; and nobody is dropped who was not
/// silent.
fn the_silent_are_dropped(scenario: &Scenario, outcome: &RunOutcome, problems: &mut Vec<String>) {
    for (index, machine) in scenario.machines.iter().enumerate() {
        let drops = outcome
            .dropped
            .iter()
            .filter(|(dropped, _)| *dropped == index)
            .map(|&(_, at)| at);
        let (since, until) = match machine.fate {
            Fate::Dies(at) => (at, u32::MAX),
            Fate::Pauses(from, to) => (from, to),
            _ => match machine.cable.cuts_ms.first() {
                Some(&(from, to)) => (from, to),
                None if machine.report_loss == 0.0 && scenario.agent_restart_ms.is_none() => {
                    (u32::MAX, 0)
                }
                None => continue,
            },
        };
        let silent = Nanos::millis(u64::from(since))..Nanos::millis(u64::from(until)) + SILENCE;
        for at in drops
            .clone()
            .filter(|at| machine.report_loss == 0.0 && !silent.contains(at))
        {
            problems.push(format!(
                "machine {index} was dropped at {:.3} s though it was not silent",
                at.as_secs()
            ));
        }
        let late = |at: &Nanos| *at > silent.start + SILENCE + Nanos::millis(200);
        if matches!(machine.fate, Fate::Dies(_)) && drops.clone().min().is_some_and(|at| late(&at))
        {
            problems.push(format!(
                "machine {index} died at {since} ms and was dropped too late"
            ));
        }
    }
}

fn nobody_is_held_up(
    scenario: &Scenario,
    with: &RunOutcome,
    without: &RunOutcome,
    indices: &[usize],
    problems: &mut Vec<String>,
) {
    for (alone, &index) in without.machines.iter().zip(indices) {
        let took = |machine: &MachineOutcome| Some(machine.finished_at?.since(machine.started_at?));
        if let (Some(alone), Some(took)) = (took(alone), took(&with.machines[index])) {
            let most = latest(scenario, alone);
            if took > most {
                let (took, alone) = (took.as_secs(), alone.as_secs());
                problems.push(format!(
                    "machine {index} took {took:.3} s, and {alone:.3} s without the misfits"
                ));
            }
        }
    }
}

/// When a machine must be done that needed the span `alone` without the misfits.
fn latest(scenario: &Scenario, alone: Nanos) -> Nanos {
    let (share, span) = if scenario.session.max_rate > 0 {
        (DELAY_SHARE, DELAY_SPAN)
    } else {
        (SEARCH_SHARE, SEARCH_SPAN)
    };
    let mut most = Nanos((alone.0 as f64 * (1.0 + share)) as u64) + span;
    if let Some((down, up)) = scenario.agent_restart_ms {
        // Without the misfits it may have been done before the agent died, with them it has to
        // start again.
        most += alone + Nanos::millis(u64::from(up - down)) + DELAY_SPAN;
    }
    most
}
