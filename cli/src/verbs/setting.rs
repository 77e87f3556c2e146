//! `foghorn setting`: the settings of the installation, which FOG calls services.

use std::io::Read as _;

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Row, Setting, SettingBody};

use super::Session;
use super::made::{made, or_dash, yes};
use super::object::show_rows;
use crate::api::Api;
use crate::confirm::Rehearsal;
use crate::exit::{Exit, Failure};

#[derive(Subcommand, Debug)]
pub enum SettingCommand {
    /// List the settings, their values, and whether they have an effect
    #[command(
        after_help = "Examples:\n  foghorn setting list --effective\n  foghorn setting list multicast"
    )]
    List {
        /// Only those with this in their name, heading or help
        text: Option<String>,
        /// Only those that have an effect in Foghorn
        #[arg(long)]
        effective: bool,
    },
    /// Show one setting with its help
    #[command(after_help = "Example:\n  foghorn setting show FOG_TZ_INFO")]
    Show { name: String },
    /// Change the value of a setting
    #[command(
        after_help = "Examples:\n  foghorn setting set FOG_TZ_INFO Europe/Berlin\n  foghorn setting set FOG_PROXY_PASSWORD --value-stdin < file"
    )]
    Set {
        name: String,
        /// The new value; an empty one is ''
        #[arg(
            required_unless_present = "value_stdin",
            conflicts_with = "value_stdin"
        )]
        value: Option<String>,
        /// Read the value from standard input, such as a password
        #[arg(long)]
        value_stdin: bool,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// In the help of settings that are kept for FOG's clients and do nothing.
const IGNORED: &str = "no effect in Foghorn";

fn has_effect(setting: &Setting) -> bool {
    !setting.description.contains(IGNORED)
}

/// # Errors
/// As the server answers.
pub fn run(command: SettingCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        SettingCommand::List { text, effective } => {
            let mut rows = api.list::<Setting>()?;
            let text = text.unwrap_or_default().to_lowercase();
            rows.retain(|row| fits(&row.view, &text) && (!effective || has_effect(&row.view)));
            let headings = ["NAME", "VALUE", "EFFECT", "HEADING"];
            show_rows(output, &rows, &headings, |setting| {
                vec![
                    setting.name.clone(),
                    or_dash(&setting.value),
                    yes(has_effect(setting)),
                    setting.category.clone(),
                ]
            })?;
        }
        SettingCommand::Show { name } => {
            let row = named(&api, &name)?;
            output.show_object(&row.view.name, &row.raw)?;
        }
        SettingCommand::Set {
            name,
            value,
            value_stdin,
            rehearsal,
        } => {
            refuse_others(&name)?;
            let row = named(&api, &name)?;
            let value = if value_stdin {
                from_stdin()?
            } else {
                value.unwrap_or_default()
            };
            rehearsal.tell(&format!("set {} to {}", row.view.name, shown(&value)));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let row = api.edit::<Setting>(row.view.number(), &SettingBody { value })?;
            let setting = &row.view;
            let mut said = format!("{} is {}", setting.name, shown(&setting.value));
            if !has_effect(setting) {
                said.push_str("; it is kept for FOG's clients, and has no effect in Foghorn");
            }
            made(output, setting.number(), &row.raw, &said)?;
        }
    }
    Ok(Exit::Ok)
}

fn shown(value: &str) -> String {
    if value.is_empty() {
        "empty, or a secret that is not shown".to_owned()
    } else {
        format!("{value:?}")
    }
}

fn fits(setting: &Setting, text: &str) -> bool {
    [&setting.name, &setting.description, &setting.category]
        .iter()
        .any(|part| part.to_lowercase().contains(text))
}

/// Settings that have commands of their own.
fn refuse_others(name: &str) -> Result<(), Failure> {
    let command = match name.to_uppercase().trim_start_matches("FOG_") {
        "API_ENABLED" => "`foghorn api on` and `foghorn api off` do this",
        "API_TOKEN" => "`foghorn api token-reset` makes a new one",
        _ => return Ok(()),
    };
    let what = format!("{} is not changed as a setting", name.to_uppercase());
    Err(Failure::usage(what).advise(command))
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage("could not read the value").caused_by(error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// By its name, without case; `FOG_` may be left out.
fn named(api: &Api, name: &str) -> Result<Row<Setting>, Failure> {
    let mut rows = api.list::<Setting>()?;
    let wanted = name.to_uppercase();
    let long = format!("FOG_{wanted}");
    let found = rows.iter().position(|row| {
        let known = row.view.name.to_uppercase();
        known == wanted || known == long
    });
    if let Some(found) = found {
        return Ok(rows.swap_remove(found));
    }
    let like: Vec<&str> = rows
        .iter()
        .map(|row| row.view.name.as_str())
        .filter(|known| known.to_uppercase().contains(&wanted))
        .take(5)
        .collect();
    let todo = if like.is_empty() {
        "`foghorn setting list` shows the existing ones".to_owned()
    } else {
        format!("did you mean {}?", like.join(", "))
    };
    Err(Failure::new(Exit::NotFound, format!("there is no setting {name:?}")).advise(todo))
}
