//! On a LAN of network namespaces. Needs root; in continuous integration that is a must, elsewhere
//! these tests are left out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use foghorn_tests::lab::{Lab, OnServer, SERVER};
use foghorn_tests::process::until;
use foghorn_tests::stack::{Engine, Options, PATIENCE, Stack};
use serde_json::json;

use super::room::{Machine, Room};

/// One lab at a time: a whole room of machines is enough for one computer.
static TURN: Mutex<()> = Mutex::new(());

/// A room on a LAN. Fields end in this order: the processes before the namespaces, these before the
/// next test's turn.
struct Lan {
    room: Room,
    _on_server: OnServer,
    lab: Lab,
    _turn: MutexGuard<'static, ()>,
}

/// `None` where namespaces cannot be had.
fn lan(clients: usize, rate: &str, mib: u64) -> Result<Option<Lan>> {
    let root = rustix::process::geteuid().is_root();
    assert!(
        root || std::env::var_os("CI").is_none(),
        "namespaces need root, and CI must not leave tests out"
    );
    if !root {
        eprintln!("left out: network namespaces need root");
        return Ok(None);
    }
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lab = Lab::up("fhe", clients, rate)?;
    let on_server = lab.enter()?;
    let options = Options {
        address: SERVER.to_owned(),
        ..Options::default()
    };
    let stack = Stack::start_with(Engine::Embedded, &options)?;
    let room = Room::new(stack, mib)?;
    Ok(Some(Lan {
        room,
        _on_server: on_server,
        lab,
        _turn: turn,
    }))
}

impl Lan {
    fn start_all(&self, machines: &mut [Machine]) -> Result<()> {
        machines
            .iter_mut()
            .try_for_each(|machine| self.room.start(machine, Some(&self.lab)))
    }

    /// Waits for all; gives how long it took since `begun`.
    fn finish_all(&self, machines: &mut [Machine], begun: Instant) -> Result<Duration> {
        for machine in machines {
            let report = self.room.finish(machine, PATIENCE)?;
            eprintln!("{report:?}");
            ensure!(
                report.number("peak_memory_bytes") < 256 << 20,
                "too much memory: {report:?}"
            );
        }
        Ok(begun.elapsed())
    }
}

/// Eight machines at three rates of loss; the stream stays about one image wide.
fn eight_machines(loss: u32, most: f64) -> Result<()> {
    let Some(mut lan) = lan(8, "200mbit", 48)? else {
        return Ok(());
    };
    lan.lab.loss_everywhere(loss)?;
    let mut machines = lan.room.machines(8)?;
    let before = lan.lab.bytes_sent()?;
    lan.room.session(
        &machines,
        json!({ "max_rate_bytes_per_second": 20_000_000 }),
    )?;
    let begun = Instant::now();
    lan.start_all(&mut machines)?;
    let took = lan.finish_all(&mut machines, begun)?;
    let wire = (lan.lab.bytes_sent()? - before) as f64 / f64::from(48 << 20);
    eprintln!("8 machines, loss {loss}/10000: {took:?}, {wire:.3} x the image on the wire");
    // Manifest, certificates and REST are in it.
    ensure!(wire <= most, "{wire:.3} times the image went over the wire");
    Ok(())
}

#[test]
fn eight_machines_without_loss() {
    eight_machines(0, 1.15).unwrap();
}

#[test]
fn eight_machines_that_lose_1_percent() {
    eight_machines(100, 1.25).unwrap();
}

#[test]
fn eight_machines_that_lose_5_percent() {
    eight_machines(500, 1.5).unwrap();
}

#[test]
fn a_machine_that_is_cut_off_and_comes_back_ends_with_the_image() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(3, "200mbit", 48)? else {
            return Ok(());
        };
        let mut machines = lan.room.machines(3)?;
        let session = lan
            .room
            .session(&machines, json!({ "max_rate_bytes_per_second": 4_000_000 }))?;
        let begun = Instant::now();
        lan.start_all(&mut machines)?;
        lan.room.reached(session, &machines[0], 20)?;
        lan.lab.cut(1)?;
        lan.room.reached(session, &machines[1], 40)?;
        lan.lab.heal(1)?;
        lan.finish_all(&mut machines, begun)?;
        let joined = machines[0]
            .log()
            .matches("joining the multicast session")
            .count();
        ensure!(
            joined >= 2,
            "it did not rejoin the session:\n{}",
            machines[0].log()
        );
        Ok(())
    };
    scenario().unwrap();
}

#[test]
fn a_machine_at_a_quarter_of_the_rate_does_not_hold_the_others_up() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(3, "100mbit", 48)? else {
            return Ok(());
        };
        lan.lab.rate(3, "25mbit")?;
        let mut machines = lan.room.machines(3)?;
        lan.room.session(
            &machines,
            json!({ "max_rate_bytes_per_second": 12_000_000 }),
        )?;
        let begun = Instant::now();
        lan.start_all(&mut machines)?;
        let (quick, slow) = machines.split_at_mut(2);
        let took = lan.finish_all(quick, begun)?;
        let slowest = lan.finish_all(slow, begun)?;
        eprintln!("{took:?}, the slow one {slowest:?}");
        ensure!(
            took * 2 < slowest,
            "the quick ones took {took:?}, the slow one {slowest:?}"
        );
        Ok(())
    };
    scenario().unwrap();
}

#[test]
fn a_machine_that_dies_does_not_hold_the_others_up() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(3, "200mbit", 48)? else {
            return Ok(());
        };
        let mut machines = lan.room.machines(3)?;
        let session = lan
            .room
            .session(&machines, json!({ "max_rate_bytes_per_second": 8_000_000 }))?;
        let begun = Instant::now();
        lan.start_all(&mut machines)?;
        lan.room.reached(session, &machines[0], 30)?;
        machines[2].kill()?;
        let killed = Instant::now();
        lan.finish_all(&mut machines[..2], begun)?;
        // 70 % of the image at 8 MB/s are 4.4 s.
        let after = killed.elapsed();
        ensure!(after < Duration::from_secs(15), "{after:?} after the death");
        Ok(())
    };
    scenario().unwrap();
}

#[test]
fn machines_that_come_late_take_the_stream_from_there_on() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(4, "200mbit", 48)? else {
            return Ok(());
        };
        let mut machines = lan.room.machines(4)?;
        let more = json!({ "max_rate_bytes_per_second": 8_000_000, "start_receivers": 2 });
        let session = lan.room.session(&machines, more)?;
        let begun = Instant::now();
        let (early, late) = machines.split_at_mut(2);
        lan.start_all(early)?;
        lan.room.reached(session, &early[0], 35)?;
        lan.start_all(late)?;
        lan.finish_all(early, begun)?;
        for machine in late {
            let report = lan.room.finish(machine, PATIENCE)?;
            let by_group = report.number("bytes_multicast");
            ensure!(
                by_group > 8 << 20,
                "a late one took {by_group} bytes of the stream: {}",
                machine.log()
            );
        }
        Ok(())
    };
    scenario().unwrap();
}

#[test]
fn an_agent_that_is_killed_and_restarted_goes_on() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(3, "200mbit", 48)? else {
            return Ok(());
        };
        let mut machines = lan.room.machines(3)?;
        let session = lan
            .room
            .session(&machines, json!({ "max_rate_bytes_per_second": 8_000_000 }))?;
        let begun = Instant::now();
        lan.start_all(&mut machines)?;
        lan.room.reached(session, &machines[0], 30)?;
        lan.room.stack.agents[0].process.kill()?;
        lan.room.stack.restart_agent(0)?;
        lan.finish_all(&mut machines, begun)?;
        Ok(())
    };
    scenario().unwrap();
}

#[test]
fn two_sessions_run_side_by_side() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(4, "200mbit", 48)? else {
            return Ok(());
        };
        let mut machines = lan.room.machines(4)?;
        let (one, two) = machines.split_at_mut(2);
        let more = || json!({ "max_rate_bytes_per_second": 8_000_000 });
        let (first, second) = (
            lan.room.session(one, more())?,
            lan.room.session(two, more())?,
        );
        let group_of = |session| {
            until("a node to have the session", PATIENCE, || {
                let group = lan.room.status(session)?["senders"][0]["group"].clone();
                Ok((!group.is_null()).then_some(group))
            })
        };
        let groups = [group_of(first)?, group_of(second)?];
        ensure!(groups[0] != groups[1], "both are sent to {}", groups[0]);
        let begun = Instant::now();
        lan.start_all(&mut machines)?;
        lan.finish_all(&mut machines, begun)?;
        Ok(())
    };
    scenario().unwrap();
}

#[test]
fn a_machine_that_hears_no_multicast_is_served_by_unicast_and_says_why() {
    let scenario = || -> Result<()> {
        let Some(mut lan) = lan(2, "200mbit", 24)? else {
            return Ok(());
        };
        let mut machines = lan.room.machines(2)?;
        lan.deaf(2)?;
        lan.room
            .session(&machines, json!({ "max_rate_bytes_per_second": 8_000_000 }))?;
        let begun = Instant::now();
        lan.start_all(&mut machines)?;
        lan.finish_all(&mut machines[..1], begun)?;
        let report = lan.room.finish(&mut machines[1], PATIENCE)?;
        ensure!(report.number("bytes_multicast") == 0, "{report:?}");
        ensure!(
            report.text("unicast_reason").contains("snooping"),
            "{report:?}"
        );
        let log = lan.room.stack.agents[0].process.log();
        ensure!(
            log.contains("unicast of this session is limited") && log.contains("64.0 Mbit/s"),
            "the limit of the session was not handed over:\n{log}"
        );
        Ok(())
    };
    scenario().unwrap();
}

impl Lan {
    /// A client whose switch keeps multicast from it.
    fn deaf(&self, client: usize) -> Result<()> {
        let rule = "table netdev deaf {\nchain in {\ntype filter hook ingress device \"eth0\" priority 1\n\
            ip daddr 224.0.0.0/4 drop\n}\n}";
        let mut command = std::process::Command::new("nft");
        command.arg(rule);
        let output = self.lab.on_client(client, &command).output()?;
        ensure!(
            output.status.success(),
            "nft: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
