//! A volume whose device stops after any write or flush is the last commit, whole.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use btrfs_volume::device::{BlockDevice, MemDevice};
use btrfs_volume::ondisk::{InodeItem, csum};
use btrfs_volume::{
    Error, ErrorKind, InodeId, MkfsOptions, NewExtent, OpenOptions, Reader, Volume,
};

const FS: u64 = 5;
const ROOT: u64 = 256;

/// Fails for good after `left` more writes and flushes.
struct Stopping {
    inner: MemDevice,
    left: AtomicUsize,
}

impl Stopping {
    fn step(&self) -> io::Result<()> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .map(drop)
            .map_err(|_| io::Error::other("stopped"))
    }
}

impl BlockDevice for Stopping {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, buf)
    }
    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        self.step()?;
        self.inner.write_vectored_at(offset, bufs)
    }
    fn flush(&self) -> io::Result<()> {
        self.step()
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.inner.set_size(size)
    }
}

/// Round `round` of the work: a file, some of an older file overwritten, a commit.
fn work(volume: &Volume, round: u8) -> Result<(), Error> {
    let inode = InodeItem {
        mode: 0o100_644,
        ..InodeItem::default()
    };
    let ino = volume.create(FS, ROOT, &[b'a' + round], &inode, b"")?;
    for (ino, offset) in [(ino, 0), (257, 4096)] {
        let data = vec![round; 8192];
        let bytenr = volume.allocate(8192)?;
        let checksums = csum::checksum_sectors(&data, 4096).into();
        volume.write_data(&[(bytenr, data.into())])?;
        let extent = NewExtent {
            file_offset: offset,
            num_bytes: 8192,
            bytenr,
            disk_num_bytes: 8192,
            compression: 0,
            checksums,
        };
        volume.insert_extent(FS, ino, extent)?;
        volume.change_inode(FS, ino, |item| item.size = item.size.max(offset + 8192))?;
    }
    volume.commit()
}

/// Everything that the volume says, read through its checksums.
fn contents(volume: &Volume) -> Vec<(Vec<u8>, Vec<u8>)> {
    let root = InodeId::new(FS, ROOT);
    let entries = volume.read_dir(root, 0, 1000).unwrap();
    let files = entries.into_iter().map(|entry| {
        let size = volume.inode(entry.id).unwrap().size;
        let mut data = Vec::new();
        for extent in volume.extents(entry.id, 0..size).unwrap() {
            use btrfs_volume::reader::ExtentSource::Raw;
            let Raw { bytenr, offset, .. } = extent.source else {
                panic!("{extent:?}")
            };
            let at = btrfs_volume::Bytenr(bytenr.0 + offset);
            let bytes = volume.storage().read(at, extent.len as usize, 0).unwrap();
            assert!(volume.verify(at, &bytes).unwrap().is_empty());
            data.extend_from_slice(&bytes);
        }
        (entry.name.to_vec(), data)
    });
    files.collect()
}

#[test]
fn every_stop_leaves_the_last_commit() {
    const ROUNDS: u8 = 4;
    let mut options = MkfsOptions::default();
    options.size = Some(48 << 20);
    let mut expected = Vec::new();
    for stop in 0.. {
        let device = Arc::new(Stopping {
            inner: MemDevice::new(0),
            left: AtomicUsize::new(usize::MAX),
        });
        let volume = Volume::mkfs(device.clone(), &options).unwrap();
        if stop == 0 {
            expected.push(contents(&volume));
        }
        let limit = if stop == 0 { usize::MAX } else { stop - 1 };
        device.left.store(limit, Ordering::Relaxed);
        let mut done = 0;
        for round in 0..ROUNDS {
            match work(&volume, round) {
                Ok(()) => done += 1,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Io), "{error}");
                    break;
                }
            }
            if stop == 0 {
                expected.push(contents(&volume));
            }
        }
        drop(volume);
        device.left.store(usize::MAX, Ordering::Relaxed);
        let opened = Volume::open(device, &OpenOptions::default()).unwrap();
        let found = contents(&opened);
        // A commit whose last flush failed may have become durable all the same.
        let next = expected.get(done + 1);
        assert!(
            found == expected[done] || Some(&found) == next,
            "stopped after {stop}: not commit {done} nor the next"
        );
        if stop > 0 && done == usize::from(ROUNDS) {
            break;
        }
    }
}

#[test]
fn a_failed_commit_makes_the_volume_read_only() {
    let device = Arc::new(Stopping {
        inner: MemDevice::new(0),
        left: AtomicUsize::new(usize::MAX),
    });
    let mut options = MkfsOptions::default();
    options.size = Some(64 << 20);
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    work(&volume, 0).unwrap();
    device.left.store(3, Ordering::Relaxed);
    assert_eq!(work(&volume, 1).unwrap_err().kind(), ErrorKind::Io);
    device.left.store(usize::MAX, Ordering::Relaxed);
    assert!(volume.is_read_only());
    assert_eq!(work(&volume, 2).unwrap_err().kind(), ErrorKind::ReadOnly);
    assert_eq!(volume.commit().unwrap_err().kind(), ErrorKind::ReadOnly);
    // Or who asks for more would be told of the room, and not of this.
    assert_eq!(volume.metadata_available(1 << 40, 0), u64::MAX);
}

#[test]
fn a_full_volume_says_so_and_still_commits() {
    let device = Arc::new(MemDevice::new(0));
    let mut options = MkfsOptions::default();
    options.size = Some(48 << 20);
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    let mut taken = 0;
    let error = loop {
        match volume.allocate(128 << 10) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert!(taken >= 64);
    let inode = InodeItem {
        mode: 0o100_644,
        ..InodeItem::default()
    };
    let mut made = 0;
    let error = loop {
        match volume.create(FS, ROOT, format!("file {made}").as_bytes(), &inode, b"") {
            Ok(_) => made += 1,
            Err(error) => break error,
        }
        assert!(made < 1_000_000);
    };
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    volume.commit().unwrap();
    drop(volume);
    let opened = Volume::open(device, &OpenOptions::default()).unwrap();
    let last = format!("file {}", made - 1);
    assert!(
        opened
            .lookup(InodeId::new(FS, ROOT), last.as_bytes())
            .unwrap()
            .is_some()
    );
}

#[test]
fn the_same_uuid_and_changes_make_the_same_image() {
    let make = || {
        let device = Arc::new(MemDevice::new(0));
        let mut options = MkfsOptions::default();
        options.uuid = Some("0f4b5a96-6a0e-4a5c-8a53-2f0f7d7b0c11".parse().unwrap());
        let volume = Volume::mkfs(device.clone(), &options).unwrap();
        for round in 0..3 {
            work(&volume, round).unwrap();
        }
        volume.finish_growth().unwrap();
        device.to_bytes()
    };
    assert!(make() == make());
}
