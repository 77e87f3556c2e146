//! `foghorn wake`: wakes hosts over the network, and says through which storage nodes.

use foghorn_rest_types::fog::{Host, Row};
use foghorn_rest_types::native::{HostWoken, WakeRequest, WakeResponse};

use super::Session;
use super::deploy::targets;
use super::object::dash;
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::output::Table;

/// Arguments of `wake`.
#[derive(clap::Args, Debug)]
#[command(group(clap::ArgGroup::new("target").required(true).multiple(true).args(["hosts", "group"])))]
pub struct WakeArgs {
    /// Hosts, by name or id
    pub hosts: Vec<String>,
    /// All hosts of this group; may be given several times
    #[arg(long)]
    pub group: Vec<String>,
}

/// # Errors
/// When a name does not exist, or as the server answers.
pub fn run(args: &WakeArgs, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    let hosts = targets(&api, &args.hosts, &args.group)?;
    let woken = order(&api, &hosts)?;
    let mut table = Table::new(&["HOST", "MAC", "THROUGH", "RESULT"]);
    for host in &woken.hosts {
        let nodes: Vec<String> = host.nodes.iter().map(ToString::to_string).collect();
        let nodes = (!nodes.is_empty()).then(|| nodes.join(", "));
        table.row([
            host.name.clone(),
            dash(host.macs.first()),
            dash(nodes.as_ref()),
            result(host).to_owned(),
        ]);
    }
    output.show(&table, &woken)?;
    Ok(exit(&woken.hosts))
}

/// Wakes hosts.
///
/// # Errors
/// As the server answers.
pub fn order(api: &Api, hosts: &[Row<Host>]) -> Result<WakeResponse, Failure> {
    let request = WakeRequest {
        hosts: Some(hosts.iter().map(|host| host.view.id).collect()),
        group: None,
    };
    Ok(api.native("POST", "/foghorn/v1/wake", Some(&request))?)
}

/// What became of a host, in words.
#[must_use]
pub fn result(host: &HostWoken) -> &'static str {
    match (host.macs.is_empty(), host.nodes.is_empty(), host.at_site) {
        (true, _, _) => "not sent: no MAC address of it is used",
        (_, true, _) => "not sent: no agent is online",
        (_, _, true) => "sent at its site",
        (_, _, false) => "sent, but no agent at its site is online",
    }
}

/// The exit code that says the same for all.
#[must_use]
pub fn exit(hosts: &[HostWoken]) -> Exit {
    let sent = hosts.iter().filter(|host| !host.nodes.is_empty()).count();
    match sent {
        0 => Exit::Failed,
        sent if sent < hosts.len() => Exit::Partly,
        _ => Exit::Ok,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_result_has_its_words_and_its_exit_code() {
        let host = |macs: &[&str], nodes: &[&str], at_site: bool| -> HostWoken {
            serde_json::from_value(json!({"host": 1, "name": "pc1", "macs": macs,
                "nodes": nodes, "at_site": at_site}))
            .unwrap()
        };
        let mac = &["02:00:00:00:00:01"][..];
        let near = host(mac, &["north"], true);
        let far = host(mac, &["south"], false);
        let nobody = host(mac, &[], false);
        let nameless = host(&[], &[], false);
        assert_eq!(result(&near), "sent at its site");
        assert!(result(&far).contains("no agent at its site"));
        assert!(result(&nobody).contains("no agent is online"));
        assert!(result(&nameless).contains("MAC"));
        assert_eq!(exit(&[near.clone(), far]), Exit::Ok);
        assert_eq!(exit(&[near, nobody.clone()]), Exit::Partly);
        assert_eq!(exit(&[nobody, nameless]), Exit::Failed);
    }
}
