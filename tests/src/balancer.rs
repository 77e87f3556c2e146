//! A small balancer for TCP before several controllers, as HAProxy is one: it asks each for `/readyz`,
//! gives new connections to those that are ready, and ends the connections of one that does not
//! answer. It does not read what goes through it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use ureq::tls::TlsConfig;

/// Between two looks at a controller.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Whoever does not answer by then is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const CONNECT_WITHIN: Duration = Duration::from_millis(400);

/// One address for several controllers. Dropping it ends it.
pub struct Balancer {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    behind: Vec<Behind>,
    question: &'static str,
    next: AtomicUsize,
    over: AtomicBool,
}

/// One controller.
struct Behind {
    address: SocketAddr,
    ready: AtomicBool,
    /// Both ends of its connections.
    open: Mutex<Vec<[TcpStream; 2]>>,
}

impl Balancer {
    /// Begins to listen on a port of its own.
    pub fn start(controllers: &[SocketAddr]) -> Result<Self> {
        Self::start_asking(controllers, "/readyz")
    }

    /// The same with another question.
    pub fn start_asking(controllers: &[SocketAddr], question: &'static str) -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), controllers, question)
    }

    /// The same on this address.
    pub fn start_at(
        listen: SocketAddr,
        controllers: &[SocketAddr],
        question: &'static str,
    ) -> Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let behind = controllers.iter().map(|address| Behind {
            address: *address,
            ready: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let shared = Arc::new(Shared {
            behind: behind.collect(),
            question,
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        for number in 0..controllers.len() {
            let shared = shared.clone();
            thread::spawn(move || shared.watch(number));
        }
        let listening = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if listening.over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(stream), shared) = (stream, listening.clone()) else {
                    continue;
                };
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Ok(Self { address, shared })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many controllers are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        let behind = self.shared.behind.iter();
        behind
            .filter(|controller| controller.ready.load(Ordering::Relaxed))
            .count()
    }

    /// Whether the controller is ready, by its number.
    #[must_use]
    pub fn is_ready(&self, number: usize) -> bool {
        let behind = self.shared.behind.get(number);
        behind.is_some_and(|controller| controller.ready.load(Ordering::Relaxed))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        let _woken = TcpStream::connect_timeout(&self.address, CONNECT_WITHIN);
        for controller in &self.shared.behind {
            controller.cut();
        }
    }
}

impl Shared {
    fn watch(&self, number: usize) {
        let controller = &self.behind[number];
        let tls = TlsConfig::builder().disable_verification(true).build();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(ANSWER_WITHIN))
            .build()
            .into();
        let url = format!("https://{}{}", controller.address, self.question);
        while !self.over.load(Ordering::Relaxed) {
            let answer = agent.get(&url).call();
            let status = answer.map(|answer| answer.status().as_u16());
            let was = controller.ready.swap(
                status.as_ref().is_ok_and(|status| *status == 200),
                Ordering::Relaxed,
            );
            if status.is_err() && was {
                controller.cut();
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn serve(&self, client: &TcpStream) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.behind.len();
        let ready = |controller: &&Behind| controller.ready.load(Ordering::Relaxed);
        let candidates = (0..count).map(|step| &self.behind[(first + step) % count]);
        for controller in candidates.filter(ready) {
            let server = TcpStream::connect_timeout(&controller.address, CONNECT_WITHIN);
            if let Ok(server) = server {
                let _ended = controller.pass(client, &server);
                return;
            }
        }
    }
}

impl Behind {
    fn pass(&self, client: &TcpStream, server: &TcpStream) -> std::io::Result<()> {
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let pair = [client.try_clone()?, server.try_clone()?];
        let port = client.peer_addr()?;
        self.lock().push(pair);
        let (from, to) = (client.try_clone()?, server.try_clone()?);
        let up = thread::spawn(move || copy(from, to));
        copy(server.try_clone()?, client.try_clone()?);
        let _joined = up.join();
        let is_other = |pair: &[TcpStream; 2]| pair[0].peer_addr().is_ok_and(|peer| peer != port);
        self.lock().retain(is_other);
        Ok(())
    }

    fn cut(&self) {
        for end in self.lock().drain(..).flatten() {
            let _gone = end.shutdown(Shutdown::Both);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<[TcpStream; 2]>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until one end is closed, which the other is told.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(read) if read > 0 => {
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            Ok(_) => {
                let _told = to.shutdown(Shutdown::Write);
                return;
            }
            Err(_) => break,
        }
    }
    let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
