//! Measures figures beside a limit or a peer: `cargo xtask bench`.
//!
//! Absolute figures wander on shared machines. What counts are ratios taken in
//! one run, ours and the other interleaved, medians of several rounds.

mod echo;
mod keys;
mod load;
mod measure;
mod surroundings;
mod system;
mod workload;
mod works;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use measure::{Row, table};
pub use surroundings::{Bench, BenchError};

/// The program's own, so that what is measured in this process is what runs in that one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures figures beside a limit or a peer and prints one table.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Arguments {
    /// Figures to measure, by name or number; all by default.
    names: Vec<String>,
    /// A short form: fewer and shorter rounds.
    #[arg(long)]
    short: bool,
    /// The program that runs the peers; without it figures beside a peer are left out.
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    peers: Option<PathBuf>,
    /// The program `anamnesis`, for the figures over HTTP.
    #[arg(long, value_name = "PROGRAM", value_parser = program)]
    anamnesis: Option<PathBuf>,
    /// Serves the bare handler of the figures over HTTP.
    #[arg(long, hide = true, requires_all = ["listen", "signing_key_file"])]
    echo: bool,
    /// Where the bare handler listens.
    #[arg(long, hide = true)]
    listen: Option<std::net::SocketAddr>,
    /// The key by which the bare handler verifies.
    #[arg(long, hide = true)]
    signing_key_file: Option<PathBuf>,
    /// Writes the rows as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A figure: its numbers, name, whether it needs a peer.
const FIGURES: [(&str, &str, bool); 19] = [
    ("1", "commands", true),
    ("2", "appends", false),
    ("3", "embedded", true),
    ("4", "http", false),
    ("5", "http-embedded", false),
    ("6 7", "latency", false),
    ("8", "rebuild", false),
    ("9", "relay", false),
    ("10", "history", false),
    ("11", "volume", false),
    ("12", "memory", false),
    ("13", "single", false),
    ("14", "bytes", false),
    ("15", "start", false),
    ("16", "list", false),
    ("17", "followers", false),
    ("18", "lanes", false),
    ("19", "eligibility", false),
    ("20", "readings", false),
];

/// Where a program is, whatever folder it is started in.
fn program(path: &str) -> Result<PathBuf, String> {
    std::fs::canonicalize(path).map_err(|error| error.to_string())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, BenchError> {
    if let (true, Some(listen), Some(key)) = (arguments.echo, arguments.listen, &arguments.signing_key_file) {
        echo::serve(listen, key).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = arguments.names.iter().find(|name| !FIGURES.iter().any(|figure| is(figure, name))) {
        let known: Vec<&str> = FIGURES.iter().map(|(_, name, _)| *name).collect();
        return Err(BenchError::Said(format!("there is no figure `{name}`; there are {}", known.join(", "))));
    }
    let bench = Bench::start(arguments.short, arguments.peers, arguments.anamnesis)?;
    let mut rows: Vec<Row> = Vec::new();
    for figure in &FIGURES {
        let (_, name, peer) = figure;
        if !arguments.names.is_empty() && !arguments.names.iter().any(|wanted| is(figure, wanted)) {
            continue;
        }
        if *peer && !bench.has_peers() {
            eprintln!("{name}: left out, it stands beside a peer");
            continue;
        }
        eprintln!("{name} …");
        let measured = match *name {
            "commands" => works::commands::postgres(&bench).await?,
            "appends" => works::appends::postgres(&bench).await?,
            "embedded" => works::appends::embedded(&bench).await?,
            "http" => works::http::postgres(&bench).await?,
            "http-embedded" => works::http::embedded(&bench).await?,
            "latency" => works::http::latency(&bench).await?,
            "rebuild" => works::rebuild::postgres(&bench).await?,
            "history" => works::history::postgres(&bench).await?,
            "volume" => works::volume::postgres(&bench).await?,
            "memory" => works::memory::embedded(&bench).await?,
            "relay" => works::relay::relay(&bench).await?,
            "eligibility" => works::eligibility::embedded(&bench).await?,
            "readings" => works::readings::both(&bench).await?,
            "lanes" => works::lanes::both(&bench).await?,
            "bytes" => works::bytes::both(&bench).await?,
            "start" => works::start::both(&bench).await?,
            "list" => works::list::both(&bench).await?,
            "followers" => works::followers::postgres(&bench).await?,
            _ => works::single::postgres(&bench).await?,
        };
        eprint!("{}", table(&measured));
        rows.extend(measured);
    }
    print(&table(&rows));
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_vec_pretty(&rows).map_err(|error| BenchError::Said(error.to_string()))?)?;
    }
    let broken = rows.iter().filter(|row| row.broken()).count();
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is(figure: &(&str, &str, bool), name: &str) -> bool {
    figure.1 == name || figure.0.split(' ').any(|number| number == name)
}

fn print(text: &str) {
    use std::io::Write;
    // A reader that went away is no error.
    drop(std::io::stdout().write_all(text.as_bytes()));
}
