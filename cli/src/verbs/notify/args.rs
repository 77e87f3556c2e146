//! The arguments of `foghorn notify`.

use std::path::PathBuf;

use crate::confirm::{Consent, Rehearsal};
use clap::{Args, Subcommand, ValueEnum};
use foghorn_rest_types::notifications::MailSecurity;

#[derive(Subcommand, Debug)]
pub enum NotifyCommand {
    /// List who is told
    #[command(after_help = "Example:\n  foghorn notify list")]
    List,
    /// Show one
    #[command(after_help = "Example:\n  foghorn notify show pager")]
    Show { name: String },
    /// Tell somebody from now on
    #[command(
        subcommand,
        after_help = "Example:\n  foghorn notify add webhook https://hooks.example.org/foghorn --name pager --kind task-failed,node-lost"
    )]
    Add(Box<AddCommand>),
    /// Change one; options that are not given stay as they are
    #[command(after_help = "Example:\n  foghorn notify edit pager --group lab --enabled false")]
    Edit(Box<EditArgs>),
    /// Tell somebody no longer
    #[command(after_help = "Example:\n  foghorn notify delete pager --yes")]
    Delete {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        consent: Consent,
    },
    /// Send a test message and say whether it was taken
    #[command(after_help = "Example:\n  foghorn notify test pager")]
    Test { name: String },
    /// List messages and what became of them, the newest first
    #[command(after_help = "Example:\n  foghorn notify deliveries pager --dead")]
    Deliveries {
        name: String,
        /// Only those that were given up
        #[arg(long)]
        dead: bool,
        /// At most this many
        #[arg(long, default_value_t = 50, value_parser = crate::number::within(1..=600))]
        limit: u32,
    },
    /// Send messages again that were given up or wait for their next attempt
    #[command(after_help = "Example:\n  foghorn notify retry pager")]
    Retry {
        name: String,
        /// Only the message with this id, as `deliveries` shows it
        #[arg(long, value_name = "ID")]
        delivery: Option<String>,
    },
}

#[derive(Subcommand, Debug)]
pub enum AddCommand {
    /// A program: signed JSON is sent to its URL
    #[command(
        after_help = "Example:\n  foghorn notify add webhook https://hooks.example.org/foghorn --name pager"
    )]
    Webhook {
        url: String,
        /// File with the secret (whsec_…) for signatures; default: a new one, which is printed
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// A channel of Slack, Mattermost, Teams or the like
    #[command(
        after_help = "Example:\n  foghorn notify add chat https://chat.example.org/hooks/x1y2 --name room --template room.json"
    )]
    Chat {
        url: String,
        /// File with a JSON object, in whose texts {text}, {title}, {kind}, {host}, {image}, {node},
        /// {task}, {reason} and {time} are replaced; default: {"text": "{text}"}
        #[arg(long, value_name = "FILE")]
        template: Option<PathBuf>,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
    /// People, by e-mail
    #[command(
        after_help = "Example:\n  foghorn notify add mail anna@example.org --from foghorn@example.org --smtp mail.example.org --user foghorn --password-file FILE"
    )]
    Mail {
        #[arg(required = true, value_name = "ADDRESS")]
        to: Vec<String>,
        #[command(flatten)]
        mail: MailOptions,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        rehearsal: Rehearsal,
    },
}

/// What everybody has who is told.
#[derive(Args, Debug)]
pub struct Common {
    /// Its name; default for a new one: the host of the URL, or the address
    #[arg(long)]
    pub name: Option<String>,
    /// Of what: task-failed, task-finished, group-finished, task-stuck, node-lost, node-back,
    /// damage-found, node-nearly-full, certificate-ending, device-cloned, device-secrets-unreadable;
    /// default: what the site's notifyevent rows say, or everything but task-finished. "" goes back to that
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub kind: Vec<String>,
    /// Only what is about hosts of these groups; "" for all hosts
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Messages that may be sent at once; what is more comes together in one message
    #[arg(long, value_name = "N", value_parser = crate::number::within(1..=100))]
    pub burst: Option<u32>,
    /// Seconds after which one more message is allowed
    #[arg(long, value_name = "SECONDS", value_parser = crate::number::within(1..=86_400))]
    pub interval: Option<u32>,
    /// PEM file with the only certificate authorities to trust; an empty file goes back to the public
    /// ones
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// How mails are sent.
#[derive(Args, Debug)]
pub struct MailOptions {
    /// Address of the sender
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<String>,
    /// Name or address of the mail server, also with its port: mail.example.org:25
    #[arg(long, value_name = "HOST[:PORT]")]
    pub smtp: Option<String>,
    /// Its port; default: 587 with starttls, 465 with tls, 25 with plain
    #[arg(long, value_parser = crate::number::within(1..=65_535))]
    pub port: Option<u32>,
    /// How to speak to it; default: starttls
    #[arg(long, value_enum)]
    pub security: Option<SecurityChoice>,
    /// User to log in with
    #[arg(long)]
    pub user: Option<String>,
    /// File whose first line is the password of that user; - for standard input
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct EditArgs {
    #[arg(value_name = "NAME")]
    pub notification: String,
    /// Whether messages are sent
    #[arg(long, value_name = "true|false")]
    pub enabled: Option<bool>,
    /// Another URL, of a webhook or chat
    #[arg(long)]
    pub url: Option<String>,
    /// Other addresses, of a mail
    #[arg(long, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// File with another template, of a chat
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// File with another secret for signatures, of a webhook
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    #[command(flatten)]
    pub mail: MailOptions,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub rehearsal: Rehearsal,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SecurityChoice {
    /// STARTTLS, which is required
    Starttls,
    /// TLS from the beginning
    Tls,
    /// No encryption: only to a server on the controller's own machine
    Plain,
}

impl From<SecurityChoice> for MailSecurity {
    fn from(choice: SecurityChoice) -> Self {
        match choice {
            SecurityChoice::Starttls => Self::Starttls,
            SecurityChoice::Tls => Self::Tls,
            SecurityChoice::Plain => Self::Plain,
        }
    }
}
