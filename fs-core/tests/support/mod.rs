//! What the tests of the whole filesystem share.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test uses a part of it"
)]

pub(crate) mod gate;
pub(crate) mod hooked;
pub(crate) mod oracle;

use compress::CodecId;
use fs_core::{
    Builder, Compression, File, FileType, Filesystem, InodeId, MemoryVolume, NewInode, Policy,
};

pub(crate) const ZSTD: Compression = Compression {
    codec: CodecId::ZSTD,
    level: 3,
};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn inode(file_type: FileType) -> NewInode {
    NewInode::new(file_type, 0o644)
}

/// Small budgets, so that tests meet their ends.
pub(crate) fn builder(volume: MemoryVolume) -> Builder<MemoryVolume> {
    Filesystem::builder(volume)
        .threads(2)
        .cache_bytes(8 << 20)
        .queue_bytes(8 << 20)
        .policy(Policy::Always(ZSTD))
}

pub(crate) fn filesystem(volume: MemoryVolume) -> Filesystem<MemoryVolume> {
    builder(volume).build().unwrap()
}

pub(crate) fn new_file(fs: &Filesystem<MemoryVolume>, name: &str) -> InodeId {
    let new = inode(FileType::Regular);
    fs.create(fs.root(), name.as_bytes(), &new).unwrap()
}

/// A filesystem with one file, "a", which is open.
pub(crate) fn one_file(
    volume: MemoryVolume,
) -> (Filesystem<MemoryVolume>, InodeId, File<MemoryVolume>) {
    let fs = filesystem(volume);
    let id = new_file(&fs, "a");
    let file = fs.open(id).unwrap();
    (fs, id, file)
}

/// A filesystem with one file, "a", which is open, on a volume without end.
pub(crate) fn roomy_file() -> (Filesystem<MemoryVolume>, InodeId, File<MemoryVolume>) {
    one_file(MemoryVolume::new(u64::MAX))
}

/// Does not shrink.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Shrinks.
pub(crate) fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| b"delayed allocation "[i % 19]).collect()
}

pub(crate) fn content(fs: &Filesystem<MemoryVolume>, id: InodeId) -> Vec<u8> {
    let file = fs.open(id).unwrap();
    let mut all = vec![0xee; file.size() as usize];
    let mut done = 0;
    while done < all.len() {
        let got = file.read(done as u64, &mut all[done..]).unwrap();
        assert!(got > 0, "nothing at {done}");
        done += got;
    }
    all
}
