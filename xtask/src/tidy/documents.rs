//! Documents that must be there.

use super::{Finding, members};
use crate::tree::Tree;

const AT_THE_ROOT: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let readmes = members(tree)
        .into_iter()
        .map(|member| format!("{member}/README.md"));
    let wanted = AT_THE_ROOT.map(str::to_owned).into_iter().chain(readmes);
    let mut findings: Vec<Finding> = wanted
        .filter(|path| tree.text(path).is_none_or(|text| text.trim().is_empty()))
        .map(|path| Finding::new(&path, 0, "is missing"))
        .collect();
    if let Some(changes) = tree.text("CHANGELOG.md")
        && !changes.lines().any(is_release)
    {
        let message = "has no heading for what is unreleased, nor for a version";
        findings.push(Finding::new("CHANGELOG.md", 0, message));
    }
    findings
}

/// `## Unreleased`, `## [0.1.0] - 2026-01-01` and the like.
fn is_release(line: &str) -> bool {
    let Some(heading) = line.strip_prefix("## ") else {
        return false;
    };
    let heading = heading.trim_start_matches('[');
    heading.starts_with("Unreleased") || heading.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_there_and_not_empty() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"a\", \"b\"]"),
            ("README.md", "x"),
            ("ARCHITECTURE.md", " \n"),
            ("CHANGELOG.md", "# Changes\n\n## Other\n"),
            ("LICENSE-APACHE", "x"),
            ("LICENSE-MIT", "x"),
            ("a/README.md", "x"),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|f| f.path).collect();
        assert_eq!(paths, ["ARCHITECTURE.md", "b/README.md", "CHANGELOG.md"]);
    }

    #[test]
    fn headings_of_releases() {
        for (line, expected) in [
            ("## Unreleased", true),
            ("## [Unreleased]", true),
            ("## 0.1.0 (2026-11-24)", true),
            ("## [0.1.0]", true),
            ("# 0.1.0", false),
            ("## Notes", false),
        ] {
            assert_eq!(is_release(line), expected, "{line}");
        }
    }
}
