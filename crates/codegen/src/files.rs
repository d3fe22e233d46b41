//! The generated files of the source tree, as text.

use std::io;
use std::path::{Path, PathBuf};

use event_bus::control::Why;
use serde_json::Value;

use crate::contract::{asyncapi, list, schemas, served};
use crate::golden::{self, NotMadeUp};
use crate::rpc::{self, NotCompiled};
use crate::{declared, document, roles};

/// Why files could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum NotGenerated {
    /// An example.
    #[error(transparent)]
    Example(#[from] NotMadeUp),
    /// What `proto/` says.
    #[error(transparent)]
    Rpc(#[from] NotCompiled),
}

/// The generated files that are not in the source tree as they are generated, and the golden files that are missing.
///
/// # Errors
/// [`NotGenerated`].
pub fn stale(root: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, NotGenerated> {
    let texts = generated(root)?.into_iter().map(|(path, text)| (path, text.into_bytes()));
    let files = texts.chain(rpc::files(root)?).map(|(path, content)| (root.join(path), content));
    Ok(files.filter(|(path, content)| std::fs::read(path).ok().as_ref() != Some(content)).collect())
}

/// Writes a generated file.
///
/// # Errors
/// Where it cannot be written.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, content)
}

/// Every generated file with its content.
fn generated(root: &Path) -> Result<Vec<(PathBuf, String)>, NotMadeUp> {
    let mut files = vec![
        (PathBuf::from("openapi/openapi.json"), pretty(&document::openapi())),
        (PathBuf::from("crates/events/src/declared.rs"), declared::payloads(root)),
        (PathBuf::from("crates/query-api/src/declared.rs"), declared::documents()),
        (PathBuf::from("crates/views/src/declared.rs"), declared::allocations()),
        (PathBuf::from("crates/query-api/src/published.rs"), served::source(root)),
        (PathBuf::from("asyncapi/asyncapi.json"), pretty(&asyncapi::document(root)?)),
        (PathBuf::from("schemas/envelope.schema.json"), pretty(&schemas::of_envelope())),
        (PathBuf::from("docs/authority.md"), roles::text()),
        (PathBuf::from("docs/events.md"), list::text()),
    ];
    for contract in events::registry::contracts() {
        let schema = schemas::of_event(contract);
        let name = format!("{}.v{}.schema.json", contract.event_type, contract.schema_version);
        let golden = golden::missing(root, contract, &schema)?;
        files.extend(golden.map(|(path, payload)| (path, pretty(&payload))));
        files.push((PathBuf::from("schemas/events").join(name), pretty(&schema)));
    }
    for why in Why::ALL {
        let name = format!("schemas/control/{}.v1.schema.json", why.kind());
        files.push((PathBuf::from(name), pretty(&schemas::of_control(why))));
    }
    Ok(files)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn what_is_checked_in_is_what_is_generated() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let stale: Vec<_> =
            super::stale(&root).expect("every payload can be made up").into_iter().map(|(path, _)| path).collect();
        assert!(stale.is_empty(), "run `cargo xtask codegen`: {stale:?}");
    }
}
