//! What every face and driver works with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_types::Timestamp;

use crate::agents::files::Files;
use crate::agents::jobs::Jobs;
use crate::agents::links::Links;
use crate::agents::live::Live;
use crate::agents::mirror::Mirror;
use crate::agents::peers::Peers;
use crate::background::Background;
use crate::backups::Backups;
use crate::config::{MulticastConfig, VersionConfig};
use crate::downloads::Downloads;
use crate::events::Hub;
use crate::kubernetes::Cluster;
use crate::leaving::Leaving;
use crate::logins::Doors;
use crate::plugins::Plugins;
use crate::state::State;
use crate::state::machines::sightings::Sightings;
use crate::trust::{Keeping, Trust};
use crate::uploads::Uploads;

/// The parts of the controller, shared. Cheap to clone behind an [`Arc`].
pub struct Ctx {
    pub state: Arc<State>,
    pub live: Arc<Live>,
    pub trust: Arc<Trust>,
    pub links: Arc<Links>,
    /// What agents say, for other controllers.
    pub mirror: Arc<Mirror>,
    /// Other controllers.
    pub peers: Arc<Peers>,
    /// Transfers of files, which start with an order on a link.
    pub files: Arc<Files>,
    pub jobs: Arc<Jobs>,
    pub events: Arc<Hub>,
    /// How far the end of this controller has come.
    pub leaving: Arc<Leaving>,
    /// Files on their way to storage nodes.
    pub uploads: Arc<Uploads>,
    /// Of the embedded store.
    pub backups: Arc<Backups>,
    /// The client for download.
    pub downloads: Downloads,
    pub plugins: Arc<Plugins>,
    /// When devices last spoke.
    pub sightings: Arc<Sightings>,
    /// How the work that nobody asks for is getting on.
    pub background: Arc<Background>,
    pub settings: Settings,
    /// Counts failed log-ins.
    pub doors: Doors,
    /// The cluster whose service-account tokens let agents in.
    pub cluster: Option<Cluster>,
}

/// The part of the configuration that handlers need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the certificate authority is.
    pub keeping: Keeping,
    /// Time from its creation in which a task must end.
    pub task_deadline: Duration,
    /// How long a node may be silent before it has failed.
    pub node_grace: Duration,
    /// When this controller began.
    pub started: Timestamp,
    pub began: Instant,
    /// Which groups multicast sessions are sent to, and how.
    pub multicast: MulticastConfig,
    /// Nodes that one client may fetch from at a time.
    pub sources_per_client: u8,
    /// How long replaced versions of images are kept.
    pub versions: VersionConfig,
    /// Between two backups that the controller makes by itself.
    pub backup_every: Option<Duration>,
    /// `host:port` under which agents reach the gRPC link.
    pub link_address: String,
    /// Port of the link at every address of this machine, if agents may connect to any of them.
    pub link_everywhere: Option<u16>,
    /// Name in the controller's certificate on the link.
    pub link_server_name: String,
    /// `host:port` of the gateway that devices are told; `None`: there is no gateway.
    pub gateway_address: Option<String>,
    /// Where machines reach the REST API; `None` when only this machine is known to reach it.
    pub machines_url: Option<String>,
    /// Whether the operators' routes of the FoundriesFactory dialect are served.
    pub foundries: bool,
    /// Life of a boot token when the request names none.
    pub boot_token_ttl: Duration,
    /// Life of a join token when the request names none.
    pub join_token_ttl: Duration,
    /// Upper bound of a client certificate's life; a task's deadline may shorten it.
    pub client_certificate_lifetime: Duration,
}
