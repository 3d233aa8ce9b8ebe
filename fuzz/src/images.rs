//! A good image, and what becomes of it.

use std::io::IoSlice;

use btrfs_volume::device::{BlockDevice, MemDevice};
use btrfs_volume::ondisk::csum;
use btrfs_volume::{MetadataProfile, MkfsOptions, Volume};
use compress::CodecId;
use fs_core::{Compression, FileType, Filesystem, InodeId, NewInode, Timestamp};

use crate::edits::{self, Edit};
use crate::sync::Arc;
use crate::walk;

const SUPERBLOCK: u64 = 64 << 10;
const SUPERBLOCK_SIZE: usize = 4096;
const NODE_SIZE: usize = 16 << 10;

/// A small image with one copy of everything, in memory.
pub struct BaseImage {
    device: Arc<MemDevice>,
    /// Where the nodes are on the device.
    nodes: Vec<u64>,
}

impl Default for BaseImage {
    fn default() -> Self {
        Self::new()
    }
}

impl BaseImage {
    /// Makes it; the same every time.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let device = Arc::new(MemDevice::new(0));
        let mut options = MkfsOptions::default();
        options.uuid = Some(
            "6a8e5bb2-54b8-44a8-a0e7-0d8a1a35a0c1"
                .parse()
                .expect("a UUID"),
        );
        options.metadata = MetadataProfile::Single;
        options.label = b"fuzz".to_vec();
        let volume = Volume::mkfs(Arc::clone(&device) as Arc<dyn BlockDevice>, &options)
            .expect("an empty volume");
        let fsid = volume.committed().info().expect("its own").fsid;
        let fs = Filesystem::builder(volume)
            .threads(1)
            .compression(Some(Compression {
                codec: CodecId::ZSTD,
                level: 3,
            }))
            .build()
            .expect("a filesystem on it");
        fill(&fs).expect("room for everything");
        fs.sync().expect("room for everything");
        fs.volume().finish_growth().expect("a smaller volume");
        drop(fs);
        let nodes = find_nodes(&device, fsid.as_bytes());
        assert!(nodes.len() > 10, "only {} nodes", nodes.len());
        Self { device, nodes }
    }

    /// Does to the image what `edits` say, reads everything there is, and undoes it. Returns how
    /// many errors there were.
    ///
    /// # Panics
    ///
    /// If reading does.
    #[must_use]
    pub fn exercise(&self, edits: &[u8]) -> usize {
        let mut undo = Vec::new();
        for edit in edits::parse(edits) {
            undo.push(self.apply(&edit));
        }
        let errors = walk::everything(&self.device);
        for (at, block) in undo.iter().rev() {
            self.write(*at, block);
        }
        errors
    }

    /// Returns what was there before.
    fn apply(&self, edit: &Edit) -> (u64, Vec<u8>) {
        let (at, size) = match edit.superblock {
            true => (SUPERBLOCK, SUPERBLOCK_SIZE),
            false => (self.nodes[edit.node % self.nodes.len()], NODE_SIZE),
        };
        let mut block = vec![0; size];
        self.device.read_at(at, &mut block).expect("memory");
        let before = block.clone();
        let start = edit.at % (size - edit.width);
        for (byte, value) in block[start..start + edit.width].iter_mut().zip(edit.value) {
            *byte = if edit.flip { *byte ^ value } else { value };
        }
        if edit.seal {
            csum::seal(&mut block);
        }
        self.write(at, &block);
        (at, before)
    }

    fn write(&self, at: u64, block: &[u8]) {
        let written = self.device.write_vectored_at(at, &[IoSlice::new(block)]);
        written.expect("memory");
    }
}

/// What carries the volume's id where a node has it.
fn find_nodes(device: &MemDevice, fsid: &[u8; 16]) -> Vec<u64> {
    let size = device.size().expect("memory");
    let mut header = [0; 48];
    (0..size / NODE_SIZE as u64)
        .map(|n| n * NODE_SIZE as u64)
        .filter(|at| {
            device.read_at(*at, &mut header).expect("memory");
            // The superblock has it there, too.
            header[32..48] == *fsid && *at != SUPERBLOCK
        })
        .collect()
}

fn new(file_type: FileType, target: &[u8]) -> NewInode {
    let at = Timestamp {
        secs: 1_000_000_000,
        nanos: 1,
    };
    NewInode {
        file_type,
        mode: 0o755,
        uid: 1000,
        gid: 1000,
        rdev: (0, 0),
        atime: at,
        mtime: at,
        ctime: at,
        otime: at,
        symlink_target: target.to_vec().into(),
    }
}

fn fill(fs: &Filesystem<Volume>) -> Result<(), fs_core::Error> {
    let file = |dir: InodeId, name: &str, parts: &[(u64, Vec<u8>)]| {
        let id = fs.create(dir, name.as_bytes(), &new(FileType::Regular, b""))?;
        let file = fs.open(id)?;
        for (offset, data) in parts {
            file.write(*offset, data)?;
        }
        file.finish()?;
        Ok::<_, fs_core::Error>(id)
    };
    let root = fs.root();
    let noise: Vec<u8> = (0..200_000u64)
        .map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect();
    let text = b"ordered extents ".repeat(30_000);
    file(root, "text", &[(0, text.clone())])?;
    file(root, "noise", &[(0, noise)])?;
    file(root, "sparse", &[(1 << 20, text[..9000].to_vec())])?;
    let dir = fs.create(root, b"dir", &new(FileType::Directory, b""))?;
    for n in 0..300 {
        let id = file(
            dir,
            &format!("file number {n}"),
            &[(0, format!("{n} ").repeat(n).into_bytes())],
        )?;
        if n % 50 == 0 {
            fs.link(id, root, format!("another name of {n}").as_bytes())?;
            fs.set_xattr(id, b"user.number", n.to_string().as_bytes())?;
        }
    }
    let deeper = fs.create(dir, b"deeper", &new(FileType::Directory, b""))?;
    fs.create(deeper, b"symlink", &new(FileType::Symlink, b"../../text"))?;
    fs.create(deeper, b"fifo", &new(FileType::Fifo, b""))?;
    fs.create(deeper, b"device", &new(FileType::CharDevice, b""))?;
    Ok(())
}
