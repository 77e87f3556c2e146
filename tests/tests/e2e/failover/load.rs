//! Writers, readers and a listener that go on and on, and write down what went wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use foghorn_tests::rest::Rest;
use serde_json::json;

/// What is shared by all who ask.
#[derive(Default)]
pub(super) struct Load {
    over: AtomicBool,
    pub(super) answered: AtomicU64,
    /// Streams of events that came to a clean end.
    pub(super) ended: AtomicU64,
    wrong: Mutex<Vec<String>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Load {
    /// Begins to do `work` again and again, with a number that counts.
    pub(super) fn repeat(
        self: &Arc<Self>,
        name: &'static str,
        mut work: impl FnMut(u64) -> Result<()> + Send + 'static,
    ) {
        let load = self.clone();
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                if load.is_over() {
                    return;
                }
                let done = work(number);
                load.answered.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = done {
                    load.wrong
                        .lock()
                        .unwrap()
                        .push(format!("{name}: {error:#}"));
                }
            }
        });
        self.threads.lock().unwrap().push(thread);
    }

    /// Creates hosts, changes and reads them.
    pub(super) fn write(self: &Arc<Self>, writer: usize, rest: Rest) {
        self.repeat("a writer", move |number| {
            let name = format!("w{writer}-{number}");
            let [.., a, b, c] = number.to_be_bytes();
            let mac = format!("02:54:{writer:02x}:{a:02x}:{b:02x}:{c:02x}");
            let body = json!({ "name": name, "macs": [mac] });
            let host = rest.post("/fog/host/create", &body)?.ok()?;
            let id = host["id"]
                .as_u64()
                .or_else(|| host["id"].as_str()?.parse().ok());
            let path = format!("/fog/host/{}", id.context("the host has no id")?);
            let description = format!("of {name}");
            let change = json!({ "description": description });
            rest.put(&format!("{path}/edit"), &change)?.ok()?;
            // Perhaps at another controller.
            let read = rest.get(&path)?.ok()?;
            ensure!(read["description"] == json!(description), "{read}");
            Ok(())
        });
    }

    /// Reads hosts and the storage node, which is there all the time.
    pub(super) fn read(self: &Arc<Self>, rest: Rest) {
        self.repeat("a reader", move |number| {
            if number % 2 == 0 {
                rest.get("/foghorn/v1/hosts?limit=5")?.ok()?;
                return Ok(());
            }
            // A link on its way from one controller to another is at none of them for a moment.
            for _ in 0..20 {
                let nodes = rest.get("/foghorn/v1/nodes")?.ok()?;
                let mut all = nodes["nodes"].as_array().into_iter().flatten();
                if all.any(|node| node["online"] == true) {
                    return Ok(());
                }
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            bail!("no node has been online for two seconds")
        });
    }

    /// Follows the events of hosts; a stream that ends is taken up where it ended.
    pub(super) fn listen(self: &Arc<Self>, rest: Rest) {
        let (load, mut last) = (self.clone(), None::<String>);
        std::thread::spawn(move || {
            while !load.is_over() {
                let heard = listen_once(&rest, &mut last);
                if load.is_over() {
                    return;
                }
                match heard {
                    Ok(()) => drop(load.ended.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => load
                        .wrong
                        .lock()
                        .unwrap()
                        .push(format!("events: {error:#}")),
                }
            }
        });
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Ends all and fails if anything was wrong.
    pub(super) fn end(&self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.lock().unwrap().drain(..) {
            if thread.join().is_err() {
                bail!("a thread of the load panicked");
            }
        }
        let wrong = self.wrong.lock().unwrap();
        let answered = self.answered.load(Ordering::Relaxed);
        eprintln!("{answered} rounds of requests, {} wrong", wrong.len());
        ensure!(
            wrong.is_empty(),
            "{} of {answered} went wrong, such as:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(10)].join("\n")
        );
        Ok(())
    }
}

fn listen_once(rest: &Rest, last: &mut Option<String>) -> Result<()> {
    let text = rest.listen("/foghorn/v1/events?class=host", last.as_deref())?;
    ensure!(
        last.is_none() || !text.contains("event: reset"),
        "what was missed is not known at the next controller:\n{text}"
    );
    let mut lines = text.lines().rev();
    if let Some(id) = lines.find_map(|line| line.strip_prefix("id: ")) {
        *last = Some(id.to_owned());
    }
    Ok(())
}
