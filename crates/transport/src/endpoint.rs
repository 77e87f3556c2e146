//! UDP sockets and the knobs of QUIC: windows, timeouts, datagram sizes.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt,
};

use crate::buffers;

/// A peer that says nothing for this long is gone.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Four keep-alives fit into the idle timeout, so three lost in a row do no harm.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Streams one client may have open: a few lanes, a few questions.
const STREAMS: u32 = 16;
/// Upper end of the search for what the path carries, which begins at 1200. Quinn hands the kernel
/// up to ten datagrams in one call, and the kernel takes 65507 bytes in one: with larger datagrams
/// every full burst would be refused as too long, which quinn takes for loss.
const LARGEST_DATAGRAM: u16 = 6500;
/// Bytes sent before the first acknowledgement. The default of ten small packets is made for the
/// internet; on a LAN, 256 KiB are 2 ms at 1 Gbit/s and fit into the buffers of its switches. Cubic
/// stays: what bounds a session on a LAN is the send window, which a queue of 50 ms at 1 Gbit/s (6
/// MiB) takes whole, and where several sessions fill the queue, losses share it fairly. BBR
/// (experimental in quinn) would give each its own opinion of the rate.
const INITIAL_WINDOW: u64 = 256 << 10;
/// Socket buffers: 4 MiB are 3 ms at 10 Gbit/s, longer than a busy machine keeps us from the CPU,
/// usually.
const SOCKET_BUFFER: usize = 4 << 20;

/// Which end a configuration is for; they differ in how much they buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// One connection, the bulk comes in: 8 MiB of receive window keep 10 Gbit/s going while a
    /// thread is late by 6 ms.
    Client,
    /// Hundreds of connections: at most 3 MiB in and 4 MiB out for each, whatever the client does
    /// or leaves undone.
    Agent,
}

/// # Errors
/// When the socket cannot be opened or bound.
pub(crate) fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    buffers::grow(&socket, SOCKET_BUFFER, SOCKET_BUFFER)?;
    Ok(socket)
}

pub(crate) fn endpoint_config() -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config
        .max_udp_payload_size(LARGEST_DATAGRAM)
        .expect("the size lies between 1200 and 65527");
    config
}

pub(crate) fn transport_config(side: Side) -> Arc<TransportConfig> {
    let (stream_window, window, send_window, report_buffer) = match side {
        // Quinn sends datagrams only where it could also receive them; the agent sends none.
        Side::Client => (6 << 20, 8 << 20, 4 << 20, Some(2 << 10)),
        Side::Agent => (2 << 20, 3 << 20, 4 << 20, Some(16 << 10)),
    };
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LARGEST_DATAGRAM);
    // An acknowledgement per ten packets instead of two saves both ends work. The delay must stay
    // short: a congestion window below ten packets, as at the start and after loss, waits for
    // it in every round trip.
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(10))
        .max_ack_delay(Some(Duration::from_millis(2)));

    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW);

    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(
            IdleTimeout::try_from(IDLE_TIMEOUT).expect("ten seconds fit"),
        ))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(if side == Side::Agent {
            STREAMS
        } else {
            0
        }))
        // For the agent's goodbye.
        .max_concurrent_uni_streams(VarInt::from_u32(if side == Side::Client { 1 } else { 0 }))
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(VarInt::from_u32(window))
        .send_window(send_window)
        .datagram_receive_buffer_size(report_buffer)
        .datagram_send_buffer_size(16 << 10)
        .initial_rtt(Duration::from_millis(20))
        .congestion_controller_factory(Arc::new(congestion))
        .mtu_discovery_config(Some(discovery))
        .ack_frequency_config(Some(acks))
        .enable_segmentation_offload(true);
    Arc::new(config)
}
