//! The commands of the program.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use sdtm::ImportArgs;
use service::settings::{EventKeySettings, FileSettings, NatsSettings, ServerSettings, StorageSettings};
use simulation::SimulateArgs;

use crate::account::{self, AccountArgs};
use crate::admin;
use crate::administrator::{self, AdministratorArgs};
use crate::build::VERSION;
use crate::check_history::{self, CheckHistoryArgs};
use crate::check_readings::{self, CheckReadingsArgs};
use crate::documents::{self, CompletionsArgs, ManArgs};
use crate::examples;
use crate::gateway::{self, GatewayArgs};
use crate::key::{self, KeyArgs};
use crate::ready::{self, ReadyArgs};
use crate::recover::{self, RecoverArgs};
use crate::replay::{self, ReplayArgs};
use crate::serve::{self, Roles};
use crate::token::{self, TokenArgs};

/// Event-sourced backend for clinical trials.
///
/// Without a command the whole system is served on the embedded engine.
#[derive(Parser)]
#[command(name = "anamnesis", version = VERSION, max_term_width = 100, after_help = examples::ALL)]
pub struct Cli {
    #[command(subcommand)]
    command: Task,
    #[command(flatten)]
    _file: FileSettings,
}

#[derive(Subcommand)]
enum Task {
    /// Serves everything in one process.
    #[command(after_help = examples::SERVE)]
    Serve(Box<ServerSettings>),
    /// Serves the write side: commands over REST.
    #[command(after_help = examples::COMMAND_API)]
    CommandApi(Box<ServerSettings>),
    /// Serves the read side: views, history, event stream.
    #[command(after_help = examples::QUERY_API)]
    QueryApi(Box<ServerSettings>),
    /// Keeps the views up to date.
    #[command(after_help = examples::PROJECTOR)]
    Projector(Box<ServerSettings>),
    /// Runs the process managers.
    #[command(after_help = examples::SAGA)]
    Saga(Box<ServerSettings>),
    /// Publishes the log on NATS JetStream.
    #[command(after_help = examples::RELAY)]
    Relay(Box<ServerSettings>),
    /// Sends messages to people, by the gateways that the settings name.
    #[command(after_help = examples::OUTBOUND)]
    Outbound(Box<ServerSettings>),
    /// Stands in for a message gateway while one develops: shows what would have been sent, and fails as it is told to.
    #[command(after_help = examples::GATEWAY)]
    Gateway(GatewayArgs),
    /// Asks a server whether it is ready, such as for a container's health check.
    #[command(after_help = examples::READY)]
    Ready(ReadyArgs),
    /// Brings the database's schema up to date.
    #[command(after_help = examples::MIGRATE)]
    Migrate(StorageSettings),
    /// Makes a view again from the log, beside the one that is read.
    #[command(after_help = examples::REBUILD)]
    Rebuild {
        /// The view's name, such as `trial_enrolment`, or `all`.
        view: String,
        /// Prints a JSON object: `rebuilt`, a list of `view` and `position`.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Publishes the log again on JetStream, each event once and in order; the copy before goes when the new one is whole.
    #[command(after_help = examples::REPUBLISH)]
    Republish {
        /// The first position to publish.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), value_name = "POSITION")]
        from: u64,
        #[command(flatten)]
        nats: Box<NatsSettings>,
        #[command(flatten)]
        event_keys: EventKeySettings,
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Copies log and readings of the embedded engine, also while it is served, and reads the copies through.
    #[command(after_help = examples::BACKUP)]
    Backup {
        /// The folder for the copy; made where it is missing.
        to: PathBuf,
        /// Prints a JSON object: `file`, `log_id`, `epoch`, `position`, `readings_file`, `chunks`.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Takes a log up again that lost events, after a restore or a fail-over: shows what is lost, begins a new epoch.
    #[command(after_help = examples::RECOVER)]
    Recover(RecoverArgs),
    /// Replays the history of a patient.
    #[command(after_help = examples::REPLAY)]
    Replay(ReplayArgs),
    /// Makes an administrator, in the storage itself: the first one, or one more where nobody can sign in any more.
    #[command(after_help = examples::ADMINISTRATOR)]
    Administrator(AdministratorArgs),
    /// Opens an account, or grants a role to it, as an administrator.
    #[command(after_help = examples::ACCOUNT)]
    Account(AccountArgs),
    /// Issues a token with the key that the servers verify by.
    #[command(after_help = examples::TOKEN)]
    Token(TokenArgs),
    /// Makes and rotates the master key, wraps the keys of patients, accounts and trials again, and makes keys for events.
    #[command(after_help = examples::KEY)]
    Key(Box<KeyArgs>),
    /// Carries data of other systems over, such as a study's SDTM tables.
    #[command(after_help = examples::IMPORT)]
    Import(ImportArgs),
    /// Plays a believable trial from a seed.
    #[command(after_help = examples::SIMULATE)]
    Simulate(Box<SimulateArgs>),
    /// Judges what was recorded of a concurrent run: order, durability, guards, consumers.
    #[command(after_help = examples::CHECK_HISTORY)]
    CheckHistory(CheckHistoryArgs),
    /// Compares the readings of wearables with what the log says of them: none is missing, none was changed.
    #[command(after_help = examples::CHECK_READINGS)]
    CheckReadings(CheckReadingsArgs),
    /// Prints completions for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Writes manual pages.
    #[command(after_help = examples::MAN)]
    Man(ManArgs),
    /// Prints the list of all metrics, as in docs/metrics.md.
    #[command(after_help = examples::METRICS)]
    Metrics,
    /// Prints the list of all settings, as in docs/settings.md.
    #[command(after_help = examples::SETTINGS)]
    Settings,
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self.command {
            Task::Serve(settings) => serve::run(Roles::ALL, &settings).await?,
            Task::CommandApi(settings) => serve::run(Roles::COMMAND_API, &settings).await?,
            Task::QueryApi(settings) => serve::run(Roles::QUERY_API, &settings).await?,
            Task::Projector(settings) => serve::run(Roles::PROJECTOR, &settings).await?,
            Task::Saga(settings) => serve::run(Roles::SAGA, &settings).await?,
            Task::Relay(settings) => serve::run(Roles::RELAY, &settings).await?,
            Task::Outbound(settings) => serve::run(Roles::OUTBOUND, &settings).await?,
            Task::Gateway(args) => gateway::run(args).await?,
            Task::Ready(args) => return Ok(ready::run(args).await?),
            Task::Migrate(storage) => admin::migrate(&storage).await?,
            Task::Rebuild { view, json, storage } => admin::rebuild(&storage, &view, json).await?,
            Task::Republish { from, nats, event_keys, storage } => {
                admin::republish(&storage, &nats, &event_keys, from).await?;
            }
            Task::Backup { to, json, storage } => admin::backup(&storage, &to, json).await?,
            Task::Recover(args) => recover::run(&args).await?,
            Task::Replay(args) => return Ok(replay::run(args).await?),
            Task::Administrator(args) => administrator::run(&args).await?,
            Task::Account(args) => account::run(&args).await?,
            Task::Key(args) => key::run(&args).await?,
            Task::Token(args) => return Ok(token::run(&args)?),
            Task::Import(args) => return Ok(sdtm::run(args, token::issuer).await?),
            Task::Simulate(args) => {
                let issue = token::issuer(&args.client);
                return Ok(simulation::run(*args, event_store::clock::now().date_naive(), issue).await?);
            }
            Task::CheckHistory(args) => return Ok(check_history::run(&args)?),
            Task::CheckReadings(args) => return Ok(check_readings::run(args).await?),
            Task::Completions(args) => documents::completions(Cli::command(), &args)?,
            Task::Man(args) => documents::man(Cli::command(), &args)?,
            Task::Metrics => documents::metrics()?,
            Task::Settings => documents::settings(&Cli::command())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
