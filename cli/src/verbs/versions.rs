//! `foghorn image versions` and `foghorn image undo`: what an image was before it was captured
//! again.

use foghorn_rest_types::fog::{Image, Row};
use foghorn_rest_types::native::{
    ImageContent, ImageVersion, ImageVersions, UndoRequest, VersionState,
};
use serde_json::Value;

use super::Session;
use crate::api::Api;
use crate::confirm::confirm;
use crate::exit::{Exit, Failure};
use crate::output::Table;

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
    yes: bool,
) -> Result<Exit, Failure> {
    let (name, found) = (&row.view.name, of(api, row)?);
    let wanted = match version {
        Some(number) => found.versions.iter().find(|one| one.version == number),
        None => found.versions.get(1),
    };
    if let (Some(present), Some(wanted)) = (found.versions.first(), wanted) {
        let loss = format!(
            "image {name} becomes {}, instead of {}",
            described(wanted),
            described(present)
        );
        confirm(yes, &[loss], &format!("Change {name}?"))?;
    }
    // What is not there is refused by the server, in its words.
    let path = format!("/foghorn/v1/images/{}/undo", row.view.id);
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
    yes: bool,
) -> Result<Exit, Failure> {
    let name = &row.view.name;
    let found = of(api, row)?;
    if let Some(version) = found.versions.iter().find(|one| one.version == number) {
        let loss = format!("{} of image {name} is lost", described(version));
        confirm(yes, &[loss], "Delete it?")?;
    }
    let path = format!("/foghorn/v1/images/{}/versions/{number}", row.view.id);
    api.value("DELETE", &path, None::<&Value>)?;
    session.output.say("its removal is ordered");
    Ok(Exit::Ok)
}

/// What a capture into an image with this content replaces.
pub(super) fn replacement(name: &str, content: &ImageContent, keep: &ImageVersions) -> String {
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
        content.used_bytes, content.captured
    )
}

fn of(api: &Api, row: &Row<Image>) -> Result<ImageVersions, Failure> {
    Ok(api.get(&format!("/foghorn/v1/images/{}/versions", row.view.id))?)
}

fn described(version: &ImageVersion) -> String {
    format!(
        "version {} ({} captured on {})",
        version.version, version.used_bytes, version.captured
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
            state(version),
            version.captured.clone(),
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

fn state(version: &ImageVersion) -> String {
    match (version.state, &version.kept_until) {
        (VersionState::Present, _) => "present".to_owned(),
        (VersionState::Lost, _) => "lost".to_owned(),
        (VersionState::Kept, Some(until)) => format!("kept until {until}"),
        (VersionState::Kept, None) => "kept".to_owned(),
    }
}
