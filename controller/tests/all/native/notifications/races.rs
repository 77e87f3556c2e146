//! Several controllers on one store, which do not know of each other.

use std::sync::Arc;
use std::time::Duration;

use foghorn_controller::app::notices::pace::Patience;
use foghorn_controller::app::notices::targets::{self, By, Terms};
use foghorn_controller::app::notices::{deliver, gather, tell};
use foghorn_controller::state::notify::{Event, Fate};
use foghorn_controller::state::{Refusal, State};
use foghorn_controller::trust::Trust;
use foghorn_types::{NoticeKind, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine, Kind};

const LEASE: Duration = Duration::from_secs(120);

struct Site {
    states: [Arc<State>; 2],
    _stop: tokio_util::sync::DropGuard,
    target: u32,
}

impl Site {
    async fn start(engine: &Engine) -> Self {
        let cancel = CancellationToken::new();
        let second = match engine.kind {
            Kind::Embedded => engine.store(),
            Kind::Etcd => engine.another_client().await,
        };
        let mut states = Vec::new();
        for store in [engine.store(), second] {
            let (state, _follower) = State::start(store, cancel.clone()).await.unwrap();
            states.push(state);
        }
        let folder = tempfile::tempdir().unwrap();
        let trust = Trust::load_or_create(folder.path()).unwrap();
        let terms = Terms {
            name: Some("pager".to_owned()),
            url: Some("http://127.0.0.1:1/".to_owned()),
            burst: Some(3),
            ..Terms::default()
        };
        let made = targets::create(&states[0], &trust, By::Webhook, terms).await;
        Self {
            states: states.try_into().ok().unwrap(),
            _stop: cancel.drop_guard(),
            target: made.unwrap().0,
        }
    }

    async fn happens(&self, count: u32, now: Timestamp) {
        for number in 0..count {
            let text = format!("event {number}");
            let event = Event::new(NoticeKind::TaskFailed, now, text);
            self.states[0]
                .write::<_, Refusal>(|draft| {
                    tell(draft, &event, &[]);
                    Ok(())
                })
                .await
                .unwrap();
        }
        self.agree().await;
    }

    /// Waits until the second controller sees what the first does.
    async fn agree(&self) {
        for (one, other) in [(0, 1), (1, 0)] {
            let revision = self.states[one].read_at(|_, revision| revision);
            let mut changed = self.states[other].changed();
            let enough = changed.wait_for(|seen| *seen >= revision);
            tokio::time::timeout(crate::engine::PATIENCE, enough)
                .await
                .expect("the other controller follows")
                .unwrap();
        }
    }

    /// Both at once.
    async fn both_gather(&self, now: Timestamp) -> u64 {
        let (one, other) = tokio::join!(
            gather::gather(&self.states[0], now),
            gather::gather(&self.states[1], now)
        );
        self.agree().await;
        one.unwrap() + other.unwrap()
    }

    fn sizes(&self) -> Vec<usize> {
        self.states[0].read(|tables| {
            let messages = tables.notify_messages().iter();
            messages.map(|message| message.events.len()).collect()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_in_one_message_and_each_message_is_sent_by_one() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let site = Site::start(&engine).await;
        let now = Timestamp::now();
        site.happens(3, now).await;
        assert_eq!(site.both_gather(now).await, 3, "{kind:?}");
        assert_eq!(site.sizes(), [1, 1, 1]);
        let due = site.states[1].read(|tables| deliver::due(tables, now));
        assert_eq!(due.len(), 3);
        for id in &due {
            let (one, other) = tokio::join!(
                deliver::claim(&site.states[0], id, 1, LEASE, now),
                deliver::claim(&site.states[1], id, 2, LEASE, now)
            );
            let (one, other) = (one.unwrap().is_some(), other.unwrap().is_some());
            assert!(one != other, "one of both sends {id:?}: {one}, {other}");
        }
        site.agree().await;
        assert!(
            site.states[0]
                .read(|tables| deliver::due(tables, now))
                .is_empty()
        );
        // Whoever has claimed them has ended.
        let later = now + LEASE;
        let id = &due[0];
        let taken = deliver::claim(&site.states[0], id, 3, LEASE, later).await;
        assert!(taken.unwrap().is_some());
        // The first one was only slow: what it says about its failure is too late.
        let late = Err("slow".to_owned());
        deliver::record(&site.states[0], id, 1, late, Patience::default(), later)
            .await
            .unwrap();
        let done = deliver::record(&site.states[0], id, 3, Ok(()), Patience::default(), later);
        done.await.unwrap();
        let fate = site.states[0].read(|tables| {
            let message = tables.notify_messages().get(id).unwrap();
            (message.fate.clone(), message.failed)
        });
        assert_eq!(fate, (Fate::Delivered { at: later }, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_room_is_a_few_messages() {
    let engine = Engine::start(Kind::Embedded).await;
    let site = Site::start(&engine).await;
    let now = Timestamp::now();
    site.happens(2, now).await;
    assert_eq!(site.both_gather(now).await, 2);
    site.happens(150, now).await;
    assert_eq!(site.both_gather(now).await, 1, "one is left of the burst");
    assert_eq!(site.both_gather(now).await, 0);
    let minute = Duration::from_secs(60);
    assert_eq!(site.both_gather(now + minute).await, 1);
    assert_eq!(
        site.both_gather(now + minute * 2).await,
        0,
        "nothing is left"
    );
    let mut sizes = site.sizes();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 50, 100]);
    // What is gone is not told any more.
    site.happens(2, now).await;
    targets::delete(&site.states[0], site.target).await.unwrap();
    site.agree().await;
    site.both_gather(now + minute * 2).await;
    deliver::trim(&site.states[0]).await.unwrap();
    let left = site.states[0].read(|tables| {
        (
            tables.notify_pending().len(),
            tables.notify_messages().len(),
            tables.notify_paces().len(),
        )
    });
    assert_eq!(left, (0, 0, 0));
}
