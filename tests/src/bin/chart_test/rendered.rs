//! What can be said of the chart without a cluster.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::chart::{Chart, HELMS, Values};
use crate::objects::{images, parse};
use crate::report::Report;
use crate::rules;

/// A registry that no chart would guess.
const REGISTRY: &str = "registry.test:5000/lab/";

/// # Errors
/// When the chart is not as it should be.
pub(crate) fn check(chart: &Chart, folder: &Path, report: &mut Report) -> Result<()> {
    report.step("lint with both versions of Helm", |report| {
        lint(chart, report)
    })?;
    report.step("unit tests of the templates", |_| unit_tests(chart))?;
    report.step("alert rules and queries of dashboards", |report| {
        rules::check(chart, folder, report)
    })?;
    report.step("README as it is made from the values", |_| readme(chart))?;
    report.step("rendered twice, and by both versions of Helm", |report| {
        render(chart, report)
    })?;
    report.step("as a part of another chart", |report| {
        let (parent, values) = chart.within_another(folder)?;
        render_one(&parent, &values, report)
    })?;
    report.step("every image from the given registry", |report| {
        registries(chart, report)
    })?;
    report.step("invalid values refused in words", |report| {
        refused(chart, report)
    })
}

fn lint(chart: &Chart, report: &mut Report) -> Result<()> {
    for values in chart.values()? {
        for helm in HELMS {
            chart
                .lint(helm, &values)
                .with_context(|| values.name.clone())?;
        }
        report.count("value sets", 1);
    }
    Ok(())
}

fn unit_tests(chart: &Chart) -> Result<()> {
    let said = chart.unit_tests()?;
    for line in said.lines().filter(|line| line.starts_with("Tests:")) {
        println!("chart:           {}", line.trim());
    }
    Ok(())
}

fn readme(chart: &Chart) -> Result<()> {
    let made = chart.readme()?;
    let file = chart.folder.join("README.md");
    let written =
        fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
    ensure!(
        made.trim() == written.trim(),
        "{} is not what helm-docs makes of the values: `make chart-docs` writes it",
        file.display()
    );
    Ok(())
}

/// Renders a set of values that has to work.
fn text(chart: &Chart, helm: &str, values: &Values, more: &[&str]) -> Result<String> {
    chart
        .render(helm, values, more)?
        .ok()
        .with_context(|| format!("the values {}", values.name))
}

fn render(chart: &Chart, report: &mut Report) -> Result<()> {
    let all = chart.values()?;
    all.iter()
        .try_for_each(|values| render_one(chart, values, report))
}

fn render_one(chart: &Chart, values: &Values, report: &mut Report) -> Result<()> {
    let name = &values.name;
    let one = text(chart, HELMS[0], values, &[])?;
    let other = text(chart, HELMS[1], values, &[])?;
    ensure!(
        text(chart, HELMS[1], values, &[])? == other,
        "with {name}, two renders differ: something in it is random or a time"
    );
    let (one, other) = (parse(&one)?, parse(&other)?);
    for (key, object) in &one {
        ensure!(
            other.get(key) == Some(object),
            "with {name}, {key:?} differs between the versions of Helm"
        );
    }
    ensure!(
        !one.is_empty() && one.len() == other.len(),
        "with {name}, one version of Helm makes {} objects and the other {}",
        one.len(),
        other.len()
    );
    report.count("objects rendered", one.len());
    Ok(())
}

fn registries(chart: &Chart, report: &mut Report) -> Result<()> {
    let more = format!("global.imageRegistry={REGISTRY}");
    for values in chart.values()? {
        let before = parse(&text(chart, HELMS[1], &values, &[])?)?;
        let after = parse(&text(chart, HELMS[1], &values, &["--set", &more])?)?;
        // Containers that somebody adds by values have a name that is nobody else's business.
        let theirs: Vec<String> = before
            .values()
            .flat_map(images)
            .filter(|image| image.starts_with("example.org/"))
            .collect();
        for (key, object) in &after {
            for image in images(object) {
                ensure!(
                    image.starts_with(REGISTRY) || theirs.contains(&image),
                    "with {}, {key:?} has the image {image}, which is not from the registry that was given",
                    values.name
                );
                report.count("images looked at", 1);
            }
        }
    }
    Ok(())
}

/// The first line of each file is a comment that says how the chart refuses it.
fn refused(chart: &Chart, report: &mut Report) -> Result<()> {
    for values in chart.invalid()? {
        let text = fs::read_to_string(&values.file)?;
        let expected = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let expected = expected
            .with_context(|| format!("{} begins with no message", values.file.display()))?;
        for helm in HELMS {
            let said = chart.render(helm, &values, &[])?;
            if said.is_good {
                bail!("{} is taken by {helm}, but should be refused", values.name);
            }
            ensure!(
                words(&said.err).contains(&words(expected)),
                "{} is refused by {helm}, but not with the words {expected:?}:\n{}",
                values.name,
                said.err
            );
        }
        report.count("invalid values refused", 1);
    }
    Ok(())
}

/// A message may be broken into lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
