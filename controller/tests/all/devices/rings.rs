//! Targets and who follows them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foghorn_controller::app::devices::contact::Headers;
use foghorn_controller::app::devices::filter::{Filter, Reach, read_sort};
use foghorn_controller::app::devices::list::{list, show};
use foghorn_controller::app::devices::paging::Page;
use foghorn_controller::app::devices::status::status;
use foghorn_controller::app::devices::targets::{self, Change, PruneError, TagError};
use foghorn_controller::app::devices::updates::{self, Sent, Step};
use foghorn_controller::app::objects;
use foghorn_controller::app::versions;
use foghorn_controller::config::VersionConfig;
use foghorn_controller::state::Refusal;
use foghorn_controller::state::class::Body;
use foghorn_controller::state::classes::Image;
use foghorn_controller::state::content::{ImageContent, Previous};
use foghorn_controller::state::machines::updates::UpdateEvent;
use foghorn_types::{ImageId, ManifestId, Timestamp};
use serde_json::json;

use super::{Room, factory};
use crate::engine::BOTH;
use crate::fog_support::content;

/// An image with two versions.
async fn image(room: &Room) -> ImageId {
    let mut body = Body::new();
    for (name, value) in [
        ("name", json!("disk")),
        ("path", json!("disk")),
        ("imageTypeID", json!(1)),
        ("osID", json!(9)),
        ("isEnabled", json!(1)),
        ("storagegroups", json!([1])),
    ] {
        body.insert(name.to_owned(), value);
    }
    let made = objects::create::<Image>(&room.state, &body, "test", None).await;
    let first = content(made.unwrap());
    store(room, &replacing(&first, &first, 2)).await;
    first.image
}

/// Content that has replaced another one.
fn replacing(first: &ImageContent, before: &ImageContent, version: u32) -> ImageContent {
    let last = Previous {
        replaced_at: Timestamp::now(),
        content: ImageContent {
            previous: Vec::new(),
            ..before.clone()
        },
    };
    ImageContent {
        manifest: ManifestId::of(format!("version {version}").as_bytes()),
        version,
        previous: std::iter::once(last)
            .chain(before.previous.clone())
            .collect(),
        ..first.clone()
    }
}

async fn store(room: &Room, content: &ImageContent) {
    let stored = room.state.write::<_, Refusal>(|draft| {
        draft.store(content);
        Ok(())
    });
    stored.await.unwrap();
}

fn tags(targets: &[(&str, &[&str])]) -> BTreeMap<String, Change> {
    let change = |tags: &[&str]| Change {
        tags: Some(tags.iter().map(ToString::to_string).collect()),
        hardware_ids: None,
    };
    let all = targets.iter();
    all.map(|(name, tags)| ((*name).to_owned(), change(tags)))
        .collect()
}

fn runs(target: &str, tag: &str) -> Headers {
    Headers {
        target: Some(target.to_owned()),
        tags: Some(tag.to_owned()),
        ..Headers::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_up_to_date_until_a_newer_target_gets_its_tag() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        image(&room).await;
        let state = &room.state;
        let all = state.read(|tables| targets::all(tables, factory()));
        let names: Vec<_> = all.iter().map(|target| target.is.name.as_str()).collect();
        assert_eq!(names, ["disk-2", "disk-1"]);
        let second = ManifestId::of(b"version 2").to_string();
        assert_eq!(all[0].is.hash, second);

        let tagged = tags(&[("disk-1", &["lab"])]);
        targets::tag(state, factory(), &tagged).await.unwrap();
        let device = room.device(1).await;
        let contact = room.speaks(1, &runs("disk-1", "lab")).await;
        assert_eq!(contact.changes, ["target-name", "tag"]);
        let is_up_to_date = || show(state, &room.seen, device.uuid).unwrap().is_up_to_date;
        assert!(is_up_to_date());
        let tagged = tags(&[("disk-2", &["lab", "next"])]);
        targets::tag(state, factory(), &tagged).await.unwrap();
        assert!(!is_up_to_date());
        room.device(2).await;
        room.speaks(2, &runs("disk-2", "lab")).await;
        let now = Timestamp::now();
        let counted = status(state, &room.seen, factory(), Duration::from_secs(60), now);
        let lab = &counted.tags["lab"].counts;
        assert_eq!((counted.total, lab.total, lab.online), (2, 2, 2));
        assert_eq!((lab.on_latest, lab.on_orphan), (1, 0));

        // Of several changes all are made or none.
        let broken = tags(&[("disk-1", &["gone"]), ("disk-7", &["lab"])]);
        let refused = targets::tag(state, factory(), &broken).await;
        assert!(matches!(refused, Err(TagError::NotThere(name)) if name == "disk-7"));
        let first = state.read(|tables| targets::named(tables, factory(), "disk-1"));
        assert_eq!(first.unwrap().is.tags, BTreeSet::from(["lab".to_owned()]));

        let present = targets::prune(state, factory(), &["disk-2".to_owned()]).await;
        assert!(matches!(present, Err(PruneError::IsPresent(_))));
        targets::prune(state, factory(), &["disk-1".to_owned()])
            .await
            .unwrap();
        let left = state.read(|tables| targets::all(tables, factory()).len());
        assert_eq!(left, 1);
        let counted = status(state, &room.seen, factory(), Duration::from_secs(60), now);
        assert_eq!(counted.tags["lab"].counts.on_orphan, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_filtered_sorted_and_paged() {
    let room = Room::start(crate::engine::Kind::Embedded).await;
    for number in 1..=5 {
        room.device(number).await;
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        room.speaks(number, &runs("disk-1", tag)).await;
    }
    let names = |filter: &Filter, sort: &str, number, limit| {
        let sort = read_sort(sort).unwrap();
        let page = Page { number, limit };
        let listed = list(&room.state, &room.seen, &Reach::All, filter, &sort, page);
        let ends = listed.items.iter().map(|shown| {
            let last = shown.name.chars().last().unwrap();
            last.to_digit(10).unwrap()
        });
        (ends.collect::<Vec<_>>(), listed.total, listed.next())
    };
    let all = Filter::default();
    assert_eq!(names(&all, "-name", 1, 2), (vec![5, 4], 5, Some(2)));
    assert_eq!(names(&all, "-name", 3, 2), (vec![1], 5, None));
    let odd = Filter {
        tag: "odd".to_owned(),
        name: "0*[1-4]".to_owned(),
        ..Filter::default()
    };
    assert_eq!(names(&odd, "", 1, 10), (vec![1, 3], 2, None));
    let nobody = Reach::Only(BTreeSet::new());
    let listed = list(&room.state, &room.seen, &nobody, &all, &[], Page::default());
    assert_eq!(listed.total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_shown_from_its_first_event_to_its_last() {
    for kind in BOTH {
        let room = Room::start(kind).await;
        let uuid = room.device(1).await.uuid;
        let sent = |id: &str, what: &str, success| Sent {
            correlation_id: "update-1".to_owned(),
            event: UpdateEvent {
                id: id.to_owned(),
                kind: what.to_owned(),
                device_time: "2026-11-30T20:00:00Z".to_owned(),
                version: "2".to_owned(),
                target: "disk-2".to_owned(),
                success,
                details: String::new(),
            },
        };
        let begin = [sent("1", "EcuDownloadStarted", None)];
        let steps = updates::record(&room.state, uuid, &begin).await.unwrap();
        assert!(matches!(&steps[..], [Step::Started { .. }]), "{steps:?}");
        assert_eq!(room.stored(uuid).update.as_deref(), Some("update-1"));
        let end = [sent("2", "EcuInstallationCompleted", Some(false))];
        let steps = updates::record(&room.state, uuid, &end).await.unwrap();
        assert!(
            matches!(&steps[..], [Step::Completed { success: false, .. }]),
            "{steps:?}"
        );
        assert_eq!(room.stored(uuid).update, None);
        let again = updates::record(&room.state, uuid, &end).await.unwrap();
        assert!(again.is_empty());
        let (listed, shown) = room.state.read(|tables| {
            let listed = updates::list(tables, uuid, Page::default());
            (listed, updates::show(tables, uuid, "update-1"))
        });
        assert_eq!((listed.total, shown.unwrap().events.len()), (1, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_a_tag_is_kept_beyond_the_limit() {
    for kind in BOTH {
        for tag in ["lab", ""] {
            let room = Room::start(kind).await;
            let image = image(&room).await;
            let state = &room.state;
            let before = state.read(|tables| tables.contents().get(&image).cloned());
            let third = replacing(&content(image.get()), &before.unwrap(), 3);
            store(&room, &third).await;
            let names = |tag: &str| {
                let all = state.read(|tables| targets::all(tables, factory()));
                let with = all
                    .into_iter()
                    .filter(|target| tag.is_empty() || target.is.tags.contains(tag));
                with.map(|target| target.is.version).collect::<Vec<_>>()
            };
            assert_eq!(names(""), [3, 2, 1]);
            if !tag.is_empty() {
                let tagged = tags(&[("disk-2", &[tag])]);
                targets::tag(state, factory(), &tagged).await.unwrap();
                assert_eq!(names(tag), [2]);
            }
            let keep = VersionConfig {
                most: 1,
                ..VersionConfig::default()
            };
            // The present one becomes the first of those that are kept, and the second is one too many.
            let undone = versions::undo(state, image, Some(1), keep, |_| None).await;
            assert_eq!(undone.unwrap(), 1);
            let left: &[u32] = if tag.is_empty() { &[3, 1] } else { &[3, 2, 1] };
            assert_eq!(names(""), left, "{kind:?} {tag:?}");
        }
    }
}
