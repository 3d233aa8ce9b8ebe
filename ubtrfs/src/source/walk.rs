//! Going through a tree, a name at a time.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};

use crate::source::{Kind, Names};

/// Directories of the current path whose descriptors stay open; those nearer to the root are
/// opened again on the way back.
const KEPT_OPEN: usize = 128;

/// A walk through a tree: the directories on the way from the root to the current one, each with
/// what the user of the walk wants to remember of it.
///
/// Its memory is the names of those directories. Whoever uses it decides what to enter.
#[derive(Debug)]
pub struct Walk<T> {
    frames: Vec<Frame<T>>,
    /// Path of the current directory, relative to the root.
    path: Vec<u8>,
}

#[derive(Debug)]
struct Frame<T> {
    fd: Option<OwnedFd>,
    id: (u64, u64),
    names: Names,
    /// Behind the name that was told last.
    next: usize,
    /// Length of the path of the directory that this one is in.
    parent_path: usize,
    payload: T,
}

impl<T> Default for Walk<T> {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            path: Vec::new(),
        }
    }
}

impl<T> Walk<T> {
    /// Goes into a directory: that of the current name, or the root at first. `id` is its device
    /// and inode number.
    ///
    /// # Errors
    ///
    /// Those of reading it; it is entered nevertheless, with the names `None`.
    pub fn enter(&mut self, fd: OwnedFd, id: (u64, u64), payload: T) -> io::Result<()> {
        let (names, result) = match Names::read(fd.as_fd()) {
            Ok(names) => (names, Ok(())),
            Err(error) => (Names::default(), Err(error)),
        };
        let parent_path = self.path.len();
        if let Some(parent) = self.frames.last() {
            let current = parent.names.get(parent.next.wrapping_sub(1));
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            if let Some((name, _)) = current {
                self.path.extend_from_slice(name.to_bytes());
            }
        }
        self.frames.push(Frame {
            fd: Some(fd),
            id,
            names,
            next: 0,
            parent_path,
            payload,
        });
        if let Some(far) = self.frames.len().checked_sub(KEPT_OPEN + 1) {
            self.frames[far].fd = None;
        }
        result
    }

    /// Goes on to the next name of the current directory. `false`: there is none.
    pub fn advance(&mut self) -> bool {
        let Some(top) = self.frames.last_mut() else {
            return false;
        };
        if top.next >= top.names.len() {
            return false;
        }
        top.next += 1;
        true
    }

    /// The current directory, the name in it that [`Walk::advance`] went to, and what is
    /// remembered of the directory.
    #[must_use]
    pub fn current(&self) -> Option<(BorrowedFd<'_>, &CStr, Kind, &T)> {
        let top = self.frames.last()?;
        let (name, kind) = top.names.get(top.next.checked_sub(1)?)?;
        Some((top.fd.as_ref()?.as_fd(), name, kind, &top.payload))
    }

    /// The current directory's path, relative to the root.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// How many directories deep the walk is; 0: it is over, or has not begun.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Leaves the current directory. What is left of the one above cannot be read where the
    /// answer is an error: it was moved meanwhile.
    ///
    /// # Errors
    ///
    /// Those of opening the directory above.
    pub fn leave(&mut self) -> Option<(T, io::Result<()>)> {
        let left = self.frames.pop()?;
        let mut result = Ok(());
        if let Some(parent) = self.frames.last_mut()
            && parent.fd.is_none()
            && let Some(fd) = &left.fd
        {
            match reopen_parent(fd.as_fd(), parent.id) {
                Ok(fd) => parent.fd = Some(fd),
                Err(error) => {
                    parent.next = parent.names.len();
                    result = Err(error);
                }
            }
        }
        self.path.truncate(left.parent_path);
        Some((left.payload, result))
    }
}

fn reopen_parent(child: BorrowedFd<'_>, id: (u64, u64)) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(child, c"..", flags, Mode::empty())?;
    let stat = fstat(&fd)?;
    if (stat.st_dev, stat.st_ino) != id {
        return Err(io::Error::other("was moved while it was read"));
    }
    Ok(fd)
}
