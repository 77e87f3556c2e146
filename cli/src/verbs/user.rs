//! `foghorn user`: who may use the API.

use std::path::PathBuf;

use clap::Subcommand;
use foghorn_rest_types::accounts::{
    NewUser, PasswordChange, PasswordState, TokenMade, UserCreated, UserEdit, UserList, UserView,
};
use foghorn_types::Role;
use serde_json::Value;

use super::Session;
use crate::api::Api;
use crate::confirm::{Consent, Rehearsal, confirm};
use crate::exit::{Exit, Failure, of_many};
use crate::output::{Output, Table};
use crate::password::PasswordArgs;

const USERS: &str = "/foghorn/v1/users";

#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// List all users
    #[command(after_help = "Example:\n  foghorn user list")]
    List,
    /// Show one user
    #[command(after_help = "Example:\n  foghorn user show anna")]
    Show { user: String },
    /// Add a user and print its token, which is shown once
    #[command(after_help = "Example:\n  foghorn user add anna --role operator")]
    Add {
        name: String,
        /// administrator, operator or read-only
        #[arg(long)]
        role: Role,
        /// Without a password: the user can log in only with the token
        #[arg(long, conflicts_with_all = ["password_stdin", "password_file"])]
        no_password: bool,
        /// The token is not accepted until it is enabled with `user edit --api true`
        #[arg(long)]
        no_api: bool,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Change a user; options that are not given stay as they are
    #[command(after_help = "Example:\n  foghorn user edit anna --role read-only --api false")]
    Edit {
        user: String,
        /// administrator, operator or read-only
        #[arg(long)]
        role: Option<Role>,
        /// Whether the user's token is accepted
        #[arg(long, value_name = "true|false")]
        api: Option<bool>,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// Set a new password
    #[command(after_help = "Example:\n  foghorn user password anna")]
    Password {
        user: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give the user a new token and print it; the old one is refused from now on
    #[command(after_help = "Example:\n  foghorn user token-reset anna")]
    TokenReset { user: String },
    /// Remove users
    #[command(after_help = "Example:\n  foghorn user remove anna --yes")]
    Remove {
        #[arg(required = true)]
        users: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Add users of a FOG server with their bcrypt hashes: one NAME:HASH per line, `-` for standard
    /// input
    #[command(after_help = "Example:\n  foghorn user import users.txt --role operator")]
    Import {
        file: PathBuf,
        /// Role of all imported users
        #[arg(long, default_value_t = Role::Operator)]
        role: Role,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// # Errors
/// As the server answers.
pub fn run(command: UserCommand, session: &Session) -> Result<Exit, Failure> {
    let (api, output) = (session.api()?, session.output);
    match command {
        UserCommand::List => list(&api, output)?,
        UserCommand::Show { user } => show(output, &find(&api, &user)?)?,
        UserCommand::Add {
            name,
            role,
            no_password,
            no_api,
            password,
            rehearsal,
        } => {
            rehearsal.tell(&format!("add user {name} as {role}"));
            let api = api.rehearsing(rehearsal.dry_run)?;
            let password = if no_password {
                None
            } else {
                Some(password.read()?)
            };
            let request = NewUser {
                name,
                role,
                api: Some(!no_api),
                password,
                password_hash: None,
            };
            let made: UserCreated = api.native("POST", USERS, Some(&request))?;
            output.say(&format!(
                "user {} has the id {}; its token is shown once:",
                made.user.name, made.user.id
            ));
            output.show_value(&made.token, &made)?;
        }
        UserCommand::Edit {
            user,
            role,
            api: switch,
            rehearsal,
        } => {
            let request = UserEdit { role, api: switch };
            if request == UserEdit::default() {
                return Err(Failure::usage("no change was given").advise("use --role or --api"));
            }
            let path = format!("{USERS}/{}", find(&api, &user)?.id);
            rehearsal.tell(&format!("change user {user}"));
            let api = api.rehearsing(rehearsal.dry_run)?;
            show(output, &api.native("PATCH", &path, Some(&request))?)?;
        }
        UserCommand::Password { user, password } => {
            let path = format!("{USERS}/{}/password", find(&api, &user)?.id);
            let request = PasswordChange {
                password: Some(password.read()?),
                password_hash: None,
            };
            api.text("PUT", &path, Some(&request))?;
            output.say(&format!("set the password of {user}"));
        }
        UserCommand::TokenReset { user } => {
            let path = format!("{USERS}/{}/token", find(&api, &user)?.id);
            let made: TokenMade = api.native("POST", &path, None::<&Value>)?;
            output.say("the old token is refused from now on; if it was yours, log in again with this one:");
            output.show_value(&made.token, &made)?;
        }
        UserCommand::Remove { users, consent } => return remove(&api, output, &users, consent),
        UserCommand::Import {
            file,
            role,
            rehearsal,
        } => {
            let api = api.rehearsing(rehearsal.dry_run)?;
            return import(&api, output, &file, role);
        }
    }
    Ok(Exit::Ok)
}

fn list(api: &Api, output: Output) -> Result<(), Failure> {
    let users = api.get::<UserList>(USERS)?.users;
    let mut table = Table::new(&["ID", "NAME", "ROLE", "API", "TOKEN", "PASSWORD"]);
    let word = |set: bool| if set { "yes" } else { "no" }.to_owned();
    for user in &users {
        let password = match user.password {
            PasswordState::None => "no",
            PasswordState::Set => "yes",
            PasswordState::Imported => "imported",
        };
        table.row([
            user.id.to_string(),
            user.name.clone(),
            user.role.to_string(),
            word(user.api),
            word(user.has_token),
            password.to_owned(),
        ]);
    }
    output.show(&table, &users)
}

fn show(output: Output, user: &UserView) -> Result<(), Failure> {
    let value = serde_json::to_value(user)
        .map_err(|error| Failure::new(Exit::Failed, "could not show the user").caused_by(error))?;
    output.show_object(&user.id.to_string(), &value)
}

/// The one user that `text` identifies by name or id, also as `id:7` or `name:7`.
fn find(api: &Api, text: &str) -> Result<UserView, Failure> {
    let users = api.get::<UserList>(USERS)?.users;
    let (by_id, by_name) = match (text.strip_prefix("id:"), text.strip_prefix("name:")) {
        (Some(id), _) => (Some(id), None),
        (None, Some(name)) => (None, Some(name)),
        (None, None) => (Some(text), Some(text)),
    };
    let fits = |user: &UserView| {
        by_id.is_some_and(|id| id == user.id.to_string())
            || by_name.is_some_and(|name| name.to_lowercase() == user.name.to_lowercase())
    };
    let mut found: Vec<UserView> = users.into_iter().filter(fits).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(
            Failure::new(Exit::NotFound, format!("there is no user {text:?}"))
                .advise("`foghorn user list` shows the existing ones"),
        ),
        _ => Err(Failure::usage(format!("{text:?} matches several users"))
            .advise("use id:NUMBER or name:NAME")),
    }
}

fn remove(api: &Api, output: Output, names: &[String], consent: Consent) -> Result<Exit, Failure> {
    let users = names
        .iter()
        .map(|name| find(api, name))
        .collect::<Result<Vec<_>, _>>()?;
    let losses: Vec<String> = users
        .iter()
        .map(|user| {
            format!(
                "user {}: token and password are refused from then on",
                user.name
            )
        })
        .collect();
    confirm(consent, &losses, "Remove?")?;
    let api = api.rehearsing(consent.is_dry_run())?;
    each(&users, |user| {
        api.text("DELETE", &format!("{USERS}/{}", user.id), None::<&Value>)?;
        output.say(&format!("removed user {}", user.name));
        Ok(())
    })
}

fn import(api: &Api, output: Output, file: &std::path::Path, role: Role) -> Result<Exit, Failure> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let unreadable =
        |error| Failure::usage(format!("could not read {}", file.display())).caused_by(error);
    let users = parse_import(&text.map_err(unreadable)?)?;
    each(&users, |(name, hash)| {
        let (name, password_hash) = (name.clone(), Some(hash.clone()));
        let request = NewUser {
            name,
            role,
            api: Some(false),
            password: None,
            password_hash,
        };
        let made: UserCreated = api.native("POST", USERS, Some(&request))?;
        output.say(&format!(
            "imported user {} with the id {}",
            made.user.name, made.user.id
        ));
        Ok(())
    })
}

/// Every line must be valid before the first user is created.
fn parse_import(text: &str) -> Result<Vec<(String, String)>, Failure> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| match line.trim().split_once(':') {
            Some((name, hash)) if !name.is_empty() && hash.starts_with("$2") => {
                Ok((name.to_owned(), hash.to_owned()))
            }
            _ => Err(Failure::usage(format!(
                "line {} is not NAME:HASH with a bcrypt hash",
                number + 1
            ))),
        })
        .collect()
}

/// Does `work` for each, prints what failed, and returns the combined result.
fn each<T>(things: &[T], work: impl Fn(&T) -> Result<(), Failure>) -> Result<Exit, Failure> {
    let (rehearsed, mut failures): (Vec<Failure>, Vec<Failure>) = things
        .iter()
        .filter_map(|thing| work(thing).err())
        .partition(|end| end.exit() == Exit::Ok);
    if let Some(end) = rehearsed.first() {
        eprintln!("{end}");
    }
    if things.len() == 1 && failures.len() == 1 {
        return Err(failures.remove(0));
    }
    failures
        .iter()
        .for_each(|failure| eprintln!("error: {failure}"));
    Ok(of_many(things.len() - failures.len(), failures.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_names_and_hashes() {
        let users = parse_import("# from FOG\nfog:$2y$10$abc\n\n anna:$2a$11$def \n").unwrap();
        assert_eq!(
            users,
            [
                ("fog".into(), "$2y$10$abc".into()),
                ("anna".into(), "$2a$11$def".into())
            ]
        );
        for bad in ["fog", "fog:secret", ":$2y$10$abc"] {
            assert_eq!(parse_import(bad).unwrap_err().exit(), Exit::Usage, "{bad}");
        }
    }
}
