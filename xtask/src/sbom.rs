//! `cargo xtask sbom`: what is in the program, as CycloneDX 1.6 (ECMA-424).
//!
//! Which packages are linked, with their licences, tells `cargo tree`; hashes and who needs whom tells `Cargo.lock`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;
use xtask::process::{TaskError, output};

use crate::test::root;

/// The program.
const PROGRAM: &str = "anamnesis";
/// The platform that is shipped; on others some packages differ.
const TARGET: &str = "x86_64-unknown-linux-gnu";

#[derive(Args)]
pub struct Arguments {
    /// The file; by default `target/sbom.cdx.json`.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes it.
pub fn run(arguments: &Arguments) -> Result<ExitCode, TaskError> {
    let tree = output(
        Command::new("cargo")
            .args(["tree", "--locked", "--package", PROGRAM, "--edges", "normal", "--prefix", "none", "--no-dedupe"])
            .args(["--target", TARGET, "--format", "{p}\t{l}\t{r}"])
            .current_dir(root()),
    )?;
    let lock = root().join("Cargo.lock");
    let text = std::fs::read_to_string(&lock).map_err(TaskError::file("cannot read", &lock))?;
    let file = arguments.output.clone().unwrap_or_else(|| root().join("target").join("sbom.cdx.json"));
    let (linked, locked) = (linked(&tree), locked(&text));
    std::fs::write(&file, document(&linked, &locked)).map_err(TaskError::file("cannot write", &file))?;
    eprintln!("{} packages in {}", linked.len(), file.display());
    Ok(ExitCode::SUCCESS)
}

/// Name and version.
type Id = (String, String);

/// What is told of a package that is linked.
struct Linked {
    licence: String,
    repository: String,
}

/// What the lock file has of a package.
#[derive(Default)]
struct Locked {
    checksum: Option<String>,
    needs: Vec<String>,
}

fn linked(tree: &str) -> BTreeMap<Id, Linked> {
    let packages = tree.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        let mut words = fields.next()?.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        // Old manifests write a slash for OR.
        let licence = fields.next().unwrap_or_default().replace('/', " OR ");
        let repository = fields.next().unwrap_or_default().to_owned();
        Some(((name.to_owned(), version.to_owned()), Linked { licence, repository }))
    });
    packages.collect()
}

fn locked(text: &str) -> BTreeMap<Id, Locked> {
    let mut packages = BTreeMap::new();
    for section in text.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let line = section.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
            line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned)
        };
        let (Some(name), Some(version)) = (value("name"), value("version")) else { continue };
        let needs = section.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\",")).map(str::to_owned);
        packages.insert((name, version), Locked { checksum: value("checksum"), needs: needs.collect() });
    }
    packages
}

fn reference((name, version): &Id) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn document(linked: &BTreeMap<Id, Linked>, locked: &BTreeMap<Id, Locked>) -> String {
    let program = linked.keys().find(|(name, _)| name == PROGRAM).cloned();
    let (components, dependencies): (Vec<String>, Vec<String>) = linked
        .iter()
        .map(|(id, package)| {
            let nothing = Locked::default();
            let of_lock = locked.get(id).unwrap_or(&nothing);
            (component(id, package, of_lock), dependency(id, of_lock, linked))
        })
        .unzip();
    let own = program.as_ref().and_then(|id| linked.get_key_value(id));
    let own = own.map(|(id, package)| component(id, package, &Locked::default()).replacen("library", "application", 1));
    let is_own = |text: &&String| own.as_ref().is_none_or(|own| own.replacen("application", "library", 1) != **text);
    let components: Vec<&str> = components.iter().filter(is_own).map(String::as_str).collect();
    format!(
        "{{\n\"bomFormat\": \"CycloneDX\",\n\"specVersion\": \"1.6\",\n\"version\": 1,\n\"metadata\": {{\"component\": \
         {}}},\n\"components\": [\n{}\n],\n\"dependencies\": [\n{}\n]\n}}\n",
        own.unwrap_or_default(),
        components.join(",\n"),
        dependencies.join(",\n")
    )
}

fn component(id: &Id, package: &Linked, of_lock: &Locked) -> String {
    let (name, version) = id;
    let reference = quoted(&reference(id));
    let mut fields = vec![
        "\"type\": \"library\"".to_owned(),
        format!("\"bom-ref\": {reference}"),
        format!("\"name\": {}", quoted(name)),
        format!("\"version\": {}", quoted(version)),
        format!("\"purl\": {reference}"),
    ];
    if let Some(checksum) = &of_lock.checksum {
        fields.push(format!("\"hashes\": [{{\"alg\": \"SHA-256\", \"content\": {}}}]", quoted(checksum)));
    }
    if !package.licence.is_empty() {
        fields.push(format!("\"licenses\": [{{\"expression\": {}}}]", quoted(&package.licence)));
    }
    if !package.repository.is_empty() {
        let url = quoted(&package.repository);
        fields.push(format!("\"externalReferences\": [{{\"type\": \"vcs\", \"url\": {url}}}]"));
    }
    format!("{{{}}}", fields.join(", "))
}

/// Whom a package needs of those that are linked. The lock file names a version only where there are several.
fn dependency(id: &Id, of_lock: &Locked, linked: &BTreeMap<Id, Linked>) -> String {
    let needs = of_lock.needs.iter().filter_map(|need| {
        let mut words = need.split(' ');
        let (name, version) = (words.next()?, words.next());
        linked.keys().find(|(known, of)| known == name && version.is_none_or(|version| version == of))
    });
    let needs: BTreeSet<String> = needs.map(|need| quoted(&reference(need))).collect();
    let needs: Vec<String> = needs.into_iter().collect();
    format!("{{\"ref\": {}, \"dependsOn\": [{}]}}", quoted(&reference(id)), needs.join(", "))
}

/// A JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::{document, linked, locked, quoted};

    const TREE: &str = "anamnesis v0.1.0 (/src/crates/anamnesis)\tApache-2.0\t\n\
        serde v1.0.2\tMIT/Apache-2.0\thttps://example.org/serde\n\
        serde v1.0.2 (*)\tMIT/Apache-2.0\thttps://example.org/serde\n";
    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"anamnesis\"\nversion = \"0.1.0\"\ndependencies = [\n \
        \"serde\",\n \"tempfile\",\n]\n\n[[package]]\nname = \"serde\"\nversion = \"1.0.2\"\nsource = \"registry\"\n\
        checksum = \"0f\"\n\n[[package]]\nname = \"tempfile\"\nversion = \"3.0.0\"\n";

    #[test]
    fn what_is_linked_stands_there_once_with_hash_licence_and_whom_it_needs() {
        let document = document(&linked(TREE), &locked(LOCK));
        let serde = "{\"type\": \"library\", \"bom-ref\": \"pkg:cargo/serde@1.0.2\", \"name\": \"serde\", \"version\": \
            \"1.0.2\", \"purl\": \"pkg:cargo/serde@1.0.2\", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"0f\"}], \
            \"licenses\": [{\"expression\": \"MIT OR Apache-2.0\"}], \"externalReferences\": [{\"type\": \"vcs\", \
            \"url\": \"https://example.org/serde\"}]}";
        assert_eq!(document.matches(serde).count(), 1, "{document}");
        assert!(!document.contains("tempfile"), "tests need it, the program does not");
        assert!(
            document.contains("\"component\": {\"type\": \"application\", \"bom-ref\": \"pkg:cargo/anamnesis@0.1.0\"")
        );
        let needs = "{\"ref\": \"pkg:cargo/anamnesis@0.1.0\", \"dependsOn\": [\"pkg:cargo/serde@1.0.2\"]}";
        assert!(document.contains(needs), "{document}");
    }

    #[test]
    fn text_is_written_as_json() {
        assert_eq!(quoted("a\"\\\n"), "\"a\\\"\\\\\\u000a\"");
    }
}
