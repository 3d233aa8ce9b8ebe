//! The list of skipped tests: one line `test name: why` each, appended by the
//! tests to the file that an environment variable names.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use crate::workspace;

/// The variable that tells the tests where the list is.
pub(crate) const VARIABLE: &str = "UBTRFS_SKIPS";

/// Empties the list and says where it is.
pub(crate) fn begin(root: &Path) -> io::Result<PathBuf> {
    let dir = workspace::target_dir(root);
    fs::create_dir_all(&dir)?;
    let list = dir.join("skipped-tests.txt");
    fs::write(&list, "")?;
    Ok(list)
}

/// Prints the list and says whether it may be as it is.
pub(crate) fn report(list: &Path) -> io::Result<bool> {
    let text = String::from_utf8_lossy(&fs::read(list)?).into_owned();
    let skips = lines(&text);
    if skips.is_empty() {
        println!("skipped tests: none");
        return Ok(true);
    }
    println!("skipped tests: {}", skips.len());
    for skip in &skips {
        println!("    {skip}");
    }
    let in_ci = env::var("CI").is_ok_and(|ci| ci == "true");
    if in_ci {
        println!("    which is a failure, because CI=true");
    }
    Ok(!in_ci)
}

/// Each skip once, sorted: threads append in any order.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_each_line_stands_once() {
        assert_eq!(lines("\nb: x\n a: y\nb: x\n\n"), ["a: y", "b: x"]);
        assert!(lines(" \n").is_empty());
    }
}
