//! What somebody gets who takes the chart from a registry: the same chart, or none. No cluster is
//! needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::chart::{Chart, HELMS, RELEASE, Values};
use crate::published::{Archive, Published, Registry, Signer, text};
use crate::report::Report;
use crate::tool::run;

/// Sets of values that are rendered from the registry: what the chart is without any, and what
/// reads further files of the archive.
const SETS: [&str; 2] = ["default", "monitoring"];
const MOST: Duration = Duration::from_secs(60);

/// What all checks have in common.
struct Shop<'c> {
    chart: &'c Chart,
    folder: PathBuf,
    registry: Registry,
    signer: Signer,
    /// Whom nobody knows.
    stranger: Signer,
}

/// # Errors
/// When a chart is not what was pushed, or another one is taken for it.
pub(crate) fn check(chart: &Chart, folder: &Path, report: &mut Report) -> Result<()> {
    let folder = folder.join("registry");
    let shop = report.step("registry: started, and two keys made", |_| {
        Ok(Shop {
            chart,
            registry: Registry::start(&folder)?,
            signer: Signer::new(&folder, "Foghorn of a test")?,
            stranger: Signer::new(&folder, "Somebody else")?,
            folder,
        })
    })?;
    for helm in HELMS {
        let (archive, published) = report.step(
            &format!("registry: packaged, signed and pushed by {helm}"),
            |_| shop.publish(helm),
        )?;
        report.step(
            &format!("registry: what {helm} pushed is verified, and rendered as the folder is"),
            |report| {
                HELMS
                    .into_iter()
                    .try_for_each(|by| shop.same(by, &archive, &published, report))
            },
        )?;
        report.step(
            &format!("registry: {helm} refuses what is not signed as it should be"),
            |report| shop.refused(helm, &archive, report),
        )?;
    }
    Ok(())
}

impl Shop<'_> {
    fn publish(&self, helm: &str) -> Result<(Archive, Published)> {
        let signer = Some(&self.signer);
        let name = format!("{helm}-signed");
        let archive = self
            .registry
            .package(helm, &self.chart.folder, &name, signer)?;
        let published = self.registry.push(helm, &archive, &name)?;
        Ok((archive, published))
    }

    fn same(
        &self,
        by: &str,
        archive: &Archive,
        published: &Published,
        report: &mut Report,
    ) -> Result<()> {
        let chart = published.verified(&self.signer.public());
        let to = tempfile::tempdir_in(&self.folder)?;
        let said = self.pull(by, &chart, to.path())?.ok()?;
        ensure!(
            said.contains("Chart Hash Verified"),
            "{by} did not say that it has verified the chart:\n{said}"
        );
        let name = archive.file.file_name().context("an archive has a name")?;
        ensure!(
            fs::read(to.path().join(name))? == fs::read(&archive.file)?,
            "{by} pulled another archive than was pushed"
        );
        report.count("signatures verified", 1);
        for values in self.sets()? {
            let folder = self.chart.render(by, &values, &[])?.ok()?;
            let pulled = self.template(by, &chart, &values)?.ok()?;
            ensure!(
                objects(&pulled)? == objects(&folder)?,
                "with {}, {by} makes something else of the chart in the registry than of its folder",
                values.name
            );
        }
        Ok(())
    }

    fn sets(&self) -> Result<Vec<Values>> {
        let mut sets = self.chart.values()?;
        sets.retain(|values| SETS.contains(&values.name.as_str()));
        ensure!(
            sets.len() == SETS.len(),
            "not all of {SETS:?} are among the sets of values"
        );
        Ok(sets)
    }

    /// A registry, or whoever has become one, may give away anything.
    fn refused(&self, helm: &str, good: &Archive, report: &mut Report) -> Result<()> {
        let changed = self.changed(helm)?;
        let package = |what: &str, chart: &Path, signer: Option<&Signer>| {
            let name = format!("{helm}-{what}");
            let archive = self.registry.package(helm, chart, &name, signer)?;
            Ok::<_, anyhow::Error>((archive, name))
        };
        // With the signature of what it claims to be.
        let other = package("changed", &changed, None)?;
        fs::copy(good.provenance(), other.0.provenance())?;
        let strangers = package("strangers", &changed, Some(&self.stranger))?;
        let unsigned = package("unsigned", &self.chart.folder, None)?;
        for ((archive, name), words) in [
            (other, "sha256 sum does not match"),
            (strangers, "signature made by unknown entity"),
            (unsigned, "failed to fetch provenance"),
        ] {
            let published = self.registry.push(helm, &archive, &name)?;
            self.refuses(helm, &published, words)
                .with_context(|| name)?;
            report.count("archives refused", 1);
        }
        Ok(())
    }

    /// A copy of the chart with something in it that nobody has signed.
    fn changed(&self, helm: &str) -> Result<PathBuf> {
        let copy = self.folder.join(format!("{helm}-copy"));
        let arguments = [
            "--archive".to_owned(),
            text(&self.chart.folder),
            text(&copy),
        ];
        run("cp", arguments, MOST)?.ok()?;
        fs::write(
            copy.join("templates/more.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: more}\n",
        )?;
        Ok(copy)
    }

    /// It is there for everybody who does not ask whose it is, and for nobody else.
    fn refuses(&self, helm: &str, published: &Published, words: &str) -> Result<()> {
        let to = tempfile::tempdir_in(&self.folder)?;
        self.pull(helm, &published.unverified(), to.path())?.ok()?;
        let chart = published.verified(&self.signer.public());
        let to = tempfile::tempdir_in(&self.folder)?;
        let sets = self.sets()?;
        for said in [
            self.pull(helm, &chart, to.path())?,
            self.template(helm, &chart, &sets[0])?,
        ] {
            ensure!(
                !said.is_good && said.err.contains(words),
                "{} should be refused with the words {words:?}, but says:\n{}{}",
                said.line,
                said.out,
                said.err
            );
        }
        Ok(())
    }

    fn pull(&self, helm: &str, chart: &[String], to: &Path) -> Result<crate::tool::Said> {
        let mut arguments = vec!["pull".to_owned()];
        arguments.extend_from_slice(chart);
        arguments.extend(["--destination".to_owned(), text(to)]);
        self.registry.helm(helm, &arguments)
    }

    fn template(&self, helm: &str, chart: &[String], values: &Values) -> Result<crate::tool::Said> {
        let mut arguments = vec!["template".to_owned(), RELEASE.to_owned()];
        arguments.extend_from_slice(chart);
        arguments.extend(["--namespace", RELEASE].map(str::to_owned));
        arguments.extend(["--kube-version".to_owned(), self.chart.kubernetes.clone()]);
        arguments.extend(["--values".to_owned(), text(&values.file)]);
        arguments.extend_from_slice(&values.more);
        self.registry.helm(helm, &arguments)
    }
}

/// Without the lines in which Helm 4 says from where it has the chart.
fn objects(printed: &str) -> Result<&str> {
    let start = printed.find("---\n").context("Helm printed no objects")?;
    Ok(&printed[start..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_chart_is_from_is_not_a_part_of_its_objects() {
        let object = "---\n# Source: a\nkind: A\n---\nkind: B\n";
        let pulled = format!("Pulled: 127.0.0.1:1/a:1\nDigest: sha256:0\n{object}");
        assert_eq!(objects(&pulled).unwrap(), object);
        assert_eq!(objects(object).unwrap(), object);
        assert!(objects("Pulled: 127.0.0.1:1/a:1\n").is_err());
    }
}
