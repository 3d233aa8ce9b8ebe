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

/// A volume on which data takes all that metadata could take.
fn crowded(size: u64) -> Volume {
    let volume = volume(size);
    while volume.allocate(1 << 20).is_ok() {}
    volume
}

/// Files with an attribute, as many as there is room for, each with what `each` does besides.
fn fill(volume: &Volume, each: &mut dyn FnMut(u64)) -> Vec<u64> {
    let mut inodes = Vec::new();
    let mut refused = 0;
    while refused < 3 {
        let made = create(volume, &format!("{}", inodes.len() + refused)).and_then(|ino| {
            volume.set_xattr(FS, ino, b"user.x", &[7; 2000])?;
            Ok(ino)
        });
        match made {
            Ok(ino) => {
                inodes.push(ino);
                each(ino);
            }
            Err(error) => {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                refused += 1;
                volume.commit().unwrap();
            }
        }
    }
    inodes
}

/// A volume that was filled by small transactions broke: the first changes of each were taken without a
/// look at the room for metadata, until there was none, and the commit failed. Guard: that
/// `room_checked_at` is `None` after a commit.
#[test]
fn the_first_changes_after_a_commit_found_room_that_was_not_there() {
    let volume = crowded(48 << 20);
    let inodes = fill(&volume, &mut |_| volume.commit().unwrap());
    assert!(inodes.len() > 500, "{}", inodes.len());
    assert!(!volume.is_read_only());
}

/// A volume without much room for metadata took changes in more leaves than there was room for copies:
/// the commit failed, and with it went all that was not committed. Guard: `scattered`.
#[test]
fn changes_here_and_there_took_more_room_than_was_left() {
    let volume = crowded(512 << 20);
    for ino in fill(&volume, &mut |_| ()).into_iter().step_by(6) {
        if volume.change_inode(FS, ino, |item| item.uid = 1).is_err() {
            volume.commit().unwrap();
        }
    }
    volume.commit().unwrap();
}

/// The same with data that is written over here and there. Guard: the look at the room for metadata in
/// `allocate_data`, and `scattered` in `drop_part`.
#[test]
fn data_here_and_there_took_more_room_than_was_left() {
    let volume = volume(512 << 20);
    let files = 6000;
    let sector = Bytes::from(vec![1; 4096]);
    let inodes: Vec<_> = (0..files)
        .map(|n| {
            let ino = create(&volume, &format!("data {n}")).unwrap();
            volume.set_xattr(FS, ino, b"user.x", &[7; 2000]).unwrap();
            write(&volume, ino, 0, &sector).unwrap();
            ino
        })
        .collect();
    volume.commit().unwrap();
    // Space for what is written over stays.
    let mut kept = Vec::new();
    while let Ok(at) = volume.allocate(1 << 20) {
        kept.push(at);
    }
    for at in kept.iter().rev().take(30) {
        volume.release(*at, 1 << 20);
    }
    fill(&volume, &mut |_| ());
    let mut refused = 0;
    for ino in inodes {
        match write(&volume, ino, 0, &sector) {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                refused += 1;
                volume.commit().unwrap();
            }
        }
    }
    volume.commit().unwrap();
    assert!(refused < 1000, "{refused}");
}
