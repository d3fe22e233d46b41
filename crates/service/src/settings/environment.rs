//! The variables `ANAMNESIS_*` of the environment.

use std::collections::BTreeSet;

use clap::Command;

use super::file::nearest;

const PREFIX: &str = "ANAMNESIS_";
/// What tests and benchmarks are told by, and what the build was told, which `cargo run` leaves in the environment.
const OTHERS: [&str; 3] = ["ANAMNESIS_TEST_", "ANAMNESIS_E2E_", "ANAMNESIS_COMMIT"];

/// A variable that no command reads.
#[derive(Debug, thiserror::Error)]
#[error(
    "the environment has `{variable}`, which is not a setting of any command{}",
    nearest.as_ref().map_or_else(|| "; unset it".to_owned(), |name| format!("; is `{name}` meant?"))
)]
pub struct UnknownVariable {
    /// Its name.
    variable: String,
    /// The variable whose name is most like it, where one is.
    nearest: Option<String>,
}

/// Refuses a variable that begins as ours do and is none: a setting that is misspelt does not count, and a server that
/// starts without it may start on an empty database.
///
/// # Errors
/// [`UnknownVariable`].
pub fn check_environment(command: &Command) -> Result<(), UnknownVariable> {
    let given = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())));
    check(&known(command), given)
}

fn check(known: &BTreeSet<String>, given: impl Iterator<Item = (String, String)>) -> Result<(), UnknownVariable> {
    let mut unknown: Vec<String> = given
        .filter(|(name, value)| name.starts_with(PREFIX) && !known.contains(name) && !is_of_others(name, value))
        .map(|(name, _)| name)
        .collect();
    // The same one each time.
    unknown.sort_unstable();
    let Some(variable) = unknown.into_iter().next() else { return Ok(()) };
    let nearest = nearest(&variable, &known.iter().map(String::as_str).collect());
    Err(UnknownVariable { variable, nearest })
}

/// Kubernetes tells every container of each service beside it, as `<SERVICE>_SERVICE_HOST`, `<SERVICE>_PORT` and so on:
/// a service may be called `anamnesis`.
fn is_of_others(name: &str, value: &str) -> bool {
    let is_address = ["tcp://", "udp://"].iter().any(|scheme| value.starts_with(scheme));
    let is_part = name.contains("_PORT_") && ["_PROTO", "_PORT", "_ADDR"].iter().any(|end| name.ends_with(end));
    let of_a_service = name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || is_part
        || (is_address && (name.ends_with("_PORT") || name.contains("_PORT_")));
    of_a_service || OTHERS.iter().any(|prefix| name.starts_with(prefix))
}

/// The variables of all commands.
fn known(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str().map(ToOwned::to_owned));
    own.chain(command.get_subcommands().flat_map(known)).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::{check, known};

    #[test]
    fn what_begins_as_ours_do_and_is_none_is_refused() {
        let argument = Arg::new("url").long("url").env("ANAMNESIS_DATABASE_URL");
        let known = known(&Command::new("program").subcommand(Command::new("serve").arg(argument)));
        let told = |name: &str, value: &str| {
            let given = [("PATH", "/bin"), ("ANAMNESIS_DATABASE_URL", "x"), (name, value)];
            let given = given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            check(&known, given).err().map(|error| error.to_string())
        };
        let misspelt = told("ANAMNESIS_DATABSE_URL", "x").expect("it is refused");
        assert!(misspelt.contains("`ANAMNESIS_DATABSE_URL`"), "{misspelt}");
        assert!(misspelt.contains("is `ANAMNESIS_DATABASE_URL` meant?"), "{misspelt}");
        assert!(told("ANAMNESIS_COLOUR", "red").is_some_and(|error| error.ends_with("; unset it")));
        assert!(told("ANAMNESIS_PORT", "8080").is_some());
        for (name, value) in [
            ("ANAMNESIS_SERVICE_HOST", "10.0.0.1"),
            ("ANAMNESIS_SERVICE_PORT_HTTP", "8080"),
            ("ANAMNESIS_PORT", "tcp://10.0.0.1:8080"),
            ("ANAMNESIS_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("ANAMNESIS_COMMAND_API_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("ANAMNESIS_TEST_POSTGRES_URL", "postgres://"),
            ("ANAMNESIS_COMMIT", "0123456789ab"),
            ("DATABASE_URL", "x"),
        ] {
            assert_eq!(told(name, value), None, "{name}");
        }
    }
}
