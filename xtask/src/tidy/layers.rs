//! The house: which crate may depend on which.

use super::manifest::{dependencies, value_of};
use super::{Finding, excluded, members};
use crate::tree::Tree;

/// Bottom-up, each with all it may depend on. For tests, a crate may depend on
/// anything below itself.
const HOUSE: [(&str, &[&str]); 11] = [
    ("extent-tree", &[]),
    ("pagecache", &[]),
    ("delalloc", &["extent-tree"]),
    ("compress", &[]),
    // Above compress for its example alone, which compresses a file.
    ("ordered-wq", &[]),
    ("readpath", &["pagecache", "compress"]),
    (
        "fs-core",
        &[
            "extent-tree",
            "pagecache",
            "delalloc",
            "ordered-wq",
            "compress",
            "readpath",
        ],
    ),
    ("btrfs-volume", &["fs-core"]),
    (
        "ubtrfs",
        &[
            "extent-tree",
            "pagecache",
            "delalloc",
            "ordered-wq",
            "compress",
            "readpath",
            "fs-core",
            "btrfs-volume",
        ],
    ),
    ("fuzz", &["compress", "fs-core", "btrfs-volume"]),
    ("xtask", &[]),
];

/// What others want alone must come alone: these need a feature of the crate.
const ONLY_OPTIONAL: [(&str, &str); 1] = [("btrfs-volume", "fs-core")];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members(tree) {
        let path = format!("{member}/Cargo.toml");
        let Some(floor) = HOUSE.iter().position(|(name, _)| *name == member) else {
            findings.push(Finding::new(
                &path,
                0,
                "has no place in the house (layers.rs)",
            ));
            continue;
        };
        let Some(text) = tree.text(&path) else {
            findings.push(Finding::new(&path, 0, "is missing"));
            continue;
        };
        if value_of(text, "lints", "workspace").as_deref() != Some("true") {
            let message = "doesn't inherit the workspace's lints ([lints] workspace = true)";
            findings.push(Finding::new(&path, 0, message));
        }
        for dependency in dependencies(text) {
            let to = dependency.package.as_str();
            let Some(below) = HOUSE.iter().position(|(name, _)| *name == to) else {
                continue;
            };
            let (_, allowed) = HOUSE[floor];
            let message = if to == member {
                continue;
            } else if dependency.dev {
                (below >= floor).then(|| format!("may not depend on {to}, even for tests"))
            } else if !allowed.contains(&to) {
                Some(format!("may not depend on {to}"))
            } else if ONLY_OPTIONAL.contains(&(member.as_str(), to)) && !dependency.optional {
                Some(format!("may depend on {to} only by a feature"))
            } else {
                None
            };
            findings.extend(message.map(|message| Finding::new(&path, dependency.line, message)));
        }
    }
    findings.extend(excluded(tree).iter().flat_map(|dir| alone(tree, dir)));
    let root = tree.text("Cargo.toml").unwrap_or_default();
    if value_of(root, "workspace.lints.rust", "unsafe_code").as_deref() != Some("\"forbid\"") {
        let message = "doesn't forbid unsafe code ([workspace.lints.rust])";
        findings.push(Finding::new("Cargo.toml", 0, message));
    }
    findings
}

/// A workspace of its own builds the same everywhere, and nobody builds it unasked.
fn alone(tree: &Tree, dir: &str) -> Vec<Finding> {
    let (lock, manifest) = (format!("{dir}/Cargo.lock"), format!("{dir}/Cargo.toml"));
    let text = tree.text(&manifest).unwrap_or_default();
    let mut findings = Vec::new();
    if tree.text(&lock).is_none() {
        findings.push(Finding::new(&lock, 0, "is missing"));
    }
    if !text.lines().any(|line| line.trim() == "[workspace]") {
        findings.push(Finding::new(&manifest, 0, "is excluded and no workspace"));
    }
    if value_of(text, "package", "publish").as_deref() != Some("false") {
        findings.push(Finding::new(&manifest, 0, "could be published"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str =
        "[workspace]\nmembers = [\"M\"]\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";

    fn messages(member: &str, manifest: &str) -> Vec<String> {
        let manifest = format!("{manifest}\n[lints]\nworkspace = true\n");
        let tree = Tree::of(&[
            ("Cargo.toml", &ROOT.replace('M', member)),
            (&format!("{member}/Cargo.toml"), &manifest),
        ]);
        check(&tree).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn each_floor_names_only_crates_below_it() {
        for (floor, (name, allowed)) in HOUSE.iter().enumerate() {
            for to in *allowed {
                assert!(
                    HOUSE[..floor].iter().any(|(below, _)| below == to),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn dependencies_go_downwards() {
        let none: [String; 0] = [];
        assert_eq!(
            messages(
                "readpath",
                "[dependencies]\npagecache.workspace = true\nbytes = \"1\""
            ),
            none
        );
        assert_eq!(
            messages("pagecache", "[dependencies]\nextent-tree.workspace = true"),
            ["pagecache/Cargo.toml:2: may not depend on extent-tree"]
        );
        assert_eq!(
            messages(
                "pagecache",
                "[dev-dependencies]\nextent-tree.workspace = true"
            ),
            none
        );
        assert_eq!(
            messages("pagecache", "[dev-dependencies]\nfs-core.workspace = true"),
            ["pagecache/Cargo.toml:2: may not depend on fs-core, even for tests"]
        );
        assert_eq!(
            messages("ordered-wq", "[dependencies]\ncompress.workspace = true"),
            ["ordered-wq/Cargo.toml:2: may not depend on compress"]
        );
        assert_eq!(
            messages(
                "ordered-wq",
                "[dev-dependencies]\ncompress.workspace = true"
            ),
            none
        );
        assert_eq!(
            messages("stranger", ""),
            ["stranger/Cargo.toml: has no place in the house (layers.rs)"]
        );
    }

    #[test]
    fn the_volume_comes_alone_by_default() {
        let optional = "[dependencies]\nfs-core = { workspace = true, optional = true }";
        assert!(messages("btrfs-volume", optional).is_empty());
        assert_eq!(
            messages("btrfs-volume", "[dependencies]\nfs-core.workspace = true"),
            ["btrfs-volume/Cargo.toml:2: may depend on fs-core only by a feature"]
        );
    }

    #[test]
    fn excluded_workspaces_stand_alone() {
        let root = ROOT.replace("members = [\"M\"]", "exclude = [\"apart\", \"lost\"]");
        let manifest = "[workspace]\n[package]\npublish = false\n";
        let tree = Tree::of(&[
            ("Cargo.toml", &root),
            ("apart/Cargo.lock", ""),
            ("apart/Cargo.toml", manifest),
            ("lost/Cargo.toml", "[package]\n"),
        ]);
        let messages: Vec<String> = check(&tree).iter().map(Finding::to_string).collect();
        assert_eq!(
            messages,
            [
                "lost/Cargo.lock: is missing",
                "lost/Cargo.toml: is excluded and no workspace",
                "lost/Cargo.toml: could be published",
            ]
        );
    }

    #[test]
    fn lints_are_inherited() {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"xtask\"]"),
            ("xtask/Cargo.toml", "[lints]\nworkspace = false"),
        ]);
        let findings = check(&tree);
        assert_eq!(findings.len(), 2);
        assert!(findings[0].message.contains("inherit"));
        assert!(findings[1].message.contains("unsafe"));
    }
}
