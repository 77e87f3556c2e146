//! The peer: as many bytes over one TCP connection, from a file to a file that is flushed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use foghorn_tests::lab::Lab;
use foghorn_tests::process::{Process, until};

const PORT: u16 = 7999;
const PATIENCE: Duration = Duration::from_secs(300);

/// Sends the first bytes of the file to the other end of the link. Returns the seconds until they
/// are on its disk.
pub(crate) fn copy(lab: &Lab, file: &Path, bytes: u64, folder: &Path) -> Result<f64> {
    let (address, target) = (format!("{}:{PORT}", Lab::address(1)), folder.join("by-tcp"));
    let mut receiver = Command::new(std::env::current_exe()?);
    receiver.arg("--receive").arg(&address).arg(&target);
    let mut receiver = Process::start(folder, "receiver", &mut lab.on_client(1, &receiver))?;
    let mut stream = until("the receiver", PATIENCE, || {
        Ok(TcpStream::connect(&address).ok())
    })?;
    let begun = Instant::now();
    let sent = io::copy(&mut File::open(file)?.take(bytes), &mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    // The receiver says when the file is flushed.
    stream.read_exact(&mut [0])?;
    let seconds = begun.elapsed().as_secs_f64();
    let status = receiver.wait(PATIENCE)?;
    ensure!(status.success(), "{status}:\n{}", receiver.log());
    ensure!(sent <= bytes && target.metadata()?.len() == sent);
    std::fs::remove_file(target)?;
    // The image may be a little larger than the disk, or smaller: per byte it is the same.
    Ok(seconds * bytes as f64 / sent as f64)
}

pub(crate) fn receive(address: &str, file: &Path) -> Result<()> {
    let (mut stream, _) = TcpListener::bind(address)?.accept()?;
    let mut file = File::create(file)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read])?;
    }
    file.sync_all()?;
    stream.write_all(&[1])?;
    Ok(())
}
