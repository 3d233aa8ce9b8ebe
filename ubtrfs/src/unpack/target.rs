//! The directories that are written to, as a path of descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};

/// How a directory is opened: never through a symlink.
pub(super) const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Descriptors that stay open; those nearer to the root are opened again on the way back.
const KEPT_OPEN: usize = 128;

/// The directories from the root to the current one.
#[derive(Debug)]
pub(super) struct Target {
    dirs: Vec<(Option<OwnedFd>, (u64, u64))>,
}

impl Target {
    pub(super) fn new(root: OwnedFd) -> io::Result<Self> {
        let mut target = Self { dirs: Vec::new() };
        target.push(root)?;
        Ok(target)
    }

    /// The current directory.
    ///
    /// # Errors
    ///
    /// It could not be opened again.
    pub(super) fn current(&self) -> io::Result<BorrowedFd<'_>> {
        let (fd, _) = self.dirs.last().expect("the root is always there");
        let fd = fd.as_ref();
        fd.map(AsFd::as_fd)
            .ok_or_else(|| io::Error::other("was moved meanwhile"))
    }

    /// The root.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        let (fd, _) = &self.dirs[0];
        fd.as_ref().expect("the root stays open").as_fd()
    }

    /// Goes into a directory.
    pub(super) fn push(&mut self, fd: OwnedFd) -> io::Result<()> {
        let stat = fstat(&fd)?;
        self.dirs.push((Some(fd), (stat.st_dev, stat.st_ino)));
        if let Some(far) = self.dirs.len().checked_sub(KEPT_OPEN + 1)
            && far > 0
        {
            self.dirs[far].0 = None;
        }
        Ok(())
    }

    /// Leaves the current directory.
    pub(super) fn pop(&mut self) {
        let Some((left, _)) = self.dirs.pop() else {
            return;
        };
        if let (Some(left), Some((parent @ None, id))) = (left, self.dirs.last_mut()) {
            let opened = openat(&left, c"..", DIRECTORY, Mode::empty());
            // Another directory than the one that it was: somebody moved it, out of the tree
            // perhaps.
            *parent = opened
                .ok()
                .filter(|fd| fstat(fd).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == *id));
        }
    }
}
