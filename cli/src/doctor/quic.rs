//! A QUIC handshake with each storage node, as clients make one, from here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use foghorn_rest_types::native::NodeStatus;
use foghorn_types::NodeName;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint};

use super::tls::{self, Cause};
use super::{Finding, tls::split};

const CHECK: &str = "quic";
/// Lost packets are sent again within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// What clients say that they speak; another protocol is refused, which is an answer too.
const ALPN: &[u8] = b"foghorn/1";

/// What the handshake says.
#[derive(Debug)]
enum Answer {
    /// The node has shown its certificate, or refused us, who have none.
    Reached,
    /// Nothing came back.
    Silent,
    /// Something else answers there, or its certificate is of no use.
    Wrong(Cause),
}

/// One finding for each node that is online.
pub(super) fn check(nodes: &[NodeStatus], pem: &str) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![Finding::warn(
                CHECK,
                format!("could not test the storage nodes: {error}"),
                "try again",
            )];
        }
    };
    let there = nodes
        .iter()
        .filter(|node| node.online && !node.addresses.is_empty());
    there
        .map(|node| {
            let answers = node.addresses.iter().map(|address| {
                let answer = runtime.block_on(ask(address, &node.name, pem));
                (address.as_str(), answer)
            });
            judge(&node.name, answers.collect())
        })
        .collect()
}

async fn ask(address: &str, node: &str, pem: &str) -> Answer {
    match handshake(address, node, pem).await {
        Ok(answer) => answer,
        Err(cause) => Answer::Wrong(cause),
    }
}

async fn handshake(address: &str, node: &str, pem: &str) -> Result<Answer, Cause> {
    let name: NodeName = node.parse()?;
    let (host, port) = split(address);
    let remote: SocketAddr = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or("the name has no address")?;
    let any = match remote {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let mut crypto = tls::config(pem)?;
    crypto.alpn_protocols = vec![ALPN.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    let endpoint = Endpoint::client(any)?;
    let connecting = endpoint.connect_with(config, remote, &name.tls_name())?;
    let answer = match tokio::time::timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => {
            connection.close(0_u32.into(), b"a test");
            Answer::Reached
        }
        Ok(Err(error)) => of_error(error),
        Err(_) => Answer::Silent,
    };
    // The node hears that this is over.
    let _ = tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await;
    Ok(answer)
}

fn of_error(error: ConnectionError) -> Answer {
    match error {
        // It has said that it wants a certificate, which shows that it is there.
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset => Answer::Reached,
        ConnectionError::TimedOut => Answer::Silent,
        other => Answer::Wrong(other.into()),
    }
}

/// One address that answers is enough for clients.
fn judge(node: &str, answers: Vec<(&str, Answer)>) -> Finding {
    let reached = |answer: &Answer| matches!(answer, Answer::Reached);
    if let Some((address, _)) = answers.iter().find(|(_, answer)| reached(answer)) {
        let silent: Vec<&str> = answers
            .iter()
            .filter(|(_, answer)| !reached(answer))
            .map(|(address, _)| *address)
            .collect();
        let found = format!("{node} answers at {address} (UDP)");
        return if silent.is_empty() {
            Finding::ok(CHECK, found)
        } else {
            Finding::ok(
                CHECK,
                format!("{found}, not from here at {}", silent.join(", ")),
            )
        };
    }
    let wrong = answers.iter().find_map(|(address, answer)| match answer {
        Answer::Wrong(cause) => Some((*address, cause)),
        _ => None,
    });
    if let Some((address, cause)) = wrong {
        return Finding::fail(
            CHECK,
            format!(
                "{node} at {address}: {}",
                foghorn_types::chain(cause.as_ref())
            ),
            "see the log of foghorn-agent there; its certificate must be of this site",
        );
    }
    let blocked: Vec<String> = answers
        .iter()
        .map(|(address, _)| split(address))
        .map(|(host, port)| format!("UDP {port} to {host}"))
        .collect();
    Finding::fail(
        CHECK,
        format!(
            "{} is blocked: {node} has its link to the controller, and does not answer here",
            blocked.join(" and ")
        ),
        "open that UDP port on the node and in the firewalls between; machines in another network may reach it all the same",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_blocked_port_is_named_and_one_way_is_enough() {
        let silent = judge("north", vec![("10.23.0.1:7472", Answer::Silent)]);
        assert_eq!(silent.verdict, Verdict::Fail);
        assert!(
            silent
                .found
                .starts_with("UDP 7472 to 10.23.0.1 is blocked: north"),
            "{silent:?}"
        );
        let one_way = judge(
            "north",
            vec![
                ("10.23.0.1:7472", Answer::Silent),
                ("10.0.0.1:7472", Answer::Reached),
            ],
        );
        assert_eq!(one_way.verdict, Verdict::Ok);
        assert!(
            one_way.found.contains("answers at 10.0.0.1:7472"),
            "{one_way:?}"
        );
        let wrong = judge("north", vec![("10.0.0.1:7472", Answer::Wrong("x".into()))]);
        assert_eq!(wrong.verdict, Verdict::Fail);
    }
}
