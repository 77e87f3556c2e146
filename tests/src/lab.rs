//! A switched LAN of network namespaces (`tests/netlab`): one server, clients, a line rate, loss,
//! cables to cut. Needs root.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Address of the server in every lab.
pub const SERVER: &str = "10.77.0.1";

/// The namespaces and the processes in them; removed when dropped.
pub struct Lab {
    name: String,
    clients: usize,
}

/// The calling thread is on the lab's server, as is every process that it starts; it returns when
/// this is dropped.
pub struct OnServer {
    home: File,
}

impl Lab {
    /// Builds a LAN with `clients` clients; `rate` is that of every link ("200mbit", "0" for none).
    /// Two labs of one name cannot exist at the same time; remains of an earlier run of this lab
    /// are removed.
    ///
    /// # Errors
    /// Without root, iproute2 or nftables.
    pub fn up(name: &str, clients: usize, rate: &str) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "only root can create network namespaces"
        );
        let lab = Self {
            name: name.to_owned(),
            clients,
        };
        lab.run(&["down"])?;
        lab.run(&["up", &clients.to_string(), rate])?;
        Ok(lab)
    }

    /// The network namespace of the server.
    #[must_use]
    pub fn server_namespace(&self) -> PathBuf {
        PathBuf::from(format!("/run/netns/{}-srv", self.name))
    }

    /// Gives the network card of a client another MAC address.
    ///
    /// # Errors
    /// When ip refuses.
    pub fn set_mac(&self, client: usize, mac: &str) -> Result<()> {
        let namespace = format!("{}-c{client}", self.name);
        let words = ["-n", &namespace, "link", "set", "eth0", "address", mac];
        crate::tools::run("ip", words).map(drop)
    }

    /// Moves the calling thread to the server.
    ///
    /// # Errors
    /// When the system does not permit it.
    pub fn enter(&self) -> Result<OnServer> {
        let home = File::open("/proc/thread-self/ns/net")?;
        let place = self.server_namespace();
        let opened = File::open(&place);
        move_to(&opened.with_context(|| place.display().to_string())?)?;
        Ok(OnServer { home })
    }

    /// The same command on a client; clients count from 1.
    #[must_use]
    pub fn on_client(&self, client: usize, command: &Command) -> Command {
        let mut wrapped = Command::new("ip");
        wrapped.args(["netns", "exec", &format!("{}-c{client}", self.name)]);
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            wrapped.env(name, value.unwrap_or_default());
        }
        // The wrapper replaces itself with the program, so its process id is the one to measure and
        // to stop.
        wrapped.process_group(0);
        wrapped
    }

    /// Packets of 10,000 that a client loses.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn loss(&self, client: usize, of_10000: u32) -> Result<()> {
        self.run(&["loss", &client.to_string(), &of_10000.to_string()])
    }

    /// The same loss at every client.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn loss_everywhere(&self, of_10000: u32) -> Result<()> {
        (1..=self.clients).try_for_each(|client| self.loss(client, of_10000))
    }

    /// The line rate towards a client.
    ///
    /// # Errors
    /// When tc refuses.
    pub fn rate(&self, client: usize, rate: &str) -> Result<()> {
        self.run(&["rate", &client.to_string(), rate])
    }

    /// The line rate from a client, such as one that a storage node runs on.
    ///
    /// # Errors
    /// When tc refuses.
    pub fn send_rate(&self, client: usize, rate: &str) -> Result<()> {
        self.run(&["send", &client.to_string(), rate])
    }

    /// The line rate from the server.
    ///
    /// # Errors
    /// When tc refuses.
    pub fn server_rate(&self, rate: &str) -> Result<()> {
        self.run(&["send", "s", rate])
    }

    /// The words that run a command on a client.
    #[must_use]
    pub fn words_on_client(&self, client: usize) -> Vec<String> {
        let namespace = format!("{}-c{client}", self.name);
        ["ip", "netns", "exec", &namespace]
            .map(str::to_owned)
            .to_vec()
    }

    /// Unplugs a client's cable.
    ///
    /// # Errors
    /// When ip refuses.
    pub fn cut(&self, client: usize) -> Result<()> {
        self.run(&["cut", &client.to_string()])
    }

    /// Plugs a client's cable in again.
    ///
    /// # Errors
    /// When ip refuses.
    pub fn heal(&self, client: usize) -> Result<()> {
        self.run(&["heal", &client.to_string()])
    }

    /// Each frame to and from the client comes so many milliseconds late; 0: at once.
    ///
    /// # Errors
    /// When ip refuses.
    pub fn delay(&self, client: usize, milliseconds: u32) -> Result<()> {
        self.run(&["delay", &client.to_string(), &milliseconds.to_string()])
    }

    /// Address of a client.
    #[must_use]
    pub fn address(client: usize) -> String {
        format!("10.77.0.{}", client + 9)
    }

    /// Drops all UDP of a client; TCP gets through.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn block_udp(&self, client: usize) -> Result<()> {
        self.run(&["block", &client.to_string()])
    }

    /// Lets the UDP of a client through again.
    ///
    /// # Errors
    /// When nftables refuses.
    pub fn open_udp(&self, client: usize) -> Result<()> {
        self.run(&["open", &client.to_string()])
    }

    /// Bytes that the server has put on the wire so far, with Ethernet headers.
    ///
    /// # Errors
    /// When the lab no longer exists.
    pub fn bytes_sent(&self) -> Result<u64> {
        let output = self.netlab(&["bytes"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim()
            .parse()
            .with_context(|| format!("could not parse the output of netlab bytes: {text:?}"))
    }

    fn netlab(&self, words: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("netlab");
        let mut command = Command::new(script);
        command.args(words).env("NETLAB", &self.name);
        command
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        let output = self
            .netlab(words)
            .output()
            .context("could not run netlab")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "netlab {} failed: {said}",
            words.join(" ")
        );
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down"]) {
            eprintln!("{error}");
        }
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        // No process could continue in a namespace that is about to be removed.
        move_to(&self.home).expect("the namespace that the thread came from is still there");
    }
}

fn move_to(namespace: &File) -> Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .context("could not move into a network namespace")
}
