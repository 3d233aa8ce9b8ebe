//! `cargo xtask tidy`: what no compiler checks. Each rule is a function from
//! the project's files to findings.

mod crate_root;
mod documents;
mod layers;
mod manifest;
mod places;
mod sync_only;
mod words;

use std::fmt;
use std::io;
use std::path::Path;

use crate::tree::Tree;

/// What a rule objects to.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1; 0 if it is about the file as a whole.
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Prints the findings about the named crates, or about everything; `true` if
/// there are none.
pub(crate) fn run(root: &Path, packages: &[String]) -> io::Result<bool> {
    let tree = Tree::read(root)?;
    let concerns = |path: &str| {
        let of_package = |package: &String| {
            path.strip_prefix(package.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        packages.is_empty() || packages.iter().any(of_package)
    };
    let mut findings = check(&tree);
    findings.retain(|finding| concerns(&finding.path));
    let long: Vec<_> = places::long_files(&tree)
        .into_iter()
        .filter(|(path, _)| concerns(path))
        .collect();
    if !long.is_empty() {
        println!("files over {} lines:", places::LONG_LINES);
        for (path, lines) in long {
            println!("    {lines:>4} {path}");
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    let objections = match findings.len() {
        0 => "no objections".to_owned(),
        n => format!("{n} objections"),
    };
    println!("tidy: {objections} in {} files", tree.files.len());
    Ok(findings.is_empty())
}

fn check(tree: &Tree) -> Vec<Finding> {
    let rules = [
        layers::check,
        crate_root::check,
        sync_only::check,
        places::check,
        words::check,
        documents::check,
    ];
    let mut findings: Vec<Finding> = rules.iter().flat_map(|rule| rule(tree)).collect();
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// The directories of workspaces of their own.
fn excluded(tree: &Tree) -> Vec<String> {
    tree.text("Cargo.toml").map_or_else(Vec::new, |text| {
        manifest::strings_of(text, "workspace", "exclude")
    })
}

/// The directories of the workspace's members, which are their names.
fn members(tree: &Tree) -> Vec<String> {
    tree.text("Cargo.toml").map_or_else(Vec::new, |text| {
        manifest::strings_of(text, "workspace", "members")
    })
}
