//! A directory that goes away, whatever happens.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, process};

/// Waits until nobody holds its standard input open any more, then unmounts what is mounted below
/// `$0` and removes it. What still runs there may need a moment to end.
const CLEAN: &str = r#"
trap '' INT TERM HUP
cat > /dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    busy=
    while read -r device at rest; do
        case $at in "$0"/*) umount "$at" || busy=1 ;; esac
    done < /proc/mounts
    [ -z "$busy" ] && break
    sleep 1
done
rm -rf --one-file-system "$0"
"#;

/// A fresh directory. A process of its own removes it when this value or the whole program ends,
/// be it by a signal.
pub(crate) struct Scratch {
    dir: PathBuf,
    cleaner: Child,
}

impl Scratch {
    /// `name` tells apart those of one program.
    pub(crate) fn new(parent: &Path, name: &str) -> io::Result<Self> {
        let dir = fs::canonicalize(parent)?.join(format!("ubtrfs-{name}-{}", process::id()));
        let cleaner = Command::new("sh")
            .args(["-c", CLEAN])
            .arg(&dir)
            .stdin(Stdio::piped())
            .spawn()?;
        let scratch = Self { dir, cleaner };
        fs::create_dir(&scratch.dir)?;
        Ok(scratch)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.cleaner.stdin.take());
        let ended = self.cleaner.wait();
        if !ended.is_ok_and(|status| status.success()) {
            eprintln!("{} could not be removed", self.dir.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn it_goes_with_what_is_in_it() {
        let scratch = Scratch::new(&env::temp_dir(), "scratch").unwrap();
        let dir = scratch.dir().to_owned();
        fs::create_dir(dir.join("sub")).unwrap();
        fs::write(dir.join("sub/file"), "x").unwrap();
        drop(scratch);
        assert!(!dir.exists());
    }
}
