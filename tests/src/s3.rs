//! A real S3 server (moto), behind a proxy that lets things go wrong: errors, answers that are cut
//! off, altered or slow, a server that is gone.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_test_ports::free_port;

use crate::process::{Process, until_answer};
use crate::stack::PATIENCE;
use crate::tools::python;

pub const BUCKET: &str = "foghorn-images";
/// A key that nothing may show.
pub const SECRET: &str = "hush-this-is-the-secret-key";

/// What happens to an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// This status, as the server would say it.
    Status(u16),
    /// The connection breaks in the middle of the body.
    Cut,
    /// One bit of the body is another.
    Flip,
    /// It comes so much later.
    Slow(Duration),
    /// There is no server.
    Gone,
}

/// A server with one bucket, and a proxy before it.
pub struct S3 {
    endpoint: String,
    server: SocketAddr,
    shared: Arc<Shared>,
    credentials: String,
    _process: Process,
    _folder: tempfile::TempDir,
}

#[derive(Default)]
struct Shared {
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    /// Of requests whose first line has these words, so many times.
    fault: Option<(Fault, &'static str, usize)>,
    /// First lines of requests.
    seen: Vec<String>,
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl S3 {
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("foghorn-s3-").tempdir()?;
        let port = free_port()?;
        let mut command = Command::new(python("moto_server")?);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = Process::start(folder.path(), "moto", &mut command)?;
        let server: SocketAddr = ([127, 0, 0, 1], port).into();
        until_answer(&mut process, "the S3 server to answer", PATIENCE, || {
            let made = ask(server, "PUT", &format!("/{BUCKET}"), b"").ok();
            Ok(made.filter(|(status, _)| *status == 200).map(drop))
        })?;
        let credentials = folder.path().join("credentials");
        let text = format!("access_key_id = test-key\nsecret_access_key = {SECRET}\n");
        fs::write(&credentials, text)?;
        let shared = Arc::new(Shared::default());
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = serving.clone();
                thread::spawn(move || shared.serve(stream, server));
            }
        });
        Ok(Self {
            endpoint,
            server,
            shared,
            credentials: credentials.display().to_string(),
            _process: process,
            _folder: folder,
        })
    }

    /// The section of an agent's configuration.
    #[must_use]
    pub fn section(&self, cache_mib: u32, keep_mib: u32) -> String {
        format!(
            "[cold]\nendpoint = {:?}\nallow_http = true\nbucket = {BUCKET:?}\ncredentials = {:?}\n\
             cache_mib = {cache_mib}\nkeep_mib = {keep_mib}\n",
            self.endpoint, self.credentials
        )
    }

    /// Lets something happen to answers to requests whose first line has `words`, so many times.
    pub fn let_happen(&self, fault: Fault, words: &'static str, times: usize) {
        self.shared.plan().fault = Some((fault, words, times));
    }

    pub fn heal(&self) {
        self.shared.plan().fault = None;
    }

    /// How often the fault is still to happen.
    #[must_use]
    pub fn left(&self) -> usize {
        self.shared.plan().fault.map_or(0, |(_, _, left)| left)
    }

    /// How many requests had these words in their first line since the last call.
    #[must_use]
    pub fn count(&self, words: &str) -> usize {
        let mut plan = self.shared.plan();
        let seen = std::mem::take(&mut plan.seen);
        seen.iter().filter(|line| line.contains(words)).count()
    }

    /// Names of the objects that begin so.
    pub fn objects(&self, start: &str) -> Result<Vec<String>> {
        let path = format!("/{BUCKET}?list-type=2&prefix={start}&max-keys=1000");
        let (status, body) = ask(self.server, "GET", &path, b"")?;
        ensure!(status == 200, "the list of objects: {status}");
        let text = String::from_utf8_lossy(&body).into_owned();
        let keys = text.split("<Key>").skip(1);
        let keys = keys.filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()));
        Ok(keys.collect())
    }

    pub fn delete(&self, object: &str) -> Result<()> {
        let path = format!("/{BUCKET}/{object}");
        let (status, _) = ask(self.server, "DELETE", &path, b"")?;
        ensure!(status < 300, "deleting {object}: {status}");
        Ok(())
    }

    /// Flips a bit in the middle of an object, for good.
    pub fn damage(&self, object: &str) -> Result<()> {
        let path = format!("/{BUCKET}/{object}");
        let (status, mut body) = ask(self.server, "GET", &path, b"")?;
        ensure!(status == 200, "reading {object}: {status}");
        let middle = body.len() / 2;
        body[middle] ^= 16;
        let (status, _) = ask(self.server, "PUT", &path, &body)?;
        ensure!(status == 200, "writing {object}: {status}");
        Ok(())
    }
}

/// One request, without the proxy.
fn ask(server: SocketAddr, method: &str, path: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: AWS test-key:none\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let answer = exchange(server, head.as_bytes(), body)?;
    let at = end_of_head(&answer).context("an answer")?;
    let head = String::from_utf8_lossy(&answer[..at]).into_owned();
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, answer[at..].to_vec()))
}

fn exchange(server: SocketAddr, head: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(head)?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let found = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(found + 4)
}

impl Shared {
    /// One request on each connection.
    fn serve(&self, mut stream: TcpStream, server: SocketAddr) {
        let Some((head, body)) = read_request(&mut stream) else {
            return;
        };
        let line = head.lines().next().unwrap_or_default().to_owned();
        let fault = self.fault_for(&line);
        if fault == Some(Fault::Gone) {
            return;
        }
        if let Some(Fault::Status(status)) = fault {
            let text = "<Error><Code>Injected</Code><Message>it was told to fail</Message></Error>";
            let _ = write!(
                stream,
                "HTTP/1.1 {status} Injected\r\nContent-Type: application/xml\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
                text.len()
            );
            return;
        }
        let kept: Vec<&str> = head
            .lines()
            .filter(|line| !line.is_empty() && !line.to_lowercase().starts_with("connection:"))
            .collect();
        let head = format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n"));
        let Ok(mut answer) = exchange(server, head.as_bytes(), &body) else {
            return;
        };
        let start = end_of_head(&answer).unwrap_or(0);
        let middle = start + (answer.len() - start) / 2;
        match fault {
            Some(Fault::Cut) => answer.truncate(middle),
            Some(Fault::Flip) if middle < answer.len() => answer[middle] ^= 1,
            Some(Fault::Slow(by)) => thread::sleep(by),
            _ => {}
        }
        let _ = stream.write_all(&answer);
    }

    fn fault_for(&self, line: &str) -> Option<Fault> {
        let mut plan = self.plan();
        plan.seen.push(line.to_owned());
        let (fault, words, left) = plan.fault.as_mut()?;
        if *left == 0 || !line.contains(*words) {
            return None;
        }
        *left -= 1;
        Some(*fault)
    }
}

fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let at = loop {
        if let Some(at) = end_of_head(&bytes) {
            break at;
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..at]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(at);
    while body.len() < length.unwrap_or(0) {
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            read => body.extend_from_slice(&buffer[..read]),
        }
    }
    Some((head, body))
}

/// Bytes of the files in a folder, with what is below it.
pub fn size_of(folder: &Path) -> Result<u64> {
    let files = crate::disks::files(folder)?;
    Ok(files
        .iter()
        .map(|file| fs::metadata(file).map_or(0, |data| data.len()))
        .sum())
}
