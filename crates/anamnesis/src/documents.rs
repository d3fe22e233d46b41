//! What the program tells of itself: completions for shells, manual pages, the lists of metrics and settings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};
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

/// Prints every setting of every command.
///
/// # Errors
/// Where the output is closed.
pub fn settings(command: &Command) -> Result<(), ToolError> {
    let mut rows: BTreeMap<&str, (&Arg, Vec<&str>)> = BTreeMap::new();
    for task in command.get_subcommands().filter(|task| !task.is_hide_set()) {
        // An import's settings are those of its sources.
        for argument in std::iter::once(task).chain(task.get_subcommands()).flat_map(Command::get_arguments) {
            let Some(variable) = argument.get_env().and_then(OsStr::to_str) else { continue };
            let tasks = &mut rows.entry(variable).or_insert_with(|| (argument, Vec::new())).1;
            if tasks.last() != Some(&task.get_name()) {
                tasks.push(task.get_name());
            }
        }
    }
    let mut text = String::from(
        "# Settings\n\nEach is given by a flag, by a variable or in a TOML file that `--config` or `ANAMNESIS_CONFIG` names, \
         in this order; one file serves all commands, each takes what it has a flag for. A name that no command knows is \
         refused. Made by `anamnesis settings`; flags without a variable are told by `anamnesis help <command>`.\n\n\
         | flag and name in the file | variable | default | commands | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for (variable, (argument, tasks)) in &rows {
        let name = argument.get_long().unwrap_or_default();
        let defaults: Vec<&str> = argument.get_default_values().iter().filter_map(|value| value.to_str()).collect();
        let default = if defaults.is_empty() { String::new() } else { format!("`{}`", defaults.join(",")) };
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
        text.push_str(&format!("| `--{name}` | `{variable}` | {default} | {} | {help} |\n", tasks.join(", ")));
    }
    Ok(print(&text)?)
}
