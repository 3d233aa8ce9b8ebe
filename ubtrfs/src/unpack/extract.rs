//! From inodes of a filesystem to names on the outside.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File as OutFile;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use fs_core::{Attrs, DirEntry, FileType, Filesystem, InodeId, Volume};
use rustix::fs::{
    AtFlags, FileType as RawType, Mode, OFlags, makedev, mkdirat, mknodat, openat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;

use crate::error::Error;
use crate::report::Report;
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, Receiver, SyncSender, sync_channel, thread};
use crate::unpack::content;
use crate::unpack::links::Links;
use crate::unpack::metadata::{Problems, Rights, set_named, set_open};
use crate::unpack::target::{DIRECTORY, Target};

/// Entries that are read at once.
const BATCH: usize = 256;
/// Files that wait for a thread; each holds a descriptor.
const QUEUED: usize = 64;

/// How to unpack.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether names that exist are replaced.
    pub force: bool,
    /// Threads that write files.
    pub threads: usize,
    /// Whether owners and devices can be set.
    pub root: bool,
    /// Whether the target gets the attributes of the directory that goes into it.
    pub own_attributes: bool,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Names of any type.
    pub inodes: u64,
    /// Of these, regular files.
    pub files: u64,
    /// Sizes of the regular files, in bytes.
    pub bytes: u64,
}

/// Takes inodes out of a filesystem.
pub struct Extract<'a, V: Volume> {
    fs: &'a Filesystem<V>,
    options: Options,
    report: &'a Report,
    rights: Rights,
    unpacked: Unpacked,
    links: Links,
    /// Directories that were entered: none has two names, or the image is damaged.
    entered: HashSet<InodeId>,
    owners_left_out: AtomicU64,
    devices_left_out: u64,
    xattrs_left_out: AtomicU64,
    btrfs_only: Arc<AtomicU64>,
}

/// A directory on the way.
struct Frame {
    id: InodeId,
    /// What it gets when all its names are made; `None` if it was there before.
    attrs: Option<Attrs>,
    entries: std::vec::IntoIter<DirEntry>,
    after: u64,
    parent_path: usize,
}

/// A file for a thread to fill.
struct Job {
    id: InodeId,
    attrs: Attrs,
    file: OutFile,
    path: Vec<u8>,
}

/// Why a name was not made.
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl<'a, V: Volume> Extract<'a, V> {
    /// An extraction out of `fs`.
    #[must_use]
    pub fn new(fs: &'a Filesystem<V>, options: Options, report: &'a Report) -> Self {
        Self {
            fs,
            options,
            report,
            rights: Rights::new(options.root),
            unpacked: Unpacked::default(),
            links: Links::default(),
            entered: HashSet::new(),
            owners_left_out: AtomicU64::new(0),
            devices_left_out: 0,
            xattrs_left_out: AtomicU64::new(0),
            btrfs_only: Arc::default(),
        }
    }

    /// What the directory `id` holds goes into `target`, which is at `path`.
    ///
    /// # Errors
    ///
    /// The user interrupts, or the target cannot be used.
    pub fn directory(
        mut self,
        id: InodeId,
        target: OwnedFd,
        path: &Path,
    ) -> Result<Unpacked, Error> {
        let attrs = self.fs.attrs(id).map_err(|e| Error::path(path, e))?;
        let attrs = self.options.own_attributes.then_some(attrs);
        self.with_threads(target, path, |this, target, jobs, path| {
            this.entered.insert(id);
            this.unpacked.inodes += 1;
            let mut frames = vec![this.frame(id, attrs, path.len())];
            this.tree(target, &mut frames, path, jobs)
        })
    }

    /// The inode `id`, which is no directory, becomes `name` in `target`, which is at `path`.
    ///
    /// # Errors
    ///
    /// As for [`Extract::directory`].
    pub fn single(
        mut self,
        id: InodeId,
        name: &[u8],
        target: OwnedFd,
        path: &Path,
    ) -> Result<Unpacked, Error> {
        let name = bytes::Bytes::copy_from_slice(name);
        self.with_threads(target, path, |this, target, jobs, path| {
            let entry = DirEntry {
                name,
                id,
                file_type: FileType::Regular,
                cursor: 0,
            };
            let root_len = path.len();
            this.entry(target, &entry, path, root_len, jobs);
            Ok(())
        })
    }

    fn with_threads(
        &mut self,
        target: OwnedFd,
        path: &Path,
        work: impl FnOnce(&mut Self, &mut Target, &SyncSender<Job>, &mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<Unpacked, Error> {
        let mut target = Target::new(target).map_err(|error| Error::path(path, error))?;
        let (send, receive) = sync_channel::<Job>(QUEUED);
        let receive = Mutex::new(receive);
        let filler = Filler {
            fs: self.fs,
            report: self.report,
            rights: self.rights,
            btrfs_only: Arc::clone(&self.btrfs_only),
            jobs: &receive,
        };
        let worked = thread::scope(|scope| {
            for number in 0..self.options.threads.max(1) {
                let name = format!("unpack-{number}");
                let started = thread::Builder::new()
                    .name(name)
                    .spawn_scoped(scope, || filler.run());
                if let Err(error) = started
                    && number == 0
                {
                    return Err(Error::path(path, error));
                }
            }
            let mut path = path.as_os_str().as_encoded_bytes().to_vec();
            let worked = work(self, &mut target, &send, &mut path);
            // The threads end when there is nothing more to come.
            drop(send);
            worked
        });
        worked?;
        self.report.interrupt().check()?;
        self.tell_left_out();
        Ok(self.unpacked)
    }

    fn tell_left_out(&self) {
        let owners = self.owners_left_out.load(Ordering::Relaxed);
        let xattrs = self.xattrs_left_out.load(Ordering::Relaxed);
        let mut parts = Vec::new();
        for (count, what) in [
            (owners, "owners"),
            (self.devices_left_out, "devices"),
            (xattrs, "security and trusted attributes"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if !parts.is_empty() {
            let parts = parts.join(", ");
            self.report.warning(format_args!(
                "left out, because only root can set them: {parts}"
            ));
        }
        let btrfs_only = self.btrfs_only.load(Ordering::Relaxed);
        if btrfs_only > 0 {
            self.report.warning(format_args!(
                "left out, because only a btrfs has them: {btrfs_only} attributes btrfs.*"
            ));
        }
    }

    fn frame(&self, id: InodeId, attrs: Option<Attrs>, parent_path: usize) -> Frame {
        Frame {
            id,
            attrs,
            entries: Vec::new().into_iter(),
            after: 0,
            parent_path,
        }
    }

    fn tree(
        &mut self,
        target: &mut Target,
        frames: &mut Vec<Frame>,
        path: &mut Vec<u8>,
        jobs: &SyncSender<Job>,
    ) -> Result<(), Error> {
        let root_len = path.len();
        while let Some(frame) = frames.last_mut() {
            self.report.interrupt().check()?;
            let Some(entry) = self.next(frame, path) else {
                self.leave(target, frames, path);
                continue;
            };
            if let Some((id, attrs)) = self.entry(target, &entry, path, root_len, jobs) {
                let parent_path = path.len();
                push_name(path, &entry.name);
                let frame = self.frame(id, attrs, parent_path);
                frames.push(frame);
            }
        }
        Ok(())
    }

    fn next(&self, frame: &mut Frame, path: &[u8]) -> Option<DirEntry> {
        if let Some(entry) = frame.entries.next() {
            return Some(entry);
        }
        match self.fs.read_dir(frame.id, frame.after, BATCH) {
            Ok(entries) => {
                // A cursor that does not move would go round for ever.
                let last = entries.last().map(|last| last.cursor)?;
                if last <= frame.after {
                    self.report.problem(path, "the directory goes backwards");
                    return None;
                }
                frame.after = last;
                frame.entries = entries.into_iter();
                frame.entries.next()
            }
            Err(error) => {
                self.report.problem(path, error);
                None
            }
        }
    }

    fn leave(&mut self, target: &mut Target, frames: &mut Vec<Frame>, path: &mut Vec<u8>) {
        let Some(frame) = frames.pop() else {
            return;
        };
        if let Some(attrs) = &frame.attrs {
            match target.current() {
                Ok(dir) => {
                    let problems = self.fs.xattrs(frame.id).map(|xattrs| {
                        self.note_left_out(attrs, &xattrs);
                        set_open(dir, attrs, &xattrs, self.rights)
                    });
                    self.tell(path, problems);
                }
                Err(error) => self.report.problem(path, error),
            }
        }
        path.truncate(frame.parent_path);
        if !frames.is_empty() {
            target.pop();
        }
    }

    /// Makes one name. A directory that is to be entered is the target's current one then.
    fn entry(
        &mut self,
        target: &mut Target,
        entry: &DirEntry,
        path: &[u8],
        root_len: usize,
        jobs: &SyncSender<Job>,
    ) -> Option<(InodeId, Option<Attrs>)> {
        let full_path = || {
            let mut full = path.to_vec();
            push_name(&mut full, &entry.name);
            full
        };
        match self.make(target, entry, path, root_len, jobs, &full_path) {
            Ok(entered) => entered,
            Err(Failure(cause)) => {
                self.report.problem(&full_path(), cause);
                None
            }
        }
    }

    fn make(
        &mut self,
        target: &mut Target,
        entry: &DirEntry,
        path: &[u8],
        root_len: usize,
        jobs: &SyncSender<Job>,
        full_path: &dyn Fn() -> Vec<u8>,
    ) -> Result<Option<(InodeId, Option<Attrs>)>, Failure> {
        let id = entry.id;
        let name = checked_name(&entry.name).map_err(|why| Failure(why.into()))?;
        let attrs = self.fs.attrs(id)?;
        if attrs.file_type == FileType::Directory {
            return self.make_directory(target, id, &name, attrs);
        }
        let dir = target.current()?;
        if self.links.contains(id) {
            let root = target.root();
            let links = &mut self.links;
            let linked = self.options.replacing(dir, &name, || {
                links.link(id, root, dir, &name).map_err(to_errno)
            });
            linked?;
            return Ok(None);
        }
        match attrs.file_type {
            FileType::Regular => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let mode = Mode::from_raw_mode(0o600);
                let file = self
                    .options
                    .replacing(dir, &name, || openat(dir, &*name, flags, mode))?;
                self.unpacked.files += 1;
                self.unpacked.bytes = self.unpacked.bytes.saturating_add(attrs.size);
                self.made(id, &attrs, &path[root_len..], &name);
                let xattrs = self.fs.xattrs(id);
                if let Ok(xattrs) = &xattrs {
                    self.note_left_out(&attrs, xattrs);
                }
                let job = Job {
                    id,
                    attrs,
                    file: file.into(),
                    path: full_path(),
                };
                // The threads are there as long as there is something to come.
                jobs.send(job)
                    .map_err(|_| Failure("no thread takes it".into()))?;
                return Ok(None);
            }
            FileType::Symlink => {
                let text = self.fs.read_link(id)?;
                if text.is_empty() {
                    return Err(Failure("a symbolic link to nothing".into()));
                }
                let text = CString::new(text.to_vec())?;
                self.options
                    .replacing(dir, &name, || symlinkat(&*text, dir, &*name))?;
            }
            FileType::CharDevice | FileType::BlockDevice if !self.options.root => {
                self.devices_left_out += 1;
                return Ok(None);
            }
            other => {
                let kind = match other {
                    FileType::CharDevice => RawType::CharacterDevice,
                    FileType::BlockDevice => RawType::BlockDevice,
                    FileType::Socket => RawType::Socket,
                    _ => RawType::Fifo,
                };
                let dev = match other {
                    FileType::CharDevice | FileType::BlockDevice => {
                        makedev(attrs.rdev.0, attrs.rdev.1)
                    }
                    _ => 0,
                };
                let mode = Mode::from_raw_mode(0o600);
                self.options
                    .replacing(dir, &name, || mknodat(dir, &*name, kind, mode, dev))?;
            }
        }
        self.made(id, &attrs, &path[root_len..], &name);
        let problems = self.fs.xattrs(id).map(|xattrs| {
            self.note_left_out(&attrs, &xattrs);
            set_named(dir, &name, &attrs, &xattrs, self.rights)
        });
        self.tell(&full_path(), problems);
        Ok(None)
    }

    fn make_directory(
        &mut self,
        target: &mut Target,
        id: InodeId,
        name: &CStr,
        attrs: Attrs,
    ) -> Result<Option<(InodeId, Option<Attrs>)>, Failure> {
        if !self.entered.insert(id) {
            let cause = "a directory with several names, perhaps a loop";
            return Err(Failure(cause.into()));
        }
        let dir = target.current()?;
        let make = || mkdirat(dir, name, Mode::from_raw_mode(0o700));
        let open = || openat(dir, name, DIRECTORY, Mode::empty());
        let (fd, is_new) = match make() {
            Ok(()) => (open()?, true),
            Err(Errno::EXIST) => match open() {
                Ok(fd) => (fd, self.options.force),
                Err(_) if self.options.force => {
                    unlinkat(dir, name, AtFlags::empty())?;
                    make()?;
                    (open()?, true)
                }
                Err(_) => return Err(Errno::EXIST.into()),
            },
            Err(errno) => return Err(errno.into()),
        };
        target.push(fd)?;
        self.unpacked.inodes += 1;
        Ok(Some((id, is_new.then_some(attrs))))
    }

    fn made(&mut self, id: InodeId, attrs: &Attrs, dir: &[u8], name: &CStr) {
        self.unpacked.inodes += 1;
        if attrs.nlink > 1 {
            self.links.insert(id, dir, name);
        }
    }

    fn note_left_out(&self, attrs: &Attrs, xattrs: &fs_core::XattrSet) {
        if self.rights.leaves_owner_out(attrs) {
            self.owners_left_out.fetch_add(1, Ordering::Relaxed);
        }
        if xattrs.iter().any(|(name, _)| !self.rights.may_set(name)) {
            self.xattrs_left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tell(&self, path: &[u8], problems: Result<Problems, fs_core::Error>) {
        match problems {
            Ok(problems) => problems.tell(path, self.report, &self.btrfs_only),
            Err(error) => self.report.problem(path, error),
        }
    }
}

impl Options {
    /// Makes a name; one that exists is taken away first if that is wanted.
    fn replacing<T>(
        &self,
        dir: impl AsFd,
        name: &CStr,
        mut make: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) if self.force => {
                unlinkat(dir.as_fd(), name, AtFlags::empty())?;
                make()
            }
            other => other,
        }
    }
}

/// Fills files, in several threads.
struct Filler<'a, V: Volume> {
    fs: &'a Filesystem<V>,
    report: &'a Report,
    rights: Rights,
    btrfs_only: Arc<AtomicU64>,
    jobs: &'a Mutex<Receiver<Job>>,
}

impl<V: Volume> Filler<'_, V> {
    fn run(&self) {
        loop {
            let job = match self.jobs.lock() {
                Ok(jobs) => jobs.recv(),
                Err(_) => return,
            };
            let Ok(job) = job else {
                return;
            };
            self.fill(&job);
        }
    }

    fn fill(&self, job: &Job) {
        // An interrupt is noticed by whoever hands out the jobs.
        let interrupt = self.report.interrupt();
        match content::copy(self.fs, job.id, job.attrs.nbytes, &job.file, interrupt) {
            Ok(None) => {}
            Ok(Some(problem)) => self.report.problem(&job.path, problem),
            Err(_) => return,
        }
        match self.fs.xattrs(job.id) {
            Ok(xattrs) => {
                let file = job.file.as_fd();
                let problems = set_open(file, &job.attrs, &xattrs, self.rights);
                problems.tell(&job.path, self.report, &self.btrfs_only);
            }
            Err(error) => self.report.problem(&job.path, error),
        }
    }
}

fn push_name(path: &mut Vec<u8>, name: &[u8]) {
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

/// A name that is one name and leads nowhere else.
fn checked_name(name: &[u8]) -> Result<CString, &'static str> {
    match name {
        b"" => return Err("an empty name is refused"),
        b"." | b".." => return Err("the names '.' and '..' are refused"),
        _ => {}
    }
    if name.contains(&b'/') {
        return Err("a name with a '/' is refused");
    }
    CString::new(name).map_err(|_| "a name with a NUL is refused")
}

fn to_errno(error: io::Error) -> Errno {
    error
        .raw_os_error()
        .map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::checked_name;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert!(checked_name(name).is_err(), "{name:?}");
        }
        for name in [&b"..."[..], b"\xff", b" ", b"-", b"a\nb"] {
            assert!(checked_name(name).is_ok(), "{name:?}");
        }
    }
}
