//! The project's files, as a commit of everything would have them.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

/// All files, read once; the rules of tidy see nothing else, so a few strings
/// make a project for their tests.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// `None` if it isn't UTF-8.
    pub(crate) text: Option<String>,
}

impl Tree {
    /// Reads what git tracks, or would if asked to add everything.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let listing = Command::new("git")
            // The checkout may belong to another user than root, who mounts.
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others"])
            .arg("--exclude-standard")
            .current_dir(root)
            .output()?;
        if !listing.status.success() {
            return Err(io::Error::other(format!(
                "git ls-files: {}",
                String::from_utf8_lossy(&listing.stderr).trim()
            )));
        }
        let listing = String::from_utf8_lossy(&listing.stdout);
        let mut tree = Self::default();
        for path in listing.split('\0').filter(|path| !path.is_empty()) {
            let bytes = match fs::read(root.join(path)) {
                Ok(bytes) => bytes,
                // Tracked, but deleted or a directory (a submodule) by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => continue,
                Err(error) => return Err(error),
            };
            tree.files.push(File {
                path: path.to_owned(),
                bytes: bytes.len() as u64,
                text: String::from_utf8(bytes).ok(),
            });
        }
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        tree.files.dedup_by(|a, b| a.path == b.path);
        Ok(tree)
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        let file = self.files.iter().find(|file| file.path == path)?;
        file.text.as_deref()
    }

    /// All Rust files with their texts.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|file| {
            let text = file.text.as_deref()?;
            file.path
                .ends_with(".rs")
                .then_some((file.path.as_str(), text))
        })
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                bytes: text.len() as u64,
                text: Some((*text).to_owned()),
            })
            .collect();
        Self { files }
    }
}
