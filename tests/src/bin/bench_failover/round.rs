//! One round: something happens to a controller, and everybody looks at the clock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::three::Three;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::figures::{Kind, Took};

/// A client that waits longer than this gives up, and asks again.
const GIVES_UP_AFTER: Duration = Duration::from_secs(3);
/// Requests go on before the signal, and after everything was seen.
const AROUND: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(5);

/// What a round asks for.
pub(crate) struct Client {
    host: u32,
}

impl Client {
    pub(crate) fn new(three: &Three) -> Result<Self> {
        let image = three.stack.create_image("image")?;
        let host = three.stack.create_host("pc", "52:54:00:00:20:01")?;
        three.stack.assign(host, image)?;
        Ok(Self { host })
    }
}

/// When each request ended, and whether it was answered well.
type Ends = Mutex<Vec<(Instant, bool)>>;

pub(crate) fn round(three: &mut Three, client: &Client, kind: Kind) -> Result<Took> {
    let number = three.linked().context("no controller has the link")?;
    let (asking, ordering) = (
        three.through(GIVES_UP_AFTER)?,
        three.through(GIVES_UP_AFTER)?,
    );
    let (over, ends) = (AtomicBool::new(false), Ends::default());
    let measured = thread::scope(|scope| -> Result<_> {
        scope.spawn(|| ask(&asking, client.host, &over, &ends));
        thread::sleep(AROUND);
        let begun = Instant::now();
        match kind {
            Kind::Kill => three.process(number).kill()?,
            Kind::Term => three.process(number).signal(Signal::TERM)?,
            Kind::Stop => three.process(number).signal(Signal::STOP)?,
        }
        let three = &*three;
        let link = scope.spawn(move || link_elsewhere(three, number).map(|()| begun.elapsed()));
        let task = order(&ordering, client.host)?;
        until("the task to have its node", PATIENCE, || {
            let status = ordering.get(&format!("/foghorn/v1/tasks/{task}"));
            let status = status.and_then(foghorn_tests::rest::Answer::ok);
            Ok(status.ok().filter(|status| status["state"] == "assigned"))
        })?;
        let scheduling = begun.elapsed();
        let name = format!("task={task}");
        until("the order at the node", PATIENCE, || {
            let log = three.stack.agents[0].process.log();
            let is_there = |line: &str| line.contains("session opened") && line.contains(&name);
            Ok(log.lines().any(is_there).then_some(()))
        })?;
        let order = begun.elapsed();
        let link = link
            .join()
            .map_err(|_| anyhow::anyhow!("the look at the link panicked"))??;
        thread::sleep(AROUND);
        over.store(true, Ordering::Relaxed);
        Ok((begun, task, [scheduling, order, link]))
    });
    over.store(true, Ordering::Relaxed);
    let (begun, task, [scheduling, order, link]) = measured?;
    come_back(three, number, kind)?;
    three.wait_whole()?;
    three
        .stack
        .rest
        .delete(&format!("/fog/task/{task}/cancel"))?
        .ok()?;
    let ends = ends.into_inner().unwrap_or_default();
    let after = ends.iter().filter(|(at, _)| *at >= begun);
    let (mut last, mut requests) = (begun, Duration::ZERO);
    for (at, _) in after.clone().filter(|(_, good)| *good) {
        requests = requests.max(at.duration_since(last));
        last = *at;
    }
    Ok(Took {
        requests,
        failed: after.filter(|(_, good)| !good).count(),
        scheduling,
        order,
        link,
    })
}

fn come_back(three: &mut Three, number: usize, kind: Kind) -> Result<()> {
    match kind {
        Kind::Kill => three.restart(number),
        Kind::Term => {
            three.process(number).wait(PATIENCE)?;
            three.restart(number)
        }
        Kind::Stop => three.process(number).signal(Signal::CONT),
    }
}

/// Reads and writes in turns.
fn ask(rest: &Rest, host: u32, over: &AtomicBool, ends: &Ends) {
    let mut complaint = String::new();
    for number in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let path = format!("/fog/host/{host}");
        let answer = if number % 2 == 0 {
            rest.get(&path)
        } else {
            let change = json!({ "description": number.to_string() });
            rest.put(&format!("{path}/edit"), &change)
        };
        let good = matches!(&answer, Ok(answer) if answer.status == 200);
        let why = match &answer {
            Err(error) => format!("{error:#}"),
            Ok(answer) => format!("{} {}", answer.status, answer.body),
        };
        if !good && why != complaint {
            eprintln!("a request failed: {why}");
            complaint = why;
        }
        if let Ok(mut ends) = ends.lock() {
            ends.push((Instant::now(), good));
        }
        thread::sleep(PAUSE);
    }
}

fn link_elsewhere(three: &Three, number: usize) -> Result<()> {
    until("the link at another controller", PATIENCE, || {
        let mut others = (0..Three::COUNT).filter(|other| *other != number);
        let has_it = |other| {
            let list = three.rest(other).get("/foghorn/v1/controllers")?.ok()?;
            let list = list["controllers"].as_array().cloned().unwrap_or_default();
            let own = list.iter().find(|controller| controller["answers"] == true);
            anyhow::Ok(own.is_some_and(|own| own["nodes"].as_u64().unwrap_or(0) > 0))
        };
        Ok(others
            .any(|other| has_it(other).unwrap_or(false))
            .then_some(()))
    })
}

/// Orders a capture, again and again under one key until it is answered.
fn order(rest: &Rest, host: u32) -> Result<u64> {
    let key = format!("order-{:?}", Instant::now());
    let body = json!({ "taskTypeID": 2 }).to_string().into_bytes();
    until("the order to be taken", PATIENCE, || {
        let path = format!("/fog/host/{host}/task");
        let headers = [("idempotency-key", key.as_str())];
        let answer = rest.send_with("POST", &path, Some(body.clone()), &headers);
        if !answer.is_ok_and(|answer| answer.status == 200) {
            return Ok(None);
        }
        let list = rest.get(&format!("/foghorn/v1/tasks?host={host}"));
        let list = list.and_then(foghorn_tests::rest::Answer::ok).ok();
        Ok(list.and_then(|list| list.pointer("/tasks/0/id").and_then(Value::as_u64)))
    })
}
