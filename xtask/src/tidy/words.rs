//! Words that have no place in the project.

use super::Finding;
use crate::source::code_only;
use crate::tree::Tree;

/// Directories of one machine; spelled in parts, so that this file may exist.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "target"),
];

/// What the field has a term for, and the term.
const TERMS: [(&str, &str); 3] = [
    (concat!("pending", " write"), "delalloc range"),
    (concat!("write", " job"), "ordered extent"),
    (concat!("pipeline", " stage"), "ordered work"),
];

/// What code may not contain, and why.
const CODE: [(&str, &str); 4] = [
    ("todo!(", "is unfinished"),
    ("unimplemented!(", "is unfinished"),
    ("dbg!(", "is for debugging"),
    (
        "#[ignore",
        "a test that can't run is put on the list of skips instead",
    ),
];

/// Types with names that say nothing of what they are.
const EMPTY_SUFFIXES: [&str; 4] = ["Manager", "Helper", "Helpers", "Utils"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some(text) = file.text.as_deref() else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for message in in_text(line) {
                findings.push(Finding::new(&file.path, index + 1, message));
            }
        }
    }
    for (path, text) in tree.rust() {
        for (index, line) in code_only(text).lines().enumerate() {
            for message in in_code(line) {
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

fn in_text(line: &str) -> Vec<String> {
    let lower = line.to_lowercase();
    let machine = MACHINE_PATHS
        .iter()
        .filter(|path| line.contains(**path))
        .map(|path| format!("'{path}' is a directory of one machine"));
    let terms = TERMS
        .iter()
        .filter(|(word, _)| lower.contains(word))
        .map(|(word, term)| format!("'{word}': the term is {term}"));
    machine.chain(terms).collect()
}

fn in_code(line: &str) -> Vec<String> {
    let calls = CODE
        .iter()
        .filter(|(call, _)| line.contains(call))
        .map(|(call, why)| format!("{call}: {why}"));
    let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let declares = words.find(|word| matches!(*word, "struct" | "enum" | "trait" | "type"));
    let name = declares.and_then(|_| words.find(|word| !word.is_empty()));
    let empty = name
        .filter(|name| EMPTY_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)))
        .map(|name| format!("'{name}' doesn't say what it is"));
    calls.chain(empty).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_where_they_count() {
        let path = MACHINE_PATHS[0];
        let term = TERMS[0].0.to_uppercase();
        let source = format!(
            "// see {path}x\n// a {term}\n// todo!() in a comment\nfn f() {{ todo!() }}\npub struct CacheManager;\nlet manager = Managers;\n"
        );
        let tree = Tree::of(&[("a/src/b.rs", &source), ("c.md", "todo!()")]);
        let lines: Vec<usize> = check(&tree).into_iter().map(|f| f.line).collect();
        assert_eq!(lines, [1, 2, 4, 5]);
    }

    #[test]
    fn an_ignored_test_is_found() {
        assert_eq!(in_code("    #[ignore = \"slow\"]").len(), 1);
        assert!(in_code("fn ignore() {}").is_empty());
    }
}
