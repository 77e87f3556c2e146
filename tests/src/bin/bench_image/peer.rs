//! The peer of FOG users: partclone through zstd and curl into nginx with TLS, and back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use foghorn_test_ports::free_port;
use foghorn_tests::process::{Process, until};
use foghorn_tests::tools::find;

use crate::on_client;

pub(crate) struct Peer {
    _nginx: Process,
    url: String,
    store: PathBuf,
}

impl Peer {
    pub(crate) fn start(work: &Path, address: &str) -> Result<Self> {
        let folder = work.join("nginx");
        let store = folder.join("store");
        fs::create_dir_all(&store)?;
        let key = rcgen::KeyPair::generate()?;
        let certificate =
            rcgen::CertificateParams::new(vec![address.to_owned()])?.self_signed(&key)?;
        fs::write(folder.join("cert.pem"), certificate.pem())?;
        fs::write(folder.join("key.pem"), key.serialize_pem())?;
        let port = free_port()?;
        let place = folder.display();
        fs::write(
            folder.join("nginx.conf"),
            format!(
                "daemon off; user root; worker_processes 2; pid {place}/pid; error_log {place}/error.log;
                 events {{ }}
                 http {{
                   access_log off; sendfile on; client_max_body_size 0; client_body_temp_path {place}/body;
                   server {{
                     listen {address}:{port} ssl; ssl_certificate {place}/cert.pem; ssl_certificate_key {place}/key.pem;
                     root {place}/store; dav_methods PUT DELETE; client_body_buffer_size 1m;
                   }}
                 }}"
            ),
        )?;
        let mut command = Command::new(find("nginx")?);
        command
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .arg("-p")
            .arg(&folder);
        let nginx = Process::start(&folder, "nginx", &mut command)?;
        until("nginx", Duration::from_secs(10), || {
            Ok(std::net::TcpStream::connect((address, port)).ok())
        })?;
        Ok(Self {
            _nginx: nginx,
            url: format!("https://{address}:{port}/image.zst"),
            store,
        })
    }

    /// Seconds to capture `volume` into the store.
    pub(crate) fn capture(&self, volume: &Path, work: &Path) -> Result<f64> {
        let _ = fs::remove_file(self.store.join("image.zst"));
        self.timed(
            &format!(
                "partclone.ext4 -c -s '{}' -o - -L '{}' 2>/dev/null | zstd -1 -T2 -q | curl -sfk -T - '{}'",
                volume.display(),
                work.join("partclone.log").display(),
                self.url
            ),
            work,
        )
    }

    /// Seconds to restore the stored image into `volume`, which exists and is empty.
    pub(crate) fn deploy(&self, volume: &Path, work: &Path) -> Result<f64> {
        self.timed(
            &format!(
                "curl -sfk '{}' | zstd -dqc | partclone.ext4 -r -s - -O '{}' -L '{}' 2>/dev/null",
                self.url,
                volume.display(),
                work.join("partclone.log").display()
            ),
            work,
        )
    }

    fn timed(&self, script: &str, work: &Path) -> Result<f64> {
        let mut shell = Command::new("bash");
        shell.args(["-o", "pipefail", "-c", script]);
        let start = Instant::now();
        let mut process = Process::start(work, "peer", &mut on_client(&shell))?;
        let status = process.wait(Duration::from_secs(300))?;
        let seconds = start.elapsed().as_secs_f64();
        ensure!(
            status.success(),
            "the peer failed with {status}: {script}\n{}",
            process.log()
        );
        Ok(seconds)
    }
}
