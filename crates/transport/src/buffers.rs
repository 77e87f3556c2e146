//! Buffers of UDP sockets in the kernel, and the warning when they are smaller than they should be.

use std::io;
use std::os::fd::AsFd;

use rustix::net::sockopt;
use tracing::warn;

/// What a socket was given, as the kernel counts (it counts its own bookkeeping too).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SocketBuffers {
    pub(crate) receive: usize,
    pub(crate) send: usize,
}

/// Asks for buffers of these many bytes: beyond the system's limit where we may (root), else up to
/// it. Warns when it is less; nothing fails for it.
pub(crate) fn grow(socket: &impl AsFd, receive: usize, send: usize) -> io::Result<SocketBuffers> {
    let got = SocketBuffers {
        receive: raise(
            || sockopt::set_socket_recv_buffer_size_force(socket, receive),
            || sockopt::set_socket_recv_buffer_size(socket, receive),
            || sockopt::socket_recv_buffer_size(socket),
        )?,
        send: raise(
            || sockopt::set_socket_send_buffer_size_force(socket, send),
            || sockopt::set_socket_send_buffer_size(socket, send),
            || sockopt::socket_send_buffer_size(socket),
        )?,
    };
    if got.receive < receive || got.send < send {
        warn!(
            receive = got.receive,
            wanted_receive = receive,
            send = got.send,
            wanted_send = send,
            "the kernel caps UDP buffers, packets may be lost in bursts: raise net.core.rmem_max and net.core.wmem_max \
             (sysctl -w net.core.rmem_max={receive} net.core.wmem_max={send})"
        );
    }
    Ok(got)
}

fn raise(
    force: impl Fn() -> rustix::io::Result<()>,
    plain: impl Fn() -> rustix::io::Result<()>,
    size: impl Fn() -> rustix::io::Result<usize>,
) -> io::Result<usize> {
    force().or_else(|_| plain())?;
    Ok(size()?)
}
