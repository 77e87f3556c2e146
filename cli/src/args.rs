//! The command line.

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::connection::ConnectionArgs;
use crate::demo::DemoArgs;
use crate::doctor::DoctorArgs;
use crate::exit::EXIT_CODES;
use crate::output::Format;
use crate::selftest::SelftestArgs;
use crate::serve::ServeArgs;
use crate::verbs::api_switch::ApiCommand;
use crate::verbs::audit::AuditArgs;
use crate::verbs::backup::BackupCommand;
use crate::verbs::context::ContextCommand;
use crate::verbs::controllers::ControllersArgs;
use crate::verbs::device::DeviceCommand;
use crate::verbs::factory::FactoryCommand;
use crate::verbs::factory_token::FactoryTokenCommand;
use crate::verbs::group::GroupCommand;
use crate::verbs::host::HostCommand;
use crate::verbs::image::ImageCommand;
use crate::verbs::inventory::InventoryCommand;
use crate::verbs::login::LoginArgs;
use crate::verbs::node::NodeCommand;
use crate::verbs::notify::NotifyCommand;
use crate::verbs::plugin::PluginCommand;
use crate::verbs::replication::ReplicationCommand;
use crate::verbs::schedule::ScheduleCommand;
use crate::verbs::session::SessionCommand;
use crate::verbs::setting::SettingCommand;
use crate::verbs::site::SiteCommand;
use crate::verbs::snapin::SnapinCommand;
use crate::verbs::state::StateCommand;
use crate::verbs::storage_group::StorageGroupCommand;
use crate::verbs::task::TaskCommand;
use crate::verbs::user::UserCommand;
use crate::verbs::wake::WakeArgs;

const HELP: &str = "\
Example:
  foghorn serve --state-dir /var/lib/foghorn
  foghorn login --server https://fog.example.org:8443 --ca-fingerprint SHA
  foghorn image deploy win11 --group lab --wait

Objects are given by name or id; `id:7` and `name:7` are unambiguous.
";

/// Image fleets of computers: capture a disk once, deploy it to one machine or hundreds.
#[derive(Parser, Debug)]
#[command(
    name = "foghorn",
    version,
    after_help = HELP,
    after_long_help = long_help(),
)]
pub struct Cli {
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Output format
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub output: Format,
    /// Print only ids and results
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show times in UTC instead of the zone of this machine
    #[arg(long, global = true)]
    pub utc: bool,
    /// Show every request to the server and its answer on standard error
    #[arg(short, long, global = true)]
    pub verbose: bool,
    #[command(subcommand)]
    pub verb: Verb,
}

/// The text of the short help, and the exit codes.
fn long_help() -> String {
    format!("{HELP}\n{EXIT_CODES}")
}

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Check a server and its tokens and store them as a context
    #[command(
        after_help = "Examples:\n  foghorn login --server https://fog.example.org:8443 --ca-fingerprint SHA\n  foghorn login --first-run-file first-run.json\n  printf '%s\\n' \"$API_TOKEN\" \"$USER_TOKEN\" | foghorn login --server https://fog.example.org:8443 --ca ca.pem --name branch"
    )]
    Login(LoginArgs),
    /// Contexts: the servers with stored logins
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn context use branch-office"
    )]
    Context(ContextCommand),
    /// Hosts: the machines that are imaged
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn host create lab-pc01 --mac 00:1a:2b:3c:4d:01"
    )]
    Host(HostCommand),
    /// Images: create, capture, deploy, verify
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn image deploy win11 --host lab-pc01 --wait"
    )]
    Image(ImageCommand),
    /// Groups of hosts
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn group create lab --host lab-pc01"
    )]
    Group(GroupCommand),
    /// Snapins: programs that hosts run, and their files
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn snapin create 7zip --upload ./7z2409-x64.msi"
    )]
    Snapin(SnapinCommand),
    /// Storage nodes: where images are stored
    #[command(subcommand, after_help = "Example:\n  foghorn node join-token north")]
    Node(NodeCommand),
    /// Storage groups: sets of storage nodes that hold the same images
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn storage-group edit north --add-node n2"
    )]
    StorageGroup(StorageGroupCommand),
    /// Replication: images on storage nodes, and how they get there
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn replication status --watch"
    )]
    Replication(ReplicationCommand),
    /// Sites: storage groups with their subnets, and who serves their hosts
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn site edit north --subnet 10.1.0.0/16 --fallback default"
    )]
    Site(SiteCommand),
    /// Settings of the installation
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn setting set FOG_TZ_INFO Europe/Berlin"
    )]
    Setting(SettingCommand),
    /// List the controllers that share the store, and whether they hear each other
    #[command(
        after_help = "Examples:\n  foghorn controllers -o json\n  foghorn controllers --wait 3"
    )]
    Controllers(ControllersArgs),
    /// Plugins: list, show, switch on and off
    #[command(subcommand, after_help = "Example:\n  foghorn plugin list")]
    Plugin(PluginCommand),
    /// Hardware of hosts, as they reported it
    #[command(subcommand, after_help = "Example:\n  foghorn inventory show lab-pc01")]
    Inventory(InventoryCommand),
    /// Tasks: list, show, cancel, wait
    #[command(subcommand, after_help = "Example:\n  foghorn task list --active")]
    Task(TaskCommand),
    /// Multicast sessions: deploys to several hosts that share a stream
    #[command(subcommand, after_help = "Example:\n  foghorn session watch 7")]
    Session(SessionCommand),
    /// Users of the API: roles, passwords, tokens
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn user add anna --role operator"
    )]
    User(UserCommand),
    /// Devices: machines that have an identity of their own, after imaging
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn device list --factory north"
    )]
    Device(DeviceCommand),
    /// Factories, which are sites: whether devices are imaged when their tag gets a newer target
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn factory policy show north"
    )]
    Factory(FactoryCommand),
    /// Tokens for the API of a FoundriesFactory
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn factory-token create --scope devices:read,targets:read --expires 90d"
    )]
    FactoryToken(FactoryTokenCommand),
    /// Who is told of failures, ends of tasks, lost nodes: webhooks, chats, mails
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn notify add webhook https://hooks.example.org/foghorn --name pager"
    )]
    Notify(NotifyCommand),
    /// The REST API as a whole: turn it on or off, replace its token
    #[command(subcommand, after_help = "Example:\n  foghorn api status")]
    Api(ApiCommand),
    /// Show who changed what, newest first
    #[command(after_help = "Example:\n  foghorn audit --class host --id 7 --since 48h")]
    Audit(AuditArgs),
    /// Backups of the server's state
    #[command(subcommand, after_help = "Example:\n  foghorn backup create")]
    Backup(BackupCommand),
    /// The whole state as one encrypted file: to grow from one box to etcd, to move, to keep
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn state export lab.foghorn"
    )]
    State(StateCommand),
    /// Schedules: what is done later, once or by the calendar
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn schedule create night --task deploy --group lab --cron '0 3 * * 1'"
    )]
    Schedule(ScheduleCommand),
    /// Wake hosts over the network, through the agents at their site
    #[command(
        after_help = "Example:\n  foghorn wake lab-pc01 lab-pc02\n  foghorn wake --group lab"
    )]
    Wake(WakeArgs),
    /// Check the server, the connection to it and its storage, and say how to solve problems
    #[command(after_help = "Example:\n  foghorn doctor")]
    Doctor(DoctorArgs),
    /// Capture a small disk of random bytes through the server, copy, deploy and compare it, and remove
    /// it again
    #[command(after_help = "Example:\n  foghorn selftest --multicast")]
    Selftest(SelftestArgs),
    /// Run a complete site in one process: controller, embedded store and one storage node
    #[command(
        after_help = "Example:\n  foghorn serve --state-dir /var/lib/foghorn --listen 10.0.0.2:8443"
    )]
    Serve(ServeArgs),
    /// Capture a disk and deploy it to three others on this machine, with all real components, and
    /// check the result
    #[command(after_help = "Example:\n  foghorn demo --keep")]
    Demo(DemoArgs),
    /// Print the completion script of a shell
    #[command(after_help = "Example:\n  foghorn completions bash > /etc/bash_completion.d/foghorn")]
    Completions { shell: Shell },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn without_example(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        if !command
            .get_after_help()
            .is_some_and(|help| help.to_string().contains("Example"))
        {
            found.push(path.clone());
        }
        for sub in command
            .get_subcommands()
            .filter(|sub| sub.get_name() != "help")
        {
            without_example(sub, &path, found);
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_every_help_has_an_example() {
        Cli::command().debug_assert();
        let mut found = Vec::new();
        without_example(&Cli::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn whatever_makes_changes_or_deletes_an_object_can_be_tried() {
        fn walk(command: &clap::Command, path: &str, changes: bool, found: &mut Vec<String>) {
            let name = command.get_name();
            let path = format!("{path} {name}");
            let changes = changes || matches!(name, "create" | "edit" | "delete" | "add" | "set");
            let is_last = !command.has_subcommands();
            let has = command
                .get_arguments()
                .any(|argument| argument.get_id() == "dry_run");
            if is_last && changes && !has {
                found.push(path.clone());
            }
            for sub in command.get_subcommands() {
                if sub.get_name() != "help" {
                    walk(sub, &path, changes, found);
                }
            }
        }
        let mut found = Vec::new();
        walk(&Cli::command(), "", false, &mut found);
        // One is a file here, the other takes room and changes nothing.
        assert_eq!(found, [" foghorn context delete", " foghorn backup create"]);
    }

    #[test]
    fn exit_codes_are_in_the_long_help() {
        assert!(
            Cli::command()
                .render_long_help()
                .to_string()
                .contains(EXIT_CODES)
        );
    }

    #[test]
    fn a_deploy_needs_a_target() {
        assert!(Cli::try_parse_from(["foghorn", "image", "deploy", "win11"]).is_err());
        assert!(
            Cli::try_parse_from([
                "foghorn", "image", "deploy", "win11", "--host", "a", "--group", "b"
            ])
            .is_ok()
        );
        assert!(
            Cli::try_parse_from([
                "foghorn",
                "image",
                "deploy",
                "win11",
                "--host",
                "a",
                "--timeout",
                "3m"
            ])
            .is_err()
        );
    }

    #[test]
    fn the_terms_of_a_session_need_a_multicast_and_one_start() {
        let parse = |rest: &[&str]| {
            Cli::try_parse_from(
                ["foghorn", "image", "deploy", "win11", "--group", "lab"]
                    .iter()
                    .chain(rest),
            )
            .is_ok()
        };
        assert!(parse(&[
            "--multicast",
            "--start-receivers",
            "20",
            "--max-wait",
            "5m",
            "--max-rate",
            "500m"
        ]));
        assert!(parse(&[
            "--multicast",
            "--start-at",
            "2030-01-31T20:00:00Z"
        ]));
        assert!(!parse(&["--max-rate", "500m"]));
        assert!(!parse(&["--multicast", "--max-rate", "fast"]));
        assert!(!parse(&[
            "--multicast",
            "--start-receivers",
            "20",
            "--start-at",
            "2030-01-31T20:00:00Z"
        ]));
    }

    #[test]
    fn a_text_in_place_of_a_number_is_refused_in_plain_words() {
        let id = "an id is a whole number from 1 to 4294967295";
        for (line, argument, words) in [
            ("task show abc", "<TASK>", id),
            ("task cancel 0", "[TASKS]", id),
            ("session show 1.5", "<SESSION>", id),
            (
                "node edit n --max-clients many",
                "--max-clients",
                "a whole number from 0 to",
            ),
            (
                "node join-token n --ttl 0",
                "--ttl",
                "a whole number from 1 to 604800",
            ),
            (
                "image create i --os linux",
                "--os",
                "a whole number from 0 to",
            ),
            (
                "audit --limit none",
                "--limit",
                "a whole number from 1 to 100000",
            ),
            (
                "demo --content big",
                "--content",
                "a whole number from 1 to 65536",
            ),
        ] {
            let words_of = ["foghorn"].into_iter().chain(line.split(' '));
            let refused = Cli::try_parse_from(words_of).expect_err(line).to_string();
            assert!(refused.contains(argument), "{line}: {refused}");
            assert!(refused.contains(words), "{line}: {refused}");
            assert!(!refused.contains("digit"), "{line}: {refused}");
        }
    }

    /// Values of global options reach every command; an own option of the same name would take them.
    #[test]
    fn no_command_has_an_option_with_the_name_of_a_global_one() {
        fn walk(command: &clap::Command, globals: &[clap::Id], path: &str) {
            for inner in command.get_subcommands() {
                let path = format!("{path} {}", inner.get_name());
                for own in inner.get_arguments() {
                    assert!(!globals.contains(own.get_id()), "{path}: {}", own.get_id());
                }
                walk(inner, globals, &path);
            }
        }
        let command = Cli::command();
        let globals: Vec<clap::Id> = command
            .get_arguments()
            .filter(|argument| argument.is_global_set())
            .map(|argument| argument.get_id().clone())
            .collect();
        assert!(globals.len() > 5, "{globals:?}");
        walk(&command, &globals, "foghorn");
    }
}
