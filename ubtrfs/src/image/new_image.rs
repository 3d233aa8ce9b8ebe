//! An image that does not have its name yet.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use btrfs_volume::device::{Access, FileDevice};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, fstat, linkat, openat, renameat_with};
use rustix::fs::{renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::Error;

/// A file in the directory where the image is to be. Dropped before [`NewImage::publish`], it
/// leaves nothing behind.
#[derive(Debug)]
pub struct NewImage {
    file: File,
    directory: OwnedFd,
    name: CString,
    /// Its name until it is published, where the filesystem cannot make files without one.
    hidden: Option<CString>,
    path: PathBuf,
    replace: bool,
    /// Device and inode number of what is at `path` now.
    replaced: Option<(u64, u64)>,
    /// Keeps others from using what is about to be replaced.
    _lock: Option<FileDevice>,
}

impl NewImage {
    /// Begins an image that is to be at `path`.
    ///
    /// # Errors
    ///
    /// `path` exists and `replace` is not set, or is no regular file, or is in use; no file can
    /// be made there.
    pub fn begin(path: &Path, replace: bool) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::path(path, error);
        let (parent, name) = split(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, parent, flags, Mode::empty())
            .map_err(|errno| Error::path(parent, io::Error::from(errno)))?;
        let mut lock = None;
        let replaced = match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(failed(errno.into())),
            Ok(stat) => {
                if stat.st_mode & 0o17_0000 != 0o10_0000 {
                    return Err(Error::path(path, "exists and is not a regular file"));
                }
                // Also where it may be replaced: who uses it is named then.
                lock = Some(FileDevice::open(path, Access::ReadWrite).map_err(
                    |error| match error {
                        btrfs_volume::Error::InUse { by, .. } => {
                            Error::path(path, format!("in use: {by}"))
                        }
                        btrfs_volume::Error::Open { source, .. } => Error::path(path, source),
                        other => Error::path(path, other),
                    },
                )?);
                if !replace {
                    return Err(Error::path(path, "exists; --force replaces it"));
                }
                Some((stat.st_dev, stat.st_ino))
            }
        };
        let (file, hidden) = make(&directory, &name).map_err(failed)?;
        Ok(Self {
            file: file.into(),
            directory,
            name,
            hidden,
            path: path.to_owned(),
            replace,
            replaced,
            _lock: lock,
        })
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode number of the file and of the one that it replaces.
    ///
    /// # Errors
    ///
    /// Those of fstat.
    pub fn ids(&self) -> Result<Vec<(u64, u64)>, Error> {
        let stat = fstat(&self.file).map_err(|e| Error::path(&self.path, io::Error::from(e)))?;
        Ok(self
            .replaced
            .into_iter()
            .chain([(stat.st_dev, stat.st_ino)])
            .collect())
    }

    /// Makes the file's bytes durable and gives it its name.
    ///
    /// # Errors
    ///
    /// Those of fsync, link and rename; meanwhile somebody made a file of that name.
    pub fn publish(mut self) -> Result<(), Error> {
        let result = self.give_name();
        result.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Error::path(&self.path, "exists; it was made meanwhile")
            }
            _ => Error::path(&self.path, error),
        })
    }

    fn give_name(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if self.hidden.is_none() {
            if !self.replace {
                self.link(&self.name.clone())?;
                return self.sync_directory();
            }
            // A link cannot take a name that exists, a rename can.
            let hidden = hidden_name(&self.name)?;
            self.link(&hidden)?;
            self.hidden = Some(hidden);
        }
        let Some(hidden) = &self.hidden else {
            return Ok(());
        };
        let dir = &self.directory;
        if self.replace {
            renameat(dir, hidden, dir, &self.name)?;
        } else {
            match renameat_with(dir, hidden, dir, &self.name, RenameFlags::NOREPLACE) {
                // The filesystem has no such rename; a link never replaces either.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    linkat(dir, hidden, dir, &self.name, AtFlags::empty())?;
                    unlinkat(dir, hidden, AtFlags::empty())?;
                }
                other => other?,
            }
        }
        self.hidden = None;
        self.sync_directory()
    }

    fn link(&self, name: &CString) -> io::Result<()> {
        let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        linkat(CWD, open, &self.directory, name, AtFlags::SYMLINK_FOLLOW)?;
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.directory) {
            // Not every filesystem can.
            Err(Errno::INVAL | Errno::BADF) => Ok(()),
            other => Ok(other?),
        }
    }
}

impl Drop for NewImage {
    fn drop(&mut self) {
        if let Some(hidden) = &self.hidden {
            let _ = unlinkat(&self.directory, hidden, AtFlags::empty());
        }
    }
}

fn split(path: &Path) -> Result<(&Path, CString), Error> {
    let no_name = || Error::path(path, "is no name of a file");
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return Err(no_name());
    }
    let name = path.file_name().ok_or_else(no_name)?;
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let name = CString::new(name.as_bytes()).map_err(|_| no_name())?;
    Ok((parent.unwrap_or(Path::new(".")), name))
}

/// A file without a name where that is possible, else one with a hidden name.
fn make(directory: &OwnedFd, name: &CString) -> io::Result<(OwnedFd, Option<CString>)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    // Naming it later goes through /proc.
    if Path::new("/proc/self/fd").exists() {
        match openat(directory, c".", flags | OFlags::TMPFILE, mode) {
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {}
            other => return Ok((other?, None)),
        }
    }
    let hidden = hidden_name(name)?;
    let create = flags | OFlags::CREATE | OFlags::EXCL;
    let file = openat(directory, &hidden, create, mode)?;
    Ok((file, Some(hidden)))
}

fn hidden_name(name: &CString) -> io::Result<CString> {
    // Room for the rest in 255 bytes.
    let kept = &name.to_bytes()[..name.to_bytes().len().min(200)];
    let mut hidden = b".".to_vec();
    hidden.extend_from_slice(OsStr::from_bytes(kept).as_bytes());
    hidden.extend_from_slice(format!(".{}", uuid::Uuid::new_v4().simple()).as_bytes());
    Ok(CString::new(hidden)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_there_before_it_is_published() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        drop(NewImage::begin(&path, false).unwrap());
        assert!(names(dir.path()).is_empty());
        let image = NewImage::begin(&path, false).unwrap();
        image.file().write_all(b"whole").unwrap();
        assert!(!path.exists());
        image.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(dir.path()), ["image"]);
    }

    #[test]
    fn what_exists_is_replaced_only_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, "old").unwrap();
        assert!(NewImage::begin(&path, false).is_err());
        let image = NewImage::begin(&path, true).unwrap();
        assert_eq!(image.ids().unwrap().len(), 2);
        image.file().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        image.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["image"]);
    }

    #[test]
    fn what_was_made_meanwhile_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let image = NewImage::begin(&path, false).unwrap();
        std::fs::write(&path, "of another").unwrap();
        assert!(image.publish().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"of another");
        assert_eq!(names(dir.path()), ["image"]);
    }

    #[test]
    fn one_that_is_locked_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, "old").unwrap();
        let user = FileDevice::open(&path, Access::ReadWrite).unwrap();
        let error = NewImage::begin(&path, true).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(user);
    }

    #[test]
    fn directories_and_devices_are_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            dir.path(),
            Path::new("/dev/null"),
            Path::new("/"),
            Path::new("x/"),
        ] {
            assert!(NewImage::begin(path, true).is_err(), "{}", path.display());
        }
    }
}
