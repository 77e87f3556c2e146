//! Files of snapins: streamed, whatever their size, with no time limit except the server's.

use std::io::{self, Read};

use foghorn_types::{ByteCount, SnapinId};
use serde::de::DeserializeOwned;
use ureq::SendBody;

use super::{Api, ApiError, LARGEST_ANSWER, problem_of, unreadable, verbose};

/// A file as received from the server.
pub struct FileContent {
    /// Expected number of bytes.
    pub len: u64,
    /// Expected SHA-512, in hexadecimal.
    pub sha512: String,
    pub body: ureq::BodyReader<'static>,
}

/// Whether the other side has closed the connection while we were sending.
fn is_cut_off(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}

/// Counts what is read from the content.
struct Counted<R> {
    content: R,
    sent: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buffer)?;
        self.sent += read as u64;
        Ok(read)
    }
}

fn path_of(snapin: SnapinId) -> String {
    format!("/foghorn/v1/snapins/{snapin}/file")
}

impl Api {
    /// Sends `len` bytes of `content` as the file of a snapin.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn upload<T: DeserializeOwned>(
        &self,
        snapin: SnapinId,
        name: &str,
        len: u64,
        mut content: impl Read,
    ) -> Result<T, ApiError> {
        let path = path_of(snapin);
        let unreachable = |source| ApiError::Unreachable {
            server: self.base.clone(),
            source,
        };
        let url = format!("{}{path}", self.base);
        let request = self.agent.put(&url).query("name", name);
        let request = request
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("content-type", "application/octet-stream")
            .header("content-length", len.to_string())
            // The server refuses before it has the file, and then nothing is sent.
            .header("expect", "100-continue");
        let request = request.config().timeout_global(None).build();
        let mut sent = Counted {
            content: &mut content,
            sent: 0,
        };
        let answer = request.send(SendBody::from_reader(&mut sent));
        let mut response = match answer {
            Ok(response) => response,
            Err(ureq::Error::Io(error)) if is_cut_off(&error) && sent.sent > 0 => {
                return Err(self.cut_off(&path, ByteCount::from_bytes(sent.sent)));
            }
            Err(error) => return Err(unreachable(error)),
        };
        let status = response.status().as_u16();
        let problem = problem_of(&response);
        verbose::exchange("PUT", &url, status, problem.as_deref());
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string()
            .map_err(unreachable)?;
        if !(200..300).contains(&status) {
            return Err(self.refusal(status, "PUT", &path, &text, problem));
        }
        serde_json::from_str(&text).map_err(unreadable)
    }

    /// The server has ended an upload in the middle. Its reason cannot be read any more.
    fn cut_off(&self, path: &str, sent: ByteCount) -> ApiError {
        let message = format!(
            "the server ended the upload after {sent}: it has no room for more, or the file is larger than it takes"
        );
        let body = serde_json::json!({ "error": message }).to_string();
        self.refusal(413, "PUT", path, &body, None)
    }

    /// The file of a snapin.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn snapin_file(&self, snapin: SnapinId) -> Result<FileContent, ApiError> {
        let path = path_of(snapin);
        let unreachable = |source| ApiError::Unreachable {
            server: self.base.clone(),
            source,
        };
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token);
        let mut response = request
            .config()
            .timeout_global(None)
            .build()
            .call()
            .map_err(unreachable)?;
        let status = response.status().as_u16();
        if status != 200 {
            let problem = problem_of(&response);
            let text = response.body_mut().read_to_string().map_err(unreachable)?;
            return Err(self.refusal(status, "GET", &path, &text, problem));
        }
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let len = header("content-length")
            .parse::<u64>()
            .map_err(unreadable)?;
        let sha512 = header("etag").trim_matches('"').to_owned();
        Ok(FileContent {
            len,
            sha512,
            body: response
                .into_body()
                .into_with_config()
                .limit(u64::MAX)
                .reader(),
        })
    }
}
