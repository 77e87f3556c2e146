//! Connections from chosen addresses of this machine: a whole crowd lives in 127.0.0.0/8.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

pub fn connect_from(source: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source.into(), 0).into())?;
    socket
        .connect(&to.into())
        .with_context(|| format!("could not connect from {source} to {to}"))?;
    Ok(socket.into())
}
