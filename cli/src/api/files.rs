//! Files of snapins: streamed, whatever their size, with no time limit except the server's.

use std::io::Read;

use foghorn_types::SnapinId;
use serde::de::DeserializeOwned;
use ureq::SendBody;

use super::{Api, ApiError, LARGEST_ANSWER, unreadable};

/// A file as received from the server.
pub struct FileContent {
    /// Expected number of bytes.
    pub len: u64,
    /// Expected SHA-512, in hexadecimal.
    pub sha512: String,
    pub body: ureq::BodyReader<'static>,
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
        let request = self
            .agent
            .put(format!("{}{path}", self.base))
            .query("name", name);
        let request = request
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("content-type", "application/octet-stream")
            .header("content-length", len.to_string());
        let request = request.config().timeout_global(None).build();
        let mut response = request
            .send(SendBody::from_reader(&mut content))
            .map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(LARGEST_ANSWER)
            .read_to_string()
            .map_err(unreachable)?;
        if !(200..300).contains(&status) {
            return Err(self.refusal(status, "PUT", &path, &text, None));
        }
        serde_json::from_str(&text).map_err(|source| unreadable("PUT", &path, source))
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
            let text = response.body_mut().read_to_string().map_err(unreachable)?;
            return Err(self.refusal(status, "GET", &path, &text, None));
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
            .map_err(|source| unreadable("GET", &path, source))?;
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
