//! A backup of the cluster's own etcd, and the way back as `docs/kubernetes.md` prints it: its
//! commands are run, with other names in them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use foghorn_tests::page::Page;

use crate::load::{Customer, Load};
use crate::release::Release;
use crate::report::Report;
use crate::tool::{Said, run};

const PAGE: &str = "docs/kubernetes.md";
/// How the commands begin that are about putting back.
const BACK: &str = "BACKUP=";
/// How much is done before the backup, and how much after it.
const WORK: Duration = Duration::from_secs(3);
/// As long as the commands themselves wait for a backup; each of them takes seconds.
const MOST: Duration = Duration::from_secs(300);

/// # Errors
/// When something of the time before the backup is gone afterwards, or something of the time after
/// it is still there.
pub(crate) fn check(
    release: &Release<'_>,
    customer: &Customer<'_>,
    report: &mut Report,
) -> Result<()> {
    let (backup, back) = commands()?;
    let work = |prefix: &str| {
        let load = Load::start(customer, prefix)?;
        std::thread::sleep(WORK);
        load.end()
    };
    let kept = work("kept-")?.created;
    shell(release, customer.service, &backup)?;
    let gone = work("gone-")?.created;
    shell(release, customer.service, &back)?;
    let now = work("after-")?.all;
    let missing: Vec<&String> = kept.difference(&now).collect();
    ensure!(
        missing.is_empty(),
        "these hosts were there at the time of the backup: {missing:?}"
    );
    let too_many: BTreeSet<&String> = gone.intersection(&now).collect();
    ensure!(
        too_many.is_empty(),
        "these hosts are younger than the backup: {too_many:?}"
    );
    report.count("backups put back", 1);
    Ok(())
}

/// Those of the page that make a backup, and those that put one back.
fn commands() -> Result<(Vec<String>, Vec<String>)> {
    let mut page = Page::read(PAGE)?;
    let backup = page.take_until(BACK)?;
    Ok((backup, page.take_rest()))
}

/// One shell, since a variable of one command is used in others.
fn shell(release: &Release<'_>, service: &str, commands: &[String]) -> Result<()> {
    let script = adapted(&commands.join("\n"), release.helm, release.name, service)?;
    let chart = release.chart.folder.to_string_lossy().into_owned();
    let said = run("sh", ["-euxc", &script, "sh", &chart], MOST);
    release.explained(said.and_then(Said::ok)).map(drop)
}

/// With the names of the test in place of those of the page; the folder of the chart is the first
/// argument of the shell.
fn adapted(script: &str, helm: &str, name: &str, service: &str) -> Result<String> {
    let adapted = script
        .replace(
            "helm -n imaging upgrade foghorn charts/foghorn",
            &format!("{helm} -n {name} upgrade {name} \"$1\""),
        )
        .replace("kubectl -n imaging", &format!("kubectl -n {name}"))
        .replace("/instance=foghorn", &format!("/instance={name}"))
        .replace("cronjob/foghorn-", &format!("cronjob/{service}-"));
    let other = ["imaging", "charts/foghorn"];
    let left = adapted
        .lines()
        .find(|line| other.iter().any(|word| line.contains(word)));
    ensure!(
        left.is_none(),
        "{PAGE} has a command in another form than is known here: {}",
        left.unwrap_or_default()
    );
    adapted
        .contains(name)
        .then_some(adapted)
        .with_context(|| format!("{PAGE} has no commands about an installation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_commands_of_the_page_are_known() {
        let (backup, back) = commands().unwrap();
        for part in [&backup, &back] {
            let script = adapted(&part.join("\n"), "helm4", "fleet", "fleet-foghorn").unwrap();
            assert!(script.contains("kubectl -n fleet "), "{script}");
        }
        assert!(backup[0].contains("--from=cronjob/foghorn-backup"));
        assert!(back[0].starts_with(BACK));
        let starts: Vec<&str> = back
            .iter()
            .map(|command| command.split(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(
            starts[1..],
            ["helm", "kubectl", "helm", "kubectl", "kubectl", "helm"]
        );
    }

    #[test]
    fn names_of_the_page_become_those_of_the_test() {
        let script = adapted(
            "helm -n imaging upgrade foghorn charts/foghorn --reuse-values\n\
             kubectl -n imaging get pods -l a/instance=foghorn",
            "helm4",
            "x",
            "x-foghorn",
        );
        assert_eq!(
            script.unwrap(),
            "helm4 -n x upgrade x \"$1\" --reuse-values\nkubectl -n x get pods -l a/instance=x"
        );
        let unknown = adapted("kubectl --namespace imaging get pods", "helm4", "x", "y");
        assert!(unknown.unwrap_err().to_string().contains("another form"));
    }
}
