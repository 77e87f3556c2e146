//! Enrolment: this machine gets its identity with a token. The key is made here and stays here.
//!
//! The settings are written last: before them, the machine has no identity. Nothing is asked for before it is known that the
//! key can be stored: a full disk costs no token.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use foghorn_host_config::sota::{BadSota, Sota, SotaFile};
use foghorn_proto::http::{HOST_PREFIX, TokenText};
use foghorn_proto::machine::{MACHINE_ENROL_PATH, MachineEnrolRequest, MachineEnrolResponse};
use foghorn_transport::{Identity, IdentityError};
use foghorn_types::MachineUuid;
use rcgen::{CertificateParams, KeyPair};
use tokio_util::sync::CancellationToken;

use super::gateway::belong_together;
use super::lock::{Lock, LockError};
use super::storage::{DOCUMENT, NEWCOMER};
use super::whole::{Whole, beside, remove};
use super::work::LOGGED_IN;
use crate::check_in::{self, CheckInError, Verified};
use crate::exit::Exit;
use crate::hardware;

const KEY: &str = "pkey.pem";
const AUTHORITY: &str = "root.crt";
const CERTIFICATE: &str = "client.pem";
const SETTINGS: &str = "sota.toml";

/// How a machine enrols.
#[derive(Clone)]
pub struct Enrol {
    /// Address of the controller.
    pub server: String,
    pub token: TokenText,
    /// What the device is to be called.
    pub name: Option<String>,
    /// Where the machine has its files: an absolute path, on its own file system.
    pub folder: PathBuf,
    /// Where that file system is.
    pub root: PathBuf,
    /// Whether the UUID of the hardware is told.
    pub tells_hardware: bool,
    /// An identity that is there is replaced.
    pub replaces: bool,
}

impl std::fmt::Debug for Enrol {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrol")
            .field("server", &self.server)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Who the machine is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Enrolled {
    pub uuid: MachineUuid,
    pub factory: String,
}

/// Why a machine has no identity, or still the one before.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("this machine has an identity already: there is {}", path.display())]
    Known { path: PathBuf },
    #[error("could not make a key")]
    Key(#[from] rcgen::Error),
    #[error("it is not this one's turn")]
    Lock(#[from] LockError),
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("could not enrol")]
    Controller(#[from] CheckInError),
    #[error("the certificate that the controller sent cannot be used")]
    Identity(#[from] IdentityError),
    #[error("the certificate that the controller sent is not that of the key of this machine")]
    OtherKey(#[source] rustls::Error),
    #[error("the settings that the controller sent cannot be used")]
    Settings(#[from] BadSota),
    #[error("the settings that the controller sent name other files than those in {}", folder.display())]
    OtherFiles { folder: PathBuf },
}

impl EnrolError {
    /// What people can do about it.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Known { .. } => "give --replace if it is to have another one",
            Self::Controller(CheckInError::OtherAuthority { .. }) => {
                "check that the token and the address are of the same server; `foghorn host token HOST` makes a new token"
            }
            Self::Controller(CheckInError::Refused { status: 403, .. }) => {
                "make a new token on the server: foghorn host token HOST"
            }
            Self::Controller(CheckInError::Refused { .. }) => return None,
            Self::Controller(error) => return error.advice(),
            _ => return None,
        };
        Some(text.to_owned())
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Known { .. }
            | Self::Controller(
                CheckInError::Refused { .. } | CheckInError::OtherAuthority { .. },
            ) => Exit::Refused,
            Self::Controller(CheckInError::Url(_) | CheckInError::PlainHttp(_)) => Exit::Usage,
            Self::Controller(CheckInError::Stopped) => Exit::Cancelled,
            _ => Exit::Failed,
        }
    }
}

/// Gets this machine its identity. `stop` ends the waiting for a controller that does not answer. Blocking.
///
/// # Errors
/// [`EnrolError`]; nothing of an identity that was there has changed then, except after [`EnrolError::Write`], which says at
/// which file it ended.
pub fn enrol(with: &Enrol, stop: &CancellationToken) -> Result<Enrolled, EnrolError> {
    let files = Files::of(with);
    files.make()?;
    let _lock = Lock::take(&files.0)?;
    let known = [KEY, SETTINGS].map(|name| files.path(name));
    if let (false, Some(path)) = (with.replaces, known.into_iter().find(|path| path.exists())) {
        return Err(EnrolError::Known { path });
    }
    let pair = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&pair)?;
    let csr_pem = request.pem()?;
    let key = pair.serialize_pem();
    foghorn_faults::point!("host.enrol.before");
    files.draft(KEY, &key, 0o600)?;
    foghorn_faults::point!("host.enrol.key-kept");
    let got = ask(with, csr_pem, stop).and_then(|(authority, answer)| {
        foghorn_faults::point!("host.enrol.answered");
        check(with, &authority, &answer, &key)?;
        files.draft(AUTHORITY, &authority, 0o644)?;
        files.draft(CERTIFICATE, &answer.chain_pem, 0o644)?;
        files.draft(SETTINGS, &answer.sota_toml, 0o644)?;
        Ok(answer)
    });
    let answer = got.inspect_err(|_| files.give_up())?;
    // Also where no key was: a disk that was copied without it has the config of another machine.
    files.forget_date()?;
    if with.replaces {
        files.forget_users()?;
        files.draft(NEWCOMER, "", 0o600)?;
        files.name(NEWCOMER).inspect_err(|_| files.give_up())?;
    }
    foghorn_faults::point!("host.enrol.before-names");
    for name in [KEY, AUTHORITY, CERTIFICATE, SETTINGS] {
        files.name(name).inspect_err(|_| files.give_up())?;
        foghorn_faults::point!("host.enrol.named");
    }
    tracing::info!(uuid = %answer.uuid, factory = answer.factory, "this machine has enrolled");
    Ok(Enrolled {
        uuid: answer.uuid,
        factory: answer.factory,
    })
}

/// The certificate of the authority, and what it has answered.
fn ask(
    with: &Enrol,
    csr_pem: String,
    stop: &CancellationToken,
) -> Result<(String, MachineEnrolResponse), EnrolError> {
    let controller = Verified::find(&with.server, &with.token, check_in::PATIENCE, stop)?;
    let url = format!("{}{MACHINE_ENROL_PATH}", controller.base);
    let hardware = hardware::read(Path::new("/")).system_uuid;
    let body = MachineEnrolRequest {
        token: with.token.to_text(HOST_PREFIX),
        csr_pem,
        name: with.name.clone(),
        hardware_uuid: hardware.parse().ok().filter(|_| with.tells_hardware),
        folder: with.folder.to_str().map(str::to_owned),
    };
    // The same key asks again when the answer was lost, and is answered again.
    let answer = check_in::retry(check_in::PATIENCE, stop, || {
        let sent = || controller.agent.post(&url).send_json(&body);
        match check_in::exchange(&url, sent)? {
            (200, text) => check_in::parse(&url, &text),
            (status, text) => Err(check_in::answer_error(status, &text)),
        }
    });
    Ok((controller.authority, answer?))
}

/// Whether what was sent can be used, before anything of it replaces what is there.
fn check(
    with: &Enrol,
    authority: &str,
    answer: &MachineEnrolResponse,
    key: &str,
) -> Result<(), EnrolError> {
    let identity = Identity::from_pem(authority, &answer.chain_pem, key)?;
    belong_together(&identity).map_err(EnrolError::OtherKey)?;
    let sota = Sota::of(&[SotaFile {
        file: SETTINGS.to_owned(),
        text: answer.sota_toml.clone(),
    }])?;
    let named = [&sota.key, &sota.authority, &sota.certificate];
    let ours = [KEY, AUTHORITY, CERTIFICATE].map(|name| with.folder.join(name));
    if named.into_iter().ne(ours.iter()) {
        let folder = with.folder.clone();
        return Err(EnrolError::OtherFiles { folder });
    }
    Ok(())
}

/// The folder of the identity, as it is reached now.
struct Files(PathBuf);

impl Files {
    fn of(with: &Enrol) -> Self {
        let inside = with.folder.strip_prefix("/").unwrap_or(&with.folder);
        Self(with.root.join(inside))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn make(&self) -> Result<(), EnrolError> {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.0);
        made.map_err(|source| EnrolError::Write {
            path: self.0.clone(),
            source,
        })
    }

    fn draft(&self, name: &str, text: &str, mode: u32) -> Result<(), EnrolError> {
        let path = self.path(name);
        let written = whole(&path, &beside(&path), mode).draft(text.as_bytes());
        written.map_err(|source| EnrolError::Write { path, source })
    }

    fn name(&self, name: &str) -> Result<(), EnrolError> {
        let path = self.path(name);
        let named = whole(&path, &beside(&path), 0).name();
        named.map_err(|source| EnrolError::Write { path, source })
    }

    /// No key that nobody needs stays behind.
    fn give_up(&self) {
        for name in [KEY, AUTHORITY, CERTIFICATE, SETTINGS, NEWCOMER] {
            let path = self.path(name);
            whole(&path, &beside(&path), 0).give_up();
        }
    }

    /// The stored config is that of who the machine was: it is fetched anew, and what it has written is removed then.
    fn forget_date(&self) -> Result<(), EnrolError> {
        let path = self.path(DOCUMENT);
        let opened = match OpenOptions::new().append(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other,
        };
        let done = opened.and_then(|file| file.set_modified(UNIX_EPOCH));
        done.map_err(|source| EnrolError::Write { path, source })
    }

    /// Who was logged in where the image comes from is nothing that this host tells of its users.
    fn forget_users(&self) -> Result<(), EnrolError> {
        let path = self.path(LOGGED_IN);
        remove(&path).map_err(|source| EnrolError::Write { path, source })
    }
}

fn whole<'a>(to: &'a Path, draft: &'a Path, mode: u32) -> Whole<'a> {
    Whole {
        draft,
        to,
        mode,
        modified: None,
    }
}
