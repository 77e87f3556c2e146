//! Requests that are sent again under the same idempotency key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_controller::app::accounts::{NewUser, add_user};
use foghorn_controller::app::idempotent::{Begun, KeyError, begin};
use foghorn_controller::state::keyed::{KeptAnswer, Keyed};
use foghorn_controller::state::{Refusal, State};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::engine::{BOTH, Engine};
use crate::fog_rules::{count, host};
use crate::fog_support::{Reply, Server};

async fn post(server: &Server, path: &str, key: &str, body: Value) -> Reply {
    let mut headers = server.tokens();
    headers.push(("idempotency-key".to_owned(), key.to_owned()));
    server
        .send("POST", path, &headers, body.to_string().into_bytes())
        .await
}

fn group(name: &str) -> Value {
    json!({"name": name})
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_answered_and_not_carried_out() {
    let server = Server::start().await;
    let first = post(&server, "/fog/group/create", "k-1", group("lab")).await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotency-replayed")),
        (200, ""),
        "{}",
        first.text
    );
    assert_eq!(
        server
            .call(
                "PUT",
                "/fog/group/1",
                json!({"description": "changed since"})
            )
            .await
            .status,
        200
    );
    let again = post(&server, "/fog/group/create", "k-1", group("lab")).await;
    assert_eq!(
        (again.status, &again.text),
        (first.status, &first.text),
        "the answer as it was"
    );
    assert_eq!(
        (again.header("idempotency-replayed"), again.header("etag")),
        ("true", first.header("etag"))
    );
    let other = post(&server, "/fog/group/create", "k-1", group("other")).await;
    assert_eq!(
        (
            other.status.as_u16(),
            other.text.contains("Idempotency-Key")
        ),
        (422, true),
        "{}",
        other.text
    );
    assert_eq!(
        post(&server, "/fog/group", "k-1", group("lab"))
            .await
            .status,
        422,
        "another path is another request"
    );
    assert_eq!(count(&server, "/fog/group").await, 1);
    for bad in ["", " ", &"k".repeat(256)] {
        let refused = post(&server, "/fog/group/create", bad, group("bad")).await;
        assert_eq!(
            (
                refused.status.as_u16(),
                refused.text.contains("Idempotency-Key")
            ),
            (400, true),
            "{bad:?}"
        );
    }
    assert_eq!(count(&server, "/fog/group").await, 1);
}

#[tokio::test]
async fn a_refused_request_frees_its_key_and_users_do_not_share_keys() {
    let server = Server::start().await;
    assert_eq!(
        post(
            &server,
            "/fog/host/create",
            "k",
            json!({"macs": ["52:54:00:00:00:01"]})
        )
        .await
        .status,
        417
    );
    assert_eq!(
        post(
            &server,
            "/fog/host/create",
            "k",
            json!({"name": "bad name", "macs": ["52:54:00:00:00:01"]})
        )
        .await
        .status,
        404
    );
    assert_eq!(
        post(&server, "/fog/group/create", "k", group("lab"))
            .await
            .status,
        200
    );
    let user = NewUser {
        name: "second".to_owned(),
        password: "pw".to_owned(),
        token: "m".repeat(128),
        api: true,
        kind: 0,
    };
    add_user(&server.state, user).await.unwrap();
    let mut headers = server.tokens();
    headers[1].1 = "m".repeat(128);
    headers.push(("idempotency-key".to_owned(), "k".to_owned()));
    let theirs = server
        .send(
            "POST",
            "/fog/group/create",
            &headers,
            group("theirs").to_string().into_bytes(),
        )
        .await;
    assert_eq!(
        (
            theirs.status.as_u16(),
            theirs.header("idempotency-replayed")
        ),
        (200, ""),
        "{}",
        theirs.text
    );
}

#[tokio::test]
async fn one_task_however_often_it_is_asked_for() {
    let server = Server::start().await;
    let image = crate::fog_rules::image(&server).await;
    host(&server, "one", "52:54:00:00:00:01", image).await;
    assert_eq!(
        server
            .call(
                "POST",
                "/fog/group/create",
                json!({"name": "lab", "hosts": [1]})
            )
            .await
            .status,
        200
    );
    for replayed in ["", "true", "true"] {
        let made = post(
            &server,
            "/fog/host/1/task",
            "night",
            json!({"taskTypeID": 2}),
        )
        .await;
        assert_eq!((made.status.as_u16(), made.text.as_str()), (200, "\"\""));
        assert_eq!(made.header("idempotency-replayed"), replayed);
    }
    assert_eq!(count(&server, "/fog/task").await, 1);
    assert_eq!(
        post(
            &server,
            "/fog/host/1/task",
            "other",
            json!({"taskTypeID": 2})
        )
        .await
        .status,
        500,
        "it is busy"
    );
    assert_eq!(
        server
            .call("DELETE", "/fog/host/1/cancel", Value::Null)
            .await
            .status,
        200
    );
    server.give_content(image).await;
    for _ in 0..2 {
        assert_eq!(
            post(&server, "/fog/group/1/task", "g", json!({"taskTypeID": 1}))
                .await
                .text,
            "\"\""
        );
    }
    assert_eq!(count(&server, "/fog/task").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_equal_requests_at_once_one_is_carried_out() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Arc::new(Server::start_on(engine.store()).await);
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let server = server.clone();
            requests
                .spawn(async move { post(&server, "/fog/group/create", "k", group("lab")).await });
        }
        let replies = requests.join_all().await;
        assert!(
            replies
                .iter()
                .all(|reply| reply.status == 200 && reply.text == replies[0].text),
            "{kind:?}: {replies:?}"
        );
        let replayed = replies
            .iter()
            .filter(|reply| reply.header("idempotency-replayed") == "true")
            .count();
        assert_eq!(
            (replayed, count(&server, "/fog/group").await),
            (11, 1),
            "{kind:?}"
        );
    }
}

/// Two controllers on one store; the first one is gone before it has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_holds_at_every_controller_and_after_a_crash() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let _stop = cancel.clone().drop_guard();
        let state = async || -> Arc<State> {
            State::start(engine.store(), cancel.clone())
                .await
                .unwrap()
                .0
        };
        let (one, two) = (state().await, state().await);

        let Begun::Go(ticket) = begin(&one, 1, "answered", "f").await.unwrap() else {
            panic!("it is new")
        };
        let waits = tokio::spawn({
            let two = two.clone();
            async move { begin(&two, 1, "answered", "f").await }
        });
        let answer = KeptAnswer {
            status: 200,
            etag: None,
            problem: None,
            body: "{}".to_owned(),
        };
        ticket.complete(&one, answer.clone()).await.unwrap();
        assert!(
            matches!(waits.await.unwrap(), Ok(Begun::Done(kept)) if kept == answer),
            "{kind:?}"
        );
        assert!(
            matches!(
                begin(&two, 1, "answered", "g").await,
                Err(KeyError::OtherRequest)
            ),
            "{kind:?}"
        );

        // Stored, then gone.
        let Begun::Go(ticket) = begin(&one, 1, "stored", "f").await.unwrap() else {
            panic!("it is new")
        };
        one.write(|draft| ticket.mark(draft, Some(7)))
            .await
            .unwrap();
        // Claimed, and being carried out for long.
        let Begun::Go(lost) = begin(&one, 1, "claimed", "f").await.unwrap() else {
            panic!("it is new")
        };
        let started = Instant::now();
        let (stored, claimed) = tokio::join!(
            // Answered without waiting as long as for a request that is being carried out.
            tokio::time::timeout(Duration::from_secs(8), begin(&two, 1, "stored", "f")),
            begin(&two, 1, "claimed", "f")
        );
        let stored = stored.expect("the answer is waited for, although it will not come");
        assert!(
            matches!(stored, Ok(Begun::Applied { made: Some(7) })),
            "{kind:?}: {stored:?}"
        );
        assert!(
            matches!(claimed, Err(KeyError::Busy)),
            "{kind:?}: {claimed:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(20));
        // Claimed, then gone: nobody writes the claim again, and the next one takes it over.
        let Begun::Go(dead) = begin(&one, 1, "dead", "f").await.unwrap() else {
            panic!("it is new")
        };
        let ended = Instant::now();
        drop(dead);
        assert!(
            matches!(begin(&two, 1, "dead", "f").await, Ok(Begun::Go(_))),
            "{kind:?}"
        );
        assert!(
            ended.elapsed() < Duration::from_secs(8),
            "{:?}",
            ended.elapsed()
        );
        // Whoever has lost the claim can neither mark nor free it for others.
        lost.release(&one).await.unwrap();
        assert!(
            matches!(begin(&two, 1, "claimed", "f").await, Ok(Begun::Go(_))),
            "{kind:?}"
        );
        assert!(
            matches!(
                one.write(|draft| lost.mark(draft, None)).await,
                Err(Refusal::Contended)
            ),
            "{kind:?}"
        );
    }
}

/// A clock that leaps makes no request a new one: only what removes records by age does that, and it
/// does not trust such a clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_key_holds_as_long_as_it_is_there() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let cancel = CancellationToken::new();
        let _stop = cancel.clone().drop_guard();
        let (state, _) = State::start(engine.store(), cancel.clone()).await.unwrap();
        let Begun::Go(ticket) = begin(&state, 1, "old", "f").await.unwrap() else {
            panic!("it is new")
        };
        state
            .write(|draft| ticket.mark(draft, Some(7)))
            .await
            .unwrap();
        let place = Keyed::place(1, "old");
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        let aged = state.write::<_, Refusal>(|draft| {
            let known = draft.tables().keyed().get(&place).unwrap();
            draft.replace(&Keyed {
                at: known.at - year,
                ..Keyed::clone(known)
            });
            Ok(())
        });
        aged.await.unwrap();
        let again = begin(&state, 1, "old", "f").await;
        assert!(
            matches!(again, Ok(Begun::Applied { made: Some(7) })),
            "{kind:?}: {again:?}"
        );
    }
}

/// Kept answers are bounded for each user, and what is not kept is answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_do_not_fill_the_store() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        let text = "x".repeat(50 << 10);
        let lab = |number: usize| json!({"name": format!("lab {number}"), "description": text});
        const REQUESTS: usize = 30;
        for number in 0..REQUESTS {
            let made = post(&server, "/fog/group", &format!("k{number}"), lab(number)).await;
            assert_eq!(made.status, 200, "{kind:?}: {}", made.text);
        }
        let stored = engine.store().list("/foghorn/v1/idem/").await.unwrap();
        let bytes: usize = stored.entries.iter().map(|entry| entry.value.len()).sum();
        assert_eq!(stored.entries.len(), REQUESTS, "{kind:?}");
        assert!(
            bytes < 5 << 18,
            "{kind:?}: {bytes} bytes are kept for one user"
        );
        let again = post(&server, "/fog/group", "k0", lab(0)).await;
        assert_eq!(again.header("idempotency-replayed"), "true", "{kind:?}");
        let last = REQUESTS - 1;
        let again = post(&server, "/fog/group", &format!("k{last}"), lab(last)).await;
        assert_eq!(
            (
                again.status.as_u16(),
                again.header("idempotency-replayed"),
                again.json()["name"].as_str()
            ),
            (200, "true", Some(format!("lab {last}").as_str())),
            "{kind:?}: without a kept answer, the object is shown"
        );
        assert_eq!(count(&server, "/fog/group").await, REQUESTS as u64);
    }
}

/// A list in a body costs time for each of its elements in every step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_a_hundred_thousand_ids_is_refused_with_a_sentence() {
    for kind in BOTH {
        let engine = Engine::start(kind).await;
        let server = Server::start_on(engine.store()).await;
        assert_eq!(
            server.call("POST", "/fog/group", group("lab")).await.status,
            200
        );
        let many: Vec<u32> = (1..=100_000).collect();
        for (method, path, body) in [
            ("PUT", "/fog/group/1/edit", json!({"hosts": many})),
            (
                "POST",
                "/fog/group",
                json!({"name": "new", "hosts": {"deep": many}}),
            ),
            ("GET", "/fog/host", json!({"hosts": many})),
        ] {
            let refused = server.call(method, path, body).await;
            assert_eq!(refused.status, 413, "{kind:?} {method}: {}", refused.text);
            assert!(
                refused.text.contains("hosts: a list of 100000 elements"),
                "{}",
                refused.text
            );
        }
        assert_eq!(count(&server, "/fog/group").await, 1, "{kind:?}");
        let few: Vec<u32> = (1..=10_000).collect();
        let done = server.call("GET", "/fog/host", json!({"id": few})).await;
        assert_eq!(done.status, 200, "{kind:?}: {}", done.text);
    }
}
