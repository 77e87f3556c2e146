//! Opens a session: its group, its key, its thread and its loader.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use foghorn_multicast::{
    Epoch, InvalidConfig, IpVersion, Sender, SenderConfig, SessionTag, Time, symbol_size_for,
};
use foghorn_transport::multicast::{
    GroupSender, InterfaceChoice, OpenSenderError, SessionTerms, session_rate,
};
use foghorn_types::BitRate;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::control::{SessionHandle, SessionStatus};
use super::drive::Drive;
use super::key::{MakeKeyError, new_key};
use super::loader;
use super::order::MulticastTerms;
use crate::disk::Disk;
use crate::healing::Healing;
use crate::served_image::ServedImage;

/// Commands that may wait for the thread; it looks after every burst of packets.
const COMMANDS: usize = 1024;
/// Receivers of one session may sit behind any Ethernet, so packets are not larger than that
/// carries everywhere.
const LARGEST_MTU: usize = 1500;

/// A session could not be opened; its clients continue by unicast.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenSessionError {
    #[error("could not open the multicast group")]
    Group(#[from] OpenSenderError),
    #[error("the multicast session cannot be opened as ordered")]
    Config(#[from] InvalidConfig),
    #[error(
        "the order names no interface, and this node's address on the client's connection is not known"
    )]
    NoInterface,
    #[error(
        "the MTU of the interface is {0} bytes, which is too small for the packets of a session"
    )]
    Mtu(usize),
    #[error("could not make a key for the multicast session")]
    Key(#[from] MakeKeyError),
    #[error("could not get randomness for the multicast session: {0}")]
    Randomness(getrandom::Error),
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// All that a session is made of.
pub(super) struct Opening {
    pub(super) terms: MulticastTerms,
    pub(super) image: Arc<ServedImage>,
    pub(super) local: Option<IpAddr>,
    pub(super) max_rate: Option<BitRate>,
    pub(super) cancel: CancellationToken,
}

impl Opening {
    /// Opens the group and starts the thread and the loader under `tasks`.
    pub(super) async fn open(
        self,
        (disk, healing): (Disk, Arc<Healing>),
        tasks: &TaskTracker,
    ) -> Result<SessionHandle, OpenSessionError> {
        let Self {
            terms,
            image,
            local,
            max_rate,
            cancel,
        } = self;
        let interface = match (&terms.interface, local) {
            (Some(named), _) => named.clone(),
            (None, Some(local)) => InterfaceChoice::Address(local.to_canonical()),
            (None, None) => return Err(OpenSessionError::NoInterface),
        };
        let (group, ttl) = (terms.group, terms.ttl);
        // Reads tables of the kernel.
        let opened =
            tokio::task::spawn_blocking(move || GroupSender::open(group, &interface, ttl, true));
        let socket = opened.await.map_err(|_| OpenSessionError::ShuttingDown)??;
        let count = image.chunks.count();
        let ip = if group.is_ipv4() {
            IpVersion::V4
        } else {
            IpVersion::V6
        };
        let mtu = socket.mtu().min(LARGEST_MTU);
        let symbol_size = symbol_size_for(mtu, ip).ok_or(OpenSessionError::Mtu(mtu))?;
        let mut config = SenderConfig::new(count, symbol_size, ip);
        (config.max_rate, config.floor) = (max_rate.map(session_rate), terms.floor);
        let seed = getrandom::u64().map_err(OpenSessionError::Randomness)?;
        let sender = Sender::new(config, seed, Time::default())?;
        let tag = getrandom::u32().map_err(OpenSessionError::Randomness)?;
        let session_terms = SessionTerms {
            group,
            source: socket.source(),
            source_specific: terms.source_specific,
            symbol_size: u16::try_from(symbol_size).expect("a symbol is shorter than a packet"),
            key: new_key(SessionTag(tag), Epoch(0))?,
        };
        let (commands, inbox) = sync_channel(COMMANDS);
        let (wanted, numbers) = mpsc::channel(COMMANDS);
        let status = SessionStatus {
            sender: sender.status(),
            unicast: BTreeMap::new(),
        };
        let (status_sender, status) = watch::channel(status);
        tasks.spawn(loader::load(
            (disk, healing),
            image,
            numbers,
            commands.clone(),
            cancel.clone(),
        ));
        let drive = Drive::new(
            sender,
            socket,
            session_terms,
            terms.start,
            inbox,
            wanted,
            status_sender,
            cancel.clone(),
        );
        let span = tracing::info_span!("multicast", session = %terms.session, group = %group);
        tasks.spawn_blocking(move || span.in_scope(|| drive.run()));
        Ok(SessionHandle::new(commands, status, cancel, count))
    }
}
