//! Trees of files as values, read through the kernel or through this crate, to be compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use btrfs_volume::ondisk::dir_type;
use btrfs_volume::{InodeId, Reader, Volume};

use super::read::read_file;

/// Everything about a file that both ways of reading tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub size: u64,
    pub rdev: (u32, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a file its bytes, of a symlink its target.
    pub content: Vec<u8>,
}

pub type Tree = BTreeMap<Vec<u8>, Entry>;

/// The tree below `root` as the kernel shows it. `root` itself has the empty path.
pub fn by_kernel(root: &Path) -> Tree {
    let mut tree = Tree::new();
    kernel_entry(root, Vec::new(), &mut tree);
    tree
}

fn kernel_entry(path: &Path, name: Vec<u8>, tree: &mut Tree) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let file_type = metadata.file_type();
    let content = if file_type.is_file() {
        fs::read(path).unwrap()
    } else if file_type.is_symlink() {
        fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let rdev = metadata.rdev();
    let entry = Entry {
        mode: metadata.mode(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        nlink: metadata.nlink() as u32,
        size: metadata.size(),
        rdev: (rustix::fs::major(rdev), rustix::fs::minor(rdev)),
        mtime: (metadata.mtime(), metadata.mtime_nsec() as u32),
        ctime: (metadata.ctime(), metadata.ctime_nsec() as u32),
        xattrs: kernel_xattrs(path),
        content,
    };
    tree.insert(name.clone(), entry);
    if file_type.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let child = join(&name, entry.file_name().as_bytes());
            kernel_entry(&entry.path(), child, tree);
        }
    }
}

fn kernel_xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0u8; 65536];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    names.truncate(len);
    names
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0u8; 65536];
            let len = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
            value.truncate(len);
            (name.to_vec(), value)
        })
        .collect()
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = dir.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The tree below `root` as this crate shows it.
pub fn by_us(volume: &Volume, root: InodeId) -> Tree {
    let mut tree = Tree::new();
    our_entry(volume, root, Vec::new(), &mut tree);
    tree
}

fn our_entry(volume: &Volume, id: InodeId, name: Vec<u8>, tree: &mut Tree) {
    let inode = volume.inode(id).unwrap();
    let kind = inode.mode & 0o170_000;
    let content = match kind {
        0o100_000 => read_file(volume, id).unwrap(),
        0o120_000 => volume.read_link(id).unwrap().to_vec(),
        _ => Vec::new(),
    };
    let is_dir = kind == 0o040_000;
    let is_device = kind == 0o020_000 || kind == 0o060_000;
    let xattrs = volume.xattrs(id).unwrap();
    for (name, value) in &xattrs {
        assert_eq!(volume.xattr(id, name).unwrap().unwrap(), value);
    }
    let entry = Entry {
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        nlink: inode.nlink,
        size: inode.size,
        rdev: if is_device { inode.device() } else { (0, 0) },
        mtime: (inode.mtime.secs, inode.mtime.nanos),
        ctime: (inode.ctime.secs, inode.ctime.nanos),
        xattrs: xattrs
            .into_iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect(),
        content,
    };
    tree.insert(name.clone(), entry);
    if !is_dir {
        return;
    }
    let mut after = 0;
    loop {
        // An odd number, so that the cursor is used in the middle of leaves.
        let entries = volume.read_dir(id, after, 37).unwrap();
        let Some(last) = entries.last() else { break };
        after = last.index;
        for entry in entries {
            let found = volume.lookup(id, &entry.name).unwrap().unwrap();
            assert_eq!((found.id, found.dir_type), (entry.id, entry.dir_type));
            let kind = volume.inode(entry.id).unwrap().mode >> 12;
            let by_mode = match kind {
                0o10 => dir_type::REG_FILE,
                0o04 => dir_type::DIR,
                0o12 => dir_type::SYMLINK,
                0o02 => dir_type::CHRDEV,
                0o06 => dir_type::BLKDEV,
                0o01 => dir_type::FIFO,
                0o14 => dir_type::SOCK,
                other => panic!("mode {other:o}"),
            };
            assert_eq!(entry.dir_type, by_mode);
            our_entry(volume, entry.id, join(&name, &entry.name), tree);
        }
    }
    assert!(volume.lookup(id, b"no such name").unwrap().is_none());
}

/// Compares both, and names what differs.
pub fn assert_same(kernel: &Tree, ours: &Tree) {
    let show = |path: &[u8]| path.escape_ascii().to_string();
    for (path, expected) in kernel {
        let Some(found) = ours.get(path) else {
            panic!("{}: missing", show(path));
        };
        assert!(
            expected.content == found.content,
            "{}: content differs, {} and {} bytes",
            show(path),
            expected.content.len(),
            found.content.len()
        );
        let no_content = |entry: &Entry| Entry {
            content: Vec::new(),
            ..entry.clone()
        };
        assert_eq!(no_content(expected), no_content(found), "{}", show(path));
    }
    for path in ours.keys() {
        assert!(kernel.contains_key(path), "{}: too much", show(path));
    }
}
