//! What the user wants left out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Globs, those of names apart from those of paths.
#[derive(Debug, Default)]
pub struct Exclude {
    names: GlobSet,
    paths: GlobSet,
}

impl Exclude {
    /// Globs without a `/` are for names, all others for paths below the root; a leading `/` or `./`
    /// changes nothing but that, and a trailing or double one nothing at all.
    ///
    /// # Errors
    ///
    /// A sentence that names the glob and what is wrong with it.
    pub fn new<S: AsRef<str>>(globs: &[S]) -> Result<Self, String> {
        let mut names = GlobSetBuilder::new();
        let mut paths = GlobSetBuilder::new();
        for glob in globs {
            let glob = glob.as_ref();
            let refused = |why: &str| format!("--exclude '{glob}': {why}");
            let parts: Vec<&str> = glob.split('/').collect();
            let path: Vec<&str> = parts
                .iter()
                .copied()
                .filter(|p| !matches!(*p, "" | "."))
                .collect();
            if path.is_empty() {
                return Err(refused("names nothing"));
            }
            if path.contains(&"..") {
                return Err(refused("paths below DIR have no '..'"));
            }
            let is_path = glob.trim_end_matches('/').contains('/');
            let pattern = path.join("/");
            let built = GlobBuilder::new(&pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build()
                .map_err(|error| format!("--exclude '{glob}': {}", error.kind()))?;
            if is_path {
                paths.add(built);
            } else {
                names.add(built);
            }
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|error| error.to_string());
        Ok(Self {
            names: build(names)?,
            paths: build(paths)?,
        })
    }

    /// Whether `name` in `dir` (relative to the root, empty for the root itself) is left out.
    #[must_use]
    pub fn matches(&self, dir: &[u8], name: &[u8]) -> bool {
        let as_path = |bytes| Path::new(OsStr::from_bytes(bytes)).to_owned();
        if !self.names.is_empty() && self.names.is_match(as_path(name)) {
            return true;
        }
        !self.paths.is_empty() && self.paths.is_match(as_path(dir).join(as_path(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::Exclude;

    #[test]
    fn names_anywhere_and_paths_from_the_root() {
        let exclude = Exclude::new(&[
            "*.o",
            "/target",
            "a/*/b",
            "docs/**",
            "gone/",
            "./here",
            "two//parts",
            "lone//",
        ])
        .unwrap();
        for (dir, name, left_out) in [
            ("", "x.o", true),
            ("deep/er", "x.o", true),
            ("", "target", true),
            ("sub", "target", false),
            ("a/x", "b", true),
            ("a/x/y", "b", false),
            ("docs", "x", true),
            ("", "docs", false),
            ("x", "gone", true),
            ("", "here", true),
            ("x", "here", false),
            ("two", "parts", true),
            ("x", "lone", true),
        ] {
            let matches = exclude.matches(dir.as_bytes(), name.as_bytes());
            assert_eq!(matches, left_out, "{dir}/{name}");
        }
        assert!(exclude.matches(b"", b"\xff.o"));
    }

    #[test]
    fn a_bad_glob_is_named() {
        for glob in ["[z", "", "/", "./", "../x", "a/../b"] {
            let error = Exclude::new(&[glob]).unwrap_err();
            assert!(error.contains(&format!("'{glob}'")), "{error}");
        }
    }
}
