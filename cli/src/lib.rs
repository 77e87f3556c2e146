//! `foghorn`, the program that users install.
//!
//! Every command except three uses only the REST API: what it can do, a script can do with `curl`.
//! [`serve`] runs a controller and a storage node in this process, [`demo`] starts `serve` and real
//! clients as child processes and shows a complete capture and deploy, and [`selftest`] starts clients
//! against an installation to do the same there.
//!
//! Results are written to standard output, messages and progress to standard error. The result is
//! in the exit code ([`exit::Exit`]), which scripts may rely on.

pub mod api;
pub mod args;
pub mod confirm;
pub mod connection;
pub mod context;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod find;
pub mod fingerprint;
pub mod human;
mod machines;
pub mod moment;
pub mod native;
pub mod number;
pub mod output;
pub mod password;
pub mod selftest;
pub mod serve;
pub mod sheet;
pub mod verbs;

use args::{Cli, Verb};
use exit::{Exit, Failure};
use human::Zone;
use output::Output;
use verbs::Session;

/// Runs the command that the command line contains.
///
/// # Errors
/// With the exit code and the message for it.
pub fn run(cli: Cli) -> Result<Exit, Failure> {
    let quiet = cli.quiet;
    match carry_out(cli) {
        // A dry run ends where something would have been changed.
        Err(end) if end.exit() == Exit::Ok => {
            if !quiet {
                eprintln!("{end}");
            }
            Ok(Exit::Ok)
        }
        result => result,
    }
}

fn carry_out(cli: Cli) -> Result<Exit, Failure> {
    api::verbose::set(cli.verbose);
    let output = Output {
        format: cli.output,
        quiet: cli.quiet,
        zone: if cli.utc { Zone::Utc } else { Zone::Local },
    };
    let session = Session {
        connection: cli.connection,
        output,
    };
    match cli.verb {
        Verb::Login(args) => verbs::login::run(&args, &session),
        Verb::Context(command) => verbs::context::run(command, &session),
        Verb::Host(command) => verbs::host::run(command, &session),
        Verb::Image(command) => verbs::image::run(command, &session),
        Verb::Snapin(command) => verbs::snapin::run(command, &session),
        Verb::Group(command) => verbs::group::run(command, &session),
        Verb::Node(command) => verbs::node::run(command, &session),
        Verb::Site(command) => verbs::site::run(command, &session),
        Verb::StorageGroup(command) => verbs::storage_group::run(command, &session),
        Verb::Replication(command) => verbs::replication::run(command, &session),
        Verb::Setting(command) => verbs::setting::run(command, &session),
        Verb::Controllers(asked) => verbs::controllers::run(&asked, &session),
        Verb::Plugin(command) => verbs::plugin::run(command, &session),
        Verb::Inventory(command) => verbs::inventory::run(command, &session),
        Verb::Task(command) => verbs::task::run(command, &session),
        Verb::User(command) => verbs::user::run(command, &session),
        Verb::Notify(command) => verbs::notify::run(command, &session),
        Verb::Device(command) => verbs::device::run(command, &session),
        Verb::Factory(command) => verbs::factory::run(command, &session),
        Verb::FactoryToken(command) => verbs::factory_token::run(command, &session),
        Verb::Api(command) => verbs::api_switch::run(command, &session),
        Verb::Audit(args) => verbs::audit::run(&args, &session),
        Verb::Backup(command) => verbs::backup::run(&command, &session),
        Verb::State(command) => verbs::state::run(&command, &session),
        Verb::Schedule(command) => verbs::schedule::run(command, &session),
        Verb::Session(command) => verbs::session::run(command, &session),
        Verb::Doctor(args) => doctor::run(&args, &session),
        Verb::Wake(args) => verbs::wake::run(&args, &session),
        Verb::Serve(args) => serve::run(args, output),
        Verb::Selftest(args) => selftest::run(&args, &session),
        Verb::Demo(args) => demo::run(args),
        Verb::Completions { shell } => verbs::completions::run(shell),
    }
}
