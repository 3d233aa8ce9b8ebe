//! The names in one directory.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;

/// What a directory says that a name leads to. It may be something else by the time it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// Anything else, or not told.
    Other,
}

/// Names, sorted by their bytes. They lie one behind the other in one buffer.
#[derive(Debug, Default)]
pub struct Names {
    /// For each name: its kind, its bytes, NUL.
    text: Vec<u8>,
    starts: Vec<usize>,
}

impl Names {
    /// Reads a directory from its beginning.
    ///
    /// # Errors
    ///
    /// Those of getdents64.
    pub fn read(dir: BorrowedFd<'_>) -> io::Result<Self> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); 32 << 10];
        let mut entries = RawDir::new(dir, &mut buffer);
        let mut names = Self::default();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::RegularFile => b'f',
                FileType::Directory => b'd',
                _ => b'?',
            };
            names.starts.push(names.text.len());
            names.text.push(kind);
            names.text.extend_from_slice(name.to_bytes_with_nul());
        }
        let text = &names.text;
        names
            .starts
            .sort_unstable_by(|a, b| name_at(text, *a).cmp(name_at(text, *b)));
        Ok(names)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The name at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<(&CStr, Kind)> {
        let start = *self.starts.get(index)?;
        let kind = match self.text[start] {
            b'f' => Kind::Regular,
            b'd' => Kind::Directory,
            _ => Kind::Other,
        };
        Some((name_at(&self.text, start), kind))
    }
}

fn name_at(text: &[u8], start: usize) -> &CStr {
    CStr::from_bytes_until_nul(&text[start + 1..]).expect("each name has its NUL")
}
