//! Names that lead to what was unpacked already.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fs_core::InodeId;
use rustix::fs::{AtFlags, Mode, linkat, openat};

use crate::unpack::target::DIRECTORY;

/// First names of inodes that have several.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Paths relative to the target's root.
    first: HashMap<InodeId, Box<[u8]>>,
    /// The directory that was opened last: links mostly lead to the same one.
    opened: Option<(Box<[u8]>, OwnedFd)>,
}

impl Links {
    /// `name` in `dir` is the first name of `id`.
    pub(super) fn insert(&mut self, id: InodeId, dir: &[u8], name: &CStr) {
        let mut path = dir.to_vec();
        path.push(b'/');
        path.extend_from_slice(name.to_bytes());
        self.first.insert(id, path.into());
    }

    pub(super) fn contains(&self, id: InodeId) -> bool {
        self.first.contains_key(&id)
    }

    /// Gives `id` another name.
    pub(super) fn link(
        &mut self,
        id: InodeId,
        root: BorrowedFd<'_>,
        dir: BorrowedFd<'_>,
        name: &CStr,
    ) -> io::Result<()> {
        let path = self.first.get(&id).ok_or(io::ErrorKind::NotFound)?;
        let slash = path.iter().rposition(|b| *b == b'/').unwrap_or(0);
        let (old_dir, old_name) = (&path[..slash], CString::new(&path[slash + 1..])?);
        if self
            .opened
            .as_ref()
            .is_none_or(|(path, _)| **path != *old_dir)
        {
            self.opened = Some((old_dir.into(), open(root, old_dir)?));
        }
        let Some((_, old_dir)) = &self.opened else {
            return Err(io::ErrorKind::NotFound.into());
        };
        linkat(old_dir, &*old_name, dir, name, AtFlags::empty())?;
        Ok(())
    }
}

/// Opens a directory name by name, so that no symlink in the way is followed.
fn open(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let mut dir = root.try_clone_to_owned()?;
    for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
        dir = openat(dir.as_fd(), name, DIRECTORY, Mode::empty())?;
    }
    Ok(dir)
}
