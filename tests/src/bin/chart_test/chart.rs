//! The chart, its sets of values, and how it is rendered.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::tool::{Said, run};

/// Both versions of Helm have to make the same of it.
pub(crate) const HELMS: [&str; 2] = ["helm3", "helm4"];
/// Release and namespace of everything that is only rendered.
pub(crate) const RELEASE: &str = "foghorn";
const MOST: Duration = Duration::from_secs(60);

pub(crate) struct Chart {
    pub(crate) folder: PathBuf,
    /// The version of Kubernetes that it is rendered for.
    pub(crate) kubernetes: String,
}

/// A file with values.
pub(crate) struct Values {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
}

impl Chart {
    fn path(&self) -> &str {
        self.folder.to_str().unwrap_or_default()
    }

    /// Sets of values that have to work.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn values(&self) -> Result<Vec<Values>> {
        files(&self.folder.join("ci"), "-values.yaml")
    }

    /// Values that have to be refused.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn invalid(&self) -> Result<Vec<Values>> {
        files(&self.folder.join("ci/invalid"), ".yaml")
    }

    /// What the chart becomes with these values.
    ///
    /// # Errors
    /// When Helm cannot be started.
    pub(crate) fn render(&self, helm: &str, values: &Values, more: &[&str]) -> Result<Said> {
        let file = values.file.to_str().unwrap_or_default();
        let mut arguments = vec!["template", RELEASE, self.path(), "--namespace", RELEASE];
        arguments.extend(["--kube-version", &self.kubernetes, "--values", file]);
        run(helm, arguments.iter().chain(more), MOST)
    }

    /// A chart in `folder` that has this one as a part, and its values.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub(crate) fn within_another(&self, folder: &Path) -> Result<(Self, Values)> {
        let parent = folder.join("parent");
        let charts = parent.join("charts");
        fs::create_dir_all(&charts)?;
        let from = self.folder.join("ci/as-subchart");
        fs::copy(from.join("Chart.yaml.in"), parent.join("Chart.yaml"))
            .with_context(|| format!("could not copy {}", from.display()))?;
        let inside = charts.join("foghorn");
        let (own, inside) = (self.path(), inside.to_string_lossy().into_owned());
        run("cp", ["--archive", own, &inside], MOST)?.ok()?;
        let values = Values {
            name: "as a part of another chart".to_owned(),
            file: from.join("values.yaml"),
        };
        let chart = Self {
            folder: parent,
            kubernetes: self.kubernetes.clone(),
        };
        Ok((chart, values))
    }

    /// # Errors
    /// When Helm complains.
    pub(crate) fn lint(&self, helm: &str, values: &Values) -> Result<String> {
        let file = values.file.to_str().unwrap_or_default();
        let mut arguments = vec!["lint", "--strict", "--quiet", self.path()];
        arguments.extend(["--kube-version", &self.kubernetes, "--values", file]);
        run(helm, arguments, MOST)?.ok()
    }

    /// # Errors
    /// When a test fails.
    pub(crate) fn unit_tests(&self) -> Result<String> {
        run("helm-unittest", ["--strict", self.path()], MOST)?.ok()
    }

    /// The README as it would be made from the values.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn readme(&self) -> Result<String> {
        let arguments = ["--dry-run", "--log-level", "error", "--chart-search-root"];
        run("helm-docs", arguments.iter().chain([&self.path()]), MOST)?.ok()
    }
}

/// In the order of names.
fn files(folder: &Path, end: &str) -> Result<Vec<Values>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder)
        .with_context(|| format!("could not read the folder {}", folder.display()))?;
    for entry in entries {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if let Some(name) = name.strip_suffix(end) {
            let name = name.to_owned();
            found.push(Values { name, file });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    ensure!(
        !found.is_empty(),
        "there are no values in {}",
        folder.display()
    );
    Ok(found)
}
