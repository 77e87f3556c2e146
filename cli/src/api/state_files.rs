//! The state as a file: streamed, whatever its size.

use std::io::Read;

use data_encoding::BASE64;
use foghorn_rest_types::state_file::{ExportRequest, Imported};
use ureq::SendBody;

use super::{Api, ApiError, LARGEST_ANSWER, problem_of, unreadable, verbose};

const EXPORT: &str = "/foghorn/v1/state/export";
const IMPORT: &str = "/foghorn/v1/state/import";

impl Api {
    /// The bytes of the file.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn export_state(
        &self,
        request: &ExportRequest,
    ) -> Result<ureq::BodyReader<'static>, ApiError> {
        let body = serde_json::to_vec(request).map_err(unreadable)?;
        let url = format!("{}{EXPORT}", self.base);
        let sent = self
            .agent
            .post(&url)
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("content-type", "application/json")
            .config()
            .timeout_global(None)
            .build()
            .send(&body[..]);
        let mut response = sent.map_err(|source| self.no_answer(source))?;
        let status = response.status().as_u16();
        let problem = problem_of(&response);
        verbose::exchange("POST", &url, status, problem.as_deref());
        if status != 200 {
            let text = response.body_mut().read_to_string();
            let text = text.map_err(|source| self.no_answer(source))?;
            return Err(self.refusal(status, "POST", EXPORT, &text, problem));
        }
        let body = response.into_body().into_with_config();
        Ok(body.limit(u64::MAX).reader())
    }

    /// Sends `length` bytes of `content` as the state to import.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub fn import_state(
        &self,
        passphrase: &str,
        replace: bool,
        length: u64,
        mut content: impl Read,
    ) -> Result<Imported, ApiError> {
        let url = format!("{}{IMPORT}", self.base);
        let request = self.agent.post(&url).query("replace", replace.to_string());
        let sent = request
            .header("fog-api-token", &self.api_token)
            .header("fog-user-token", &self.user_token)
            .header("foghorn-passphrase", BASE64.encode(passphrase.as_bytes()))
            .header("content-type", "application/octet-stream")
            .header("content-length", length.to_string())
            .header("expect", "100-continue")
            .config()
            .timeout_global(None)
            .build()
            .send(SendBody::from_reader(&mut content));
        let mut response = sent.map_err(|source| self.no_answer(source))?;
        let status = response.status().as_u16();
        let problem = problem_of(&response);
        verbose::exchange("POST", &url, status, problem.as_deref());
        let body = response.body_mut().with_config().limit(LARGEST_ANSWER);
        let text = body.read_to_string();
        let text = text.map_err(|source| self.no_answer(source))?;
        if status != 200 {
            return Err(self.refusal(status, "POST", IMPORT, &text, problem));
        }
        serde_json::from_str(&text).map_err(unreadable)
    }

    fn no_answer(&self, source: ureq::Error) -> ApiError {
        let server = self.base.clone();
        ApiError::Unreachable { server, source }
    }
}
