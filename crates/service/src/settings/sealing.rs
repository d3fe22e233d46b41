//! Where the keys are, and who has the master key under which they are kept.

use std::path::{Path, PathBuf};

use clap::Args;

/// Keys, and the master key that wraps them: in a file, given by the environment, or in OpenBao / Vault.
#[derive(Clone, Debug, Default, Args)]
pub struct SealingSettings {
    /// Where wrapped data keys are kept, if not beside the log: another PostgreSQL database, or `sqlite:<folder>` for
    /// the embedded engine. Elsewhere, no one backup holds what is sealed together with its keys.
    #[arg(long, env = "ANAMNESIS_KEYS_URL", value_name = "URL", hide_env_values = true)]
    pub keys_url: Option<String>,
    /// The master key: 64 hexadecimal digits, or for each version a line with its number and such a key; the newest
    /// wraps.
    #[arg(long, env = "ANAMNESIS_MASTER_KEY", value_name = "HEX", hide_env_values = true, conflicts_with_all = ["master_key_file", "transit_address", "transit_key", "transit_token_file", "transit_ca"])]
    pub master_key: Option<String>,
    /// File of the master key, as `anamnesis key create` makes it. By default `master.key` in the data folder, which
    /// `serve` makes on the embedded engine where there is nothing yet.
    #[arg(long, env = "ANAMNESIS_MASTER_KEY_FILE", value_name = "FILE", conflicts_with_all = ["transit_address", "transit_key", "transit_token_file", "transit_ca"])]
    pub master_key_file: Option<PathBuf>,
    /// OpenBao or Vault that has the master key in its engine `transit`: `https://…`, or `http://…` of this machine.
    #[arg(long, env = "ANAMNESIS_TRANSIT_ADDRESS", value_name = "URL", requires_all = ["transit_key", "transit_token_file"])]
    pub transit_address: Option<String>,
    /// File of the token for it, mode 0600; read again when the token is refused.
    #[arg(long, env = "ANAMNESIS_TRANSIT_TOKEN_FILE", value_name = "FILE", requires = "transit_address")]
    pub transit_token_file: Option<PathBuf>,
    /// The path under which the engine is mounted there.
    #[arg(long, env = "ANAMNESIS_TRANSIT_MOUNT", default_value = "transit", value_name = "PATH")]
    pub transit_mount: String,
    /// The name of the key there: of type `aes256-gcm96`, and derived.
    #[arg(long, env = "ANAMNESIS_TRANSIT_KEY", value_name = "NAME", requires = "transit_address")]
    pub transit_key: Option<String>,
    /// PEM file of the authorities that its certificate may come from, beside the system's.
    #[arg(long, env = "ANAMNESIS_TRANSIT_CA", value_name = "FILE", requires = "transit_address")]
    pub transit_ca: Option<PathBuf>,
}

/// Who has the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MasterSource<'settings> {
    /// The settings themselves.
    Given(&'settings str),
    /// A file that was named.
    File(&'settings Path),
    /// The file in the data folder.
    DefaultFile,
    /// OpenBao or Vault: address, name of the key and file of the token.
    Transit(&'settings str, &'settings str, &'settings Path),
}

impl SealingSettings {
    /// Who has the master key.
    pub fn master(&self) -> MasterSource<'_> {
        if let Some(text) = &self.master_key {
            return MasterSource::Given(text);
        }
        if let Some(file) = &self.master_key_file {
            return MasterSource::File(file);
        }
        // All three or none: the command line's parser sees to that.
        match (&self.transit_address, &self.transit_key, &self.transit_token_file) {
            (Some(address), Some(key), Some(token_file)) => MasterSource::Transit(address, key, token_file),
            _ => MasterSource::DefaultFile,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn settings(arguments: &[&str]) -> Result<SealingSettings, String> {
        let command = SealingSettings::augment_args(Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve"], arguments].concat());
        let matches = matches.map_err(|error| error.to_string())?;
        SealingSettings::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    const TRANSIT: [&str; 3] =
        ["--transit-address=https://bao:8200", "--transit-key=patients", "--transit-token-file=/run/token"];

    #[test]
    fn one_has_the_master_key() {
        let master = |arguments: &[&str]| format!("{:?}", settings(arguments).expect("good settings").master());
        assert_eq!(master(&[]), "DefaultFile");
        assert_eq!(master(&["--master-key-file=/etc/k"]), "File(\"/etc/k\")");
        assert_eq!(master(&["--master-key=0f"]), "Given(\"0f\")");
        assert_eq!(master(&TRANSIT), "Transit(\"https://bao:8200\", \"patients\", \"/run/token\")");
        assert_eq!(settings(&TRANSIT).expect("good settings").transit_mount, "transit");
    }

    #[test]
    fn two_that_have_it_or_half_of_one_are_refused() {
        for more in ["--master-key=0f", "--master-key-file=/etc/k"] {
            let error = settings(&[&TRANSIT as &[&str], &[more]].concat()).expect_err("two");
            assert!(error.contains("cannot be used with"), "{error}");
        }
        assert!(settings(&["--master-key=0f", "--master-key-file=/etc/k"]).is_err());
        for missing in 0..TRANSIT.len() {
            let mut words = TRANSIT.to_vec();
            let word = words.remove(missing);
            let error = settings(&words).expect_err("half of one");
            let (flag, _) = word.split_once('=').expect("a flag");
            assert!(error.contains(flag), "{error}");
        }
        assert!(settings(&["--transit-ca=/etc/ca.pem"]).is_err());
    }
}
