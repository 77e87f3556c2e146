//! The bucket in which a node keeps cold copies.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use foghorn_types::ByteCount;
use schemars::JsonSchema;
use serde::Deserialize;

use super::LoadConfigError;

/// Less than this would hold two packs only.
const LEAST_CACHE_MIB: u32 = 48;
/// Default of `cold.region`.
const REGION: &str = "us-east-1";

/// Where a node keeps cold copies of its images, and how much of them on its own disk.
#[derive(Clone, Debug)]
pub struct ColdConfig {
    /// `https://HOST[:PORT]`; `None`: Amazon's, in the region.
    pub endpoint: Option<String>,
    pub bucket: String,
    /// Of the names of all objects. `None`: the name of the node.
    pub prefix: Option<String>,
    pub region: String,
    pub credentials: Credentials,
    /// Authority of the endpoint's certificate (PEM), if it is not a public one.
    pub ca: Option<PathBuf>,
    /// The node whose prefix this one takes over.
    pub take_over: Option<String>,
    /// What is read again from the bucket may take this much of the node's disk.
    pub cache: ByteCount,
    /// What came to this node last, and is in the bucket by now, may take this much of it.
    pub keep: ByteCount,
    /// Between two looks at what there is to do.
    pub every: Duration,
    /// How long a reader waits for a bucket that does not answer.
    pub patience: Duration,
}

/// Where the key is. Never the key itself: what is shown of the configuration shows none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credentials {
    /// Lines `access_key_id = …`, `secret_access_key = …` and perhaps `session_token = …`; read again
    /// for each request.
    File(PathBuf),
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and perhaps `AWS_SESSION_TOKEN`.
    Environment,
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment => f.write_str("the environment (AWS_ACCESS_KEY_ID)"),
        }
    }
}

/// Cold copies of all images of the node in a bucket of S3-compatible storage.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCold {
    /// Name of the bucket. Required.
    #[schemars(extend("examples" = ["foghorn-images"]))]
    bucket: Option<String>,
    /// How much of the node's disk may hold what is read again from the bucket, in MiB. Required.
    #[schemars(range(min = LEAST_CACHE_MIB))]
    #[schemars(extend("examples" = [102_400]))]
    cache_mib: Option<u32>,
    /// How much of it may hold what came to the node last and is in the bucket by now, in MiB.
    /// Default: as `cache_mib`.
    #[schemars(extend("examples" = [51_200]))]
    keep_mib: Option<u32>,
    /// `https://HOST[:PORT]`. Default: Amazon's, in the region.
    #[schemars(extend("examples" = ["https://s3.example.org"]))]
    endpoint: Option<String>,
    /// Region of the bucket.
    #[schemars(extend("default" = REGION))]
    region: Option<String>,
    /// File with lines `access_key_id = …`, `secret_access_key = …` and perhaps `session_token = …`,
    /// read again for each request. Default: the variables AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.
    #[schemars(extend("examples" = ["/etc/foghorn/bucket-key"]))]
    credentials: Option<PathBuf>,
    /// File with the authority of the endpoint's certificate (PEM), if it is not a public one.
    #[schemars(extend("examples" = ["/etc/foghorn/bucket-ca.pem"]))]
    ca: Option<PathBuf>,
    /// Takes `http://` for the endpoint: only where nobody can listen on the way.
    #[serde(default)]
    allow_http: bool,
    /// What the names of the node's objects begin with. Default: the name of the node.
    #[schemars(extend("examples" = ["north"]))]
    prefix: Option<String>,
    /// The node whose prefix this one takes over.
    #[schemars(extend("examples" = ["old-north"]))]
    take_over: Option<String>,
}

impl RawCold {
    pub(super) fn check(self) -> Result<ColdConfig, LoadConfigError> {
        let refuse = |key, why: &str| {
            Err(LoadConfigError::Value {
                key,
                why: why.to_owned(),
            })
        };
        let Some(bucket) = self.bucket.filter(|name| is_bucket(name)) else {
            return refuse(
                "cold.bucket",
                "is required: 3 to 63 of small letters, digits, `-` and `.`",
            );
        };
        let plain = match self.endpoint.as_deref() {
            None => false,
            Some(endpoint) if endpoint.contains('@') => {
                return refuse("cold.endpoint", "must not contain credentials");
            }
            Some(endpoint) if endpoint.starts_with("https://") => false,
            Some(endpoint) if endpoint.starts_with("http://") => true,
            Some(_) => return refuse("cold.endpoint", "is not https://HOST[:PORT]"),
        };
        if plain && !self.allow_http {
            return refuse(
                "cold.endpoint",
                "http:// shows the contents of disks to everybody on the way: use https://, or set \
                 `allow_http = true` if the way is safe",
            );
        }
        let prefix = self
            .prefix
            .map(|prefix| prefix.trim_matches('/').to_owned());
        if prefix.as_deref().is_some_and(|prefix| !is_prefix(prefix)) {
            return refuse(
                "cold.prefix",
                "is not made of letters, digits, `-`, `_`, `.` and `/`",
            );
        }
        let Some(cache) = self.cache_mib else {
            return refuse(
                "cold.cache_mib",
                "is required: how much of the disk may hold what is read again from the bucket",
            );
        };
        if cache < LEAST_CACHE_MIB {
            return refuse("cold.cache_mib", "is too little, at least 48");
        }
        Ok(ColdConfig {
            endpoint: self
                .endpoint
                .map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
            bucket,
            prefix,
            region: self.region.unwrap_or_else(|| REGION.to_owned()),
            credentials: match self.credentials {
                Some(path) => Credentials::File(path),
                None => Credentials::Environment,
            },
            ca: self.ca,
            take_over: self.take_over,
            cache: ByteCount::from_mib(cache),
            keep: ByteCount::from_mib(self.keep_mib.unwrap_or(cache)),
            every: Duration::from_secs(3),
            // Less than the time after which a task without progress fails: it fails with the reason.
            patience: Duration::from_secs(480),
        })
    }
}

fn is_bucket(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (3..=63).contains(&name.len()) && name.chars().all(fits)
}

fn is_prefix(prefix: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    prefix.chars().all(fits) && prefix.split('/').all(is_part) && prefix.len() <= 256
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const GOOD: &str = "bucket = 'images'\ncache_mib = 1024\nendpoint = 'https://s3.example'\n";

    fn load(cold: &str) -> Result<Config, String> {
        let text = format!("state_dir = '/srv/foghorn'\n[cold]\n{cold}");
        Config::from_toml(&text).map_err(|error| foghorn_types::chain(&error).to_string())
    }

    #[test]
    fn a_bucket_is_named_with_its_cache() {
        let cold = load(GOOD).unwrap().cold.unwrap();
        assert_eq!(cold.cache, ByteCount::from_mib(1024));
        assert_eq!(cold.keep, cold.cache);
        assert_eq!(cold.credentials, Credentials::Environment);
        assert_eq!(cold.prefix, None);
        assert!(load("").is_err());
    }

    #[test]
    fn what_would_not_work_or_not_be_safe_is_refused_by_its_key() {
        for (text, key) in [
            ("bucket = 'No'\ncache_mib = 1024", "cold.bucket"),
            ("bucket = 'images'", "cold.cache_mib"),
            ("bucket = 'images'\ncache_mib = 1", "cold.cache_mib"),
            (&*format!("{GOOD}prefix = 'a//b'"), "cold.prefix"),
            (&*format!("{GOOD}prefix = '../b'"), "cold.prefix"),
            (
                &*format!("{GOOD}secret_access_key = 'x'"),
                "secret_access_key",
            ),
            (
                "bucket = 'images'\ncache_mib = 1024\nendpoint = 'http://s3.example'",
                "cold.endpoint",
            ),
            (
                "bucket = 'images'\ncache_mib = 1024\nendpoint = 'https://key:secret@s3.example'",
                "cold.endpoint",
            ),
        ] {
            let said = load(text).unwrap_err();
            assert!(said.contains(key), "{text:?} gave {said:?}");
        }
        let plain =
            "bucket = 'images'\ncache_mib = 1024\nendpoint = 'http://a:9'\nallow_http = true";
        assert!(load(plain).is_ok());
    }
}
