//! Plans, text in and text out. A site is words, one statement each: `auto`, `closed`, `held`, `most 2`,
//! `stop 3`, `failures 1`, `patience 30`; `device 1`, `device 2 tried 40` (seconds ago), `device 3 not`;
//! `order 4 awaited 10` (ordered ten minutes ago), `order 5 writing`, `order 6 failed hand`.

use super::*;

const NOW: Timestamp = Timestamp::from_millis(100_000_000);

fn ago(seconds: u64) -> Timestamp {
    let millis = i64::try_from(seconds * 1000).unwrap();
    Timestamp::from_millis(NOW.as_millis() - millis)
}

fn after(words: &[&str], name: &str) -> Option<u64> {
    let place = words.iter().position(|word| *word == name)?;
    words.get(place + 1)?.parse().ok()
}

fn number(words: &[&str]) -> u128 {
    words[1].parse().unwrap()
}

fn device(words: &[&str]) -> Device {
    Device {
        uuid: MachineUuid::from_bits(number(words)),
        tried: after(words, "tried").map(ago),
        is_due: !words.contains(&"not"),
    }
}

/// Its task has the number of its device.
fn order(words: &[&str]) -> Order {
    let work = match words[2] {
        "awaited" => Work::Awaited,
        "present" => Work::Present,
        "writing" => Work::Writing,
        "complete" => Work::Complete,
        "failed" => Work::Failed { came: true },
        "absent" => Work::Failed { came: false },
        "cancelled" => Work::Cancelled,
        "gone" => Work::Gone,
        other => panic!("no work is {other}"),
    };
    Order {
        device: MachineUuid::from_bits(number(words)),
        task: words[1].parse().unwrap(),
        ordered: ago(60 * after(words, words[2]).unwrap_or_default()),
        has_begun: words.contains(&"begun"),
        by_hand: words.contains(&"hand"),
        work,
    }
}

fn site(text: &str) -> Site {
    let mut site = Site {
        factory: StorageGroupId::new(1).unwrap(),
        mode: RingMode::Manual,
        is_held: false,
        is_open: true,
        at_most: 2,
        stop_after: 3,
        failures: 0,
        patience: Duration::from_secs(30 * 60),
        orders: Vec::new(),
        devices: Vec::new(),
    };
    for line in text.split(';') {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[0] {
            "auto" => site.mode = RingMode::Auto,
            "closed" => site.is_open = false,
            "held" => site.is_held = true,
            "most" => site.at_most = words[1].parse().unwrap(),
            "stop" => site.stop_after = words[1].parse().unwrap(),
            "failures" => site.failures = words[1].parse().unwrap(),
            "device" => site.devices.push(device(&words)),
            "order" => site.orders.push(order(&words)),
            other => panic!("no statement is {other}"),
        }
    }
    site
}

fn check(text: &str, expected: &str) {
    let shown: Vec<_> = plan(&site(text), NOW)
        .into_iter()
        .map(|step| match step {
            Step::Begin(_, task) => format!("{task} begins"),
            Step::End(_, task, end) => format!("{task} {end:?}"),
            Step::Withdraw(_, task) => format!("{task} withdrawn"),
            Step::Order(uuid) => format!("order {}", bits(uuid)),
        })
        .collect();
    assert_eq!(shown.join("; "), expected, "in the site {text}");
}

/// The number that a device has in these texts.
fn bits(uuid: MachineUuid) -> u128 {
    let text = uuid.to_string().replace('-', "");
    u128::from_str_radix(&text, 16).unwrap()
}

#[test]
fn devices_are_ordered_by_themselves_only_in_auto_mode_and_in_the_window() {
    check("auto; device 1; device 2 not", "order 1");
    for text in ["device 1", "auto; closed; device 1", "auto; held; device 1"] {
        check(text, "");
    }
}

#[test]
fn only_so_many_are_imaged_at_a_time() {
    check("auto; device 1; device 2; device 3", "order 1; order 2");
    check("auto; order 7 writing begun; device 1; device 2", "order 1");
    // Those of operators take up the network as well.
    check("auto; order 7 present; order 8 awaited hand; device 1", "");
    // What has ended makes room in the same round.
    check(
        "auto; order 7 complete; order 8 writing begun; device 1; device 2",
        "7 Success; order 1",
    );
    check("auto; most 0; device 1", "");
}

#[test]
fn a_device_that_is_being_imaged_is_not_ordered_again() {
    check("auto; order 1 present; device 1; device 2", "order 2");
    check("auto; order 1 complete; device 1", "1 Success");
}

#[test]
fn those_that_were_never_tried_come_first_and_then_the_longest_ago() {
    check(
        "auto; most 3; device 1 tried 40; device 2 tried 90; device 3; device 4 tried 50",
        "order 3; order 2; order 4",
    );
}

#[test]
fn failures_one_after_the_other_stop_it() {
    check("auto; failures 2; order 7 failed; device 1", "7 Failure");
    check(
        "auto; failures 1; order 7 failed; device 1",
        "7 Failure; order 1",
    );
    check(
        "auto; failures 2; order 7 complete; order 8 failed; device 1",
        "7 Success; 8 Failure; order 1",
    );
    // Nobody is to blame for these.
    for (work, end) in [
        ("absent", "DidNotCome"),
        ("cancelled", "Cancelled"),
        ("gone", "Cancelled"),
    ] {
        check(
            &format!("auto; failures 2; order 7 {work}; device 1"),
            &format!("7 {end}; order 1"),
        );
    }
    // What an operator has ordered for one device says nothing about the others.
    check(
        "auto; failures 2; order 7 failed hand; device 1",
        "7 Failure; order 1",
    );
}

#[test]
fn a_machine_that_does_not_come_gives_its_place_to_others() {
    check("auto; most 1; order 7 awaited 29; device 1", "");
    check(
        "auto; most 1; order 7 awaited 30; device 1",
        "7 withdrawn; order 1",
    );
    // One that is there is waited for.
    check("auto; most 1; order 7 present 300; device 1", "");
    check("auto; most 1; order 7 awaited 300 hand; device 1", "");
}

#[test]
fn when_the_window_ends_what_has_not_begun_is_taken_back() {
    check(
        "auto; closed; order 7 awaited 1; order 8 present 1; order 9 writing 1 begun",
        "7 withdrawn",
    );
    // The same when somebody switches it off.
    check("order 7 awaited 1; order 8 writing 1 begun", "7 withdrawn");
    // Held, it goes on with what it has.
    check("auto; held; order 7 awaited 1", "");
}

#[test]
fn the_begin_of_a_transfer_is_told_once_and_every_end_whatever_the_mode() {
    check("order 7 writing hand", "7 begins");
    check("order 7 writing hand begun", "");
    check("closed; order 7 complete", "7 Success");
}

fn facts() -> Facts {
    let host = HostFacts {
        id: HostId::new(5).unwrap(),
        by: BoundBy::Certificate,
        is_pending: false,
        is_protected: false,
        is_busy: false,
        site: None,
        image: ImageId::new(4),
    };
    Facts {
        factory: StorageGroupId::new(1).unwrap(),
        wants: Some(Wanted {
            name: "disk-2".to_owned(),
            hash: "bb".to_owned(),
            image: ImageId::new(4).unwrap(),
            version: 2,
        }),
        host: Some(host),
        tried: None,
    }
}

fn with_host(change: impl FnOnce(&mut HostFacts)) -> Facts {
    let mut facts = facts();
    change(facts.host.as_mut().unwrap());
    facts
}

#[test]
fn a_device_is_imaged_only_where_everything_fits() {
    let well = facts();
    let (wanted, host) = judge(&well, false, 0).unwrap();
    assert_eq!((wanted.version, host.get()), (2, 5));
    let own_site = with_host(|host| host.site = StorageGroupId::new(1));
    assert!(judge(&own_site, false, 0).is_ok());
    for (facts, expected) in [
        (
            Facts {
                wants: None,
                ..facts()
            },
            LeftOut::UpToDate,
        ),
        (
            Facts {
                host: None,
                ..facts()
            },
            LeftOut::NoHost,
        ),
        (
            with_host(|host| host.by = BoundBy::Address),
            LeftOut::ByAddress,
        ),
        (with_host(|host| host.is_pending = true), LeftOut::Pending),
        (
            with_host(|host| host.is_protected = true),
            LeftOut::Protected,
        ),
        (
            with_host(|host| host.site = StorageGroupId::new(2)),
            LeftOut::OtherSite,
        ),
        (
            with_host(|host| host.image = ImageId::new(9)),
            LeftOut::OtherImage,
        ),
        (with_host(|host| host.image = None), LeftOut::OtherImage),
        (with_host(|host| host.is_busy = true), LeftOut::Busy),
    ] {
        assert_eq!(judge(&facts, false, 0), Err(expected));
    }
    let by_address = with_host(|host| host.by = BoundBy::Address);
    assert!(judge(&by_address, true, 0).is_ok(), "an operator allows it");
}

#[test]
fn a_target_is_tried_once_until_an_operator_resumes() {
    let tried = |hash: &str, again| Facts {
        tried: Some(Tried {
            hash: hash.to_owned(),
            round: 1,
            at: NOW,
            again,
        }),
        ..facts()
    };
    assert_eq!(judge(&tried("bb", false), false, 1), Err(LeftOut::Tried));
    assert!(judge(&tried("bb", false), false, 2).is_ok(), "resumed");
    assert!(judge(&tried("aa", false), false, 1).is_ok(), "a newer one");
    assert!(
        judge(&tried("bb", true), false, 1).is_ok(),
        "it did not come"
    );
}
