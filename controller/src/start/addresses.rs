//! Where the controller listens, and under which addresses and names others reach it.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tracing::warn;

use super::error::StartError;
use crate::config::Config;
use crate::ctx::Ctx;
use crate::peers;
use crate::trust::ServerNames;

/// This controller as it presents itself to others.
pub(super) fn own(config: &Config, ctx: &Ctx, link: SocketAddr) -> peers::Own {
    let advertised = config.peers_advertise.clone();
    let peers = advertised.unwrap_or_else(|| match foghorn_reach::reached_at(link.ip()).first() {
        Some(ip) if link.ip().is_unspecified() => SocketAddr::new(*ip, link.port()).to_string(),
        _ => reachable(link).to_string(),
    });
    peers::Own {
        id: format!("{:016x}", getrandom::u64().unwrap_or_default()),
        peers,
        link: ctx.settings.link_address.clone(),
    }
}

pub(super) async fn listen(
    purpose: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let fail = |source| StartError::Listen {
        purpose,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

/// The address to which agents connect.
pub(super) fn advertised_link(config: &Config, bound: SocketAddr) -> String {
    advertised(config, config.link.advertise.as_ref(), bound).unwrap_or_else(|| {
        warn!(
            "agents are told to connect to the loopback address, because this machine has no other: set link.advertise or rest.names for other machines"
        );
        reachable(bound).to_string()
    })
}

/// The address to which devices connect.
pub(super) fn advertised_gateway(config: &Config, bound: SocketAddr) -> String {
    let advertise = config.dialects.gateway_advertise.as_ref();
    advertised(config, advertise, bound).unwrap_or_else(|| {
        warn!(
            "devices are told to connect to the loopback address, because this machine has no other: set dialects.foundries.gateway_advertise or rest.names for other machines"
        );
        reachable(bound).to_string()
    })
}

/// The setting, otherwise the listening address, otherwise the first of the controller's names,
/// otherwise the first address of this machine.
fn advertised(config: &Config, setting: Option<&String>, bound: SocketAddr) -> Option<String> {
    if let Some(advertise) = setting {
        return Some(advertise.clone());
    }
    if !bound.ip().is_unspecified() {
        return Some(bound.to_string());
    }
    if let Some(name) = config.rest.names.first() {
        let port = bound.port();
        let is_ipv6 = name.contains(':');
        return Some(match is_ipv6 {
            true => format!("[{name}]:{port}"),
            false => format!("{name}:{port}"),
        });
    }
    let reached = foghorn_reach::reached_at(bound.ip());
    let ip = reached.first()?;
    Some(SocketAddr::new(*ip, bound.port()).to_string())
}

/// An address to which this machine can connect: the loopback one for the unspecified address.
pub(super) fn reachable(mut bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        bound.set_ip(if bound.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    bound
}

/// All names under which the controller can be reached, and while it listens on every address, all
/// addresses of this machine.
pub(super) fn certificate_names(config: &Config) -> ServerNames {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    names.extend(config.rest.names.iter().cloned());
    let listened = [config.rest.listen, config.link.listen];
    names.extend(
        listened
            .iter()
            .chain(&config.dialects.gateway)
            .map(SocketAddr::ip)
            .filter(|ip| !ip.is_unspecified())
            .map(|ip| ip.to_string()),
    );
    names.extend(
        config
            .link
            .advertise
            .iter()
            .chain(&config.dialects.gateway_advertise)
            .filter_map(|text| Some(text.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned())),
    );
    let ip = config.rest.listen.ip();
    if ip.is_unspecified() {
        ServerNames::following(names, move || foghorn_reach::reached_at(ip))
    } else {
        names.as_slice().into()
    }
}
