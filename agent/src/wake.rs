//! Wakes machines over the network: sends the packets that their network cards listen for while the
//! machine is off.
//!
//! A packet is six bytes of 0xFF and the card's address sixteen times, in a UDP broadcast to port 9
//! or 7. It is small, nobody answers it, and a switch may lose it, so it goes out three times.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use foghorn_proto::link::WakeHosts;
use foghorn_types::chain;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::WakeConfig;

/// Orders that may wait. One names up to a few hundred cards and takes a second.
const WAITING: usize = 64;
/// Cards in one order that are woken; more come in further orders.
const MOST_CARDS: usize = 1024;
/// Ports on which cards listen.
const PORTS: [u16; 2] = [9, 7];
const TIMES: usize = 3;
/// Between two sendings.
const PAUSE: Duration = Duration::from_millis(500);
const INTERFACES: &str = "/sys/class/net";

/// Takes wake-ups and passes them to the task that sends.
#[derive(Clone, Debug)]
pub(crate) struct Waker(mpsc::Sender<Vec<[u8; 6]>>);

/// Its other end.
pub(crate) struct Sending {
    orders: mpsc::Receiver<Vec<[u8; 6]>>,
    config: WakeConfig,
}

impl Waker {
    pub(crate) fn new(config: WakeConfig) -> (Self, Sending) {
        let (sender, orders) = mpsc::channel(WAITING);
        (Self(sender), Sending { orders, config })
    }

    /// Queues an order without waiting; one that does not fit is dropped, because it would come too
    /// late.
    pub(crate) fn wake(&self, order: WakeHosts) {
        let cards: Vec<[u8; 6]> = order
            .macs
            .into_iter()
            .take(MOST_CARDS)
            .filter_map(|mac| mac.as_slice().try_into().ok())
            .collect();
        if cards.is_empty() {
            return warn!("an order to wake hosts names no network card");
        }
        if self.0.try_send(cards).is_err() {
            warn!("too many orders to wake hosts at once; one was dropped");
        }
    }
}

impl Sending {
    /// Sends what is ordered until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        while let Some(Some(cards)) = cancel.run_until_cancelled(self.orders.recv()).await {
            if cancel
                .run_until_cancelled(self.send(&cards))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    async fn send(&self, cards: &[[u8; 6]]) {
        let routes = routes(&self.config).await;
        if routes.is_empty() {
            return warn!(
                "no network interface to wake hosts through; see the setting wake.interfaces"
            );
        }
        let mut sent = 0_usize;
        for time in 0..TIMES {
            if time != 0 {
                tokio::time::sleep(PAUSE).await;
            }
            for route in &routes {
                for card in cards {
                    match route.socket.send_to(&packet(*card), route.target).await {
                        Ok(_) => sent += 1,
                        Err(error) => {
                            debug!(
                                target = %route.target,
                                error = %chain(&error),
                                "could not send a wake-up packet"
                            )
                        }
                    }
                }
            }
        }
        if sent == 0 {
            warn!(cards = cards.len(), "could not send any wake-up packet");
        } else {
            info!(cards = cards.len(), packets = sent, "woke hosts");
        }
    }
}

/// A way to the cards.
struct Route {
    socket: UdpSocket,
    target: SocketAddr,
}

/// The broadcast address of each interface, and what the configuration names besides.
async fn routes(config: &WakeConfig) -> Vec<Route> {
    let interfaces = match &config.interfaces {
        Some(named) => named.clone(),
        None => tokio::task::spawn_blocking(|| interfaces(Path::new(INTERFACES)))
            .await
            .unwrap_or_default(),
    };
    let mut routes = Vec::new();
    for interface in interfaces {
        for port in PORTS {
            match socket(Some(&interface), IpAddr::V4(Ipv4Addr::UNSPECIFIED)).await {
                Ok(socket) => routes.push(Route {
                    socket,
                    target: (Ipv4Addr::BROADCAST, port).into(),
                }),
                Err(error) => {
                    debug!(
                        interface,
                        error = %chain(&error),
                        "an interface cannot be used to wake hosts"
                    )
                }
            }
        }
    }
    for target in &config.targets {
        let any: IpAddr = if target.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        match socket(None, any).await {
            Ok(socket) => routes.push(Route {
                socket,
                target: *target,
            }),
            Err(error) => {
                debug!(%target, error = %chain(&error), "a target cannot be used to wake hosts")
            }
        }
    }
    routes
}

async fn socket(interface: Option<&str>, any: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((any, 0)).await?;
    if any.is_ipv4() {
        socket.set_broadcast(true)?;
    }
    if let Some(interface) = interface {
        // A limited broadcast leaves by the interface of the default route unless the socket is
        // tied to another.
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(socket)
}

/// Every interface but the loopback one.
fn interfaces(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name != "lo").collect();
    names.sort_unstable();
    names
}

fn packet(card: [u8; 6]) -> [u8; 102] {
    let mut packet = [0xFF; 102];
    for place in packet[6..].chunks_exact_mut(6) {
        place.copy_from_slice(&card);
    }
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_names_its_card_sixteen_times() {
        let packet = packet([0, 1, 2, 3, 4, 5]);
        assert_eq!(packet[..6], [0xFF; 6]);
        assert_eq!(
            packet[6..]
                .chunks(6)
                .filter(|part| *part == [0, 1, 2, 3, 4, 5])
                .count(),
            16
        );
    }

    #[test]
    fn the_loopback_interface_wakes_nobody() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["lo", "eth1", "eth0"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        assert_eq!(interfaces(folder.path()), ["eth0", "eth1"]);
        assert!(interfaces(&folder.path().join("none")).is_empty());
    }
}
