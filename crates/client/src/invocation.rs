//! Command lines of this program as they can be pasted into any shell, in any folder.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::Url;

use crate::ClientArgs;

/// The program's name where it is on the PATH.
const NAME: &str = "anamnesis";
/// Where the tools look for a server without `--url`.
pub(crate) const URL: &str = "http://127.0.0.1:8080";
/// A flag that is carried over as it was given: the settings file may hold the token.
const CONFIG: &str = "--config";

/// A word as a shell reads it back: as it is, or in quotes.
pub fn quoted(word: &str) -> String {
    // Only a word with a zero byte cannot be quoted, and none can be given either.
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), |word| word.into_owned())
}

/// How this program is called: by its name where the PATH leads to it, otherwise by where it is.
pub fn program() -> String {
    let Ok(own) = std::env::current_exe() else { return NAME.to_owned() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(NAME));
    let on_path = found.into_iter().find(|file| file.is_file());
    let is_own = |file: PathBuf| file.canonicalize().is_ok_and(|file| own.canonicalize().is_ok_and(|own| own == file));
    if on_path.is_some_and(is_own) { NAME.to_owned() } else { own.display().to_string() }
}

/// A path that means the same in every folder.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A call of this program. Shown, it is a line for a shell.
#[derive(Clone, Debug)]
pub struct Invocation {
    words: Vec<String>,
}

impl Invocation {
    /// This program with these words, such as `["replay", "patient"]`.
    pub fn of(words: &[&str]) -> Self {
        let words = std::iter::once(program()).chain(words.iter().map(|word| (*word).to_owned()));
        Self { words: words.collect() }
    }

    /// Adds a word.
    #[must_use]
    pub fn word(mut self, word: impl fmt::Display) -> Self {
        self.words.push(word.to_string());
        self
    }

    /// Adds the server's address, where it is not the one that is looked for anyway.
    #[must_use]
    pub fn at(self, url: &str) -> Self {
        let url = url.trim_end_matches('/');
        if url == URL { self } else { self.word("--url").word(url) }
    }

    /// Adds the data folder.
    #[must_use]
    pub fn data_dir(self, folder: &Path) -> Self {
        self.word("--data-dir").word(absolute(folder).display())
    }

    /// Adds what leads a tool to the same server as the same account. A token of the environment is left there.
    #[must_use]
    pub fn server(self, args: &ClientArgs) -> Self {
        let environment = std::env::var("ANAMNESIS_TOKEN").ok();
        self.server_as(args, &std::env::args_os().collect::<Vec<_>>(), environment.as_deref())
    }

    fn server_as(self, args: &ClientArgs, given: &[OsString], environment: Option<&str>) -> Self {
        let all: Vec<&str> = args.urls.iter().map(|address| url_text(address.url())).collect();
        let invocation = self.at(&all.join(","));
        let token = match (&args.token, &args.token_file) {
            (Some(token), _) => token,
            (None, Some(file)) => return invocation.word("--token-file").word(absolute(file).display()),
            (None, None) => return invocation.data_dir(&args.data_dir),
        };
        if environment == Some(token) {
            return invocation;
        }
        // Not in the environment: of the settings file.
        let file = value_of(given, CONFIG).or_else(|| std::env::var("ANAMNESIS_CONFIG").ok()).unwrap_or_default();
        invocation.word(CONFIG).word(absolute(Path::new(&file)).display())
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.words.iter().map(|word| quoted(word)).collect();
        formatter.write_str(&words.join(" "))
    }
}

/// A line that asks the server for `path` with curl, as the same account.
pub fn curl(args: &ClientArgs, path: &str) -> String {
    let token = match &args.token {
        Some(_) => "$ANAMNESIS_TOKEN".to_owned(),
        None => token_in(&args.token_file()),
    };
    curl_with(&token, &format!("{}{path}", url_text(args.url())))
}

/// A line that asks with the administrator's token of a data folder.
pub fn curl_as_administrator(folder: &Path, url: &str) -> String {
    curl_with(&token_in(&folder.join("admin.token")), url)
}

fn token_in(file: &Path) -> String {
    format!("$(cat {})", quoted(&absolute(file).display().to_string()))
}

fn curl_with(token: &str, url: &str) -> String {
    format!("curl -H \"Authorization: Bearer {token}\" {}", quoted(url))
}

fn url_text(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// What stands behind a flag.
fn value_of(given: &[OsString], flag: &str) -> Option<String> {
    let mut words = given.iter().map(|word| word.to_string_lossy());
    while let Some(word) = words.next() {
        if word == flag {
            return words.next().map(|value| value.into_owned());
        }
        if let Some(value) = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(url: &str, token: Option<&str>) -> ClientArgs {
        let urls = vec![url.parse().expect("an address")];
        ClientArgs { urls, token: token.map(str::to_owned), token_file: None, data_dir: "/data/it's here".into() }
    }

    fn shown(args: &ClientArgs, given: &[&str], environment: Option<&str>) -> Vec<String> {
        let given: Vec<OsString> = given.iter().map(OsString::from).collect();
        let shown = Invocation::of(&["replay"]).server_as(args, &given, environment).to_string();
        shlex::split(&shown).expect("a line that a shell can read").split_off(1)
    }

    #[test]
    fn a_line_names_what_is_not_found_by_itself_and_is_quoted() {
        let other = args("http://127.0.0.1:18510", None);
        let folder = ["--data-dir", "/data/it's here"];
        assert_eq!(
            shown(&other, &[], None),
            [["replay", "--url", "http://127.0.0.1:18510"].as_slice(), &folder].concat()
        );
        assert_eq!(shown(&args(URL, None), &[], None), [["replay"].as_slice(), &folder].concat());
    }

    #[test]
    fn a_token_is_not_repeated_but_where_it_is() {
        let with_token = args(URL, Some("t"));
        let in_a_file = ClientArgs { token_file: Some("/t/token".into()), ..args(URL, None) };
        assert_eq!(shown(&in_a_file, &[], None), ["replay", "--token-file", "/t/token"]);
        assert_eq!(shown(&with_token, &[], Some("t")), ["replay"]);
        assert_eq!(shown(&with_token, &["--config=/etc/a.toml"], None), ["replay", "--config", "/etc/a.toml"]);
    }
}
