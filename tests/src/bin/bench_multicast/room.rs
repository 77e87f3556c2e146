//! A room: the lab, a file to deliver in memory, and one run of each system.

use std::cell::OnceCell;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use foghorn_tests::disks::{MIB, fill_random, same};
use foghorn_tests::lab::{Lab, OnServer, SERVER};
use foghorn_tests::process::{Process, until};

use crate::case::{Case, Trouble};
use crate::foghorn::{Installation, Sent};
use crate::peers::{HEAD_START, PORT, Peer, Place};

/// A peer that takes longer counts as not finished.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Room<'l> {
    // Ends before the namespace is left.
    installation: OnceCell<Installation>,
    source: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) lab: &'l Lab,
    _on_server: OnServer,
}

impl<'l> Room<'l> {
    /// Moves this thread to the lab's server and makes a file of `mib` MiB that nothing compresses.
    pub(crate) fn open(lab: &'l Lab, mib: u64) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("foghorn-multicast-")
            .tempdir_in("/dev/shm")?;
        let on_server = lab.enter()?;
        let source = folder.path().join("source");
        let mut bytes = vec![0; usize::try_from(mib * MIB)?];
        fill_random(&mut bytes, 4);
        fs::write(&source, bytes)?;
        Ok(Self {
            installation: OnceCell::new(),
            source,
            folder,
            lab,
            _on_server: on_server,
        })
    }

    /// Brings about the case's loss and trouble, as far as they are there from the start.
    pub(crate) fn set(&self, case: &Case) -> Result<()> {
        self.lab.loss_everywhere(case.loss * 100)?;
        if case.trouble == Trouble::Slow {
            self.lab
                .rate(case.clients, &format!("{}mbit", case.rate.mbit() / 4))?;
        }
        Ok(())
    }

    /// Undoes what the case has done to the lab.
    pub(crate) fn reset(&self, case: &Case) -> Result<()> {
        match case.trouble {
            Trouble::Slow => self.lab.rate(case.clients, case.rate.words()),
            Trouble::Dead => self.lab.heal(case.clients),
            Trouble::None | Trouble::Late => Ok(()),
        }
    }

    pub(crate) fn foghorn(&self, case: &Case) -> Result<Sent> {
        let installation = match self.installation.get() {
            Some(there) => there,
            None => {
                let made = Installation::start(self.folder.path(), &self.source)?;
                self.installation.get_or_init(|| made)
            }
        };
        installation.deploy(self.lab, case, &self.source)
    }

    /// Seconds that the peer takes; `None` when it does not end in time or not with the right
    /// bytes.
    pub(crate) fn peer(&self, peer: &Peer, case: &Case) -> Result<Option<f64>> {
        let work = tempfile::Builder::new()
            .prefix("peer-")
            .tempdir_in(self.folder.path())?;
        let place = Place {
            case,
            source: &self.source,
            folder: work.path(),
        };
        let files: Vec<PathBuf> = (1..=case.clients)
            .map(|n| work.path().join(format!("copy-{n}")))
            .collect();
        let start = |name: &str, command: &mut std::process::Command| {
            Process::start(work.path(), name, command)
        };
        let receivers = || -> Result<Vec<Process>> {
            files
                .iter()
                .enumerate()
                .map(|(n, file)| {
                    let command = peer.receiver(&place, file)?;
                    start(
                        &format!("receiver-{}", n + 1),
                        &mut self.lab.on_client(n + 1, &command),
                    )
                })
                .collect()
        };
        let seconds = if peer.daemons {
            let running = receivers()?;
            std::thread::sleep(HEAD_START);
            let begun = Instant::now();
            let mut sender = start("sender", &mut peer.sender(&place)?)?;
            let ended = sender.wait(LIMIT).is_ok_and(|status| status.success());
            drop(running);
            ended.then(|| begun.elapsed().as_secs_f64())
        } else {
            let _sender = start("sender", &mut peer.sender(&place)?)?;
            if peer.serves {
                until("nginx", LIMIT, || {
                    Ok(TcpStream::connect((SERVER, PORT)).ok())
                })?;
            } else {
                std::thread::sleep(HEAD_START);
            }
            let begun = Instant::now();
            let ended = wait_all(receivers()?, begun + LIMIT);
            ended.then(|| begun.elapsed().as_secs_f64())
        };
        let right =
            |file: &PathBuf| same(&peer.result(&place, file), &self.source).unwrap_or(false);
        if seconds.is_none() || !files.iter().all(right) {
            eprintln!(
                "{}: {} did not deliver to all receivers within {LIMIT:?}",
                case.name(),
                peer.name
            );
            return Ok(None);
        }
        Ok(seconds)
    }
}

/// Whether all end well before the deadline.
fn wait_all(running: Vec<Process>, deadline: Instant) -> bool {
    running.into_iter().all(|mut process| {
        let left = deadline.saturating_duration_since(Instant::now());
        process.wait(left).is_ok_and(|status| status.success())
    })
}
