//! From names on the outside to inodes of a filesystem.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use bytes::Bytes;
use fs_core::{ErrorKind, FileType, Filesystem, InodeId, NewInode, SetAttrs, Timestamp, Volume};
use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::error::Error;
use crate::pack::content;
use crate::pack::lost::Recent;
use crate::report::Report;
use crate::source::{Exclude, Kind, LinkTable, Walk, Xattrs};
use crate::sync::Arc;

/// Files of at most so many bytes have no data of their own.
const MAX_INLINE: u64 = 2048;

/// What to pack, and how.
#[derive(Debug, Default)]
pub struct Options {
    /// What is left out.
    pub exclude: Exclude,
    /// Whether to leave out what is below mount points.
    pub one_file_system: bool,
    /// Files to leave out without a word, by device and inode number: the image itself.
    pub left_out: Vec<(u64, u64)>,
    /// Creation time of everything, in seconds since 1970.
    pub created: i64,
    /// Change time of all inodes, in seconds since 1970; their own if `None`.
    pub changed: Option<i64>,
}

/// What was packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Packed {
    /// Inodes of any type, the root directory included.
    pub inodes: u64,
    /// Of these, regular files.
    pub files: u64,
    /// Sizes of the regular files, in bytes.
    pub bytes: u64,
}

/// Fills a filesystem.
pub struct Packer<'a, V: Volume> {
    pub(super) fs: &'a Filesystem<V>,
    pub(super) report: &'a Report,
    pub(super) packed: Packed,
    options: Options,
    links: LinkTable,
    recent: Recent,
    xattrs: Xattrs,
    /// Where the source is, for messages.
    prefix: Arc<[u8]>,
    /// O_NOATIME, until the kernel refuses it: it is for owners only.
    no_atime: OFlags,
    root_dev: u64,
}

/// A directory that the walk is in.
struct Directory {
    id: InodeId,
    stat: Stat,
}

/// What a name turned out to be.
enum Found {
    /// Done, or left out.
    Done,
    Enter(OwnedFd, Directory),
}

/// Ends the packing, or only the packing of one name.
pub(super) enum Failure {
    Fatal(Error),
    /// Data did not reach the device, perhaps that of an earlier name.
    Lost(fs_core::Error),
    /// A sentence about the current name.
    Name(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Name(error.to_string())
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

impl<'a, V: Volume> Packer<'a, V> {
    /// A packer into the root directory of `fs`.
    #[must_use]
    pub fn new(fs: &'a Filesystem<V>, options: Options, report: &'a Report) -> Self {
        Self {
            fs,
            report,
            packed: Packed::default(),
            options,
            links: LinkTable::new(),
            recent: Recent::default(),
            xattrs: Xattrs::default(),
            prefix: Arc::default(),
            no_atime: OFlags::NOATIME,
            root_dev: 0,
        }
    }

    /// Packs the directory `dir`, which is at `path`; what cannot be packed is reported and left
    /// out. `image` is named by errors that concern all. In the end everything is durable.
    ///
    /// # Errors
    ///
    /// The root directory cannot be read, the filesystem is full or fails, or the user interrupts.
    pub fn pack(mut self, dir: OwnedFd, path: &Path, image: &Path) -> Result<Packed, Error> {
        self.prefix = path.as_os_str().as_encoded_bytes().into();
        let failed = |errno| Error::path(path, io::Error::from(errno));
        let stat = fstat(&dir).map_err(failed)?;
        self.root_dev = stat.st_dev;
        let id = self.fs.root();
        let mut walk = Walk::default();
        self.packed.inodes = 1;
        let prefix = Arc::clone(&self.prefix);
        let fatal = |failure| match failure {
            Failure::Fatal(Error::Path { cause, .. }) => Error::path(image, cause),
            Failure::Fatal(other) => other,
            Failure::Lost(error) => Error::path(image, error),
            Failure::Name(cause) => Error::path(path, cause),
        };
        self.open_xattrs(id, dir.as_fd(), &|| prefix.to_vec())
            .map_err(fatal)?;
        let root = (stat.st_dev, stat.st_ino);
        walk.enter(dir, root, Directory { id, stat })
            .map_err(|error| Error::path(path, error))?;
        while walk.depth() > 0 {
            self.report.interrupt().check()?;
            if walk.advance() {
                self.name(&mut walk).map_err(fatal)?;
                continue;
            }
            let Some((left, result)) = walk.leave() else {
                break;
            };
            if let Err(error) = result {
                let path = path_of(&self.prefix, walk.path(), b"");
                self.report.problem(&path, error);
            }
            // Names were made in it, so only now its times can be told.
            self.finish_directory(&left).map_err(fatal)?;
        }
        self.fs
            .sync()
            .map_err(|error| Error::path(image, self.recent.told(&error)))?;
        Ok(self.packed)
    }

    /// Packs the current name of the walk.
    fn name(&mut self, walk: &mut Walk<Directory>) -> Result<(), Failure> {
        let Some((dir, name, kind, parent)) = walk.current() else {
            return Ok(());
        };
        let bytes = name.to_bytes();
        if self.options.exclude.matches(walk.path(), bytes) {
            return Ok(());
        }
        let prefix = Arc::clone(&self.prefix);
        let full_path = || path_of(&prefix, walk.path(), bytes);
        let found = match kind {
            Kind::Regular => self.regular(dir, name, parent.id, &full_path),
            Kind::Directory => self.directory(dir, name, parent, &full_path),
            Kind::Other => self.other(dir, name, parent, &full_path),
        };
        let entered = match found {
            Ok(Found::Done) => Ok(()),
            Ok(Found::Enter(fd, directory)) => {
                let id = (directory.stat.st_dev, directory.stat.st_ino);
                let path = full_path();
                if let Err(error) = walk.enter(fd, id, directory) {
                    self.report.problem(&path, error);
                }
                Ok(())
            }
            Err(Failure::Name(cause)) => {
                self.report.problem(&full_path(), cause);
                Ok(())
            }
            Err(Failure::Fatal(Error::Path { path, cause })) if path.as_os_str().is_empty() => {
                let at = full_path();
                let at = crate::quote::quoted(&at);
                Err(Failure::Fatal(Error::path(
                    "",
                    format!("packing {at}: {cause}"),
                )))
            }
            Err(Failure::Lost(error)) => Err(self.lost(&error)),
            Err(fatal) => Err(fatal),
        };
        entered?;
        self.fs.commit_if_due().map_err(|error| self.lost(&error))
    }

    /// Ends the packing and names the file, which may be an earlier one.
    fn lost(&self, error: &fs_core::Error) -> Failure {
        Failure::Fatal(Error::path("", self.recent.told(error)))
    }

    /// Opens a name without following it and without waiting for anybody.
    fn open(&mut self, dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | flags;
        match openat(dir, name, flags | self.no_atime, Mode::empty()) {
            Err(Errno::PERM) if !self.no_atime.is_empty() => {
                self.no_atime = OFlags::empty();
                openat(dir, name, flags, Mode::empty())
            }
            other => other,
        }
    }

    fn regular(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        parent: InodeId,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<Found, Failure> {
        let file = self.open(dir, name, OFlags::empty())?;
        let stat = fstat(&file)?;
        if file_type(&stat) != Some(FileType::Regular) {
            return Err(Failure::Name("was replaced while it was read".into()));
        }
        if self.is_left_out(&stat) || self.link(&stat, parent, name)? {
            return Ok(Found::Done);
        }
        let id = self.create(parent, name, &stat, FileType::Regular, Bytes::new())?;
        self.open_xattrs(id, file.as_fd(), path)?;
        self.packed.files += 1;
        self.content(id, file.as_fd(), &stat, path)?;
        Ok(Found::Done)
    }

    fn directory(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        parent: &Directory,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<Found, Failure> {
        let fd = match self.open(dir, name, OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::ACCESS) => {
                // It may not be read, but what it is can be told.
                let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let id = self.create(parent.id, name, &stat, FileType::Directory, Bytes::new())?;
                self.finish_directory(&Directory { id, stat })?;
                return Err(Errno::ACCESS.into());
            }
            Err(errno) => return Err(errno.into()),
        };
        let stat = fstat(&fd)?;
        let id = self.create(parent.id, name, &stat, FileType::Directory, Bytes::new())?;
        self.open_xattrs(id, fd.as_fd(), path)?;
        let directory = Directory { id, stat };
        if self.options.one_file_system && directory.stat.st_dev != self.root_dev {
            self.finish_directory(&directory)?;
            return Ok(Found::Done);
        }
        Ok(Found::Enter(fd, directory))
    }

    fn other(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &CStr,
        parent: &Directory,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<Found, Failure> {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let file_type = file_type(&stat)
            .ok_or_else(|| Failure::Name(format!("of unknown type, mode {:o}", stat.st_mode)))?;
        match file_type {
            FileType::Regular => return self.regular(dir, name, parent.id, path),
            FileType::Directory => return self.directory(dir, name, parent, path),
            _ => {}
        }
        if self.link(&stat, parent.id, name)? {
            return Ok(Found::Done);
        }
        let target = match file_type {
            FileType::Symlink => Bytes::from(readlinkat(dir, name, Vec::new())?.into_bytes()),
            _ => Bytes::new(),
        };
        let id = self.create(parent.id, name, &stat, file_type, target)?;
        let fs = self.fs;
        let report = self.report;
        let mut fatal = Ok(());
        self.xattrs.of_name(dir, name, |name, value| {
            set_xattr(fs, report, id, name, value, path, &mut fatal);
        })?;
        fatal?;
        Ok(Found::Done)
    }

    pub(super) fn files(&self) -> u64 {
        self.packed.files
    }

    fn is_left_out(&self, stat: &Stat) -> bool {
        self.options.left_out.contains(&(stat.st_dev, stat.st_ino))
    }

    /// Whether it is another name of what was packed already, and now is there, too.
    fn link(&mut self, stat: &Stat, parent: InodeId, name: &CStr) -> Result<bool, Failure> {
        if stat.st_nlink < 2 {
            return Ok(false);
        }
        let Some(ino) = self.links.get(stat.st_dev, stat.st_ino) else {
            return Ok(false);
        };
        let id = InodeId {
            tree: parent.tree,
            ino,
        };
        let linked = self.fs.link(id, parent, name.to_bytes());
        linked.map_err(classify)?;
        Ok(true)
    }

    fn create(
        &mut self,
        parent: InodeId,
        name: &CStr,
        stat: &Stat,
        file_type: FileType,
        symlink_target: Bytes,
    ) -> Result<InodeId, Failure> {
        let mtime = mtime(stat);
        let rdev = match file_type {
            FileType::CharDevice | FileType::BlockDevice => {
                (major(stat.st_rdev), minor(stat.st_rdev))
            }
            _ => (0, 0),
        };
        let new = NewInode {
            file_type,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev,
            // Reading changes the real one, so that the same input would not give the same image.
            atime: mtime,
            mtime,
            ctime: self.ctime(stat),
            otime: seconds(self.options.created),
            symlink_target,
        };
        let created = self.fs.create(parent, name.to_bytes(), &new);
        let id = created.map_err(classify)?;
        self.packed.inodes += 1;
        if stat.st_nlink > 1 && file_type != FileType::Directory {
            self.links.insert(stat.st_dev, stat.st_ino, id.ino);
        }
        Ok(id)
    }

    fn ctime(&self, stat: &Stat) -> Timestamp {
        match self.options.changed {
            Some(secs) => seconds(secs),
            None => timestamp(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }

    fn finish_directory(&self, directory: &Directory) -> Result<(), Failure> {
        let stat = &directory.stat;
        let set = SetAttrs {
            mode: Some(stat.st_mode & 0o7777),
            uid: Some(stat.st_uid),
            gid: Some(stat.st_gid),
            atime: Some(mtime(stat)),
            mtime: Some(mtime(stat)),
            ctime: Some(self.ctime(stat)),
            otime: Some(seconds(self.options.created)),
        };
        self.fs.set_attrs(directory.id, &set).map_err(classify)
    }

    fn open_xattrs(
        &mut self,
        id: InodeId,
        file: BorrowedFd<'_>,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), Failure> {
        let fs = self.fs;
        let report = self.report;
        let mut fatal = Ok(());
        let listed = self.xattrs.of_open(file, |name, value| {
            set_xattr(fs, report, id, name, value, path, &mut fatal);
        });
        if let Err(error) = listed {
            let cause = format!("extended attributes: {error}");
            self.report.problem(&path(), cause);
        }
        fatal
    }

    /// The content of a regular file, which may change while it is read.
    fn content(
        &mut self,
        id: InodeId,
        file: BorrowedFd<'_>,
        stat: &Stat,
        path: &dyn Fn() -> Vec<u8>,
    ) -> Result<(), Failure> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // Files of /proc and the like say 0 and have content.
        if size == 0 {
            match content::has_any(file) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(errno) => {
                    let cause = format!("read up to byte 0 only: {}", io::Error::from(errno));
                    self.report.problem(&path(), cause);
                    return Ok(());
                }
            }
        }
        // What is smaller goes into the trees.
        if size > MAX_INLINE {
            self.recent.push(id.ino, &path());
        }
        let copied = content::copy(self, id, file, stat)?;
        self.packed.bytes += copied.size;
        if let Some(cause) = copied.problem {
            self.report.problem(&path(), cause);
        }
        Ok(())
    }
}

/// Sets one attribute; one that cannot be held is reported.
fn set_xattr<V: Volume>(
    fs: &Filesystem<V>,
    report: &Report,
    id: InodeId,
    name: &[u8],
    value: io::Result<&[u8]>,
    path: &dyn Fn() -> Vec<u8>,
    fatal: &mut Result<(), Failure>,
) {
    let set = value
        .map_err(Failure::from)
        .and_then(|value| fs.set_xattr(id, name, value).map_err(classify));
    match set {
        Ok(()) => {}
        Err(Failure::Name(cause)) => {
            let name = crate::quote::quoted(name);
            report.problem(&path(), format!("extended attribute {name}: {cause}"));
        }
        Err(failure) => *fatal = Err(failure),
    }
}

/// What one name cannot have is its own problem; all else would meet the next name, too.
pub(super) fn classify(error: fs_core::Error) -> Failure {
    if let fs_core::Error::Writeback { .. } = error {
        return Failure::Lost(error);
    }
    match error.kind() {
        ErrorKind::Exists
        | ErrorKind::TooLarge
        | ErrorKind::FileTooLarge
        | ErrorKind::TooManyLinks
        | ErrorKind::Invalid
        | ErrorKind::Unsupported => Failure::Name(error.to_string()),
        ErrorKind::NoSpace => {
            let cause = format!("{error}; a larger --byte-count is needed");
            Failure::Fatal(Error::path("", cause))
        }
        _ => Failure::Fatal(Error::path("", error)),
    }
}

/// `prefix/dir/name`, without the parts that are empty.
fn path_of(prefix: &[u8], dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = prefix.to_vec();
    for part in [dir, name] {
        if !path.ends_with(b"/") && !part.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    path
}

fn file_type(stat: &Stat) -> Option<FileType> {
    use rustix::fs::FileType as Raw;
    Some(match Raw::from_raw_mode(stat.st_mode) {
        Raw::RegularFile => FileType::Regular,
        Raw::Directory => FileType::Directory,
        Raw::Symlink => FileType::Symlink,
        Raw::CharacterDevice => FileType::CharDevice,
        Raw::BlockDevice => FileType::BlockDevice,
        Raw::Fifo => FileType::Fifo,
        Raw::Socket => FileType::Socket,
        _ => return None,
    })
}

fn mtime(stat: &Stat) -> Timestamp {
    timestamp(stat.st_mtime, stat.st_mtime_nsec as i64)
}

fn timestamp(secs: i64, nanos: i64) -> Timestamp {
    Timestamp {
        secs,
        nanos: u32::try_from(nanos).unwrap_or(0),
    }
}

fn seconds(secs: i64) -> Timestamp {
    Timestamp { secs, nanos: 0 }
}
