//! What the program tells of itself: completions for shells, manual pages, the list of metrics.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use client::ToolError;
use client::console::print;
use rustix::fs::Mode;

/// For which shell.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Where to.
#[derive(Args)]
pub struct ManArgs {
    /// Folder for the pages, made where it is missing.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints the completions of all commands for a shell.
///
/// # Errors
/// Where the output is closed.
pub fn completions(mut command: Command, args: &CompletionsArgs) -> Result<(), ToolError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "anamnesis", &mut script);
    Ok(print(&String::from_utf8_lossy(&script))?)
}

/// Writes a manual page for each command; everybody may read them.
///
/// # Errors
/// Where a page cannot be written.
pub fn man(mut command: Command, args: &ManArgs) -> Result<(), ToolError> {
    let folder = &args.folder;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    std::fs::create_dir_all(folder).map_err(ToolError::file(folder, "made"))?;
    command.build();
    let count = pages(&command, folder, "anamnesis")?;
    Ok(print(&format!("{count} pages in {}\n", folder.display()))?)
}

fn pages(command: &Command, folder: &Path, name: &str) -> Result<usize, ToolError> {
    let path = folder.join(format!("{name}.1"));
    let mut page = Vec::new();
    // The name under which `man` finds it is the page's title.
    let rendered = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).render(&mut page);
    rendered.and_then(|()| written(&path, &page)).map_err(ToolError::file(&path, "written"))?;
    let mut count = 1;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
        count += pages(sub, folder, &format!("{name}-{}", sub.get_name()))?;
    }
    Ok(count)
}

fn written(path: &Path, page: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(page)
}

/// Prints what a server measures.
///
/// # Errors
/// Where the output is closed.
pub fn metrics() -> Result<(), ToolError> {
    Ok(print(&service::metrics::page())?)
}
