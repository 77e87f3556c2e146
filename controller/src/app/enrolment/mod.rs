//! Enrolment and revocation of storage nodes.
//!
//! There are three ways in ([`Way`]): a token for one node ([`one`]), a token for many ([`many`]), and
//! the word of a Kubernetes cluster ([`vouched`]). What is stored is the same (`place`).

pub mod many;
pub mod one;
mod place;
mod revoke;
pub mod vouched;

use foghorn_proto::http::{EnrolRequest, EnrolResponse, JoinToken as GivenToken};
use foghorn_types::{NamePattern, NodeName, StorageNodeId, Timestamp};
use tracing::info;

use self::many::Many;
use self::one::One;
use self::vouched::{Vouched, VouchedError};
use super::one_time::TokenError;
use crate::ctx::Ctx;
use crate::state::enrolment::EnrolledNode;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal};
use crate::store::{Store, StoreError};
use crate::trust::{IssueError, key_of_request};

pub use self::one::{JoinToken, join_token};
pub use self::revoke::revoke;

/// Why an agent could not enrol.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("is required, or a service-account token in its place")]
    NoToken,
    #[error("is given beside a join token: only one of them can be")]
    TwoTokens,
    #[error("is required: this token belongs to no storage node, so the agent has to say its name")]
    NoName,
    #[error("the token is for the storage node {own}, not for {name}")]
    OtherName { own: NodeName, name: NodeName },
    #[error("the token is for storage nodes with names such as {names}, not for {name}")]
    OtherNames { names: NamePattern, name: NodeName },
    #[error("the token has let in as many storage nodes as it may ({count})")]
    UsedUp { count: u32 },
    #[error(
        "the storage node {name} has enrolled already, with another key: give this agent another name, or make a token for this one node (`foghorn node join-token {name}`) if it is to take its place"
    )]
    NameTaken { name: NodeName },
    #[error(
        "the agent of the storage node {other} has enrolled as {name}, which its certificate bears: let that agent join anew first (`foghorn node join-token {other}`), or revoke that node; if it is this one that was renamed, make another token for it"
    )]
    NameOfAnother { name: NodeName, other: String },
    #[error(
        "{own} and {other} of the cluster have one name here, {name}, which is that of {other}: give one of them another name in the cluster, or, if {other} is gone, let this agent join with a token (`foghorn node join-token {name}`)"
    )]
    NameOfTwo {
        name: NodeName,
        own: String,
        other: String,
    },
    #[error(
        "the storage node {name} was revoked: only a token for this one node (`foghorn node join-token {name}`) admits it again"
    )]
    Revoked { name: NodeName },
    #[error("the storage group in which {name} is to be made does not exist: {group}")]
    NoGroup { name: NodeName, group: String },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Vouched(#[from] VouchedError),
    #[error("the certificate request is invalid")]
    Request(#[source] IssueError),
    #[error("could not issue a certificate")]
    Issue(#[source] IssueError),
    #[error("the storage node of this token no longer exists")]
    NodeGone,
    #[error("could not store the enrolment")]
    State(#[from] Refusal),
}

impl From<IssueError> for EnrolError {
    fn from(error: IssueError) -> Self {
        if error.is_bad_request() {
            Self::Request(error)
        } else {
            Self::Issue(error)
        }
    }
}

/// Why an agent may come in.
#[derive(Clone, Debug)]
pub enum Way {
    One(One),
    Many(Many),
    Vouched(Vouched),
}

/// What an enrolment did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    node: StorageNodeId,
    /// An agent with another key had enrolled under this name: its links end.
    replaces: bool,
}

impl Way {
    /// How the request may be granted, as far as that can be told before anything is written.
    ///
    /// # Errors
    /// See [`EnrolError`].
    pub async fn of(ctx: &Ctx, request: &EnrolRequest) -> Result<Self, EnrolError> {
        let name = request.name.as_ref();
        match (&*request.join_token, &request.service_account_token) {
            ("", None) => Err(EnrolError::NoToken),
            ("", Some(token)) => {
                let name = name.ok_or(EnrolError::NoName)?;
                let vouched = vouched::ask(ctx, token, name).await?;
                Ok(Self::Vouched(vouched))
            }
            (_, Some(_)) => Err(EnrolError::TwoTokens),
            (text, None) => {
                let token = GivenToken::parse(text).map_err(TokenError::from)?;
                if token.is_for_many {
                    many::find(ctx, &token.token, name).map(Self::Many)
                } else {
                    one::find(ctx, text, name).map(Self::One)
                }
            }
        }
    }

    const fn name(&self) -> &NodeName {
        match self {
            Self::One(one) => one.name(),
            Self::Many(many) => many.name(),
            Self::Vouched(vouched) => vouched.name(),
        }
    }

    fn enter(&self, draft: &mut Draft<'_>, key: &str, now: Timestamp) -> Result<Entry, EnrolError> {
        match self {
            Self::One(one) => one.enter(draft, key, now),
            Self::Many(many) => many.enter(draft, key, now),
            Self::Vouched(vouched) => vouched.enter(draft, key, now),
        }
    }
}

/// Whether the store still has this enrolment, of which the tables of a controller may be behind.
///
/// # Errors
/// When the store fails.
pub async fn is_current(store: &dyn Store, node: &EnrolledNode) -> Result<bool, StoreError> {
    let entry = store.get(&EnrolledNode::key_of(&node.node)).await?;
    Ok(entry.is_some_and(|entry| entry.modified == node.modified))
}

/// Enrols an agent and returns its certificate.
///
/// # Errors
/// See [`EnrolError`]; a token is used only by a success.
pub async fn enrol(ctx: &Ctx, request: &EnrolRequest) -> Result<EnrolResponse, EnrolError> {
    let way = Way::of(ctx, request).await?;
    admit(ctx, &way, &request.csr_pem).await
}

/// Lets an agent in for whose name and right somebody has spoken.
///
/// # Errors
/// As [`enrol`].
pub async fn admit(ctx: &Ctx, way: &Way, csr_pem: &str) -> Result<EnrolResponse, EnrolError> {
    let (name, key) = (way.name(), key_of_request(csr_pem)?);
    let issued = ctx.trust.issue_node(name, csr_pem)?;
    foghorn_faults::wait!("controller.enrol.before");
    let entry = ctx
        .state
        .write(|draft| way.enter(draft, &key, Timestamp::now()))
        .await?;
    if entry.replaces {
        // The agent of before has a certificate that is refused from now on.
        ctx.links.cut(entry.node);
        ctx.live.forget_machines(entry.node);
    }
    if foghorn_faults::lost!("controller.enrol.stored") {
        return Err(Refusal::Lagging.into());
    }
    let Entry { node, replaces } = entry;
    info!(%node, %name, replaces, not_after = %issued.not_after, "storage node enrolled");
    Ok(EnrolResponse {
        node: name.clone(),
        node_id: node,
        chain_pem: issued.chain_pem,
        link_address: ctx.settings.link_address.clone(),
        link_server_name: ctx.settings.link_server_name.clone(),
    })
}
