//! Images of several disks (FOG's image type 3): captured as one image, and deployed to as many
//! disks, each of which is checked before anything is written on any.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use foghorn_tests::disks::{self, Disk, Kind, MIB};
use foghorn_tests::process::{Process, until};
use foghorn_tests::stack::PATIENCE;
use foghorn_tests::tools::foghorn;
use serde_json::{Value, json};

use crate::parts::room::{EVERYTHING, Room, USED, partition};

/// FOG's image type "Multiple Partition Image - All Disks".
const ALL_DISKS: u32 = 3;

/// A GPT disk that does not end at a whole MiB, with ext4 and NTFS.
fn system_disk(path: &Path) -> Result<Disk> {
    let parts = [(Kind::Ext4, 64), (Kind::Ntfs, 32)];
    disks::make_gpt(path, 100 * MIB + 3 * 4096, 512, &parts, 41)
}

/// A disk with sectors of 4096 bytes, an MBR and one NTFS partition.
fn data_disk(path: &Path, size: u64) -> Result<Disk> {
    let disk = disks::make_gpt(path, size, 4096, &[(Kind::Ntfs, 40)], 43)?;
    let volume = &disk.partitions[0];
    let mut table = [0; 512];
    table[440..444].copy_from_slice(&[0x11, 0x22, 0x33, 0x44]);
    table[446 + 4] = 0x07;
    let sectors = |bytes: u64| ((bytes / 4096) as u32).to_le_bytes();
    table[446 + 8..446 + 12].copy_from_slice(&sectors(volume.start));
    table[446 + 12..446 + 16].copy_from_slice(&sectors(volume.size));
    table[510..].copy_from_slice(&[0x55, 0xaa]);
    let file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&[0; 512 * 1024], 0)?;
    file.write_all_at(&[0; 512 * 1024], size - 512 * 1024)?;
    file.write_all_at(&table, 0)?;
    Ok(disk)
}

/// The rules for these disks, as the client takes them.
fn rules(disks: &[&Path]) -> PathBuf {
    let list: Vec<String> = disks
        .iter()
        .map(|disk| disk.display().to_string())
        .collect();
    list.join(",").into()
}

struct Golden {
    system: Disk,
    data: Disk,
    image: u32,
}

impl Golden {
    fn capture(room: &mut Room) -> Result<Self> {
        let system = system_disk(&room.path("system"))?;
        let data = data_disk(&room.path("data"), 60 * MIB)?;
        let disks = rules(&[&system.path, &data.path]);
        let image = room.capture_file(&disks, EVERYTHING, ALL_DISKS)?;
        Ok(Self {
            system,
            data,
            image,
        })
    }

    /// Tools that are not ours find tables, file systems and files as they were.
    fn check(&self, system: &Path, data: &Path) -> Result<()> {
        disks::check(system, 512, &self.system.partitions)?;
        disks::check(data, 4096, &self.data.partitions)?;
        for (made, target) in [(&self.system, system), (&self.data, data)] {
            let there = disks::hash_files(&made.path, &made.partitions)?;
            ensure!(
                disks::hash_files(target, &made.partitions)? == there,
                "the files of {} differ",
                target.display()
            );
        }
        let sector = |path: &Path| -> Result<[u8; 512]> {
            let mut bytes = [0; 512];
            File::open(path)?.read_exact_at(&mut bytes, 0)?;
            Ok(bytes)
        };
        ensure!(
            sector(data)? == sector(&self.data.path)?,
            "the MBR of the second disk differs"
        );
        Ok(())
    }
}

fn blank(room: &Room, name: &str, mib: u64) -> Result<PathBuf> {
    let path = room.path(name);
    disks::blank(&path, mib * MIB)?;
    Ok(path)
}

#[test]
fn two_disks_are_one_image_and_two_disks_again() {
    round_trip().unwrap();
}

fn round_trip() -> Result<()> {
    let mut room = Room::start()?;
    let golden = Golden::capture(&mut room)?;
    let content = room.content(golden.image)?;
    let listed = content["disks"].as_array().context("disks")?;
    ensure!(listed.len() == 2, "{content}");
    for (disk, made, sector) in [
        (&listed[0], &golden.system, 512),
        (&listed[1], &golden.data, 4096),
    ] {
        ensure!(
            disk["sector_size"] == sector
                && disk["size"] == fs::metadata(&made.path)?.len()
                && disk["name"] == json!(made.path.display().to_string()),
            "{disk}"
        );
    }
    let shown = show(&room, golden.image)?;
    ensure!(
        shown.contains("disk 2") && shown.contains("sectors of 4096"),
        "{shown}"
    );

    // Larger targets, with old contents where superblocks are.
    let (system, data) = (
        blank(&room, "to-system", 150)?,
        blank(&room, "to-data", 90)?,
    );
    for target in [&system, &data] {
        let file = fs::OpenOptions::new().write(true).open(target)?;
        let end = file.metadata()?.len();
        file.write_all_at(&[0xa5; 64 * 1024], end - 65536)?;
        file.write_all_at(&[0xa5; 64 * 1024], 512 * 1024)?;
    }
    let targets = rules(&[&system, &data]);
    let report = room.deploy_file(golden.image, &targets)?;
    golden.check(&system, &data)?;
    let used = report["disks"].as_array().context("disks")?;
    ensure!(
        used.len() == 2 && used[1]["path"] == json!(data.display().to_string()),
        "{report}"
    );
    // Old contents are cleared where the image has none.
    let mut tail = vec![0; 64 * 1024];
    File::open(&data)?.read_exact_at(&mut tail, 90 * MIB - 65536)?;
    ensure!(tail.iter().all(|&byte| byte == 0), "old contents stayed");

    // Again: what is there already is found on both disks.
    let report = room.deploy_file(golden.image, &targets)?;
    ensure!(
        report["bytes_reused"].as_u64() > report["bytes_wire"].as_u64(),
        "{report}"
    );
    golden.check(&system, &data)
}

/// What `foghorn image show` prints.
fn show(room: &Room, image: u32) -> Result<String> {
    let ca = room.path("ca.pem");
    fs::write(&ca, &room.stack.rest.ca_pem)?;
    let output = Command::new(foghorn("foghorn")?)
        .args(["image", "show", &format!("id:{image}")])
        .env("FOGHORN_SERVER", &room.stack.rest.url)
        .env("FOGHORN_CA", ca)
        .env("FOGHORN_API_TOKEN", &room.stack.rest.api_token)
        .env("FOGHORN_USER_TOKEN", &room.stack.rest.user_token)
        .output()?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Whatever is wrong with one of the disks, or with their number, nothing is written on any.
#[test]
fn disks_that_do_not_fit_are_refused_and_left_alone() {
    refused().unwrap();
}

fn refused() -> Result<()> {
    let mut room = Room::start()?;
    let golden = Golden::capture(&mut room)?;
    let (large, small) = (blank(&room, "large", 150)?, blank(&room, "small", 45)?);
    let tiny = blank(&room, "tiny", 20)?;
    let link = room.path("link");
    std::os::unix::fs::symlink(&large, &link)?;
    let before = [&large, &small, &tiny].map(|disk| fs::read(disk).unwrap_or_default());
    let text = |disk: &Path| disk.display().to_string();
    for (disks, sentences) in [
        (
            vec![&large],
            vec!["the image has 2 disks, but 1 disk is selected".to_owned()],
        ),
        (
            vec![&large, &small, &tiny],
            vec!["the image has 2 disks, but 3 disks are selected".to_owned()],
        ),
        // Swapped, and a second disk that is too small.
        (
            vec![&small, &large],
            vec![text(&small), "the image needs".to_owned()],
        ),
        (
            vec![&large, &tiny],
            vec![text(&tiny), "the image needs".to_owned()],
        ),
        (vec![&large, &link], vec!["the same disk".to_owned()]),
    ] {
        let disks: Vec<&Path> = disks.into_iter().map(PathBuf::as_path).collect();
        let why = refused_by_client(&mut room, golden.image, 1, &disks)?;
        for sentence in sentences {
            ensure!(why.contains(&sentence), "{why:?} lacks {sentence:?}");
        }
    }
    // An image of one disk, to several.
    let one = room.capture_file(&golden.data.path, EVERYTHING, USED)?;
    let why = refused_by_client(&mut room, one, 1, &[&large, &small])?;
    ensure!(why.contains("the image has 1 disk, but 2 disks"), "{why}");
    // A capture of one disk, from several.
    let image = room.stack.create_image("one")?;
    let why = refused_by_client(
        &mut room,
        image,
        2,
        &[&golden.system.path, &golden.data.path],
    )?;
    ensure!(why.contains("the image is of one disk"), "{why}");
    // All disks of a machine that has one: an image as ever.
    let only = room.capture_file(&golden.data.path, EVERYTHING, ALL_DISKS)?;
    let content = room.content(only)?;
    ensure!(
        content["disks"] == json!([]) && content["manifest"] == room.content(one)?["manifest"],
        "{content}"
    );
    for (disk, before) in [&large, &small, &tiny].into_iter().zip(before) {
        ensure!(fs::read(disk)? == before, "{} was changed", disk.display());
    }
    Ok(())
}

/// A task that the client must refuse before it begins; gives what the client says.
fn refused_by_client(room: &mut Room, image: u32, task: u32, disks: &[&Path]) -> Result<String> {
    let host = room.host(image)?;
    let task = room.stack.order(host.id, task)?;
    let mut client = room.client(&host, &rules(disks))?;
    let status = client.process.wait(PATIENCE)?;
    ensure!(
        status.code() == Some(5),
        "{status}:\n{}",
        client.process.log()
    );
    room.stack.cancel_waiting(task)?;
    Ok(client.process.log())
}

/// What cannot be done is refused when it is ordered.
#[test]
fn orders_whose_rules_do_not_fit_the_image_are_refused() {
    orders().unwrap();
}

fn orders() -> Result<()> {
    let mut room = Room::start()?;
    let golden = Golden::capture(&mut room)?;
    let image = golden.image;
    room.set(image, partition(1), ALL_DISKS)?;
    for (fog, kind) in [(1, "deploy"), (2, "capture")] {
        let why = room.refused_order(image, fog, kind)?;
        ensure!(why.contains("imageTypeID 3 (all disks)"), "{why}");
    }
    room.set(image, EVERYTHING, USED)?;
    let why = room.refused_order(image, 1, "deploy")?;
    ensure!(
        why.contains("contains 2 disks, but its imageTypeID"),
        "{why}"
    );
    // By the rules of the host.
    for (image_type, rule, task, sentence) in [
        (
            USED,
            "/dev/sda,/dev/sdb",
            2,
            "kernelDevice that selects several disks",
        ),
        (USED, "all", 2, "kernelDevice that selects several disks"),
        (ALL_DISKS, "serial:A", 1, "kernelDevice selects 1"),
        (
            ALL_DISKS,
            "serial:A,serial:B,serial:C",
            1,
            "kernelDevice selects 3",
        ),
    ] {
        room.set(image, EVERYTHING, image_type)?;
        let host = room.host(image)?;
        let path = format!("/fog/host/{}", host.id);
        room.stack
            .rest
            .put(&format!("{path}/edit"), &json!({ "kernelDevice": rule }))?
            .ok()?;
        let order = json!({ "taskTypeID": task });
        let answer = room.stack.rest.post(&format!("{path}/task"), &order)?;
        ensure!(
            answer.status == 409 && answer.body.contains(sentence),
            "{rule}: {} {}",
            answer.status,
            answer.body
        );
    }
    // What is no rule is not stored.
    let host = room.host(image)?;
    let edit = format!("/fog/host/{}/edit", host.id);
    let answer = room
        .stack
        .rest
        .put(&edit, &json!({ "kernelDevice": "sda" }))?;
    ensure!(
        answer.status == 500 && answer.body.contains("did you mean path:/dev/sda?"),
        "{} {}",
        answer.status,
        answer.body
    );
    // Rules that fit are taken from the host, too.
    let (system, data) = (blank(&room, "a", 120)?, blank(&room, "b", 80)?);
    let host = room.host(image)?;
    let device = rules(&[&system, &data]);
    room.stack
        .rest
        .put(
            &format!("/fog/host/{}/edit", host.id),
            &json!({ "kernelDevice": device }),
        )?
        .ok()?;
    let task = room.stack.order(host.id, 1)?;
    ensure!(room.stack.task(task)?["disks"].as_array().map(Vec::len) == Some(2));
    let mut client = room.client_of_rule(&host)?;
    let status = client.process.wait(PATIENCE)?;
    ensure!(status.success(), "{status}:\n{}", client.process.log());
    golden.check(&system, &data)
}

/// The client is killed in the middle of a deploy, and continues.
#[test]
fn a_deploy_that_is_cut_off_continues_on_both_disks() {
    cut_off().unwrap();
}

fn cut_off() -> Result<()> {
    let mut room = Room::start()?;
    let parts = [(Kind::Raw, 250), (Kind::Ext4, 16)];
    let first = disks::make_gpt(&room.path("first"), 270 * MIB, 512, &parts, 51)?;
    let second = disks::make_gpt(&room.path("second"), 270 * MIB, 512, &parts, 52)?;
    let image = room.capture_file(&rules(&[&first.path, &second.path]), EVERYTHING, ALL_DISKS)?;
    let targets = [
        blank(&room, "to-first", 280)?,
        blank(&room, "to-second", 290)?,
    ];
    let disks = rules(&[&targets[0], &targets[1]]);
    let host = room.host(image)?;
    let task = room.stack.order(host.id, 1)?;
    let state = room.path("state");
    let run = |room: &Room, name: &str| -> Result<(Process, PathBuf)> {
        let report = room.path(&format!("report-{name}"));
        let mut command = room.stack.client_command(host.id, host.mac(), &disks)?;
        command.arg("--state-dir").arg(&state);
        command.arg("--report").arg(&report);
        Ok((
            Process::start(room.stack.folder(), name, &mut command)?,
            report,
        ))
    };
    let (mut client, _) = run(&room, "killed")?;
    until("data on a disk", PATIENCE, || {
        let written = disks::allocated(&targets[0])? + disks::allocated(&targets[1])?;
        Ok((written >= 60 * MIB).then_some(()))
    })?;
    client.kill()?;
    ensure!(room.stack.task(task)?["state"] != "complete");
    for target in &targets {
        let mut head = [0; 1024];
        File::open(target)?.read_exact_at(&mut head, 0)?;
        ensure!(head == [0; 1024], "{} has a table", target.display());
    }
    let (mut client, report) = run(&room, "again")?;
    let status = client.wait(PATIENCE)?;
    ensure!(status.success(), "{status}:\n{}", client.log());
    ensure!(room.stack.wait_task(task)?["state"] == "complete");
    let report: Value = serde_json::from_slice(&fs::read(report)?)?;
    ensure!(
        report["bytes_reused"].as_u64() > Some(10 * MIB),
        "what was there was fetched again: {report}"
    );
    for (target, made) in targets.iter().zip([&first, &second]) {
        disks::check(target, 512, &made.partitions)?;
        let there = disks::hash_files(&made.path, &made.partitions)?;
        ensure!(disks::hash_files(target, &made.partitions)? == there);
    }
    Ok(())
}

/// Every host of a multicast session gets both disks.
#[test]
fn the_hosts_of_a_multicast_session_get_both_disks() {
    multicast().unwrap();
}

fn multicast() -> Result<()> {
    let mut room = Room::start()?;
    let golden = Golden::capture(&mut room)?;
    let mut hosts = Vec::new();
    for number in [1, 2] {
        let system = blank(&room, &format!("system-{number}"), 120)?;
        let data = blank(&room, &format!("data-{number}"), 80)?;
        hosts.push((room.host(golden.image)?, system, data));
    }
    let ids: Vec<u32> = hosts.iter().map(|(host, ..)| host.id).collect();
    let session = json!({ "name": "disks", "hosts": ids });
    let path = "/foghorn/v1/multicast-sessions";
    room.stack.rest.post(path, &session)?.ok()?;
    let mut clients = Vec::new();
    for (host, system, data) in &hosts {
        clients.push(room.client(host, &rules(&[system, data]))?);
    }
    for (client, (_, system, data)) in clients.iter_mut().zip(&hosts) {
        let status = client.process.wait(PATIENCE)?;
        ensure!(status.success(), "{}", client.process.log());
        let report = client.report()?;
        ensure!(
            report["bytes_multicast"].as_u64() > Some(0),
            "it came by unicast: {report}"
        );
        golden.check(system, data)?;
    }
    Ok(())
}
