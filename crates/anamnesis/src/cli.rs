//! The commands of the program.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sdtm::ImportArgs;
use service::settings::{FileSettings, NatsSettings, ServerSettings, StorageSettings};
use simulation::SimulateArgs;

use crate::admin;
use crate::check_history::{self, CheckHistoryArgs};
use crate::recover::{self, RecoverArgs};
use crate::replay::{self, ReplayArgs};
use crate::serve::{self, Roles};
use crate::token::{self, TokenArgs};

/// Event-sourced backend for clinical trials.
///
/// Without a command the whole system is served on the embedded engine.
#[derive(Parser)]
#[command(name = "anamnesis", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Task,
    #[command(flatten)]
    _file: FileSettings,
}

#[derive(Subcommand)]
enum Task {
    /// Serves everything in one process.
    Serve(Box<ServerSettings>),
    /// Serves the write side: commands over REST.
    CommandApi(Box<ServerSettings>),
    /// Serves the read side: views, history, event stream.
    QueryApi(Box<ServerSettings>),
    /// Keeps the views up to date.
    Projector(Box<ServerSettings>),
    /// Runs the process managers.
    Saga(Box<ServerSettings>),
    /// Publishes the log on NATS JetStream.
    Relay(Box<ServerSettings>),
    /// Brings the database's schema up to date.
    Migrate(StorageSettings),
    /// Makes a view again from the log, beside the one that is read.
    Rebuild {
        /// The view's name, such as `trial_enrolment`, or `all`.
        view: String,
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Publishes the log again on JetStream, each event once and in order; the copy before goes when the new one is whole.
    Republish {
        /// The first position to publish.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), value_name = "POSITION")]
        from: u64,
        #[command(flatten)]
        nats: Box<NatsSettings>,
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Copies the log of the embedded engine, also while it is served, and reads the copy through.
    Backup {
        /// The folder for the copy; made where it is missing.
        to: PathBuf,
        #[command(flatten)]
        storage: StorageSettings,
    },
    /// Takes a log up again that lost events, after a restore or a fail-over: shows what is lost, begins a new epoch.
    Recover(RecoverArgs),
    /// Replays the history of a patient.
    Replay(ReplayArgs),
    /// Issues a token with the key that the servers verify by.
    Token(TokenArgs),
    /// Carries data of other systems over, such as a study's SDTM tables.
    Import(ImportArgs),
    /// Plays a believable trial from a seed.
    Simulate(Box<SimulateArgs>),
    /// Judges what was recorded of a concurrent run: order, durability, guards, consumers.
    CheckHistory(CheckHistoryArgs),
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
            Task::Migrate(storage) => admin::migrate(&storage).await?,
            Task::Rebuild { view, storage } => admin::rebuild(&storage, &view).await?,
            Task::Republish { from, nats, storage } => admin::republish(&storage, &nats, from).await?,
            Task::Backup { to, storage } => admin::backup(&storage, &to).await?,
            Task::Recover(args) => recover::run(&args).await?,
            Task::Replay(args) => return Ok(replay::run(args).await?),
            Task::Token(args) => return Ok(token::run(&args)?),
            Task::Import(args) => return Ok(sdtm::run(args).await?),
            Task::Simulate(args) => return Ok(simulation::run(*args).await?),
            Task::CheckHistory(args) => return Ok(check_history::run(&args)?),
        }
        Ok(ExitCode::SUCCESS)
    }
}
