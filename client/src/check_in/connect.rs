//! Opening a TCP connection on a network that loses packets.
//!
//! When the first packet of a connection or the answer to it is lost, Linux tries again after a
//! whole second (RFC 6298, 2.1), and with eight machines at 5 % loss one of them is hit more often
//! than not: the others would wait for it. A LAN answers within milliseconds, so we try again
//! sooner, each time waiting twice as long, and thus also reach a controller that is far away. Only
//! the TCP handshake is hurried: the kernel answers it even when the controller is busy. TLS takes
//! its time.
//!
//! `ureq::unversioned` may change with any version of ureq, which is why the workspace pins one
//! exactly.

use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::time::Duration as UreqDuration;
use ureq::unversioned::transport::{
    ConnectionDetails, Connector, NextTimeout, RustlsConnector, TcpConnector,
};
use ureq::{Agent, Error};

/// How long the first attempt may take.
const FIRST: Duration = Duration::from_millis(200);
/// The last try is left to the kernel: from here on it knows better.
const LONGEST: Duration = Duration::from_secs(3);

/// An HTTP client whose connections are opened in this way.
pub(crate) fn agent(config: Config) -> Agent {
    let connector = ().chain(RetryingConnector::default()).chain(RustlsConnector::default());
    Agent::with_parts(config, connector, DefaultResolver::default())
}

#[derive(Debug, Default)]
struct RetryingConnector(TcpConnector);

impl Connector<()> for RetryingConnector {
    type Out = <TcpConnector as Connector<()>>::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        let (began, mut patience) = (Instant::now(), FIRST);
        loop {
            let left = details.timeout.after.saturating_sub(began.elapsed());
            let is_last = patience > LONGEST || left <= patience;
            let after = UreqDuration::Exact(if is_last { left } else { patience });
            let attempt = ConnectionDetails {
                uri: details.uri,
                addrs: details.addrs.clone(),
                config: details.config,
                request_level: details.request_level,
                resolver: details.resolver,
                now: (details.current_time)(),
                timeout: NextTimeout {
                    after,
                    ..details.timeout
                },
                current_time: details.current_time.clone(),
                run_connector: details.run_connector.clone(),
                register_shutdown: details.register_shutdown.clone(),
            };
            match self.0.connect(&attempt, chained) {
                Err(Error::Timeout(_)) if !is_last => patience *= 2,
                other => return other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    use super::*;

    /// A backlog of nothing takes one connection; the kernel then drops further attempts, as a
    /// lossy network does.
    fn deaf() -> (TcpListener, u16, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let port = listener.local_addr().unwrap().port();
        (
            listener,
            port,
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap(),
        )
    }

    fn get(port: u16, limit: Duration) -> Result<(), Error> {
        let config = Agent::config_builder()
            .timeout_global(Some(limit))
            .proxy(None)
            .build();
        agent(config)
            .get(format!("http://127.0.0.1:{port}/"))
            .call()
            .map(drop)
    }

    #[test]
    fn tries_until_somebody_answers() {
        let (listener, port, filling) = deaf();
        let begun = Instant::now();
        let answering = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(listener.accept().unwrap());
            let (mut connected, _) = listener.accept().unwrap();
            std::io::Write::write_all(&mut connected, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            begun.elapsed()
        });
        get(port, Duration::from_secs(20)).unwrap();
        let answered = answering.join().unwrap();
        drop(filling);
        assert!(
            answered < Duration::from_millis(900),
            "the kernel alone takes a second: {answered:?}"
        );
    }

    #[test]
    fn gives_up_in_time() {
        let (_listener, port, _filling) = deaf();
        let begun = Instant::now();
        let error = get(port, Duration::from_millis(500)).unwrap_err();
        assert!(matches!(error, Error::Timeout(_)), "{error}");
        assert!(begun.elapsed() >= Duration::from_millis(450));
    }
}
