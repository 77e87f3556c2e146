//! `foghorn plugin`: scripts in the controller's folder of plugins, and how they do.

use clap::Subcommand;
use foghorn_rest_types::fog::{FogObject as _, Plugin, PluginBody, Row};

use super::Session;
use super::made::{made, or_dash};
use super::object::{dash, show_rows};
use crate::api::Api;
use crate::exit::{Exit, Failure};
use crate::output::Output;

#[derive(Subcommand, Debug)]
pub enum PluginCommand {
    /// List plugins and whether they work
    #[command(after_help = "Example:\n  foghorn plugin list")]
    List,
    /// Show one plugin: what it adds, how often it failed, and why at last
    #[command(after_help = "Example:\n  foghorn plugin show location")]
    Show { plugin: String },
    /// Switch plugins on
    #[command(after_help = "Example:\n  foghorn plugin enable location")]
    Enable {
        #[arg(required = true)]
        plugins: Vec<String>,
    },
    /// Switch plugins off; what they have stored stays
    #[command(after_help = "Example:\n  foghorn plugin disable location")]
    Disable {
        #[arg(required = true)]
        plugins: Vec<String>,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: PluginCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        PluginCommand::List => {
            let rows = api.list::<Plugin>()?;
            let headings = ["NAME", "STATE", "VERSION", "FAILURES", "LAST ERROR"];
            show_rows(output, &rows, &headings, |plugin| {
                vec![
                    plugin.name.clone(),
                    standing(plugin).to_owned(),
                    or_dash(&plugin.version),
                    plugin.failures.to_string(),
                    dash(plugin.last_error.as_ref()),
                ]
            })?;
        }
        PluginCommand::Show { plugin } => {
            let row = named(&api, &plugin)?;
            output.show_object(&row.view.name, &row.raw)?;
            output.say(&health(output, &row.view));
        }
        PluginCommand::Enable { plugins } => switch(&api, session, &plugins, true)?,
        PluginCommand::Disable { plugins } => switch(&api, session, &plugins, false)?,
    }
    Ok(Exit::Ok)
}

/// All names are looked up first.
fn switch(api: &Api, session: &Session, names: &[String], on: bool) -> Result<(), Failure> {
    let rows = names
        .iter()
        .map(|name| named(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    for row in &rows {
        let state = Some(if on { "1" } else { "0" }.to_owned());
        let now = match row.view.number() {
            0 => api.create::<Plugin>(&PluginBody {
                name: Some(row.view.name.clone()),
                state,
                installed: Some("1".to_owned()),
            })?,
            id => api.edit::<Plugin>(
                id,
                &PluginBody {
                    state,
                    ..PluginBody::default()
                },
            )?,
        };
        let mut said = format!(
            "plugin {} is {}",
            row.view.name,
            if on { "on" } else { "off" }
        );
        // Whether it works now is known when the server has read its file again.
        if let (true, Some(error)) = (on, &row.view.last_error) {
            said = format!("{said}; its last error was: {error}");
        }
        made(session.output, now.view.number(), &now.raw, &said)?;
    }
    Ok(())
}

fn standing(plugin: &Plugin) -> &str {
    match &plugin.standing {
        Some(standing) => standing,
        None if plugin.state == "0" => "off",
        None => "no file",
    }
}

/// What is wrong with it, and what to do.
fn health(output: Output, plugin: &Plugin) -> String {
    let error = plugin.last_error.as_deref().unwrap_or("unknown");
    let when = plugin
        .last_error_time
        .as_deref()
        .map_or_else(String::new, |time| {
            format!(
                " at {}",
                output.time(&format!("{}Z", time.replace(' ', "T")))
            )
        });
    match standing(plugin) {
        "suspended" => format!(
            "it is suspended, because it failed too often, at last{when}: {error}; it is called again when its file is changed"
        ),
        "broken" => format!("its file cannot be used: {error}"),
        "no file" => "there is no file for it in the controller's folder of plugins".to_owned(),
        "off" => format!(
            "it is switched off: `foghorn plugin enable {}`",
            plugin.name
        ),
        _ if plugin.failures > 0 => {
            format!(
                "it failed {} times, at last{when}: {error}",
                plugin.failures
            )
        }
        _ => "it works".to_owned(),
    }
}

fn named(api: &Api, name: &str) -> Result<Row<Plugin>, Failure> {
    // A plugin of the folder needs no row, so it may have no id.
    let rows = api.list::<Plugin>()?;
    let found = rows
        .into_iter()
        .find(|row| row.view.name.eq_ignore_ascii_case(name));
    found.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no plugin {name:?}"))
            .advise("`foghorn plugin list` shows the existing ones")
    })
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::fog::read_one;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_suspended_plugin_says_why() {
        let raw = json!({"name": "x", "standing": "suspended", "failures": 5,
            "lastError": "HOST_DATA: no such field", "lastErrorTime": "2026-11-29 12:00:00"});
        let said = health(Output::default(), &read_one::<Plugin>(raw).unwrap().view);
        assert!(
            said.contains("suspended") && said.contains("no such field"),
            "{said}"
        );
        let row = read_one::<Plugin>(json!({"id": "1", "name": "x", "state": "1"})).unwrap();
        assert_eq!(standing(&row.view), "no file");
    }
}
