//! Groups on the loopback interface, with real sockets.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use foghorn_test_ports::free_udp_port;
use foghorn_transport::multicast::{GroupReceiver, GroupSender, InterfaceChoice};

const PATIENCE: Duration = Duration::from_secs(10);

fn group(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), free_udp_port().unwrap())
}

fn on(text: &str) -> InterfaceChoice {
    text.parse().unwrap()
}

/// Everything that comes until `count` datagrams are there, or too much time has passed.
fn take(receiver: &mut GroupReceiver, count: usize) -> Vec<Vec<u8>> {
    let mut taken = Vec::new();
    let begun = Instant::now();
    while taken.len() < count && begun.elapsed() < PATIENCE {
        let each = |datagram: Option<&mut [u8]>| taken.extend(datagram.map(|bytes| bytes.to_vec()));
        receiver.receive(Duration::from_millis(50), each).unwrap();
    }
    taken
}

#[test]
fn every_member_gets_every_datagram_of_a_burst() {
    let group = group("239.255.77.1");
    let sender = GroupSender::open(group, &on("127.0.0.0/8"), 1, true).unwrap();
    let join = || GroupReceiver::join(group, sender.source(), false, &on("127.0.0.1")).unwrap();
    let mut receivers = [join(), join()];
    let burst: Vec<u8> = (0..100u8)
        .flat_map(|number| vec![number; if number == 99 { 70 } else { 1400 }])
        .collect();
    let sent = sender.send(&burst, 1400).unwrap();
    assert_eq!((sent.datagrams, sent.dropped), (100, 0));
    for receiver in &mut receivers {
        let taken = take(receiver, 100);
        let seen: Vec<(u8, usize)> = taken
            .iter()
            .map(|datagram| (datagram[0], datagram.len()))
            .collect();
        let expected: Vec<_> = (0..100)
            .map(|number| (number, if number == 99 { 70 } else { 1400 }))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(receiver.dropped(), 0);
    }
}

#[test]
fn packets_of_another_source_are_not_handed_over() {
    let group = group("239.255.77.2");
    let sender = GroupSender::open(group, &on("lo"), 1, true).unwrap();
    let elsewhere: IpAddr = "127.0.0.9".parse().unwrap();
    let mut receiver = GroupReceiver::join(group, elsewhere, false, &on("127.0.0.1")).unwrap();
    sender.send(b"forged", 6).unwrap();
    let (mut others, mut ours, begun) = (0, 0, Instant::now());
    while others == 0 && begun.elapsed() < PATIENCE {
        let each = |datagram: Option<&mut [u8]>| {
            if datagram.is_some() {
                ours += 1
            } else {
                others += 1
            }
        };
        receiver.receive(Duration::from_millis(50), each).unwrap();
    }
    assert_eq!((ours, others), (0, 1));
}

#[test]
fn a_member_for_one_source_hears_that_source() {
    let group = group("232.1.77.3");
    let sender = GroupSender::open(group, &on("127.0.0.1"), 1, true).unwrap();
    let mut receiver = GroupReceiver::join(group, sender.source(), true, &on("127.0.0.1")).unwrap();
    sender.send(b"ours", 4).unwrap();
    assert_eq!(take(&mut receiver, 1), [b"ours"]);
}

/// The loopback interface has no route to groups of IPv6, so this happens in a network of its own.
#[test]
fn a_group_of_ipv6_is_heard() {
    let network = "ip link set lo up && ip link add lan type veth peer name far && ip address add fd77::1/64 dev lan nodad && \
        ip link set lan up && ip link set far up && exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--net", "--map-root-user", "sh", "-c", network])
        .arg(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", "--ignored", "multicast::in_a_network_of_its_own"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[ignore = "run by a_group_of_ipv6_is_heard"]
fn in_a_network_of_its_own() {
    let group = group("ff15::77:4");
    for (number, chosen) in ["lan", "fd77::/64", "fd77::1"].into_iter().enumerate() {
        let sender = GroupSender::open(group, &on(chosen), 1, true).unwrap();
        let mut receiver =
            GroupReceiver::join(group, sender.source(), true, &on("fd77::1")).unwrap();
        sender.send(&[number as u8; 3000], 1400).unwrap();
        let taken = take(&mut receiver, 3);
        let seen: Vec<_> = taken
            .iter()
            .map(|datagram| (datagram[0] as usize, datagram.len()))
            .collect();
        assert_eq!(seen, [(number, 1400), (number, 1400), (number, 200)]);
    }
}

#[test]
fn what_is_no_group_is_refused_by_name() {
    let refused = GroupSender::open(([10, 0, 0, 1], 9).into(), &on("lo"), 1, true).unwrap_err();
    assert_eq!(refused.to_string(), "10.0.0.1 is not a multicast address");
    let refused =
        GroupSender::open(([239, 1, 1, 1], 9).into(), &on("nosuch0"), 1, true).unwrap_err();
    assert!(refused.to_string().contains("239.1.1.1:9"), "{refused}");
}
