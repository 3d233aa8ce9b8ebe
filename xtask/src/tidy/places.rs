//! Sizes and names of files.

use super::Finding;
use crate::tree::Tree;

/// Longer files are listed, to be looked at.
pub(crate) const LONG_LINES: usize = 400;
const TOO_LONG_LINES: usize = 800;
const TOO_LARGE_BYTES: u64 = 256 << 10;
/// A plot is for looking at; a larger one is a drawing of every sample.
const TOO_LARGE_PLOT_BYTES: u64 = 20 << 10;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "common", "util", "utils", "helper", "helpers", "manager", "misc", "stuff",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        let limit = match file.path.ends_with(".svg") {
            true => TOO_LARGE_PLOT_BYTES,
            false => TOO_LARGE_BYTES,
        };
        if file.bytes > limit {
            let message = format!("is {} bytes; the limit is {limit}", file.bytes);
            findings.push(Finding::new(&file.path, 0, message));
        }
    }
    for (path, text) in tree.rust() {
        let lines = text.lines().count();
        if lines > TOO_LONG_LINES {
            let message = format!("has {lines} lines; the limit is {TOO_LONG_LINES}");
            findings.push(Finding::new(path, 0, message));
        }
        let parts = path.trim_end_matches(".rs").split('/');
        for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
            let message = format!("'{part}' doesn't say what is inside");
            findings.push(Finding::new(path, 0, message));
        }
    }
    findings
}

/// Rust files over [`LONG_LINES`], longest first.
pub(crate) fn long_files(tree: &Tree) -> Vec<(&str, usize)> {
    let mut long: Vec<(&str, usize)> = tree
        .rust()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LONG_LINES)
        .collect();
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_size_and_name() {
        let tree = Tree::of(&[
            ("a/src/fine.rs", &"x\n".repeat(LONG_LINES)),
            ("a/src/long.rs", &"x\n".repeat(LONG_LINES + 1)),
            ("a/src/longer.rs", &"x\n".repeat(TOO_LONG_LINES + 1)),
            ("a/tests/common/mod.rs", ""),
            ("a/src/utils.rs", ""),
            ("a/data.bin", &"x".repeat((256 << 10) + 1)),
            ("plots/a.svg", &"x".repeat(20 << 10)),
            ("plots/b.svg", &"x".repeat((20 << 10) + 1)),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|f| f.path).collect();
        assert_eq!(
            paths,
            [
                "a/data.bin",
                "plots/b.svg",
                "a/src/longer.rs",
                "a/tests/common/mod.rs",
                "a/src/utils.rs"
            ]
        );
        assert_eq!(
            long_files(&tree),
            [("a/src/longer.rs", 801), ("a/src/long.rs", 401)]
        );
    }
}
