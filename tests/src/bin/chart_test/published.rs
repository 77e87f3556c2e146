//! The chart where others get it from: an archive with a signature, in a registry.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use foghorn_tests::process::{self, Process};
use serde_json::Value;

use crate::tool::{Said, run};

const MOST: Duration = Duration::from_secs(60);

/// Somebody with a key, which lives as long as its folder. GnuPG keeps a process for it.
pub(crate) struct Signer {
    home: PathBuf,
    owner: &'static str,
}

impl Signer {
    /// # Errors
    /// When GnuPG makes no key.
    pub(crate) fn new(folder: &Path, owner: &'static str) -> Result<Self> {
        let home = folder.join(owner.replace(' ', "-"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&home)
            .with_context(|| format!("could not make {}", home.display()))?;
        let signer = Self { home, owner };
        signer.gpg(&["--quick-generate-key", owner, "rsa2048", "sign", "never"])?;
        // Helm reads keys from files of a form that GnuPG does not keep them in any more.
        let (public, secret) = (signer.public(), signer.secret());
        signer.gpg(&["--output", &public, "--export", owner])?;
        signer.gpg(&["--output", &secret, "--export-secret-keys", owner])?;
        Ok(signer)
    }

    /// File with what others need to know this signer.
    pub(crate) fn public(&self) -> String {
        text(&self.home.join("public.gpg"))
    }

    fn secret(&self) -> String {
        text(&self.home.join("secret.gpg"))
    }

    fn gpg(&self, arguments: &[&str]) -> Result<()> {
        let home = text(&self.home);
        let mut all = vec!["--homedir", home.as_str(), "--batch", "--no-tty", "--quiet"];
        all.extend(["--pinentry-mode", "loopback", "--passphrase", ""]);
        all.extend(arguments);
        run("gpg", all, MOST)?.ok().map(drop)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // If it does not end now, it does when its folder is gone.
        let home = text(&self.home);
        let _ = run(
            "gpgconf",
            ["--homedir", home.as_str(), "--kill", "gpg-agent"],
            MOST,
        );
    }
}

/// A packaged chart.
pub(crate) struct Archive {
    pub(crate) file: PathBuf,
    name: String,
    version: String,
}

impl Archive {
    /// The signature, if there is one. Helm pushes it with the archive beside it.
    pub(crate) fn provenance(&self) -> PathBuf {
        PathBuf::from(format!("{}.prov", self.file.display()))
    }
}

/// What Helm is told to get a chart from a registry.
pub(crate) struct Published {
    reference: String,
    version: String,
}

impl Published {
    /// Whoever signed it, if anybody did.
    pub(crate) fn unverified(&self) -> Vec<String> {
        let flags = ["--version", self.version.as_str(), "--plain-http"];
        let reference = std::iter::once(self.reference.clone());
        reference.chain(flags.map(str::to_owned)).collect()
    }

    /// Only as somebody with the key to one in this file signed it.
    pub(crate) fn verified(&self, keys: &str) -> Vec<String> {
        let mut all = self.unverified();
        all.extend(["--verify", "--keyring", keys].map(str::to_owned));
        all
    }
}

/// A registry on loopback, which ends when this is dropped.
pub(crate) struct Registry {
    folder: PathBuf,
    port: u16,
    _process: Process,
}

impl Registry {
    /// # Errors
    /// When it does not begin to listen.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let port = foghorn_test_ports::free_port()?;
        let file = folder.join("registry.yml");
        let storage = folder.join("storage");
        fs::write(
            &file,
            format!(
                "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
                 http: {{addr: '127.0.0.1:{port}'}}\n",
                storage.display()
            ),
        )?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file);
        let mut process = Process::start(folder, "docker-registry", &mut command)?;
        process::until_answer(&mut process, "the registry to listen", MOST, || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok())
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            port,
            _process: process,
        })
    }

    /// Runs Helm with nothing of whoever runs the tests, and nothing of the time before: what it
    /// has in its cache, it does not get again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn helm(&self, helm: &str, arguments: &[String]) -> Result<Said> {
        let home = tempfile::tempdir_in(&self.folder)?;
        let mut all: Vec<String> = ["CACHE", "CONFIG", "DATA"]
            .iter()
            .map(|what| format!("HELM_{what}_HOME={}", text(&home.path().join(what))))
            .collect();
        all.push(helm.to_owned());
        all.extend_from_slice(arguments);
        run("env", all, MOST)
    }

    /// Packages a chart into a folder of this name, signed if there is a signer.
    ///
    /// # Errors
    /// When Helm makes no archive.
    pub(crate) fn package(
        &self,
        helm: &str,
        chart: &Path,
        name: &str,
        signer: Option<&Signer>,
    ) -> Result<Archive> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let mut arguments = vec!["package".to_owned(), text(chart)];
        arguments.extend(["--destination".to_owned(), text(&folder)]);
        if let Some(signer) = signer {
            arguments.extend(["--sign", "--key", signer.owner].map(str::to_owned));
            arguments.extend(["--keyring".to_owned(), signer.secret()]);
        }
        self.helm(helm, &arguments)?.ok()?;
        let about = fs::read_to_string(chart.join("Chart.yaml"))?;
        let about: Value = serde_yaml_ng::from_str(&about).context("Chart.yaml is not YAML")?;
        let word = |key: &str| about[key].as_str().map(str::to_owned);
        let (name, version) = word("name")
            .zip(word("version"))
            .context("Chart.yaml has no name or version")?;
        let file = folder.join(format!("{name}-{version}.tgz"));
        Ok(Archive {
            file,
            name,
            version,
        })
    }

    /// Puts an archive, and its signature if there is one, into the registry under `place`. There
    /// it has the name that is signed, else Helm does not verify it.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub(crate) fn push(&self, helm: &str, archive: &Archive, place: &str) -> Result<Published> {
        let place = format!("oci://127.0.0.1:{}/{place}", self.port);
        let file = text(&archive.file);
        let arguments = ["push", file.as_str(), place.as_str(), "--plain-http"];
        self.helm(helm, &arguments.map(str::to_owned))?.ok()?;
        Ok(Published {
            reference: format!("{place}/{}", archive.name),
            version: archive.version.clone(),
        })
    }
}

pub(crate) fn text(path: &Path) -> String {
    path.display().to_string()
}
