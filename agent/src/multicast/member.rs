//! One receiver's control stream, between its connection and the thread of its session.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foghorn_multicast::{JoinError, ReceiverId};
use foghorn_transport::StreamError;
use foghorn_transport::server::{MemberNotices, MemberRequest, MemberRequests, MulticastLane};
use foghorn_types::{TaskId, chain};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::Multicasts;
use super::control::{Command, News, SessionHandle};
use super::order::MulticastTerms;
use crate::served_image::ServedImage;

/// News that may wait for a client.
const NEWS: usize = 64;

/// Tells memberships apart over all sessions.
static MEMBERSHIPS: AtomicU64 = AtomicU64::new(1);

/// Leaves the session when the connection goes, however it goes.
struct Membership {
    handle: Arc<SessionHandle>,
    receiver: ReceiverId,
    number: u64,
    reason: Option<String>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let (receiver, membership) = (self.receiver, self.number);
        // If it finds no room, the sender notices by the silence.
        self.handle.try_tell(Command::Leave {
            receiver,
            membership,
            reason: self.reason.take(),
        });
    }
}

impl Multicasts {
    /// Serves a client that joins, until either end has had enough.
    pub(crate) async fn serve(
        &self,
        mut lane: MulticastLane,
        terms: &MulticastTerms,
        image: &Arc<ServedImage>,
        task: TaskId,
        local: Option<IpAddr>,
    ) -> Result<(), StreamError> {
        let handle = match self.session(terms, image, local).await {
            Ok(handle) => handle,
            Err(problem) => {
                let reason = chain(&problem).to_string();
                warn!(
                    session = %terms.session,
                    reason,
                    "could not open the multicast session; the client continues by unicast"
                );
                return lane.notices.refuse(&reason).await;
            }
        };
        if lane.chunks != handle.chunks {
            let reason = format!(
                "the image has {} distinct chunks, not {}",
                handle.chunks, lane.chunks
            );
            return lane.notices.refuse(&reason).await;
        }
        let receiver = ReceiverId(task.get());
        let number = MEMBERSHIPS.fetch_add(1, Ordering::Relaxed);
        let mut membership = Membership {
            handle: handle.clone(),
            receiver,
            number,
            reason: None,
        };
        let (news, mut news_in) = mpsc::channel(NEWS);
        let (answer, answered) = oneshot::channel();
        let wants = std::mem::take(&mut lane.wants);
        handle
            .tell(Command::Join {
                receiver,
                membership: number,
                wants,
                news,
                answer,
            })
            .await;
        match answered.await {
            Ok(Ok(terms)) => lane.notices.joined(&terms).await?,
            Ok(Err(JoinError::TooSoon { wait })) => {
                return lane
                    .notices
                    .demoted("the receiver was too slow before", Some(wait))
                    .await;
            }
            Ok(Err(refused)) => return lane.notices.refuse(&refused.to_string()).await,
            Err(_) => return lane.notices.over("the session has ended").await,
        }
        converse(&mut membership, lane.requests, lane.notices, &mut news_in).await
    }
}

async fn converse(
    membership: &mut Membership,
    mut requests: MemberRequests,
    mut notices: MemberNotices,
    news_in: &mut mpsc::Receiver<News>,
) -> Result<(), StreamError> {
    let (handle, receiver) = (membership.handle.clone(), membership.receiver);
    loop {
        tokio::select! {
            request = requests.next() => match request.transpose()? {
                Some(MemberRequest::Have(chunks)) => drop(handle.tell(Command::Have { receiver,
                    chunks }).await),
                Some(MemberRequest::Want(chunks)) => drop(handle.tell(Command::Want { receiver,
                    chunks }).await),
                Some(MemberRequest::Leave { reason }) => {
                    membership.reason = Some(reason);
                    return Ok(());
                }
                None => return Ok(()),
            },
            news = news_in.recv() => match news {
                Some(News::Key(key)) => notices.key(&key).await?,
                Some(News::Fetch(chunks)) => notices.fetch(&chunks).await?,
                Some(News::Demoted { reason, rest }) => return notices.demoted(&reason, rest).await,
                Some(News::Over { reason }) => return notices.over(&reason).await,
                None => return notices.demoted("the receiver did not read its messages",
                    Some(Duration::from_secs(1))).await,
            },
        }
    }
}
