//! The bucket, in the few ways in which it is used, and what its errors mean in words.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foghorn_types::chain;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential};
use object_store::path::Path;
use object_store::{
    BackoffConfig, CredentialProvider, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    RetryConfig, UpdateVersion,
};
use tokio::time::timeout;

use super::http::{Http, TlsError};
use crate::config::{ColdConfig, Credentials};

/// Between two parts of an answer.
const SILENCE: Duration = Duration::from_secs(30);
/// For a whole object on its way up, 16 MiB at 256 kbit/s.
const UPLOAD_WITHIN: Duration = Duration::from_secs(540);

/// A bucket and the prefix in it.
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: String,
    /// As people know it: never with a key.
    name: String,
    credentials: Credentials,
}

/// Something was not to be had from the bucket.
#[derive(Debug, thiserror::Error)]
pub(super) enum BucketError {
    #[error("{0} is not in the bucket")]
    NotFound(String),
    /// It will not work before somebody does something.
    #[error(
        "{bucket} refuses the credentials from {credentials}: {why}; check the key and what it may do (list, get, put and delete objects), and the clock of this machine"
    )]
    Refused {
        bucket: String,
        credentials: Credentials,
        why: String,
    },
    #[error("could not read the credentials for the bucket from {credentials}: {why}")]
    NoCredentials {
        credentials: Credentials,
        why: String,
    },
    /// It is worth another attempt.
    #[error("{bucket} does not answer as it should: {why}")]
    Failed { bucket: String, why: String },
}

impl BucketError {
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

/// The bucket cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenBucketError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the settings of the bucket cannot be used: {0}")]
    Settings(String),
}

impl Bucket {
    /// Does not talk to it yet.
    pub(super) fn new(config: &ColdConfig, prefix: &str) -> Result<Self, OpenBucketError> {
        let http = Http::new(config.ca.as_deref())?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_credentials(Arc::new(Keys(config.credentials.clone())))
            .with_allow_http(true) // What may be plain was decided by the configuration.
            .with_http_connector(http)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.0,
                },
                // More attempts are made by who needs it, and says so meanwhile.
                max_retries: 2,
                retry_timeout: Duration::from_secs(60),
            });
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let store = builder
            .build()
            .map_err(|error| OpenBucketError::Settings(chain(&error).to_string()))?;
        let place = config.endpoint.as_deref();
        let place = place.map_or_else(|| format!("AWS {}", config.region), str::to_owned);
        Ok(Self {
            store,
            prefix: prefix.to_owned(),
            name: format!("bucket {} at {place}", config.bucket),
            credentials: config.credentials.clone(),
        })
    }

    /// As people know it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn path(&self, object: &str) -> Path {
        Path::from(format!("{}/{object}", self.prefix))
    }

    pub(super) async fn put(&self, object: &str, bytes: Bytes) -> Result<(), BucketError> {
        let path = self.path(object);
        let put = self.store.put(&path, bytes.into());
        match timeout(UPLOAD_WITHIN, put).await {
            Ok(put) => put.map(drop).map_err(|error| self.failed(object, error)),
            Err(_) => Err(self.silent("it took too long to take an object")),
        }
    }

    /// Writes an object in the place of what was `seen` there; whether that was still there. Storage
    /// that cannot tell (not every one knows conditions) writes it.
    pub(super) async fn put_if(
        &self,
        object: &str,
        bytes: Bytes,
        seen: Option<UpdateVersion>,
    ) -> Result<bool, BucketError> {
        use object_store::Error::{AlreadyExists, NotImplemented, NotSupported, Precondition};
        let path = self.path(object);
        let mode = seen.map_or(PutMode::Create, PutMode::Update);
        let put = self
            .store
            .put_opts(&path, bytes.clone().into(), PutOptions::from(mode));
        match timeout(UPLOAD_WITHIN, put).await {
            Err(_) => Err(self.silent("it took too long to take an object")),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(AlreadyExists { .. } | Precondition { .. })) => Ok(false),
            Ok(Err(NotImplemented { .. } | NotSupported { .. })) => {
                self.put(object, bytes).await.map(|()| true)
            }
            Ok(Err(error)) => Err(self.failed(object, error)),
        }
    }

    /// The whole object. Memory: its size.
    pub(super) async fn get(&self, object: &str) -> Result<Bytes, BucketError> {
        Ok(self.get_version(object).await?.0)
    }

    /// The whole object, and which version of it that is. Memory: its size.
    pub(super) async fn get_version(
        &self,
        object: &str,
    ) -> Result<(Bytes, UpdateVersion), BucketError> {
        let mut bytes = Vec::new();
        let version = self
            .read(object, |part| bytes.extend_from_slice(part))
            .await?;
        Ok((bytes.into(), version))
    }

    /// The hash of an object as it lies there, read in full.
    pub(super) async fn hash(&self, object: &str) -> Result<blake3::Hash, BucketError> {
        let mut hasher = blake3::Hasher::new();
        self.read(object, |part| {
            hasher.update(part);
        })
        .await?;
        Ok(hasher.finalize())
    }

    /// Gives the object to `each`, part by part; says which version of it that is.
    pub(super) async fn read(
        &self,
        object: &str,
        mut each: impl FnMut(&[u8]),
    ) -> Result<UpdateVersion, BucketError> {
        let path = self.path(object);
        let answer = timeout(SILENCE * 2, self.store.get(&path)).await;
        let answer = answer.map_err(|_| self.silent("it sends nothing"))?;
        let answer = answer.map_err(|error| self.failed(object, error))?;
        let version = UpdateVersion {
            e_tag: answer.meta.e_tag.clone(),
            version: answer.meta.version.clone(),
        };
        let mut parts = answer.into_stream();
        loop {
            let part = timeout(SILENCE, parts.next()).await;
            match part.map_err(|_| self.silent("it stopped in the middle of an object"))? {
                Some(part) => each(&part.map_err(|error| self.failed(object, error))?),
                None => return Ok(version),
            }
        }
    }

    /// The size of an object; `None` if there is none.
    pub(super) async fn size(&self, object: &str) -> Result<Option<u64>, BucketError> {
        let path = self.path(object);
        match timeout(SILENCE * 2, self.store.head(&path)).await {
            Err(_) => Err(self.silent("it sends nothing")),
            Ok(Ok(meta)) => Ok(Some(meta.size)),
            Ok(Err(error)) => match self.failed(object, error) {
                BucketError::NotFound(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Names of the objects in a folder, without it.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>, BucketError> {
        let path = self.path(folder);
        let listed = self.store.list(Some(&path));
        let names = listed
            .map_ok(|meta| meta.location.filename().unwrap_or_default().to_owned())
            .try_collect();
        match timeout(UPLOAD_WITHIN, names).await {
            Err(_) => Err(self.silent("it took too long to list objects")),
            Ok(names) => names.map_err(|error| self.failed(folder, error)),
        }
    }

    /// Whether it was there makes no difference.
    pub(super) async fn delete(&self, object: &str) -> Result<(), BucketError> {
        let path = self.path(object);
        match timeout(SILENCE * 2, self.store.delete(&path)).await {
            Err(_) => Err(self.silent("it sends nothing")),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => match self.failed(object, error) {
                BucketError::NotFound(_) => Ok(()),
                error => Err(error),
            },
        }
    }

    fn silent(&self, why: &str) -> BucketError {
        BucketError::Failed {
            bucket: self.name.clone(),
            why: why.to_owned(),
        }
    }

    fn failed(&self, object: &str, error: object_store::Error) -> BucketError {
        use object_store::Error::{Generic, NotFound, PermissionDenied, Unauthenticated};
        match error {
            NotFound { .. } => BucketError::NotFound(object.to_owned()),
            PermissionDenied { source, .. } | Unauthenticated { source, .. } => {
                BucketError::Refused {
                    bucket: self.name.clone(),
                    credentials: self.credentials.clone(),
                    why: short(&*source),
                }
            }
            Generic { source, .. } => match source.downcast::<KeyError>() {
                Ok(error) => BucketError::NoCredentials {
                    credentials: self.credentials.clone(),
                    why: error.0,
                },
                Err(source) => BucketError::Failed {
                    bucket: self.name.clone(),
                    why: short(&*source),
                },
            },
            other => BucketError::Failed {
                bucket: self.name.clone(),
                why: short(&other),
            },
        }
    }
}

/// Bytes of an error that are shown: stores answer with pages.
const SHOWN: usize = 300;

/// What is at the bottom of it: the rest names requests and addresses.
fn short(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    let text = root.to_string();
    let said = (between(&text, "<Code>"), between(&text, "<Message>"));
    let text = match said {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    };
    text.chars().take(SHOWN).collect()
}

/// The text of an element of the page with which a store answers.
fn between<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once("</")?.0)
}

/// Reads the key for each request, so that a new one counts at once.
#[derive(Debug)]
struct Keys(Credentials);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct KeyError(String);

#[async_trait::async_trait]
impl CredentialProvider for Keys {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let key = match &self.0 {
            Credentials::File(path) => from_file(path),
            Credentials::Environment => from_environment(),
        };
        key.map(Arc::new)
            .map_err(|why| object_store::Error::Generic {
                store: "S3",
                source: Box::new(KeyError(why)),
            })
    }
}

fn from_environment() -> Result<AwsCredential, String> {
    let variable = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    Ok(AwsCredential {
        key_id: variable("AWS_ACCESS_KEY_ID")?,
        secret_key: variable("AWS_SECRET_ACCESS_KEY")?,
        token: variable("AWS_SESSION_TOKEN").ok(),
    })
}

fn from_file(path: &FilePath) -> Result<AwsCredential, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    parse_key(&text)
}

/// Lines of `name = value`, in quotes or not, with or without the `aws_` of Amazon's own files.
fn parse_key(text: &str) -> Result<AwsCredential, String> {
    let find = |wanted: &str| {
        let mut values = text.lines().filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            let name = name.trim();
            let name = name.strip_prefix("aws_").unwrap_or(name);
            let value = value.trim().trim_matches(['"', '\'']);
            (name == wanted).then(|| value.to_owned())
        });
        let value = values.next_back().filter(|value| !value.is_empty());
        value.ok_or_else(|| format!("it has no line `{wanted} = …`"))
    };
    Ok(AwsCredential {
        key_id: find("access_key_id")?,
        secret_key: find("secret_access_key")?,
        token: find("session_token").ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_page_of_a_store_only_its_words_are_shown() {
        let page = "status 403: <Error><Code>AccessDenied</Code><Message>No way</Message></Error>";
        let error = std::io::Error::other(page);
        assert_eq!(short(&error), "AccessDenied: No way");
        assert_eq!(short(&std::io::Error::other("a\n  b")), "a b");
    }

    #[test]
    fn a_file_of_credentials_is_read_as_people_write_it() {
        let text = "[default]\naws_access_key_id = AKIA\naws_secret_access_key=a/b=c\n";
        let key = parse_key(text).unwrap();
        assert_eq!((&*key.key_id, &*key.secret_key), ("AKIA", "a/b=c"));
        assert_eq!(key.token, None);
        let key = parse_key("access_key_id = \"k\"\nsecret_access_key = 's'\nsession_token = t");
        assert_eq!(key.unwrap().token.as_deref(), Some("t"));
        let said = parse_key("access_key_id = k\nsecret_access_key =\n").unwrap_err();
        assert!(said.contains("secret_access_key"), "{said}");
        assert!(!said.contains('k') || !said.contains("= k"), "{said}");
    }
}
