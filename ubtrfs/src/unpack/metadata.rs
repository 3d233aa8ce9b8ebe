//! Owners, modes, extended attributes and times.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use fs_core::{Attrs, Timestamp, XattrSet};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chownat, fchmod, fchown, fsetxattr,
    futimens, lsetxattr, utimensat,
};
use rustix::io::Errno;

use crate::quote::quoted;
use crate::report::Report;
use crate::sync::{AtomicU64, Ordering};

/// What could not be set.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// In the user's words.
    told: Vec<String>,
    /// Attributes that only a btrfs has, which DIR is not on.
    btrfs_only: u64,
}

impl Problems {
    /// Tells them, and adds to `btrfs_only` what is told at the end.
    pub(super) fn tell(self, path: &[u8], report: &Report, btrfs_only: &AtomicU64) {
        btrfs_only.fetch_add(self.btrfs_only, Ordering::Relaxed);
        for problem in self.told {
            report.problem(path, problem);
        }
    }
}

/// What the user may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    pub(super) root: bool,
    uid: u32,
    gid: u32,
}

impl Rights {
    pub(super) fn new(root: bool) -> Self {
        Self {
            root,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// Whether setting everything leaves something out.
    pub(super) fn leaves_owner_out(&self, attrs: &Attrs) -> bool {
        !self.root && (attrs.uid, attrs.gid) != (self.uid, self.gid)
    }

    /// A file that runs as another than its owner was is never made.
    fn mode(&self, attrs: &Attrs) -> Mode {
        let mut mode = attrs.mode & 0o7777;
        if !self.root && attrs.uid != self.uid {
            mode &= !0o4000;
        }
        if !self.root && attrs.gid != self.gid {
            mode &= !0o2000;
        }
        Mode::from_raw_mode(mode)
    }

    /// Whether an attribute of that name can be set at all.
    pub(super) fn may_set(&self, xattr: &[u8]) -> bool {
        self.root || !(xattr.starts_with(b"security.") || xattr.starts_with(b"trusted."))
    }
}

/// Sets all that an open file or directory has. The order matters: changing the owner clears
/// setuid and capabilities.
pub(super) fn set_open(
    file: BorrowedFd<'_>,
    attrs: &Attrs,
    xattrs: &XattrSet,
    rights: Rights,
) -> Problems {
    let mut problems = Problems::default();
    if rights.root {
        note(&mut problems, "owner", fchown(file, uid(attrs), gid(attrs)));
    }
    note(&mut problems, "mode", fchmod(file, rights.mode(attrs)));
    for (name, value) in xattrs {
        if rights.may_set(name) {
            let set = c_name(name)
                .and_then(|name| Ok(fsetxattr(file, &*name, value, XattrFlags::empty())?));
            note_xattr(&mut problems, name, set);
        }
    }
    note(&mut problems, "times", futimens(file, &times(attrs)));
    problems
}

/// Sets all that a symlink, device, fifo or socket in `dir` has.
pub(super) fn set_named(
    dir: BorrowedFd<'_>,
    name: &CStr,
    attrs: &Attrs,
    xattrs: &XattrSet,
    rights: Rights,
) -> Problems {
    let mut problems = Problems::default();
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    if rights.root {
        let set = chownat(dir, name, uid(attrs), gid(attrs), nofollow);
        note(&mut problems, "owner", set);
    }
    if attrs.file_type != fs_core::FileType::Symlink {
        // There is no chmod that does not follow; but this one opens nothing, and whoever could
        // put a symlink here could chmod what it leads to.
        let set = chmod_named(dir, name, rights.mode(attrs));
        note(&mut problems, "mode", set);
    }
    for (xattr, value) in xattrs {
        if rights.may_set(xattr) {
            let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
            path.extend_from_slice(name.to_bytes());
            let set = c_name(xattr)
                .and_then(|xattr| Ok(lsetxattr(&*path, &*xattr, value, XattrFlags::empty())?));
            note_xattr(&mut problems, xattr, set);
        }
    }
    let set = utimensat(dir, name, &times(attrs), nofollow);
    note(&mut problems, "times", set);
    problems
}

/// Through a descriptor that opens nothing and follows nothing.
fn chmod_named(dir: BorrowedFd<'_>, name: &CStr, mode: Mode) -> Result<(), Errno> {
    use rustix::fs::{CWD, OFlags, chmodat, fstat, openat};
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::empty())?;
    if fstat(&file)?.st_mode & 0o17_0000 == 0o12_0000 {
        return Err(Errno::LOOP);
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    chmodat(CWD, path, mode, AtFlags::empty())
}

fn note(problems: &mut Problems, what: &str, result: Result<(), Errno>) {
    if let Err(errno) = result {
        problems
            .told
            .push(format!("{what}: {}", io::Error::from(errno)));
    }
}

fn note_xattr(problems: &mut Problems, name: &[u8], result: io::Result<()>) {
    match result {
        Ok(()) => {}
        Err(error) if name.starts_with(b"btrfs.") && error.kind() == io::ErrorKind::Unsupported => {
            problems.btrfs_only += 1;
        }
        Err(error) => {
            let problem = format!("extended attribute {}: {error}", quoted(name));
            problems.told.push(problem);
        }
    }
}

fn c_name(name: &[u8]) -> io::Result<CString> {
    Ok(CString::new(name)?)
}

/// `u32::MAX` means "leave it" to the kernel, and is the owner of nobody.
fn uid(attrs: &Attrs) -> Option<Uid> {
    (attrs.uid != u32::MAX).then(|| Uid::from_raw(attrs.uid))
}

fn gid(attrs: &Attrs) -> Option<Gid> {
    (attrs.gid != u32::MAX).then(|| Gid::from_raw(attrs.gid))
}

fn times(attrs: &Attrs) -> Timestamps {
    let time = |at: Timestamp| Timespec {
        tv_sec: at.secs,
        tv_nsec: at.nanos.min(999_999_999).into(),
    };
    Timestamps {
        last_access: time(attrs.atime),
        last_modification: time(attrs.mtime),
    }
}
