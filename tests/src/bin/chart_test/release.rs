//! A release of the chart on the cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::chart::Chart;
use crate::cluster::{self, explain};
use crate::tool::run;

/// How long pods may take until they are ready, or gone.
const MOST: Duration = Duration::from_secs(240);

pub(crate) struct Release<'c> {
    pub(crate) chart: &'c Chart,
    /// What Helm is told to get the chart from a registry, where it is not to take the folder.
    pub(crate) from: Option<Vec<String>>,
    /// Of the release and of its namespace.
    pub(crate) name: &'static str,
    pub(crate) helm: &'static str,
    pub(crate) values: PathBuf,
    /// Further arguments that belong to the values.
    pub(crate) more: Vec<String>,
    /// Where else it has pods.
    pub(crate) elsewhere: Vec<String>,
}

impl Release<'_> {
    /// # Errors
    /// When not everything is ready in time.
    pub(crate) fn install(&self) -> Result<()> {
        let mut more = self.source();
        more.extend(self.given());
        self.helm(&["install", self.name], &more)
    }

    /// With the values that there are, and these.
    ///
    /// # Errors
    /// When not everything is ready in time.
    pub(crate) fn upgrade(&self, sets: &[&str]) -> Result<()> {
        let mut more = self.source();
        more.push("--reuse-values".to_owned());
        for set in sets {
            more.extend(["--set".to_owned(), (*set).to_owned()]);
        }
        self.helm(&["upgrade", self.name], &more)
    }

    /// To the revision before.
    ///
    /// # Errors
    /// When not everything is ready in time.
    pub(crate) fn rollback(&self) -> Result<()> {
        self.helm(&["rollback", self.name], &[])
    }

    /// `helm test`: what it printed.
    ///
    /// # Errors
    /// When a test fails.
    pub(crate) fn test(&self) -> Result<String> {
        let space = format!("--namespace={}", self.name);
        let timeout = format!("--timeout={}s", MOST.as_secs());
        let arguments = ["test", self.name, &space, &timeout];
        self.explained(run(self.helm, arguments, MOST + MOST)?.ok())
    }

    /// # Errors
    /// When something does not go.
    pub(crate) fn uninstall(&self) -> Result<()> {
        self.helm(&["uninstall", self.name], &[])
    }

    fn source(&self) -> Vec<String> {
        let folder = || vec![self.chart.folder.to_string_lossy().into_owned()];
        self.from.clone().unwrap_or_else(folder)
    }

    fn given(&self) -> Vec<String> {
        let mut given = vec![
            "--values".to_owned(),
            self.values.to_string_lossy().into_owned(),
        ];
        given.extend(self.more.iter().cloned());
        given
    }

    fn helm(&self, arguments: &[&str], more: &[String]) -> Result<()> {
        let space = format!("--namespace={}", self.name);
        let timeout = format!("--timeout={}s", MOST.as_secs());
        let all = arguments
            .iter()
            .copied()
            .chain([space.as_str(), "--wait", timeout.as_str()])
            .chain(more.iter().map(String::as_str));
        let said = run(self.helm, all, MOST + Duration::from_secs(30))?;
        self.explained(said.ok()).map(drop)
    }

    /// A failure with what people would look at first.
    ///
    /// # Errors
    /// Those that there are.
    pub(crate) fn explained(&self, done: Result<String>) -> Result<String> {
        done.map_err(|error| {
            let mut places = vec![self.name];
            places.extend(self.elsewhere.iter().map(String::as_str));
            anyhow!("{error:#}\n{}", explain(&places))
        })
    }
}

/// Files with values for the cluster.
pub(crate) fn values(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("kube/values/{name}.yaml"))
}

/// What is in the namespace and was not there before, without claims of volumes, which are to stay.
///
/// # Errors
/// As [`cluster::everything`].
pub(crate) fn left_over(namespace: &str, before: &BTreeSet<String>) -> Result<Vec<String>> {
    let after = cluster::everything(namespace)?;
    let new = after.difference(before).cloned();
    Ok(new
        .filter(|name| !name.starts_with("persistentvolumeclaim/"))
        .collect())
}
