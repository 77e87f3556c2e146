use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    per_source: 2,
    per_target: 1,
};

fn id(number: u32) -> StorageNodeId {
    StorageNodeId::new(number).unwrap()
}

fn image(number: u32) -> ImageId {
    ImageId::new(number).unwrap()
}

fn manifest(number: u32) -> ManifestId {
    ManifestId::of(&number.to_le_bytes())
}

fn content(number: u32, holders: &[u32], wanted: &[u32]) -> Content {
    let ids = |numbers: &[u32]| numbers.iter().copied().map(id).collect();
    Content {
        image: image(number),
        manifest: manifest(number),
        captured: Timestamp::from_millis(number.into()),
        holders: ids(holders),
        wanted: ids(wanted),
    }
}

/// A node that is up and holds what the contents say.
fn node(number: u32, contents: &[Content]) -> Node {
    let held = contents
        .iter()
        .filter(|content| content.holders.contains(&id(number)));
    Node {
        name: format!("n{number}").parse().unwrap(),
        online: true,
        unheard: false,
        trusted: true,
        enabled: true,
        reported: true,
        holds: held
            .map(|content| (content.image, content.manifest))
            .collect(),
        damaged: BTreeSet::new(),
        unverified: BTreeSet::new(),
        addresses: vec![format!("10.0.0.{number}:1")],
    }
}

fn snapshot(nodes: u32, contents: Vec<Content>) -> Snapshot {
    Snapshot {
        nodes: (1..=nodes).map(|n| (id(n), node(n, &contents))).collect(),
        contents,
        jobs: BTreeMap::new(),
        now: Timestamp::from_millis(1_000_000),
    }
}

fn starts(steps: &[Step]) -> Vec<(u32, u32, Vec<u32>)> {
    let start = |step: &Step| match step {
        Step::Start {
            image,
            node,
            sources,
            ..
        } => {
            let sources = sources.iter().map(|source| source.node.get()).collect();
            Some((image.get(), node.get(), sources))
        }
        _ => None,
    };
    steps.iter().filter_map(start).collect()
}

/// What the controller makes of steps.
fn carry_out(snapshot: &mut Snapshot, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Start {
                image,
                node,
                manifest,
                heals,
                sources,
            } => drop(snapshot.jobs.insert(
                (image, node),
                Job {
                    manifest,
                    heals,
                    state: JobView::Copying { sources },
                },
            )),
            Step::Resource {
                image,
                node,
                sources,
            } => {
                if let Some(job) = snapshot.jobs.get_mut(&(image, node)) {
                    job.state = JobView::Copying { sources };
                }
            }
            Step::End { image, node } => drop(snapshot.jobs.remove(&(image, node))),
        }
    }
}

/// Every copy under way comes to its end.
fn finish(snapshot: &mut Snapshot) {
    for ((image, node), job) in std::mem::take(&mut snapshot.jobs) {
        let node_view = snapshot.nodes.get_mut(&node).unwrap();
        node_view.holds.insert((image, job.manifest));
        node_view.damaged.remove(&job.manifest);
        let mut contents = snapshot.contents.iter_mut();
        if let Some(content) = contents.find(|content| content.manifest == job.manifest) {
            content.holders.insert(node);
        }
    }
}

#[test]
fn an_image_for_many_nodes_is_planned_in_parts_and_names_few_sources() {
    let (holders, all): (Vec<u32>, Vec<u32>) = ((1..=100).collect(), (1..=300).collect());
    let mut now = snapshot(300, vec![content(1, &holders, &all)]);
    for _ in 0..4 {
        let steps = plan(&now, LIMITS);
        assert!(steps.len() <= MOST_STEPS, "{}", steps.len());
        for (_, target, sources) in starts(&steps) {
            assert!(sources.len() <= MOST_SOURCES && !sources.contains(&target));
        }
        carry_out(&mut now, steps);
        finish(&mut now);
    }
    assert_eq!(now.contents[0].holders.len(), 300);
}

#[test]
fn every_enabled_node_of_the_groups_gets_the_content() {
    let mut now = snapshot(3, vec![content(1, &[1], &[1, 2, 3])]);
    let steps = plan(&now, LIMITS);
    assert_eq!(starts(&steps), [(1, 2, vec![1]), (1, 3, vec![1])]);
    carry_out(&mut now, steps);
    assert_eq!(plan(&now, LIMITS), [], "what is under way goes on");
    finish(&mut now);
    assert_eq!(plan(&now, LIMITS), []);
}

#[test]
fn an_empty_node_gets_everything_and_nobody_loses_anything() {
    // Node 2 is empty and was made master of the group: what it is makes no difference.
    let contents = (1..=4).map(|n| content(n, &[1], &[1, 2])).collect();
    let mut now = snapshot(2, contents);
    for _ in 0..4 {
        let before = now.nodes[&id(1)].holds.clone();
        let steps = plan(&now, LIMITS);
        assert_eq!(starts(&steps).len(), 1, "one at a time to each node");
        carry_out(&mut now, steps);
        finish(&mut now);
        assert_eq!(now.nodes[&id(1)].holds, before);
    }
    assert_eq!(now.nodes[&id(2)].holds.len(), 4);
    assert_eq!(plan(&now, LIMITS), []);
}

#[test]
fn what_few_nodes_hold_comes_first_and_damage_before_all() {
    let contents = vec![
        content(1, &[1, 2], &[1, 2, 3]),
        content(2, &[1], &[1, 3]),
        content(3, &[1], &[1, 3]),
        content(4, &[1, 3], &[1, 3]),
    ];
    let mut now = snapshot(3, contents);
    now.nodes
        .get_mut(&id(3))
        .unwrap()
        .damaged
        .insert(manifest(4));
    let order = |now: &Snapshot| {
        let wide = Limits {
            per_source: 9,
            per_target: 9,
        };
        let starts = starts(&plan(now, wide));
        starts.into_iter().map(|start| start.0).collect::<Vec<_>>()
    };
    assert_eq!(order(&now), [4, 3, 2, 1], "of equals the newest first");
}

#[test]
fn a_damaged_copy_is_a_source_only_after_the_others() {
    let mut now = snapshot(4, vec![content(1, &[1, 2, 3], &[1, 2, 3, 4])]);
    now.nodes
        .get_mut(&id(1))
        .unwrap()
        .damaged
        .insert(manifest(1));
    let steps = plan(&now, LIMITS);
    assert_eq!(starts(&steps), [(1, 1, vec![2, 3]), (1, 4, vec![3, 2, 1])]);
    assert!(matches!(steps[0], Step::Start { heals: true, .. }));
}

#[test]
fn a_node_gives_to_few_at_a_time() {
    let now = snapshot(6, vec![content(1, &[1], &[1, 2, 3, 4, 5, 6])]);
    assert_eq!(starts(&plan(&now, LIMITS)).len(), 2);
}

#[test]
fn copies_end_when_nobody_wants_them() {
    let mut now = snapshot(2, vec![content(1, &[1], &[1, 2])]);
    let steps = plan(&now, LIMITS);
    carry_out(&mut now, steps);
    let end = [Step::End {
        image: image(1),
        node: id(2),
    }];
    let mut deleted = now.clone();
    deleted.contents.clear();
    assert_eq!(plan(&deleted, LIMITS), end);
    let mut stays = now.clone();
    stays.contents[0].wanted.clear();
    assert_eq!(plan(&stays, LIMITS), end);
    let mut revoked = now.clone();
    revoked.nodes.get_mut(&id(2)).unwrap().trusted = false;
    assert_eq!(plan(&revoked, LIMITS), end);
    let mut recaptured = now.clone();
    recaptured.contents[0].manifest = manifest(9);
    let held = &mut recaptured.nodes.get_mut(&id(1)).unwrap().holds;
    held.insert((image(1), manifest(9)));
    let steps = plan(&recaptured, LIMITS);
    assert_eq!(steps, end, "the old content; the new one follows");
    carry_out(&mut recaptured, steps);
    assert_eq!(starts(&plan(&recaptured, LIMITS)), [(1, 2, vec![1])]);
}

#[test]
fn a_copy_goes_on_from_another_node_when_its_source_is_gone() {
    let mut now = snapshot(3, vec![content(1, &[1], &[1, 3])]);
    let steps = plan(&now, LIMITS);
    carry_out(&mut now, steps);
    now.nodes.get_mut(&id(1)).unwrap().online = false;
    assert_eq!(plan(&now, LIMITS), [], "nobody else has it: it waits");
    now.contents[0].holders.insert(id(2));
    let held = &mut now.nodes.get_mut(&id(2)).unwrap().holds;
    held.insert((image(1), manifest(1)));
    let steps = plan(&now, LIMITS);
    assert!(
        matches!(&steps[..], [Step::Resource { sources, .. }] if sources[0].node == id(2)),
        "{steps:?}"
    );
    carry_out(&mut now, steps);
    assert_eq!(plan(&now, LIMITS), []);
    now.nodes.get_mut(&id(2)).unwrap().addresses = vec!["10.9.9.9:1".to_owned()];
    assert_eq!(plan(&now, LIMITS).len(), 1, "it is reached elsewhere now");
    // Whoever hears its controller knows where it is reached, and others would say otherwise.
    now.nodes.get_mut(&id(2)).unwrap().unheard = true;
    assert_eq!(plan(&now, LIMITS), []);
}

#[test]
fn attempts_wait_after_a_failure_and_for_somebody_after_a_stop() {
    let mut now = snapshot(2, vec![content(1, &[1], &[1, 2])]);
    let mut job = |state| {
        let job = Job {
            manifest: manifest(1),
            heals: false,
            state,
        };
        now.jobs.insert((image(1), id(2)), job);
        starts(&plan(&now, LIMITS)).len()
    };
    let at = Timestamp::from_millis;
    assert_eq!(
        job(JobView::Failed {
            retry_at: at(1_000_001)
        }),
        0
    );
    assert_eq!(
        job(JobView::Failed {
            retry_at: at(1_000_000)
        }),
        1
    );
    assert_eq!(job(JobView::Stopped), 0);
}

#[test]
fn a_node_that_lost_its_disk_is_no_source_and_gets_it_again() {
    let mut now = snapshot(3, vec![content(1, &[1, 2], &[1, 2, 3])]);
    now.nodes.get_mut(&id(1)).unwrap().holds.clear();
    let steps = plan(&now, LIMITS);
    assert_eq!(starts(&steps), [(1, 1, vec![2]), (1, 3, vec![2])]);
    // Before it has said what it holds, nobody knows: it gets nothing, and gives nothing.
    now.nodes.get_mut(&id(1)).unwrap().reported = false;
    assert_eq!(starts(&plan(&now, LIMITS)), [(1, 3, vec![2])]);
}

#[test]
fn what_was_not_verified_again_yet_does_not_count_and_gives_where_nobody_else_can() {
    let contents = vec![content(1, &[1, 2], &[1, 2, 3]), content(2, &[1], &[1, 3])];
    let mut now = snapshot(3, contents);
    let wide = Limits {
        per_source: 9,
        per_target: 9,
    };
    assert_eq!(
        starts(&plan(&now, wide)),
        [(2, 3, vec![1]), (1, 3, vec![2, 1])],
        "the one of which there is one copy comes first"
    );
    let back = &mut now.nodes.get_mut(&id(1)).unwrap().unverified;
    back.extend([manifest(1), manifest(2)]);
    assert_eq!(
        starts(&plan(&now, wide)),
        [(2, 3, vec![1]), (1, 3, vec![2, 1])],
        "nothing is copied to the node that has it"
    );
    assert!(!now.is_verified(&now.contents[0], id(1)));
    // As bad as none: it comes as early as what nobody else has.
    now.contents[1].holders.insert(id(2));
    let held = &mut now.nodes.get_mut(&id(2)).unwrap().holds;
    held.insert((image(2), manifest(2)));
    now.nodes
        .get_mut(&id(2))
        .unwrap()
        .damaged
        .insert(manifest(1));
    assert_eq!(
        starts(&plan(&now, wide)),
        [(1, 2, vec![1]), (1, 3, vec![1, 2]), (2, 3, vec![2, 1])]
    );
}

#[test]
fn there_is_always_a_place_to_mend() {
    let full = (1..=4).map(|n| content(n, &[1], &[1, 2]));
    let mended = content(9, &[1, 2], &[1, 2]);
    let mut now = snapshot(2, full.chain([mended]).collect());
    for _ in 0..2 {
        let steps = plan(
            &now,
            Limits {
                per_source: 2,
                per_target: 2,
            },
        );
        carry_out(&mut now, steps);
    }
    assert_eq!(now.jobs.len(), 2, "node 2 takes all that it may");
    now.nodes
        .get_mut(&id(2))
        .unwrap()
        .damaged
        .insert(manifest(9));
    let steps = plan(
        &now,
        Limits {
            per_source: 2,
            per_target: 2,
        },
    );
    assert_eq!(starts(&steps), [(9, 2, vec![1])]);
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let numbers = || proptest::collection::btree_set(1..=5_u32, 0..5);
    let contents = proptest::collection::vec((numbers(), numbers()), 0..6);
    let flags = proptest::collection::vec((0..16_u8, numbers(), numbers()), 5);
    (contents, flags).prop_map(|(contents, flags)| {
        let contents = contents.into_iter().zip(1..).map(|((holders, wanted), n)| {
            let list = |set: BTreeSet<u32>| set.into_iter().collect::<Vec<_>>();
            content(n, &list(holders), &list(wanted))
        });
        let mut now = snapshot(5, contents.collect());
        for (node, (flags, damaged, unverified)) in now.nodes.values_mut().zip(flags) {
            node.online = flags & 1 == 0;
            node.trusted = flags & 2 == 0;
            node.enabled = flags & 4 == 0;
            if flags & 8 != 0 {
                node.holds.clear();
            }
            node.damaged = damaged.into_iter().map(manifest).collect();
            node.unverified = unverified.into_iter().map(manifest).collect();
        }
        now
    })
}

proptest! {
    #[test]
    fn limits_hold_and_all_that_can_be_copied_is(mut now in any_snapshot()) {
        for _ in 0..200 {
            let steps = plan(&now, LIMITS);
            let (mut gives, mut takes) = (BTreeMap::new(), BTreeMap::new());
            let copies = steps.iter().filter(|step| !matches!(step, Step::Start { heals: true, .. }));
            for (_, target, sources) in starts(&copies.cloned().collect::<Vec<_>>()) {
                *gives.entry(sources[0]).or_insert(0) += 1;
                *takes.entry(target).or_insert(0) += 1;
                prop_assert!(!sources.contains(&target));
            }
            prop_assert!(gives.values().all(|number| *number <= LIMITS.per_source));
            prop_assert!(takes.values().all(|number| *number <= LIMITS.per_target));
            if steps.is_empty() {
                break;
            }
            carry_out(&mut now, steps);
            finish(&mut now);
        }
        prop_assert_eq!(plan(&now, LIMITS), vec![], "it comes to an end");
        for content in &now.contents {
            for id in &content.wanted {
                let node = &now.nodes[id];
                let can = node.online && node.trusted && now.has_giver(content, *id);
                prop_assert!(now.need(content, *id).is_none() || !can);
            }
        }
    }
}
