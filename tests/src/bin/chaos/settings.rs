//! What the programs are started with.

use std::fs;
use std::path::Path;

use anyhow::Result;
use foghorn_tests::lab::{Lab, SERVER};
use foghorn_tests::tools::{find, foghorn};

use crate::part::{Kind, Part};
use crate::topology::{REST, SERVERS, Site, node, server};

/// For clients.
pub(crate) const ETCD: u16 = 2379;
const LINK: u16 = 8444;
const QUIC: u16 = 7472;

/// Where a program runs.
pub(crate) struct Place<'p> {
    /// Of its kind, from 0.
    pub number: usize,
    /// The disk of its machine.
    pub disk: &'p Path,
    /// The folder of the run.
    pub folder: &'p Path,
}

pub(crate) fn etcd(place: &Place<'_>) -> Result<Part> {
    let Place {
        number,
        disk,
        folder,
    } = *place;
    let url = |machine: usize, port: u16| format!("http://{}:{port}", Lab::address(machine));
    let (clients, peers) = (url(server(number), ETCD), url(server(number), 2380));
    let members: Vec<String> = (0..SERVERS)
        .map(|member| format!("m{member}={}", url(server(member), 2380)))
        .collect();
    let words = [
        ["--name", &format!("m{number}")],
        ["--log-level", "warn"],
        ["--data-dir", &disk.join("etcd").display().to_string()],
        ["--listen-client-urls", &clients],
        ["--advertise-client-urls", &clients],
        ["--listen-peer-urls", &peers],
        ["--initial-advertise-peer-urls", &peers],
        ["--initial-cluster", &members.join(",")],
    ];
    let words = words
        .as_flattened()
        .iter()
        .map(|word| (*word).to_owned())
        .collect();
    let (program, machine) = (find("etcd")?, server(number));
    Ok(Part::new(
        Kind::Etcd,
        number,
        machine,
        program,
        words,
        folder,
    ))
}

/// Settings of a controller; all but the first one take the authority of the first one.
pub(crate) fn controller(place: &Place<'_>, first: &Path) -> Result<Part> {
    let Place {
        number,
        disk,
        folder,
    } = *place;
    let data = disk.join("controller");
    if number > 0 {
        let authority = data.join("ca");
        fs::create_dir_all(&authority)?;
        for file in fs::read_dir(first.join("controller/ca"))? {
            let file = file?;
            fs::copy(file.path(), authority.join(file.file_name()))?;
        }
    }
    let address = Lab::address(server(number));
    let endpoints: Vec<String> = (0..SERVERS)
        .map(|member| format!("http://{}:{ETCD}", Lab::address(server(member))))
        .collect();
    let config = folder.join(format!("controller{number}.toml"));
    fs::write(
        &config,
        format!(
            "data_dir = {data:?}\nfirst_run_file = {:?}\n\
             limits = {{ node_grace_seconds = 4, stall_seconds = 60 }}\n\
             [store]\nengine = \"etcd\"\nendpoints = {endpoints:?}\n\
             [rest]\nlisten = \"{address}:{REST}\"\nnames = [{address:?}, {SERVER:?}]\n\
             [link]\nlisten = \"{address}:{LINK}\"\n",
            folder.join("first-run.json"),
        ),
    )?;
    let words = ["run", "--config"].map(str::to_owned).into_iter();
    let words = words.chain([config.display().to_string()]).collect();
    let (program, machine) = (foghorn("foghorn-controller")?, server(number));
    Ok(Part::new(
        Kind::Controller,
        number,
        machine,
        program,
        words,
        folder,
    ))
}

/// Settings of a storage node that joins with the token.
pub(crate) fn agent(place: &Place<'_>, token: &str) -> Result<Part> {
    let Place {
        number,
        disk,
        folder,
    } = *place;
    let config = folder.join(format!("node{number}.toml"));
    fs::write(
        &config,
        format!(
            "state_dir = {:?}\ncontroller = {:?}\njoin_token = {token:?}\nlisten = \"{}:{QUIC}\"\n\
             [limits]\nkeep_free_mib = 16\n\
             [upkeep]\ngrace_seconds = 60\nsweep_every_seconds = 30\n",
            disk.join("agent"),
            Site::url(None),
            Lab::address(node(number)),
        ),
    )?;
    let words = ["run", "--config"].map(str::to_owned).into_iter();
    let words = words.chain([config.display().to_string()]).collect();
    let (program, machine) = (foghorn("foghorn-agent")?, node(number));
    Ok(Part::new(
        Kind::Agent,
        number,
        machine,
        program,
        words,
        folder,
    ))
}
