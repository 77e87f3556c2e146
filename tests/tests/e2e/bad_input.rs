//! Input that makes no sense: a clear error with the right status, and nothing stored.

use foghorn_tests::disks::{self, Kind, MIB};
use foghorn_tests::stack::{Engine, Stack};
use serde_json::{Value, json};

use crate::on_both_engines;

on_both_engines! {
    nothing_is_stored_when_the_answer_is_an_error => nothing_is_stored;
}

fn counts(stack: &Stack) -> Vec<Value> {
    [
        "host",
        "image",
        "group",
        "task",
        "storagegroup",
        "storagenode",
    ]
    .map(|class| {
        stack
            .rest
            .get(&format!("/fog/{class}"))
            .unwrap()
            .ok()
            .unwrap()["count"]
            .clone()
    })
    .to_vec()
}

fn nothing_is_stored(engine: Engine) -> anyhow::Result<()> {
    let stack = Stack::start(engine)?;
    let host = stack.create_host("pc-1", "52:54:00:00:08:01")?;
    let image = stack.create_image("empty")?;
    let before = counts(&stack);

    // (method, path, body, status, what the answer must name)
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat((1 << 20) + 1));
    let cases: Vec<(&str, String, &str, u16, &str)> = vec![
        ("GET", "/fog/host/99999".into(), "", 404, ""),
        // An id is digits to FOG, so this is no route at all.
        ("GET", "/fog/host/-1".into(), "", 501, ""),
        ("GET", "/fog/host/99999999999999999999".into(), "", 404, ""),
        (
            "PUT",
            "/fog/host/99999/edit".into(),
            "{\"name\":\"x\"}",
            404,
            "",
        ),
        ("DELETE", "/fog/image/99999".into(), "", 404, ""),
        (
            "POST",
            "/fog/host/99999/task".into(),
            "{\"taskTypeID\":1}",
            404,
            "",
        ),
        (
            "POST",
            "/fog/host/create".into(),
            "{\"name\":\"pc-2\",\"macs\":[\"nonsense\"]}",
            500,
            "mac",
        ),
        (
            "POST",
            "/fog/host/create".into(),
            "{\"name\":\"pc-2\",\"macs\":[\"52:54:00:00:08:01\"]}",
            500,
            "52:54:00:00:08:01",
        ),
        (
            "POST",
            "/fog/host/create".into(),
            "{\"name\":\"PC-1\",\"macs\":[\"52:54:00:00:08:02\"]}",
            500,
            "Already created",
        ),
        (
            "POST",
            "/fog/host/create".into(),
            "{\"name\":\"pc-2\",\"macs\":[\"52:54:00:00:08:02\"]",
            400,
            "line 1",
        ),
        (
            "PUT",
            format!("/fog/host/{host}/edit"),
            "{\"name\":",
            400,
            "line 1",
        ),
        ("POST", "/fog/host/create".into(), &large, 413, ""),
        (
            "POST",
            "/fog/host/create".into(),
            "{\"description\":\"no name\"}",
            417,
            "",
        ),
        (
            "POST",
            format!("/fog/host/{host}/task"),
            "{\"taskTypeID\":99}",
            501,
            "Invalid tasking type",
        ),
        (
            "POST",
            format!("/fog/host/{host}/task"),
            "{\"taskTypeID\":-1}",
            501,
            "Invalid tasking type",
        ),
        (
            "POST",
            format!("/fog/host/{host}/task"),
            "{\"taskTypeID\":1}",
            500,
            "Image is not valid",
        ),
        ("POST", "/fog/nothing/create".into(), "{}", 501, ""),
    ];
    for (method, path, body, status, named) in &cases {
        let answer = stack.rest.send(
            method,
            path,
            (!body.is_empty()).then(|| body.as_bytes().to_vec()),
        )?;
        let shown = &body[..body.len().min(80)];
        anyhow::ensure!(
            answer.status == *status,
            "{method} {path} {shown}: {answer:?}"
        );
        anyhow::ensure!(
            answer.body.to_lowercase().contains(&named.to_lowercase()),
            "{method} {path} {shown} does not name {named:?}: {answer:?}"
        );
        anyhow::ensure!(
            counts(&stack) == before,
            "{method} {path} {shown} stored something"
        );
    }

    // An image without content cannot be deployed.
    stack.assign(host, image)?;
    let answer = stack.rest.post(
        &format!("/fog/host/{host}/task"),
        &json!({ "taskTypeID": 1 }),
    )?;
    anyhow::ensure!(
        answer.status == 409 && answer.body.contains("content"),
        "{answer:?}"
    );
    // A host has one active task at most.
    stack.order(host, 2)?;
    let again = stack.rest.post(
        &format!("/fog/host/{host}/task"),
        &json!({ "taskTypeID": 2 }),
    )?;
    anyhow::ensure!(
        again.status == 500 && again.body.contains("already a member of an active task"),
        "{again:?}"
    );
    Ok(())
}

#[test]
fn a_deploy_that_waits_is_cancelled_when_its_image_is_deleted() {
    let stack = Stack::start(Engine::Embedded).unwrap();
    let golden = disks::make_gpt(
        &stack.folder().join("golden"),
        64 * MIB,
        512,
        &[(Kind::Raw, 40)],
        91,
    )
    .unwrap();
    let (_, image) = stack
        .capture("golden", "52:54:00:00:08:0a", &golden.path)
        .unwrap();
    let host = stack.create_host("target", "52:54:00:00:08:0b").unwrap();
    stack.assign(host, image).unwrap();
    let task = stack.order(host, 1).unwrap();
    assert_eq!(
        stack
            .rest
            .delete(&format!("/fog/image/{image}"))
            .unwrap()
            .status,
        200
    );
    assert_eq!(stack.wait_task(task).unwrap()["state"], "cancelled");
    let answer = stack
        .rest
        .post(
            &format!("/fog/host/{host}/task"),
            &json!({ "taskTypeID": 1 }),
        )
        .unwrap();
    assert_eq!(answer.status, 500, "{answer:?}");
}
