//! Locks, atomics and threads are named in a crate's `sync.rs` alone, so that a
//! model checker can stand in for them.

use super::{Finding, members};
use crate::source::{code_only, line_of, test_modules, without_tests};
use crate::tree::Tree;

/// Crates that only sync.rs may name.
const CRATES: [&str; 5] = [
    "parking_lot",
    "crossbeam",
    "crossbeam_utils",
    "crossbeam_channel",
    "rayon",
];

/// What only sync.rs may name of `std::sync`.
const STD_SYNC: [&str; 8] = [
    "Mutex",
    "MutexGuard",
    "RwLock",
    "Condvar",
    "Barrier",
    "Once",
    "mpsc",
    "atomic",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let members = members(tree);
    let mut tests = Vec::new();
    for (path, text) in tree.rust() {
        for module in test_modules(&code_only(text)) {
            tests.push(module_path(path, &module));
        }
    }
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let in_src = members
            .iter()
            .any(|member| path.starts_with(&format!("{member}/src/")));
        let is_sync = path.ends_with("/sync.rs") || path.contains("/sync/");
        let is_test = tests.iter().any(|test| {
            path.strip_prefix(test.as_str())
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        });
        if !in_src || is_sync || is_test {
            continue;
        }
        let code = without_tests(&code_only(text));
        for (at, name) in named(&code) {
            let message = format!("{name} may be named in the crate's sync.rs only");
            findings.push(Finding::new(path, line_of(&code, at), message));
        }
    }
    findings
}

/// Where a module's file is, without `.rs` or `/mod.rs`.
fn module_path(declared_in: &str, module: &str) -> String {
    let (dir, file) = declared_in.rsplit_once('/').unwrap_or(("", declared_in));
    match file {
        "lib.rs" | "main.rs" | "mod.rs" => format!("{dir}/{module}"),
        _ => format!("{dir}/{}/{module}", file.trim_end_matches(".rs")),
    }
}

/// What the code names of what it may not, and where.
fn named(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (start, path) in paths(code) {
        let mut parts = path.split("::");
        let (first, second, third) = (parts.next(), parts.next(), parts.next());
        let objection = match (first, second, third) {
            (Some("std"), Some("thread"), _) => true,
            (Some("std"), Some("sync"), Some(name)) => STD_SYNC.contains(&name),
            (Some(name), Some(_), _) => CRATES.contains(&name),
            _ => false,
        };
        if objection {
            found.push((start, path));
        }
    }
    found
}

/// All paths of the code, the groups of `use` spelled out.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(skip) = code[at..].find(is_word) {
        let start = at + skip;
        at = expand(code, start, "", &mut found);
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads one path at `start`, under `prefix`, and returns where it ends.
fn expand(code: &str, start: usize, prefix: &str, found: &mut Vec<(usize, String)>) -> usize {
    let mut path = prefix.to_owned();
    let mut at = start;
    loop {
        let word = code[at..]
            .find(|c| !is_word(c))
            .map_or(code.len(), |end| at + end);
        path.push_str(&code[at..word]);
        at = word;
        let Some(rest) = code[at..].strip_prefix("::") else {
            break;
        };
        path.push_str("::");
        at += 2;
        if rest.starts_with('{') {
            at += 1;
            while let Some(skip) = code[at..].find(|c| is_word(c) || c == '}') {
                at += skip;
                if code[at..].starts_with('}') {
                    return at + 1;
                }
                at = expand(code, at, &path, found);
            }
            return code.len();
        }
        if !rest.starts_with(is_word) {
            break;
        }
    }
    found.push((start, path));
    at.max(start + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(code: &str) -> Vec<String> {
        named(code).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn groups_are_spelled_out() {
        assert_eq!(
            names("use std::{io, sync::{Arc, Mutex, atomic::{AtomicU64, Ordering}}, thread};"),
            [
                "std::sync::Mutex",
                "std::sync::atomic::AtomicU64",
                "std::sync::atomic::Ordering",
                "std::thread",
            ]
        );
        assert_eq!(
            names("let x: parking_lot::Mutex<u8>;"),
            ["parking_lot::Mutex"]
        );
        assert_eq!(
            names("use std::sync::Arc; use crate::sync::{Mutex, thread}; sync::Mutex; x::<T>::y()"),
            [""; 0]
        );
    }

    #[test]
    fn an_open_group_ends_with_the_file() {
        assert_eq!(names("use std::{sync::{Mutex"), ["std::sync::Mutex"]);
        assert_eq!(names("use std::"), [""; 0]);
    }

    #[test]
    fn sync_and_tests_are_free() {
        let threads = "use std::thread;\n";
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\"]"),
            (
                "a/src/lib.rs",
                "mod b;\n#[cfg(all(test, shuttle))]\nmod models;\n",
            ),
            ("a/src/sync.rs", threads),
            ("a/src/models.rs", threads),
            (
                "a/src/b.rs",
                "\nuse std::thread;\n#[cfg(test)]\nmod tests {\n use std::thread; }",
            ),
            ("a/src/c/mod.rs", "#[cfg(test)]\nmod tests;\n"),
            ("a/src/c/tests.rs", threads),
            ("a/tests/t.rs", threads),
            ("benches/src/x.rs", threads),
        ]);
        let message = "std::thread may be named in the crate's sync.rs only";
        assert_eq!(check(&tree), [Finding::new("a/src/b.rs", 2, message)]);
    }
}
