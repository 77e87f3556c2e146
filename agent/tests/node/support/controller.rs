//! The controller's end of the wire: enrolment over HTTPS and the gRPC link with mutual TLS, driven
//! by the test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foghorn_proto::http::{JOIN_PREFIX, TokenText};
use foghorn_proto::link::agent_link_server::{AgentLink, AgentLinkServer};
use foghorn_proto::link::agent_message::Message as FromAgent;
use foghorn_proto::link::controller_message::Message as ToAgent;
use foghorn_proto::link::{
    AgentMessage, ControllerMessage, EndedRecorded, FilePart, OpenSession, Reconcile,
    RenewCertificateRequest, RenewCertificateResponse, SessionEnded, SessionKind,
};
use foghorn_types::{ManifestId, NodeName, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::PATIENCE;
use super::authority::Authority;
use super::enrolment::{self, Asked, Enrolment};

pub fn node_name() -> NodeName {
    "north-1".parse().unwrap()
}

pub struct Controller {
    pub authority: Arc<Authority>,
    url: String,
    token: TokenText,
    link_address: String,
    /// What agents have asked that enrol.
    pub asked: Arc<Asked>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    authority: Arc<Authority>,
    lifetime: Duration,
    /// What a new link is told to have.
    wanted: Mutex<Vec<OpenSession>>,
    link: Mutex<Option<mpsc::Sender<Result<ControllerMessage, Status>>>>,
    received: watch::Sender<Vec<FromAgent>>,
    links: watch::Sender<usize>,
    /// Serials of the client certificates that links were opened with.
    shown: Mutex<Vec<Vec<u8>>>,
    up: watch::Sender<bool>,
    answer_ended: watch::Sender<bool>,
    /// Whether a new link is told that this controller is behind.
    behind: watch::Sender<bool>,
    /// Links that are open now, and the most that were open at once.
    open: watch::Sender<(usize, usize)>,
}

impl Controller {
    /// `lifetime`: of node certificates.
    pub async fn start(lifetime: Duration) -> Self {
        let authority = Arc::new(Authority::new());
        let token = TokenText {
            secret: "first".into(),
            ca_fingerprint: foghorn_agent::authority_fingerprint(&authority.der),
        };
        let shared = Arc::new(Shared {
            authority: authority.clone(),
            lifetime,
            wanted: Mutex::default(),
            link: Mutex::default(),
            received: watch::Sender::default(),
            links: watch::Sender::default(),
            shown: Mutex::default(),
            up: watch::Sender::new(true),
            answer_ended: watch::Sender::new(true),
            behind: watch::Sender::default(),
            open: watch::Sender::default(),
        });
        let https = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", https.local_addr().unwrap());
        let link_address = grpc.local_addr().unwrap().to_string();
        let mut tasks = JoinSet::new();
        let text = token.to_text(JOIN_PREFIX);
        let asked = Arc::<Asked>::default();
        let enrolment = Enrolment {
            asked: asked.clone(),
            authority: authority.clone(),
            token: text,
            link_address: link_address.clone(),
            lifetime,
        };
        tasks.spawn(enrolment::serve(https, enrolment));
        tasks.spawn(serve_link(grpc, shared.clone()));
        Self {
            authority,
            url,
            token,
            link_address,
            asked,
            shared,
            _tasks: tasks,
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn join_token(&self) -> TokenText {
        self.token.clone()
    }

    pub fn link_address(&self) -> &str {
        &self.link_address
    }

    /// The most links that were open at once.
    pub fn most_open(&self) -> usize {
        self.shared.open.borrow().1
    }

    /// Waits until one link is open.
    pub async fn wait_for_one_link(&self) {
        let mut open = self.shared.open.subscribe();
        let reached = tokio::time::timeout(PATIENCE, open.wait_for(|(now, _)| *now == 1)).await;
        reached.expect("there is more than one link").unwrap();
    }

    pub fn links(&self) -> usize {
        *self.shared.links.borrow()
    }

    pub async fn wait_for_links(&self, count: usize) {
        let mut links = self.shared.links.subscribe();
        let reached = tokio::time::timeout(PATIENCE, links.wait_for(|links| *links >= count)).await;
        reached.expect("the agent did not dial").unwrap();
    }

    /// Client certificates that links were opened with, in order.
    pub fn shown_certificates(&self) -> Vec<Vec<u8>> {
        self.shared.shown.lock().unwrap().clone()
    }

    /// Orders a session now and on every later link.
    pub async fn order(&self, order: OpenSession) {
        let mut wanted = self.shared.wanted.lock().unwrap().clone();
        wanted.retain(|other| other.task_id != order.task_id);
        wanted.push(order.clone());
        *self.shared.wanted.lock().unwrap() = wanted;
        self.send(ToAgent::Open(order)).await;
    }

    pub fn no_longer_want(&self, task_id: u32) {
        self.shared
            .wanted
            .lock()
            .unwrap()
            .retain(|order| order.task_id != task_id);
    }

    /// Sends on the present link; while there is none, the message is lost like on a broken wire.
    pub async fn send(&self, message: ToAgent) {
        let link = self.shared.link.lock().unwrap().clone();
        if let Some(link) = link {
            let _ = link
                .send(Ok(ControllerMessage {
                    message: Some(message),
                }))
                .await;
        }
    }

    /// Breaks the link and refuses new ones until [`Controller::come_back`].
    pub fn go_away(&self) {
        self.shared.up.send_replace(false);
        self.shared.link.lock().unwrap().take();
    }

    pub fn come_back(&self) {
        self.shared.up.send_replace(true);
    }

    /// Whether a new link is told that this controller is behind.
    pub fn is_behind(&self, behind: bool) {
        self.shared.behind.send_replace(behind);
    }

    /// Whether ends of sessions are recorded, and the agent told so.
    pub fn answer_ended(&self, answer: bool) {
        self.shared.answer_ended.send_replace(answer);
    }

    pub fn received(&self) -> Vec<FromAgent> {
        self.shared.received.borrow().clone()
    }

    /// The first message, past or future, of which `pick` makes something.
    pub async fn wait_for<T>(&self, what: &str, pick: impl Fn(&FromAgent) -> Option<T>) -> T {
        let mut received = self.shared.received.subscribe();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = received.borrow_and_update().iter().find_map(&pick) {
                    return found;
                }
                received.changed().await.unwrap();
            }
        });
        found
            .await
            .unwrap_or_else(|_| panic!("the agent never sent {what}"))
    }

    pub async fn ended(&self, task: u32) -> foghorn_proto::link::session_ended::Outcome {
        let pick = |message: &FromAgent| match message {
            FromAgent::Ended(SessionEnded {
                task_id, outcome, ..
            }) if *task_id == task => outcome.clone(),
            _ => None,
        };
        self.wait_for("the end of the session", pick).await
    }
}

/// A capture of image `task + 100` on host `task + 10`, with an hour to do it in.
pub fn capture(task: u32, fingerprint: [u8; 32]) -> OpenSession {
    OpenSession {
        task_id: task,
        kind: SessionKind::Capture.into(),
        host_id: task + 10,
        host_name: format!("pc{}", task + 10),
        image_id: task + 100,
        manifest_id: vec![],
        deadline_unix_ms: (Timestamp::now() + Duration::from_secs(3600)).as_millis(),
        traceparent: String::new(),
        client_fingerprint: fingerprint.to_vec(),
        multicast: None,
        session_limit: None,
        incarnation: u64::from(task) + 1000,
    }
}

pub fn deploy(task: u32, manifest: ManifestId, fingerprint: [u8; 32]) -> OpenSession {
    OpenSession {
        kind: SessionKind::Deploy.into(),
        manifest_id: manifest.as_bytes().to_vec(),
        ..capture(task, fingerprint)
    }
}

async fn serve_link(listener: TcpListener, shared: Arc<Shared>) {
    let issued = shared.authority.controller();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(issued.chain, issued.key))
        .client_ca_root(Certificate::from_pem(&shared.authority.pem));
    let server = Server::builder().tls_config(tls).unwrap();
    server
        .serve_with_incoming(
            AgentLinkServer::from_arc(shared),
            TcpIncoming::from(listener),
        )
        .await
        .unwrap();
}

#[tonic::async_trait]
impl AgentLink for Shared {
    type LinkStream = ReceiverStream<Result<ControllerMessage, Status>>;
    type FileStream = ReceiverStream<Result<FilePart, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        if !*self.up.borrow() {
            return Err(Status::unavailable("away"));
        }
        let certificate = request
            .peer_certs()
            .and_then(|chain| chain.first().map(|leaf| leaf.to_vec()));
        self.shown
            .lock()
            .unwrap()
            .push(certificate.expect("mutual TLS is required"));
        let mut inbound = request.into_inner();
        let hello = inbound.message().await?.and_then(|message| message.message);
        let Some(hello @ FromAgent::Hello(_)) = hello else {
            return Err(Status::invalid_argument("no hello"));
        };
        let (sender, receiver) = mpsc::channel(64);
        let reconcile = Reconcile {
            controllers: None,
            sessions: self.wanted.lock().unwrap().clone(),
            keep: vec![],
            replicas: None,
            further: None,
            behind: *self.behind.borrow(),
        };
        let reconcile = ControllerMessage {
            message: Some(ToAgent::Reconcile(reconcile)),
        };
        sender.send(Ok(reconcile)).await.unwrap();
        *self.link.lock().unwrap() = Some(sender.clone());
        self.received.send_modify(|all| all.push(hello));
        self.links.send_modify(|links| *links += 1);
        self.open.send_modify(|(now, most)| {
            *now += 1;
            *most = (*most).max(*now);
        });
        let reading = read(
            inbound,
            sender.downgrade(),
            self.received.clone(),
            self.answer_ended.clone(),
        );
        let open = self.open.clone();
        tokio::spawn(async move {
            reading.await;
            open.send_modify(|(now, _)| *now -= 1);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn file(
        &self,
        _request: Request<Streaming<FilePart>>,
    ) -> Result<Response<Self::FileStream>, Status> {
        Err(Status::not_found("this controller has no files"))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let csr = request.into_inner().csr_der;
        let leaf = self
            .authority
            .sign_node_der(&node_name(), &csr, self.lifetime);
        Ok(Response::new(RenewCertificateResponse {
            chain_der: vec![leaf],
        }))
    }
}

/// Ends with the link.
async fn read(
    mut inbound: Streaming<AgentMessage>,
    link: mpsc::WeakSender<Result<ControllerMessage, Status>>,
    received: watch::Sender<Vec<FromAgent>>,
    answer_ended: watch::Sender<bool>,
) {
    while let Ok(Some(message)) = inbound.message().await {
        let Some(message) = message.message else {
            continue;
        };
        let answers = *answer_ended.borrow();
        if let (FromAgent::Ended(ended), true) = (&message, answers) {
            let answer = ToAgent::EndedRecorded(EndedRecorded {
                task_id: ended.task_id,
                incarnation: ended.incarnation,
                unknown: false,
            });
            if let Some(link) = link.upgrade() {
                let _ = link
                    .send(Ok(ControllerMessage {
                        message: Some(answer),
                    }))
                    .await;
            }
        }
        received.send_modify(|all| all.push(message));
    }
}
