//! What the gateway is asked and told about the work of the host.

use std::io::{self, Read};
use std::time::Duration;

use foghorn_rest_types::host_work::{HostInventory, HostUsers, HostWork};
use foghorn_rest_types::native::SnapinResult;
use ureq::Body;
use ureq::http::Response;

use super::{BOOT_HEADER, FetchError, Gateway, TIMEOUT, body, failed, taken};

/// Slower than this, in bytes per second, a file does not arrive any more.
const SLOWEST: u64 = 16 << 10;
/// Largest answer to the question for work. More than a command line may have: arguments that are too long are a snapin that
/// fails, and not a machine that does nothing any more.
const LARGEST_WORK: u64 = 8 << 20;

impl Gateway {
    /// What there is to do.
    ///
    /// # Errors
    /// When it did not answer, or with a status that says no.
    pub(in crate::host) fn work(&self) -> Result<HostWork, FetchError> {
        let url = format!("{}/host/work", self.base);
        let mut request = self.agent.get(&url);
        if let Some(boot) = &self.boot {
            request = request.header(BOOT_HEADER, boot.trim());
        }
        let answer = taken(&url, request.call(), &[200])?;
        let bytes = body(&url, answer, LARGEST_WORK)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| FetchError::Unreadable { url, source: error })
    }

    /// The file of a snapin task, to be read to its end.
    ///
    /// # Errors
    /// As above.
    pub(in crate::host) fn snapin_file(
        &self,
        task: u32,
        size: u64,
    ) -> Result<SnapinFile, FetchError> {
        let url = format!("{}/host/snapins/{task}/file", self.base);
        let whole = Duration::from_secs(size / SLOWEST) + 2 * TIMEOUT;
        let request = self.agent.get(&url).config();
        let request = request
            .timeout_global(None)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .timeout_per_read(Some(TIMEOUT))
            .timeout_recv_body(Some(whole))
            .build();
        let answer = taken(&url, request.call(), &[200])?;
        let reader = answer.into_body().into_reader();
        Ok(SnapinFile {
            url,
            reader: Box::new(reader),
        })
    }

    /// Tells how a snapin ended.
    ///
    /// # Errors
    /// As above.
    pub(in crate::host) fn snapin_ended(
        &self,
        task: u32,
        result: &SnapinResult,
    ) -> Result<(), FetchError> {
        let url = format!("{}/host/snapins/{task}/result", self.base);
        nothing(&url, self.agent.post(&url).send_json(result))
    }

    /// Tells that a power action is about to be done.
    ///
    /// # Errors
    /// As above.
    pub(in crate::host) fn acknowledge_power(&self, id: &str) -> Result<(), FetchError> {
        let url = format!("{}/host/power/{id}", self.base);
        nothing(&url, self.agent.post(&url).send_empty())
    }

    /// Tells what the machine is made of.
    ///
    /// # Errors
    /// As above.
    pub(in crate::host) fn tell_inventory(&self, parts: &HostInventory) -> Result<(), FetchError> {
        let url = format!("{}/host/inventory", self.base);
        nothing(&url, self.agent.put(&url).send_json(parts))
    }

    /// Tells who has logged in and out.
    ///
    /// # Errors
    /// As above.
    pub(in crate::host) fn tell_users(&self, users: &HostUsers) -> Result<(), FetchError> {
        let url = format!("{}/host/users", self.base);
        nothing(&url, self.agent.post(&url).send_json(users))
    }
}

/// What arrives of a file.
pub(in crate::host) struct SnapinFile {
    url: String,
    reader: Box<dyn Read>,
}

impl SnapinFile {
    /// The next bytes; 0 at the end, which comes only after all that was announced.
    ///
    /// # Errors
    /// When the connection ended before.
    pub(in crate::host) fn read(&mut self, into: &mut [u8]) -> Result<usize, FetchError> {
        loop {
            match self.reader.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|error| failed(&self.url, ureq::Error::Io(error))),
            }
        }
    }
}

fn nothing(url: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<(), FetchError> {
    taken(url, answer, &[200, 204]).map(drop)
}
