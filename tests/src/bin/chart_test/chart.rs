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

/// Files of `examples/` that people give to Helm together.
struct Example {
    files: &'static [&'static str],
    /// Whether storage nodes are told by which certificate they know their controllers.
    has_authority: bool,
}

const EXAMPLES: [Example; 5] = [
    Example::new(&["box"], false),
    Example::new(&["fleet"], true),
    Example::new(&["fleet", "head-office"], true),
    Example::new(&["north"], false),
    Example::new(&["south"], true),
];

impl Example {
    const fn new(files: &'static [&'static str], has_authority: bool) -> Self {
        Self {
            files,
            has_authority,
        }
    }

    fn values(&self, chart: &Path) -> Values {
        let file = |name: &str| chart.join(format!("examples/{name}.yaml"));
        let mut more = Vec::new();
        for name in self.files.iter().skip(1) {
            more.extend(["--values".to_owned(), file(name).display().to_string()]);
        }
        if self.has_authority {
            let ca = chart.join("ci/ca.pem");
            more.push(format!("--set-file=trust.ca.pem={}", ca.display()));
        }
        // For kube-score: policies do not reach pods with the network of their node, and some releases have no
        // pods in their own namespace.
        let ignored = r#"commonAnnotations={"kube-score/ignore":"pod-networkpolicy,networkpolicy-targets-pod"}"#;
        more.extend(["--set-json".to_owned(), ignored.to_owned()]);
        Values {
            name: format!("example-{}", self.files.join("-")),
            file: file(self.files[0]),
            more,
        }
    }
}

pub(crate) struct Chart {
    pub(crate) folder: PathBuf,
    /// The version of Kubernetes that it is rendered for.
    pub(crate) kubernetes: String,
}

/// A file with values.
pub(crate) struct Values {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    /// Further arguments that belong to them.
    pub(crate) more: Vec<String>,
}

impl Chart {
    fn path(&self) -> &str {
        self.folder.to_str().unwrap_or_default()
    }

    /// Sets of values that have to work, the examples too.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn values(&self) -> Result<Vec<Values>> {
        let mut all = files(&self.folder.join("ci"), "-values.yaml")?;
        all.extend(EXAMPLES.iter().map(|example| example.values(&self.folder)));
        Ok(all)
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
        arguments.extend(values.more.iter().map(String::as_str));
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
            more: Vec::new(),
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
        arguments.extend(values.more.iter().map(String::as_str));
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
            let more = Vec::new();
            found.push(Values { name, file, more });
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

#[cfg(test)]
mod tests {
    use foghorn_tests::page::{blocks, sources};

    use super::*;

    fn names() -> Vec<String> {
        let examples = sources().join("charts/foghorn/examples");
        let files = files(&examples, ".yaml").unwrap();
        files.into_iter().map(|values| values.name).collect()
    }

    #[test]
    fn every_example_is_rendered() {
        let mut given: Vec<&str> = EXAMPLES.iter().flat_map(|one| one.files).copied().collect();
        given.sort_unstable();
        given.dedup();
        assert_eq!(given, names());
        let chart = sources().join("charts/foghorn");
        for example in &EXAMPLES {
            let values = example.values(&chart);
            assert!(values.file.is_file(), "{}", values.file.display());
        }
    }

    #[test]
    fn the_page_and_the_examples_are_the_same() {
        let page = fs::read_to_string(sources().join("docs/kubernetes.md")).unwrap();
        let mut shown = Vec::new();
        for block in blocks(&page) {
            let head = block.text.strip_prefix("# ");
            if let Some((name, _)) = head.and_then(|text| text.split_once(".yaml: ")) {
                let file = sources().join(format!("charts/foghorn/examples/{name}.yaml"));
                let written = fs::read_to_string(file).unwrap();
                assert_eq!(written.trim_end(), block.text.trim_end(), "{name}");
                shown.push(name.to_owned());
            }
        }
        shown.sort();
        assert_eq!(shown, names());
    }
}
