//! What keeps the tree readable: short files, sorted lists, one integration binary a crate.
//! How long a function may be clippy knows (`too-many-lines-threshold` in clippy.toml).

use std::path::{Path, PathBuf};

/// Lines that a file may have; a longer one has more than one reason to exist.
const FILE_LINES_MAX: usize = 400;
/// Begins a list that must stay in order, so that two branches seldom add a line at the same place.
const SORTED: &str = "// tidy: sorted";
/// Ends it.
const SORTED_END: &str = "// tidy: end";

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every Rust file below `folder`.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn all_files() -> Vec<PathBuf> {
    ["crates", "xtask", "bench", "examples"].iter().flat_map(|folder| rust_files(&root().join(folder))).collect()
}

#[test]
fn files_are_short() {
    let lines = |path: &PathBuf| match std::fs::read_to_string(path).expect("a source file") {
        // Nobody reads what was generated.
        text if text.starts_with("// This file is @generated") => 0,
        text => text.lines().count(),
    };
    let long: Vec<String> = all_files()
        .iter()
        .map(|path| (path, lines(path)))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{}: {lines}", path.display()))
        .collect();
    assert!(long.is_empty(), "more than {FILE_LINES_MAX} lines; cut by reason to exist:\n{}", long.join("\n"));
}

#[test]
fn central_lists_are_in_order() {
    let mut lists = 0;
    for path in all_files() {
        let text = std::fs::read_to_string(&path).expect("a source file");
        let mut lines = text.lines().map(str::trim);
        while lines.by_ref().any(|line| line == SORTED) {
            lists += 1;
            let list: Vec<&str> = lines.by_ref().take_while(|line| *line != SORTED_END).collect();
            for pair in list.windows(2) {
                assert!(pair[0] < pair[1], "{}: `{}` belongs before `{}`", path.display(), pair[1], pair[0]);
            }
        }
    }
    assert!(lists > 0, "no list is marked with `{SORTED}`");
}

#[test]
fn a_crate_has_one_integration_binary() {
    for entry in std::fs::read_dir(root().join("crates")).expect("the crates").flatten() {
        let Ok(tests) = std::fs::read_dir(entry.path().join("tests")) else { continue };
        let binaries = tests.flatten().filter(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file()
        });
        let names: Vec<String> = binaries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        assert!(names.len() <= 1, "{} links {names:?}: each costs a build", entry.path().display());
    }
}
