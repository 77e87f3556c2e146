//! The pages of operations about several machines are run, command by command: growing, upgrading,
//! losing a node, a site, the quorum of etcd.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use foghorn_test_ports::{free_port, free_udp_port};
use foghorn_tests::balancer::Balancer;
use foghorn_tests::page::Page;
use foghorn_tests::process::until;
use foghorn_tests::rest::Rest;
use foghorn_tests::stack::PATIENCE;
use serde_json::Value;

use super::load::Load;
use super::machines::Machines;

const CONTROLLERS: [&str; 3] = ["foghorn1", "foghorn2", "foghorn3"];

struct Lab {
    machines: Machines,
    balancer: Balancer,
    rest: Rest,
}

impl Lab {
    /// etcd and one controller, as at the beginning of the second part of `growing.md`.
    fn new() -> Result<Self> {
        let mut machines = Machines::new()?;
        let etcd = machines.add("etcd1")?;
        let (client, peer) = (free_port()?, free_port()?);
        let urls = format!("http://127.0.0.1:{client}");
        let peers = format!("http://127.0.0.1:{peer}");
        let unit = format!(
            "exec etcd --name etcd1 --log-level warn --data-dir {}/var/etcd/lab \
             --listen-client-urls {urls} --advertise-client-urls {urls} \
             --listen-peer-urls {peers} --initial-advertise-peer-urls {peers} \
             --initial-cluster etcd1={peers}",
            etcd.display()
        );
        fs::write(etcd.join("units/etcd"), unit)?;
        machines.run("ssh etcd1 systemctl start etcd")?;
        until("etcd's port", PATIENCE, || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", client)).ok())
        })?;
        let mut addresses = Vec::new();
        for name in CONTROLLERS {
            let machine = machines.add(name)?;
            let (rest, link) = (free_port()?, free_port()?);
            let data = machine.join("var/foghorn/controller");
            let config = format!(
                "data_dir = {data:?}\nfirst_run_file = \"first-run.json\"\n\
                 limits = {{ node_grace_seconds = 3 }}\n\
                 [store]\nengine = \"etcd\"\nendpoints = [{urls:?}]\n\
                 [rest]\nlisten = \"127.0.0.1:{rest}\"\ndrain_seconds = 3\n\
                 [link]\nlisten = \"127.0.0.1:{link}\"\n"
            );
            fs::write(machine.join("etc/controller.toml"), config)?;
            let unit = format!(
                "exec foghorn-controller run --config {}",
                machine.join("etc/controller.toml").display()
            );
            fs::write(machine.join("units/foghorn-controller"), unit)?;
            addresses.push(SocketAddr::from(([127, 0, 0, 1], rest)));
        }
        machines.run("ssh foghorn1 systemctl start foghorn-controller")?;
        let first = machines.machine("foghorn1").join("first-run.json");
        let secrets: Value = until("the first-run file", PATIENCE, || {
            let file = fs::read(&first).ok();
            Ok(file.and_then(|text| serde_json::from_slice(&text).ok()))
        })?;
        let balancer = Balancer::start_asking(&addresses, "/readyz?for=reads")?;
        until("the first controller", PATIENCE, || {
            Ok((balancer.ready() == 1).then_some(()))
        })?;
        let ca = Rest::fetch_ca(&balancer.url())?;
        let file = machines.home().join("ca.pem");
        fs::write(&file, &ca)?;
        fs::write(
            machines.home().join("passphrase"),
            "correct horse battery\n",
        )?;
        for package in ["foghorn-controller.deb", "foghorn-agent.deb"] {
            fs::write(machines.home().join(package), "")?;
        }
        let token = |name: &str| secrets[name].as_str().context("a token").map(str::to_owned);
        let (api, user) = (token("api_token")?, token("user_token")?);
        machines.sets("FOGHORN_SERVER", &balancer.url());
        machines.sets("FOGHORN_CA", &file.display().to_string());
        machines.sets("FOGHORN_API_TOKEN", &api);
        machines.sets("FOGHORN_USER_TOKEN", &user);
        Ok(Self {
            rest: Rest::new(&balancer.url(), &ca, &api, &user)?,
            machines,
            balancer,
        })
    }

    /// A machine for a storage node, with the package installed.
    fn node_machine(&self, name: &str) -> Result<()> {
        let machine = self.machines.add(name)?;
        let state = machine.join("var/foghorn/agent");
        let config = format!(
            "state_dir = {state:?}\nlisten = \"127.0.0.1:{}\"\n",
            free_udp_port()?
        );
        fs::write(machine.join("etc/agent.toml"), config)?;
        let unit = format!(
            "exec foghorn-agent run --config {}",
            machine.join("etc/agent.toml").display()
        );
        Ok(fs::write(machine.join("units/foghorn-agent"), unit)?)
    }

    /// A storage node that works.
    fn node(&self, name: &str, more: &str) -> Result<()> {
        self.node_machine(name)?;
        let run = |command: &str| self.machines.run(command);
        let token = run(&format!("foghorn node join-token {name} {more}"))?;
        let token = token.trim();
        run(&format!(
            "ssh {name} foghorn-agent enrol --state-dir /var/lib/foghorn/agent --controller \"$FOGHORN_SERVER\" --token {token}"
        ))?;
        run(&format!("ssh {name} systemctl start foghorn-agent"))?;
        self.is_online(name)
    }

    fn is_online(&self, name: &str) -> Result<()> {
        let shown = format!("foghorn node show {name}");
        until(&format!("{name} to be online"), PATIENCE, || {
            let text = self.machines.run(&shown).unwrap_or_default();
            let online = text.lines().find(|line| line.trim().starts_with("online"));
            Ok(online.filter(|line| line.ends_with("yes")).map(drop))
        })
    }

    fn run_all(&self, commands: Vec<String>) -> Result<()> {
        commands
            .iter()
            .try_for_each(|command| self.machines.run(command).map(drop))
    }
}

fn grow(lab: &Lab) -> Result<()> {
    let mut page = Page::read("docs/operations/growing.md")?;
    // From the embedded store to etcd: run by a test of the controller, on real data.
    page.take("systemctl stop foghorn-controller")?;
    page.take_until("ssh foghorn2 install")?;
    lab.run_all(page.take_rest())?;
    until("all of them behind the balancer", PATIENCE, || {
        Ok((lab.balancer.ready() == 3).then_some(()))
    })
}

/// Under load, of which nothing may fail.
fn upgrade(lab: &Lab) -> Result<()> {
    let page = &mut Page::read("docs/operations/upgrading.md")?;
    lab.run_all(page.take_until("scp foghorn-controller.deb foghorn1:")?)?;
    let load = Arc::new(Load::default());
    let again = |rest: &Rest| {
        let tokens = (rest.api_token.as_str(), rest.user_token.as_str());
        Rest::with_timeout(&rest.url, &rest.ca_pem, tokens, Duration::from_secs(30))
    };
    load.write(0, again(&lab.rest)?);
    load.read(again(&lab.rest)?);
    lab.run_all(page.take_until("foghorn node drain")?)?;
    load.end()?;
    lab.run_all(page.take_rest())?;
    lab.is_online("node1")?;
    for machine in CONTROLLERS.into_iter().chain(["node1"]) {
        let installed = fs::read_to_string(lab.machines.machine(machine).join("installed"))?;
        ensure!(installed.lines().count() == 1, "{machine}: {installed}");
    }
    Ok(())
}

fn lose_a_node(lab: &Lab) -> Result<()> {
    let mut page = Page::read("docs/operations/losing-a-node.md")?;
    lab.node("north", "")?;
    lab.machines.cut_power("north");
    lab.machines
        .run_until("foghorn node list", "failed since")?;
    lab.run_all(page.take_until("foghorn node drain")?)?;
    lab.machines
        .run("ssh north systemctl start foghorn-agent")?;
    lab.is_online("north")?;
    lab.run_all(page.take_until("foghorn node revoke")?)?;
    lab.machines.cut_power("north");
    lab.run_all(page.take_rest())?;
    let nodes = lab.machines.run("foghorn node list")?;
    ensure!(!nodes.contains("north"), "{nodes}");
    Ok(())
}

fn lose_a_site(lab: &Lab) -> Result<()> {
    let mut page = Page::read("docs/operations/losing-a-site.md")?;
    lab.machines.run("foghorn storage-group create north")?;
    lab.node("north1", "--storage-group north")?;
    lab.machines.cut_power("north1");
    lab.machines
        .run_until("foghorn node list", "suspected since")?;
    lab.run_all(page.take_until("token=")?)?;
    lab.node_machine("north2")?;
    // The shell keeps what was assigned for the next command.
    let rest = page.take_rest();
    let (shown, first) = rest.split_last().context("the page ends with commands")?;
    let (show, enrol) = first.split_last().context("the page has commands")?;
    lab.machines.run(&enrol.join("\n"))?;
    lab.is_online("north2")?;
    lab.run_all(vec![show.clone(), shown.clone()])
}

fn lose_the_quorum(lab: &Lab) -> Result<()> {
    let mut page = Page::read("docs/operations/losing-quorum.md")?;
    let export = "foghorn state export lab.foghorn --passphrase-file passphrase";
    lab.machines
        .run("foghorn host create kept --mac 52:54:00:00:30:01")?;
    lab.machines.run(export)?;
    lab.machines.cut_power("etcd1");
    lab.machines
        .run_until("curl -sk \"$FOGHORN_SERVER/readyz?for=reads\"", "degraded")?;
    lab.run_all(page.take_until("ssh foghorn1 systemctl stop")?)?;
    until("all of them behind the balancer", PATIENCE, || {
        Ok((lab.balancer.ready() == 3).then_some(()))
    })?;
    lab.run_all(page.take_rest())?;
    let hosts = lab.machines.run("foghorn host list")?;
    ensure!(hosts.contains("kept"), "{hosts}");
    lab.is_online("node1")
}

#[test]
fn the_pages_about_several_machines_do_what_they_say() -> Result<()> {
    let lab = Lab::new()?;
    lab.node("node1", "")?;
    grow(&lab)?;
    upgrade(&lab)?;
    lab.run_all(Page::read("docs/operations/capacity.md")?.take_rest())?;
    lose_a_node(&lab)?;
    lose_a_site(&lab)?;
    lose_the_quorum(&lab)
}
