//! Bugs of the write side that reading it with fresh eyes found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use btrfs_volume::device::MemDevice;
use btrfs_volume::ondisk::{InodeItem, csum};
use btrfs_volume::{Error, InodeId, MkfsOptions, NewExtent, Reader, Volume};
use bytes::Bytes;

const FS: u64 = 5;
const ROOT: u64 = 256;
const SECTOR: u64 = 4096;

fn volume(size: u64) -> Volume {
    let mut options = MkfsOptions::default();
    options.size = Some(size);
    Volume::mkfs(Arc::new(MemDevice::new(0)), &options).unwrap()
}

fn create(volume: &Volume, name: &str) -> Result<u64, Error> {
    let inode = InodeItem {
        mode: 0o100_644,
        ..InodeItem::default()
    };
    volume.create(FS, ROOT, name.as_bytes(), &inode, b"")
}

fn write(volume: &Volume, ino: u64, file_offset: u64, data: &Bytes) -> Result<(), Error> {
    let len = data.len() as u64;
    let bytenr = volume.allocate(len)?;
    volume.write_data(&[(bytenr, data.clone())])?;
    let new = NewExtent {
        file_offset,
        num_bytes: len,
        bytenr,
        disk_num_bytes: len,
        compression: 0,
        checksums: csum::checksum_sectors(data, SECTOR as usize).into(),
    };
    volume.insert_extent(FS, ino, new)
}

/// A file was said to be damaged while it was written: an extent was cut in two between the look at the
/// one in front and that at those behind, or between two looks at many. Guard: `Items::scan_around`, which
/// looks once.
#[test]
fn an_extent_that_was_cut_meanwhile_was_no_damage() {
    let volume = volume(256 << 20);
    let ino = create(&volume, "a").unwrap();
    let whole = Bytes::from(vec![1; 8 << 10]);
    let part = Bytes::from(vec![2; 4 << 10]);
    let extents = 600;
    for n in 0..extents {
        write(&volume, ino, n * (8 << 10), &whole).unwrap();
    }
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..4000 {
                // The first one, and where one look ends that takes 512 items.
                let at = [0, 511, 512][round % 3] * (8 << 10);
                write(&volume, ino, at, &whole).unwrap();
                write(&volume, ino, at + (4 << 10), &part).unwrap();
                if round % 256 == 0 {
                    volume.commit().unwrap();
                }
            }
            end.store(true, Ordering::Relaxed);
        });
        let id = InodeId::new(FS, ino);
        while !end.load(Ordering::Relaxed) {
            volume.extents(id, 0..extents * (8 << 10)).unwrap();
        }
    });
}
