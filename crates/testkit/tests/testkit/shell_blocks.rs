//! Commands in the documents can be pasted into any shell: what zsh takes for a pattern, or any shell for the end of a
//! command, stands in quotes.

use std::path::{Path, PathBuf};

use crate::tidy::root;

/// Every Markdown file below `folder`.
fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files
}

/// The shell's lines of a document with their numbers: those of blocks that say so, and of blocks without a language
/// that speak of addresses.
fn shell_blocks(text: &str) -> Vec<Vec<(usize, &str)>> {
    let mut blocks: Vec<Vec<(usize, &str)>> = Vec::new();
    let mut inside: Option<(bool, Vec<(usize, &str)>)> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut inside, fence) {
            (None, Some(language)) => {
                let language = language.split_whitespace().next().unwrap_or_default();
                let is_shell = ["", "sh", "bash", "zsh", "console"].contains(&language);
                inside = Some((is_shell, Vec::new()));
            }
            (Some(_), Some(_)) => {
                let (is_shell, lines) = inside.take().expect("a block");
                if is_shell && lines.iter().any(|(_, line)| line.contains("://")) {
                    blocks.push(lines);
                }
            }
            (Some((_, lines)), None) => lines.push((index + 1, line)),
            (None, None) => {}
        }
    }
    blocks
}

/// What a shell would not take as it is meant, outside of quotes and here-documents.
fn faults(block: &[(usize, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    let mut quote: Option<char> = None;
    let mut here: Option<String> = None;
    for (number, line) in block {
        if let Some(end) = &here {
            if line.trim() == end {
                here = None;
            }
            continue;
        }
        let letters: Vec<char> = line.chars().collect();
        for (place, letter) in letters.iter().enumerate() {
            let before = place.checked_sub(1).and_then(|before| letters.get(before)).copied().unwrap_or(' ');
            let after = letters.get(place + 1).copied().unwrap_or(' ');
            match (quote, letter) {
                (Some(open), letter) if open == *letter => quote = None,
                (Some(_), _) => {}
                (None, '#') if before == ' ' => break,
                (None, '\'' | '"') => quote = Some(*letter),
                (None, '?') if before != '$' => found.push(format!("{number}: ? in {line}")),
                (None, '&') if ![before, after].iter().any(|letter| " &>".contains(*letter)) => {
                    found.push(format!("{number}: & in {line}"));
                }
                (None, _) => {}
            }
        }
        if let Some((_, end)) = line.split_once("<<") {
            here = Some(end.split_whitespace().next().unwrap_or_default().trim_matches(['\'', '"', '-']).to_owned());
        }
    }
    found
}

#[test]
fn commands_in_documents_can_be_pasted_into_any_shell() {
    let mut files = documents(&root().join("docs"));
    files.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    let mut blocks = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a document");
        for block in shell_blocks(&text) {
            blocks += 1;
            let faults = faults(&block);
            assert!(faults.is_empty(), "{}: put it in quotes\n{}", file.display(), faults.join("\n"));
        }
    }
    assert!(blocks > 0, "no block was found");
}

#[test]
fn what_is_in_quotes_is_right_and_what_is_not_is_found() {
    let of = |line| faults(&[(1, line)]).len();
    assert_eq!(of("curl -N http://a/v1/alerts?open=true"), 1);
    assert_eq!(of("curl http://a/v1/alerts\\?a=1&b=2"), 2);
    assert_eq!(of("curl -H \"Authorization: Bearer $T\" 'http://a/v1?x=1&y=2' && echo $? &  # why?"), 0);
    assert_eq!(of("anamnesis serve > log 2>&1 &"), 0);
}
