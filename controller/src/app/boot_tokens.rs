//! Boot tokens of many hosts at once: one each, one for all of them, or a short code.

use std::time::Duration;

use foghorn_proto::code::ShortCode;
use foghorn_proto::http::BOOT_PREFIX;
use foghorn_types::{GroupId, HostId, MacAddress, TaskId, Timestamp};
use tracing::info;

use super::{claim, one_time, short_codes, wake};
use crate::ctx::Ctx;
use crate::state::classes::{Group, GroupAssociation, Host};
use crate::state::enrolment::{OneTimeToken, Purpose};
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, Tables};

/// A code that a person types is short, so it is not good for long.
pub const LONGEST_CODE: Duration = Duration::from_secs(15 * 60);
/// Hosts in one transaction: each takes two operations of the 128 that etcd has room for.
const AT_ONCE: usize = 30;

/// Whose tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whom {
    Hosts(Vec<HostId>),
    Group(GroupId),
}

/// What is wanted beside a token for each host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// One token that is good for every host, once each.
    pub room: bool,
    /// A short code that is.
    pub code: bool,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum BootTokensError {
    #[error("host {0} does not exist")]
    NoSuchHost(HostId),
    #[error("group {0} does not exist")]
    NoSuchGroup(GroupId),
    #[error("group {0} has no hosts")]
    EmptyGroup(GroupId),
    #[error("none of the hosts has an active imaging task")]
    NoTask,
    #[error("could not encrypt the code")]
    Code(#[from] short_codes::SealError),
    #[error("could not store the tokens")]
    State(#[from] Refusal),
}

/// The tokens, returned once.
#[derive(Clone, Debug)]
pub struct BootTokens {
    /// In the order of the request.
    pub hosts: Vec<HostToken>,
    /// Hosts that have no active imaging task, and got nothing.
    pub without_task: Vec<(HostId, String)>,
    /// When they are over. The token of a host may be over sooner, with its task.
    pub expires: Timestamp,
    /// One for all hosts, if it was wanted.
    pub room: Option<String>,
    pub code: Option<ShortCode>,
}

#[derive(Clone, Debug)]
pub struct HostToken {
    pub host: HostId,
    pub name: String,
    pub mac: Option<MacAddress>,
    pub task: TaskId,
    pub text: String,
}

/// Makes tokens for the active imaging tasks of hosts, valid for `ttl` or until the deadlines of
/// the tasks. Each is good for one check-in of its host, whether it comes as its own, with the
/// room's or with the code.
///
/// # Errors
/// See [`BootTokensError`].
pub async fn create(
    ctx: &Ctx,
    whom: &Whom,
    wish: Wish,
    ttl: Duration,
) -> Result<BootTokens, BootTokensError> {
    let (room, expires) = (one_time::secret(), Timestamp::now() + ttl);
    let hosts = ctx.state.read(|tables| hosts(tables, whom))?;
    let (mut made, mut without_task) = (Vec::new(), Vec::new());
    for some in hosts.chunks(AT_ONCE) {
        let tokens = ctx.state.write(|draft| {
            let tokens = some.iter().map(|&host| one(draft, &room, host, expires));
            Ok::<_, Refusal>(tokens.collect::<Vec<_>>())
        });
        for token in tokens.await? {
            match token {
                Ok(token) => made.push(token),
                Err(host) => without_task.push(host),
            }
        }
    }
    if made.is_empty() {
        return Err(BootTokensError::NoTask);
    }
    let code = wish.code.then(short_codes::random);
    if wish.room || wish.code {
        let code = code.as_ref();
        let sealed = code.map(|code| short_codes::seal(&ctx.trust, code, &room));
        let code = sealed.transpose()?;
        let token = OneTimeToken::new(&room, Purpose::Room { code }, expires);
        ctx.state
            .write::<_, Refusal>(|draft| {
                draft.replace(&token);
                Ok(())
            })
            .await?;
    }
    let text = |secret| one_time::text(&ctx.trust, BOOT_PREFIX, secret);
    info!(hosts = made.len(), room = wish.room, code = wish.code, %expires, "boot tokens created");
    Ok(BootTokens {
        hosts: made
            .into_iter()
            .map(|token| HostToken {
                text: text(token.text),
                ..token
            })
            .collect(),
        without_task,
        expires,
        room: wish.room.then(|| text(room)),
        code,
    })
}

/// The hosts, each once.
///
/// # Errors
/// When there is no such host or group, or nothing in the group.
pub fn hosts(tables: &Tables, whom: &Whom) -> Result<Vec<HostId>, BootTokensError> {
    let mut hosts = match whom {
        Whom::Hosts(hosts) => hosts.clone(),
        Whom::Group(group) => {
            if tables.of::<Group>().get(group.get()).is_none() {
                return Err(BootTokensError::NoSuchGroup(*group));
            }
            let members = tables
                .of::<GroupAssociation>()
                .by(GroupAssociation::BY_GROUP, group.get().into());
            let mut hosts: Vec<_> = members.filter_map(|row| HostId::new(row.host)).collect();
            hosts.sort_unstable();
            if hosts.is_empty() {
                return Err(BootTokensError::EmptyGroup(*group));
            }
            hosts
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    hosts.retain(|host| seen.insert(*host));
    let is_gone = |host: &&HostId| tables.of::<Host>().get(host.get()).is_none();
    match hosts.iter().find(is_gone) {
        Some(host) if matches!(whom, Whom::Hosts(_)) => Err(BootTokensError::NoSuchHost(*host)),
        _ => Ok(hosts),
    }
}

/// Drafts the token of a host; its text is the secret alone. Without a task there is none.
fn one(
    draft: &mut Draft<'_>,
    room: &str,
    host: HostId,
    expires: Timestamp,
) -> Result<HostToken, (HostId, String)> {
    let tables = draft.tables();
    let name = claim::name_of(tables, host);
    let Some(run) = tables.runs().active().find(|run| run.host == host) else {
        return Err((host, name));
    };
    let task = run.task;
    draft.require(run.unchanged());
    let secret = claim::secret_of_host(room, host);
    let purpose = Purpose::Boot { host, task };
    draft.replace(&OneTimeToken::new(
        &secret,
        purpose,
        expires.min(run.deadline()),
    ));
    Ok(HostToken {
        host,
        name,
        mac: wake::addresses(tables, host).first().copied(),
        task,
        text: secret,
    })
}
