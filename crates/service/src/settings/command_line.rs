//! Secrets do not stand on a command line: every account of the machine can read it, and so can whoever reads a shell's
//! history.

use std::ffi::OsString;

use clap::{Arg, Command};

use super::file::value_of;

/// A secret that was given as a flag.
#[derive(Debug, thiserror::Error)]
#[error(
    "`--{flag}` was given {what} on the command line, where every account of this machine can read it: give it by the \
     variable {variable}{} or in the settings file (--config)",
    file.as_ref().map(|file| format!(", in a file by --{file},")).unwrap_or_default()
)]
pub struct SecretOnCommandLine {
    flag: String,
    what: &'static str,
    variable: String,
    /// The flag that names a file of it instead, where there is one.
    file: Option<String>,
}

/// Refuses secrets among the arguments: what is marked not to be shown where it comes from the environment. An address
/// is one only where it holds a password or a token.
///
/// # Errors
/// [`SecretOnCommandLine`].
pub fn check_command_line(arguments: &[OsString], command: &Command) -> Result<(), SecretOnCommandLine> {
    let own = command.get_arguments().filter(|argument| argument.is_hide_env_values_set());
    for argument in own {
        let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env()) else { continue };
        let Some(value) = value_of(arguments, flag) else { continue };
        let what = match value.to_string_lossy() {
            value if !value.contains("://") => "a secret",
            value if value.split(',').any(holds_secret) => "an address with a secret",
            _ => continue,
        };
        let file = format!("{flag}-file");
        let has_file = command.get_arguments().filter_map(Arg::get_long).any(|other| other == file);
        return Err(SecretOnCommandLine {
            flag: flag.to_owned(),
            what,
            variable: variable.to_string_lossy().into_owned(),
            file: has_file.then_some(file),
        });
    }
    command.get_subcommands().try_for_each(|command| check_command_line(arguments, command))
}

/// Whether a password or a token stands in an address: `user:password@`, `?password=`, and for NATS `token@`.
fn holds_secret(address: &str) -> bool {
    let Some((scheme, rest)) = address.split_once("://") else { return false };
    let user = rest.split(['/', '?']).next().and_then(|authority| authority.rsplit_once('@')).map(|(user, _)| user);
    let in_user = user.is_some_and(|user| user.contains(':') || !scheme.starts_with("postgres"));
    in_user || rest.contains("password=")
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::check_command_line;

    #[test]
    fn a_secret_is_refused_as_a_flag_and_a_plain_address_is_not() {
        let secret = |name: &'static str| Arg::new(name).long(name).env("SOME_VARIABLE").hide_env_values(true);
        let flags = [secret("key"), Arg::new("key-file").long("key-file").env("OTHER"), secret("nats-url")];
        let serve = Command::new("serve").args(flags).arg(secret("database-url")).arg(secret("word"));
        let command = Command::new("program").subcommand(serve);
        let told = |argument: &str| {
            let arguments = ["program", "serve", argument].map(Into::into);
            check_command_line(&arguments, &command).err().map(|error| error.to_string())
        };
        let key = told("--key=0f").expect("it is refused");
        assert!(key.contains("`--key`") && key.contains("SOME_VARIABLE, in a file by --key-file,"), "{key}");
        assert!(!key.contains("0f"), "{key}");
        assert!(told("--word=x").is_some_and(|told| !told.contains("in a file by")));
        for argument in [
            "--database-url=postgres://a:b@host/c",
            "--database-url=postgres://host/c?user=a&password=b",
            "--nats-url=nats://token@host",
            "--nats-url=nats://one,nats://a:b@two",
        ] {
            assert!(told(argument).is_some_and(|told| told.contains("an address with a secret")), "{argument}");
        }
        for argument in [
            "--database-url=postgres://a@host:5432/c",
            "--nats-url=nats://one:4222,tls://two:4222",
            "--key-file=/etc/key",
            "--other=x",
        ] {
            assert_eq!(told(argument), None, "{argument}");
        }
    }
}
