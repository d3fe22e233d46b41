//! The settings file: one for all commands of an installation.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};

/// Edits by which a name may differ from the one that was meant.
const TYPING_ERRORS_MAX: usize = 3;

/// Where further settings are.
#[derive(Clone, Debug, Args)]
pub struct FileSettings {
    /// TOML file with settings of any command, named as the flags; each command takes what it has a flag for.
    #[arg(long, env = "ANAMNESIS_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {0} cannot be read")]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is not TOML.
    #[error("the settings file {0} is not TOML")]
    Parse(PathBuf, #[source] toml::de::Error),
    /// No command has such a setting.
    #[error(
        "the settings file {path} names `{key}`, which is not a setting of any command{}",
        nearest.as_ref().map(|name| format!("; is `{name}` meant?")).unwrap_or_default()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The name.
        key: String,
        /// The setting whose name is most like it, where one is.
        nearest: Option<String>,
    },
    /// A value of another kind.
    #[error("the settings file {path} gives `{key}` a value that is neither text, number nor true/false")]
    Kind {
        /// The file.
        path: PathBuf,
        /// The name.
        key: String,
    },
}

/// Adds the settings of the file, where there is one, as flags of the command that `arguments`
/// call. What is given by flag or variable stays as it is, and so does what excludes it; what
/// only other commands have is passed over.
///
/// # Errors
/// [`SettingsError`].
pub fn with_file(arguments: Vec<OsString>, command: &Command) -> Result<Vec<OsString>, SettingsError> {
    let Some(path) = config_file(&arguments) else { return Ok(arguments) };
    let text = std::fs::read_to_string(&path).map_err(|source| SettingsError::Read(path.clone(), source))?;
    let table: toml::Table = text.parse().map_err(|source| SettingsError::Parse(path.clone(), source))?;
    let (words, called) = called(&arguments, command);
    let names = names(command);
    let mut flags = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        if !names.contains(&*name) {
            let nearest = nearest(&name, &names);
            return Err(SettingsError::Unknown { path, key, nearest });
        }
        let text = text_of(value).ok_or_else(|| SettingsError::Kind { path: path.clone(), key })?;
        let own = called.get_arguments().find(|argument| setting(argument) == Some(&name));
        if own.is_some_and(|argument| !is_settled(argument, called, &arguments)) {
            flags.push(format!("--{name}={text}").into());
        }
    }
    // Directly behind the command's name: what follows later may be no flags any more.
    let mut extended = arguments;
    extended.splice(words..words, flags);
    Ok(extended)
}

/// The command that is called, and how many words call it.
fn called<'command>(arguments: &[OsString], command: &'command Command) -> (usize, &'command Command) {
    let mut called = (1.min(arguments.len()), command);
    while let Some(next) = arguments.get(called.0).and_then(|word| called.1.find_subcommand(word)) {
        called = (called.0 + 1, next);
    }
    called
}

/// The name under which an argument can stand in the file.
fn setting(argument: &Arg) -> Option<&str> {
    let name = argument.get_long().filter(|_| argument.get_action().takes_values());
    name.filter(|name| *name != "config")
}

/// The settings of all commands.
fn names(command: &Command) -> BTreeSet<&str> {
    let own = command.get_arguments().filter_map(setting);
    own.chain(command.get_subcommands().filter(|command| !command.is_hide_set()).flat_map(names)).collect()
}

pub(super) fn nearest(name: &str, names: &BTreeSet<&str>) -> Option<String> {
    let distances = names.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
    let nearest = distances.min().filter(|(distance, _)| *distance <= TYPING_ERRORS_MAX)?;
    Some((*nearest.1).to_owned())
}

fn text_of(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Whether the argument, or one that excludes it, is given by flag or variable.
fn is_settled(argument: &Arg, command: &Command, arguments: &[OsString]) -> bool {
    let excluding = command.get_arguments().filter(|other| {
        let excludes = |one: &Arg, other: &Arg| {
            command.get_arg_conflicts_with(one).iter().any(|excluded| excluded.get_id() == other.get_id())
        };
        excludes(argument, other) || excludes(other, argument)
    });
    std::iter::once(argument).chain(excluding).any(|argument| {
        let in_environment = argument.get_env().is_some_and(|variable| std::env::var_os(variable).is_some());
        in_environment || argument.get_long().is_some_and(|name| value_of(arguments, name).is_some())
    })
}

fn config_file(arguments: &[OsString]) -> Option<PathBuf> {
    let given = value_of(arguments, "config").map(PathBuf::from);
    let given = given.or_else(|| std::env::var_os("ANAMNESIS_CONFIG").map(PathBuf::from));
    given.filter(|path| path != Path::new(""))
}

/// What stands behind a flag.
pub(super) fn value_of(arguments: &[OsString], name: &str) -> Option<OsString> {
    let flag = format!("--{name}");
    let mut arguments = arguments.iter().take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        if *argument == *flag {
            return Some(arguments.next().cloned().unwrap_or_default());
        }
        if let Some(value) = argument.to_str().and_then(|text| text.strip_prefix(&flag)?.strip_prefix('=')) {
            return Some(value.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{Arg, ArgAction, Command};

    use super::{SettingsError, with_file};

    fn command() -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name);
        Command::new("program")
            .subcommand(Command::new("serve").args([flag("data-dir"), flag("listen"), flag("config")]))
            .subcommand(Command::new("token").args([flag("key").conflicts_with("key-file"), flag("key-file")]))
            .subcommand(Command::new("recover").arg(flag("yes").action(ArgAction::SetTrue)))
            .subcommand(Command::new("import").subcommand(Command::new("sdtm").arg(flag("data-dir"))))
    }

    fn extended(file: &str, arguments: &[&str]) -> Result<Vec<String>, SettingsError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, file).expect("it is written");
        let config = format!("--config={}", path.display());
        let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        let flags_end = arguments.iter().position(|argument| *argument == "--").unwrap_or(all.len());
        all.insert(flags_end, config.clone().into());
        let extended = with_file(all, &command())?.into_iter().map(|word| word.into_string().expect("text"));
        Ok(extended.filter(|word| *word != config).collect())
    }

    #[test]
    fn a_command_takes_its_own_and_passes_over_what_others_have() {
        let file = "listen = \"[::]:80\"\ndata_dir = \"d\"\nkey-file = \"k\"";
        let words = |arguments: &[&str]| extended(file, arguments).expect("a good file");
        assert_eq!(words(&["program", "serve"]), ["program", "serve", "--data-dir=d", "--listen=[::]:80"]);
        assert_eq!(words(&["program", "token", "--", "x"]), ["program", "token", "--key-file=k", "--", "x"]);
        assert_eq!(words(&["program", "import", "sdtm", "f"]), ["program", "import", "sdtm", "--data-dir=d", "f"]);
        assert_eq!(words(&["program", "recover", "--yes"]), ["program", "recover", "--yes"]);
    }

    #[test]
    fn a_flag_stands_above_the_file_and_above_what_it_excludes() {
        for given in ["--key-file=other", "--key=0f"] {
            let words = extended("key_file = \"k\"", &["program", "token", given]).expect("a good file");
            assert_eq!(words, ["program", "token", given]);
        }
    }

    #[test]
    fn what_no_command_knows_is_refused_with_the_nearest_name() {
        let message = |file| extended(file, &["program", "recover"]).expect_err("a bad file").to_string();
        assert!(message("lisen = 1").contains("names `lisen`"));
        assert!(message("lisen = 1").ends_with("; is `listen` meant?"), "{}", message("lisen = 1"));
        assert!(message("colour = \"red\"").ends_with("not a setting of any command"));
        assert!(message("listen = [1]").contains("neither text"));
        // Neither a command's deed nor another file is a setting.
        assert!(message("yes = true").contains("`yes`"));
        assert!(message("config = \"x\"").contains("`config`"));
    }
}
