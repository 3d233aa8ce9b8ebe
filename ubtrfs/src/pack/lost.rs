//! Which file it was whose data was lost.

use fs_core::Error;

use crate::quote::quoted;

/// Bytes of paths of a generation.
const GENERATION: usize = 1 << 20;

/// The paths of the files that were packed last, in bounded memory: data is lost soon or not at all.
#[derive(Debug, Default)]
pub(super) struct Recent {
    now: Paths,
    before: Paths,
}

#[derive(Debug, Default)]
struct Paths {
    bytes: Vec<u8>,
    /// Inode number, and where its path ends.
    ends: Vec<(u64, usize)>,
}

impl Recent {
    pub(super) fn push(&mut self, ino: u64, path: &[u8]) {
        if self.now.bytes.len() >= GENERATION {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.bytes.extend_from_slice(path);
        self.now.ends.push((ino, self.now.bytes.len()));
    }

    /// What went wrong, with the name of the file that it is about.
    pub(super) fn told(&self, error: &Error) -> String {
        if let Error::Writeback {
            id, range, message, ..
        } = error
            && let Some(path) = self.now.find(id.ino).or_else(|| self.before.find(id.ino))
        {
            let (start, end) = (range.start, range.end);
            let path = quoted(path);
            return format!("packing {path}: bytes {start}..{end} could not be written: {message}");
        }
        error.to_string()
    }
}

impl Paths {
    fn find(&self, ino: u64) -> Option<&[u8]> {
        let at = self.ends.iter().position(|(one, _)| *one == ino)?;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before].1);
        self.bytes.get(start..self.ends[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_paths_are_known_and_their_bytes_bounded() {
        let mut recent = Recent::default();
        for ino in 0..100_000_u64 {
            recent.push(
                ino,
                format!("some/directory/of/the/source/file-{ino}").as_bytes(),
            );
        }
        let path = |ino| recent.now.find(ino).or_else(|| recent.before.find(ino));
        for ino in [99_999, 99_998, 80_000] {
            let expected = format!("some/directory/of/the/source/file-{ino}");
            assert_eq!(path(ino), Some(expected.as_bytes()));
        }
        assert_eq!(path(0), None);
        assert_eq!(path(100_000), None);
        let bytes = recent.now.bytes.len() + recent.before.bytes.len();
        assert!(bytes <= 2 * (GENERATION + 100), "{bytes}");
    }
}
