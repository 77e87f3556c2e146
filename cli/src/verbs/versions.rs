//! `foghorn image versions` and `foghorn image undo`: what an image was before it was captured
//! again.

use foghorn_rest_types::fog::{Image, Row};
use foghorn_rest_types::native::{
    ImageContent, ImageVersion, ImageVersions, UndoRequest, VersionState,
};
use serde_json::Value;

use super::Session;
use crate::api::Api;
use crate::confirm::{Consent, confirm};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Table};

/// # Errors
/// As the server answers.
pub(super) fn list(api: &Api, session: &Session, row: &Row<Image>) -> Result<Exit, Failure> {
    let found = of(api, row)?;
    show(session, &found)?;
    Ok(Exit::Ok)
}

/// # Errors
/// As the server answers; [`Exit::Refused`] when it was not confirmed.
pub(super) fn undo(
    api: &Api,
    session: &Session,
    row: &Row<Image>,
    version: Option<u32>,
    consent: Consent,
) -> Result<Exit, Failure> {
    let (name, found) = (&row.view.name, of(api, row)?);
    let wanted = match version {
        Some(number) => found.versions.iter().find(|one| one.version == number),
        None => found.versions.get(1),
    };
    if let (Some(present), Some(wanted)) = (found.versions.first(), wanted) {
        let loss = format!(
            "image {name} becomes {}, instead of {}",
            described(session.output, wanted),
            described(session.output, present)
        );
        confirm(consent, &[loss], &format!("Change {name}?"))?;
    }
    if wanted.is_none() {
        return Err(missing(row, version));
    }
    let path = format!("/foghorn/v1/images/{}/undo", row.view.id);
    let api = api.rehearsing(consent.is_dry_run())?;
    let now: ImageVersions = api.native("POST", &path, Some(&UndoRequest { version }))?;
    show(session, &now)?;
    Ok(Exit::Ok)
}

/// # Errors
/// As the server answers; [`Exit::Refused`] when it was not confirmed.
pub(super) fn drop(
    api: &Api,
    session: &Session,
    row: &Row<Image>,
    number: u32,
    consent: Consent,
) -> Result<Exit, Failure> {
    let name = &row.view.name;
    let found = of(api, row)?;
    let version = found.versions.iter().find(|one| one.version == number);
    let version = version.ok_or_else(|| missing(row, Some(number)))?;
    if version.state == VersionState::Present {
        let what = format!("version {number} of image {name} is the present one");
        return Err(Failure::new(Exit::Refused, what).advise(format!(
            "make another one the present one first: `foghorn image undo {name}`"
        )));
    }
    let loss = format!(
        "{} of image {name} is lost",
        described(session.output, version)
    );
    confirm(consent, &[loss], "Delete it?")?;
    let path = format!("/foghorn/v1/images/{}/versions/{number}", row.view.id);
    api.rehearsing(consent.is_dry_run())?
        .value("DELETE", &path, None::<&Value>)?;
    session.output.say("its removal is ordered");
    Ok(Exit::Ok)
}

/// What a capture into an image with this content replaces.
pub(super) fn replacement(
    output: Output,
    name: &str,
    content: &ImageContent,
    keep: &ImageVersions,
) -> String {
    let from = content
        .captured_from
        .as_ref()
        .map_or_else(String::new, |host| format!(" from host {}", host.name));
    let after = if keep.keep_versions == 0 {
        "it is lost".to_owned()
    } else {
        format!(
            "it is kept as version {} for up to {} days, less if its storage node needs the room (`foghorn image undo {name}`)",
            content.version, keep.keep_days
        )
    };
    format!(
        "image {name}: {} of data captured on {}{from} are replaced; {after}",
        content.used_bytes,
        output.time(&content.captured)
    )
}

fn of(api: &Api, row: &Row<Image>) -> Result<ImageVersions, Failure> {
    Ok(api.get(&format!("/foghorn/v1/images/{}/versions", row.view.id))?)
}

/// There is no such version, or none to go back to.
fn missing(row: &Row<Image>, version: Option<u32>) -> Failure {
    let name = &row.view.name;
    let (what, todo) = match version {
        Some(number) => (
            format!("image {name} ({}) has no version {number}", row.view.id),
            format!("`foghorn image versions {name}` lists those that are kept"),
        ),
        None => (
            format!("image {name} ({}) has no earlier version", row.view.id),
            format!("nothing can be undone; `foghorn image versions {name}` lists what is kept"),
        ),
    };
    Failure::new(Exit::NotFound, what).advise(todo)
}

fn described(output: Output, version: &ImageVersion) -> String {
    format!(
        "version {} ({} captured on {})",
        version.version,
        version.used_bytes,
        output.time(&version.captured)
    )
}

fn show(session: &Session, found: &ImageVersions) -> Result<(), Failure> {
    let mut table = Table::new(&[
        "VERSION", "STATE", "CAPTURED", "FROM", "USED", "STORED", "NODES", "TASKS",
    ]);
    for version in &found.versions {
        let nodes: Vec<_> = version.nodes.iter().map(|node| &*node.name).collect();
        let tasks: Vec<_> = version.tasks.iter().map(ToString::to_string).collect();
        let from = version.captured_from.as_ref().map(|host| host.name.clone());
        table.row([
            version.version.to_string(),
            state(session.output, version),
            session.output.time(&version.captured),
            from.unwrap_or_else(|| "-".to_owned()),
            version.used_bytes.to_string(),
            version.stored_bytes.to_string(),
            listed(&nodes.join(", ")),
            listed(&tasks.join(", ")),
        ]);
    }
    session.output.show(&table, found)?;
    Ok(())
}

fn listed(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

fn state(output: Output, version: &ImageVersion) -> String {
    let state = state_alone(output, version);
    if version.damaged.is_empty() {
        return state;
    }
    let nodes: Vec<&str> = version.damaged.iter().map(|one| &*one.node.name).collect();
    format!("{state}, damaged on {}", nodes.join(", "))
}

fn state_alone(output: Output, version: &ImageVersion) -> String {
    match (version.state, &version.kept_until) {
        (VersionState::Present, _) => "present".to_owned(),
        (VersionState::Lost, _) => "lost".to_owned(),
        (VersionState::Kept, Some(until)) => format!("kept until {}", output.time(until)),
        (VersionState::Kept, None) => "kept".to_owned(),
    }
}
