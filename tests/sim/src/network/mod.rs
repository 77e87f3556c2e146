//! A switched LAN: the agent's line, trunks behind it, and a cable to every machine.

mod cable;
mod loss;
mod pipe;

pub use cable::{Arrival, Cable, CableShape};
pub use loss::{Loss, LossState};
pub use pipe::{Pipe, PipeShape};

/// What a UDP datagram costs on the wire beyond its payload, over IPv4: Ethernet, IP and UDP
/// headers.
pub const DATAGRAM_OVERHEAD: usize = 14 + 20 + 8;
