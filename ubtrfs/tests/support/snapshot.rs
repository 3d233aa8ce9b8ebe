//! Everything that can be told of a tree, so that two can be compared.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use rustix::io::Errno;

/// One name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u64,
    pub(crate) mtime: (i64, i64),
    /// Not of directories, where filesystems differ.
    pub(crate) size: u64,
    pub(crate) nlink: u64,
    /// The first of the names of the same inode.
    pub(crate) same_as: PathBuf,
    pub(crate) target: Option<PathBuf>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a regular file: where it is no hole, and a hash of what is there.
    pub(crate) data: Vec<(u64, u64)>,
    pub(crate) hash: u64,
}

pub(crate) type Snapshot = BTreeMap<PathBuf, Node>;

/// All names below `root`, and the root itself as an empty path.
pub(crate) fn snapshot(root: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut first = HashMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = root.join(&path);
        let full = if path.as_os_str().is_empty() {
            root
        } else {
            &full
        };
        let node = node(full, &path, &mut first);
        if node.mode & 0o17_0000 == 0o04_0000 {
            let mut below: Vec<PathBuf> = fs::read_dir(full)
                .unwrap()
                .map(|entry| path.join(entry.unwrap().file_name()))
                .collect();
            // The next one last, so that the first name of an inode is found first.
            below.sort_by(|a, b| b.as_os_str().as_bytes().cmp(a.as_os_str().as_bytes()));
            todo.extend(below);
        }
        all.insert(path, node);
    }
    all
}

fn node(full: &Path, path: &Path, first: &mut HashMap<(u64, u64), PathBuf>) -> Node {
    let meta = fs::symlink_metadata(full).unwrap();
    let is_dir = meta.is_dir();
    let same_as = match is_dir {
        true => path.to_owned(),
        false => first
            .entry((meta.dev(), meta.ino()))
            .or_insert_with(|| path.to_owned())
            .clone(),
    };
    let (data, hash) = match meta.is_file() {
        true => content(full, meta.len()),
        false => (Vec::new(), 0),
    };
    Node {
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        rdev: meta.rdev(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        size: if is_dir { 0 } else { meta.len() },
        nlink: if is_dir { 1 } else { meta.nlink() },
        same_as,
        target: meta.is_symlink().then(|| fs::read_link(full).unwrap()),
        xattrs: xattrs(full),
        data,
        hash,
    }
}

/// Data ranges, by sectors, and a hash of what is in them.
fn content(path: &Path, size: u64) -> (Vec<(u64, u64)>, u64) {
    let mut file = File::open(path).unwrap();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    while at < size {
        let start = match seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start / 4096 * 4096,
            Err(Errno::NXIO) => break,
            Err(errno) => panic!("{}: {errno}", path.display()),
        };
        let end = seek(&file, SeekFrom::Hole(start.max(at))).unwrap();
        let end = end.next_multiple_of(4096).min(size);
        match ranges.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => ranges.push((start, end)),
        }
        seek(&file, SeekFrom::Start(start)).unwrap();
        let mut bytes = Vec::new();
        file.by_ref()
            .take(end - start)
            .read_to_end(&mut bytes)
            .unwrap();
        for byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        at = end;
    }
    (ranges, hash)
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 65536];
    let len = match llistxattr(path, &mut list[..]) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP) => 0,
        Err(errno) => panic!("{}: {errno}", path.display()),
    };
    let names = list[..len].split(|b| *b == 0).filter(|n| !n.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 65536];
            let c_name = CString::new(name).unwrap();
            let len = lgetxattr(path, &*c_name, &mut value[..]).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect()
}

/// Panics with the first differences if there are any.
pub(crate) fn assert_same(what: &str, expected: &Snapshot, found: &Snapshot) {
    let mut differences = Vec::new();
    for (path, node) in expected {
        match found.get(path) {
            None => differences.push(format!("{path:?} is missing")),
            Some(other) if other != node => {
                differences.push(format!("{path:?} is {other:?}\n    instead of {node:?}"));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !expected.contains_key(*path)) {
        differences.push(format!("{path:?} is too much"));
    }
    let shown = differences.iter().take(5).cloned().collect::<Vec<_>>();
    assert!(
        differences.is_empty(),
        "{what}: {} differences:\n{}",
        differences.len(),
        shown.join("\n")
    );
}

/// Names that are bytes.
pub(crate) fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
