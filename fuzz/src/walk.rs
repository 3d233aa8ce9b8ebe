//! Reading everything that an image has, whatever it says.

use std::collections::HashSet;

use btrfs_volume::device::{BlockDevice, MemDevice};
use btrfs_volume::{OpenOptions, Reader, Volume};
use fs_core::{FileType, Filesystem, InodeId};

use crate::sync::Arc;

/// More are not looked at: an edited image may well have more names than it had.
const MOST_INODES: usize = 2000;
const MOST_ENTRIES: usize = 20_000;
/// What is read at each of a few places of a file.
const WINDOW: u64 = 300 << 10;

/// Reads all that can be reached; how many errors there were.
pub(crate) fn everything(device: &Arc<MemDevice>) -> usize {
    let device = Arc::clone(device) as Arc<dyn BlockDevice>;
    let mut walk = Walk { errors: 0 };
    let volume = Volume::open(device, &OpenOptions::default());
    let Some(volume) = walk.note(volume) else {
        return walk.errors;
    };
    walk.note(volume.committed().info());
    walk.note(volume.subvolumes());
    if let Some(root) = walk.note(volume.default_root()) {
        walk.note(volume.usage(root));
    }
    let fs = Filesystem::builder(volume)
        .threads(1)
        .cache_bytes(0)
        .build();
    if let Some(fs) = walk.note(fs) {
        walk.names(&fs);
        walk.note(fs.unmount());
    }
    walk.errors
}

struct Walk {
    errors: usize,
}

impl Walk {
    fn note<T, E: std::error::Error>(&mut self, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(!error.to_string().is_empty(), "an error without words");
                self.errors += 1;
                None
            }
        }
    }

    fn names(&mut self, fs: &Filesystem<Volume>) {
        let mut seen = HashSet::new();
        let mut todo = vec![fs.root()];
        while let Some(id) = todo.pop() {
            if seen.len() >= MOST_INODES || !seen.insert(id) {
                continue;
            }
            self.note(fs.xattrs(id));
            let Some(attrs) = self.note(fs.attrs(id)) else {
                continue;
            };
            match attrs.file_type {
                FileType::Directory => self.directory(fs, id, &mut todo),
                FileType::Regular => self.file(fs, id),
                FileType::Symlink => drop(self.note(fs.read_link(id))),
                _ => {}
            }
        }
    }

    fn directory(&mut self, fs: &Filesystem<Volume>, id: InodeId, todo: &mut Vec<InodeId>) {
        let mut after = 0;
        let mut entries = 0;
        while let Some(some) = self.note(fs.read_dir(id, after, 100)) {
            let Some(last) = some.last() else { break };
            assert!(last.cursor > after, "a directory that goes in circles");
            after = last.cursor;
            entries += some.len();
            for entry in &some {
                self.note(fs.lookup(id, &entry.name));
                todo.push(entry.id);
            }
            if entries > MOST_ENTRIES {
                break;
            }
        }
    }

    fn file(&mut self, fs: &Filesystem<Volume>, id: InodeId) {
        let Some(file) = self.note(fs.open(id)) else {
            return;
        };
        let size = file.size();
        for offset in [0, size / 2, size.saturating_sub(WINDOW)] {
            if let Some(parts) = self.note(file.read_bytes(offset, WINDOW)) {
                let got: u64 = parts.iter().map(|part| part.len() as u64).sum();
                assert!(got <= WINDOW.min(size), "more than the file has");
            }
        }
    }
}
