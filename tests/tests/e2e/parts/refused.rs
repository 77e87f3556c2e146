//! Orders and targets that are refused, with a sentence.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use foghorn_tests::disks::{self, MIB};
use foghorn_tests::tools::foghorn;
use serde_json::json;

use super::room::{EVERYTHING, Room, TABLE, USED, partition, two_partitions};
use super::{EVEN, ODD};

/// What the settings of an image say and cannot be done is refused when it is ordered: capture and
/// deploy, in FOG's dialect, natively and on the command line.
#[test]
fn what_cannot_be_done_is_refused_when_it_is_ordered() {
    orders().unwrap();
}

fn orders() -> Result<()> {
    let mut room = Room::start()?;
    let golden = two_partitions(&room.path("golden"), 80, &EVEN, "golden")?;
    let image = room.capture(&golden, EVERYTHING, USED)?;
    room.stack
        .rest
        .post(
            "/fog/imagepartitiontype/create",
            &json!({ "name": "Last one", "type": "last" }),
        )?
        .ok()?;
    for (part, image_type, sentence) in [
        (partition(1), 3, "imageTypeID 3 (all disks)"),
        (13, USED, "imagePartitionTypeID 13"),
    ] {
        room.set(image, part, image_type)?;
        for (fog, kind) in [
            (1, "deploy"),
            (2, "capture"),
            (15, "deploy"),
            (16, "capture"),
        ] {
            let why = room.refused_order(image, fog, kind)?;
            ensure!(why.contains(sentence), "{why}");
        }
    }

    // The image has two partitions: this the controller knows.
    room.set(image, partition(3), USED)?;
    let why = room.refused_order(image, 1, "deploy")?;
    ensure!(why.contains("does not contain partition 3"), "{why}");

    // What cannot be meant is not stored.
    let edit = format!("/fog/image/{image}/edit");
    for (field, value) in [
        ("imagePartitionTypeID", json!(99)),
        ("imagePartitionTypeID", json!("x")),
        ("imageTypeID", json!(99)),
    ] {
        let answer = room.stack.rest.put(&edit, &json!({ field: value }))?;
        ensure!(
            answer.status == 500 && answer.body.contains(field),
            "{} {}",
            answer.status,
            answer.body
        );
    }

    room.set(image, TABLE, 3)?;
    let host = room.host(image)?;
    let edit = format!("/fog/host/{}/edit", host.id);
    for rule in ["serial:", "path:sda", "size:10G", "serial:A,,serial:B"] {
        let answer = room
            .stack
            .rest
            .put(&edit, &json!({ "kernelDevice": rule }))?;
        ensure!(
            answer.status == 500 && answer.body.contains("kernelDevice"),
            "{rule}: {} {}",
            answer.status,
            answer.body
        );
    }
    let group = json!({ "name": "room", "hosts": [host.id] });
    let group = room.stack.rest.post("/fog/group/create", &group)?.ok()?;
    let path = format!(
        "/fog/group/{}/task",
        group["id"].as_str().unwrap_or_default()
    );
    for task in [1, 8] {
        let answer = room
            .stack
            .rest
            .post(&path, &json!({ "taskTypeID": task }))?;
        ensure!(
            answer.status == 409 && answer.body.contains("all disks"),
            "{} {}",
            answer.status,
            answer.body
        );
    }
    let session = json!({ "name": "parts", "hosts": [host.id] });
    let answer = room
        .stack
        .rest
        .post("/foghorn/v1/multicast-sessions", &session)?;
    ensure!(
        (400..500).contains(&answer.status) && answer.body.contains("all disks"),
        "{} {}",
        answer.status,
        answer.body
    );
    let (status, text) = command(
        &room,
        &[
            "image",
            "deploy",
            &format!("id:{image}"),
            "--host",
            &format!("id:{}", host.id),
            "--yes",
        ],
    )?;
    ensure!(
        status == Some(2) && text.contains("all disks"),
        "{status:?} {text}"
    );

    // The command line sets both fields.
    let image = format!("id:{image}");
    let (status, text) = command(
        &room,
        &[
            "image", "edit", &image, "--part", "2", "--raw", "true", "-o", "json",
        ],
    )?;
    ensure!(status == Some(0), "{text}");
    ensure!(
        text.contains("\"number\": 2") && text.contains("\"raw\": true"),
        "{text}"
    );
    let deploy = [
        "image",
        "deploy",
        &image,
        "--host",
        &format!("id:{}", host.id),
    ];
    let (status, text) = command(&room, &deploy)?;
    ensure!(
        status == Some(5) && text.contains("Partition 2 only"),
        "{status:?} {text}"
    );
    let (status, _) = command(&room, &["image", "edit", &image, "--part", "nothing"])?;
    ensure!(status == Some(2), "{status:?}");
    Ok(())
}

/// Status, and everything that was printed.
fn command(room: &Room, words: &[&str]) -> Result<(Option<i32>, String)> {
    let ca = room.path("ca.pem");
    fs::write(&ca, &room.stack.rest.ca_pem)?;
    let output = Command::new(foghorn("foghorn")?)
        .args(words)
        .env("FOGHORN_SERVER", &room.stack.rest.url)
        .env("FOGHORN_CA", ca)
        .env("FOGHORN_API_TOKEN", &room.stack.rest.api_token)
        .env("FOGHORN_USER_TOKEN", &room.stack.rest.user_token)
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// A target that does not have the part, or no room for it, stays as it is.
#[test]
fn a_target_without_room_for_the_part_is_refused_and_left_alone() {
    targets().unwrap();
}

fn targets() -> Result<()> {
    let mut room = Room::start()?;
    let golden = two_partitions(&room.path("golden"), 80, &EVEN, "golden")?;
    let image = room.capture(&golden, EVERYTHING, USED)?;
    let small = [(2048, 61_440), (63_488, 61_432)];
    let small = two_partitions(&room.path("small"), 80, &small, "user")?;
    let blank = room.path("blank");
    disks::blank(&blank, 80 * MIB)?;
    let one = disks::make_gpt(
        &room.path("one"),
        64 * MIB,
        512,
        &[(disks::Kind::Ext4, 40)],
        9,
    )?;
    for (part, disk, sentence) in [
        (partition(2), &small.path, "needs 31457280"),
        (partition(2), &blank, "has no partition 2 (it has none)"),
        (partition(2), &one.path, "has no partition 2 (it has 1)"),
    ] {
        room.set(image, part, USED)?;
        let why = room.refused_by_client(image, disk)?;
        ensure!(why.contains(sentence), "{why}");
    }
    // The image's gap in front of its first partition lies in the user's first partition.
    room.set(image, TABLE, USED)?;
    let other = two_partitions(&room.path("other"), 80, &ODD, "user")?;
    let why = room.refused_by_client(image, &other.path)?;
    ensure!(why.contains("partition 1 of"), "{why}");

    // Captures of what a disk does not have do not begin, and their tasks wait.
    let bare = room.path("bare");
    disks::blank(&bare, 8 * MIB)?;
    for (part, sentence) in [
        (partition(1), "names partition 1"),
        (TABLE, "has no partition table"),
    ] {
        let image = room.stack.create_image(&format!("part-{part}"))?;
        room.set(image, part, USED)?;
        let host = room.host(image)?;
        let task = room.stack.order(host.id, 2)?;
        let mut client = room.client(&host, &bare)?;
        let status = client.process.wait(foghorn_tests::stack::PATIENCE)?;
        ensure!(status.code() == Some(5), "{status}");
        let said = client.process.log();
        ensure!(said.contains(sentence), "{said}");
        room.stack.cancel_waiting(task)?;
    }
    Ok(())
}
