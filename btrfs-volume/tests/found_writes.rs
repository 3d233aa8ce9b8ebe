//! Bugs of the write side that reading it with fresh eyes found.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use btrfs_volume::device::{BlockDevice, MemDevice};
use btrfs_volume::ondisk::{InodeItem, Key, block_group_flags, compression, csum, objectid};
use btrfs_volume::reader::ExtentSource;
use btrfs_volume::{
    Bytenr, Error, Geometry, InodeId, Items, MkfsOptions, NewExtent, OpenOptions, Reader, Volume,
};
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

/// A volume that commits once, right after somebody looked for the last item of a range.
struct CommitsMeanwhile<'a> {
    volume: &'a Volume,
    done: Cell<bool>,
}

impl Items for CommitsMeanwhile<'_> {
    fn geometry(&self) -> Geometry {
        self.volume.geometry()
    }
    fn get(&self, tree: u64, key: &Key) -> Result<Option<Bytes>, Error> {
        self.volume.get(tree, key)
    }
    fn scan(
        &self,
        tree: u64,
        range: RangeInclusive<Key>,
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.volume.scan(tree, range, visit)
    }
    fn last(&self, tree: u64, range: RangeInclusive<Key>) -> Result<Option<(Key, Bytes)>, Error> {
        let last = self.volume.last(tree, range);
        if !self.done.replace(true) {
            self.volume.commit().unwrap();
        }
        last
    }
    fn scan_around(
        &self,
        tree: u64,
        keys: [Key; 3],
        visit: &mut dyn FnMut(Key, &Bytes) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.volume.scan_around(tree, keys, visit)
    }
}

/// Damage was not seen while a commit joined checksums: those of the sectors behind the first item that was
/// looked at had moved into that item. Guard: `scan_around` in `reader/csums.rs`, which begins with it.
#[test]
fn damage_was_not_seen_while_checksums_were_joined() {
    let volume = volume(64 << 20);
    let [gone, first, second] = ["gone", "first", "second"].map(|name| create(&volume, name));
    let sector = Bytes::from(vec![1; 4096]);
    let gone = gone.unwrap();
    write(&volume, gone, 0, &sector).unwrap();
    let first = first.unwrap();
    write(&volume, first, 0, &sector).unwrap();
    // One item has the checksums of both. It loses the first, and the second is joined with the third.
    volume.commit().unwrap();
    write(&volume, second.unwrap(), 0, &sector).unwrap();
    volume.drop_extents(FS, gone, 0..SECTOR).unwrap();
    let extents = volume.extents(InodeId::new(FS, first), 0..SECTOR).unwrap();
    let ExtentSource::Raw { bytenr, .. } = extents[0].source else {
        panic!("{extents:?}");
    };
    let meanwhile = CommitsMeanwhile {
        volume: &volume,
        done: Cell::new(false),
    };
    let damaged = vec![2; 2 * 4096];
    assert_eq!(meanwhile.verify(bytenr, &damaged).unwrap(), [0, 1]);
    assert!(meanwhile.done.get());
}

/// A name that was refused changed its directory, so that there was a commit of nothing. Guard: the place of
/// `scatter_entry`, in `add_name` and not in `entry`.
#[test]
fn a_refused_name_changed_its_directory() {
    let volume = volume(64 << 20);
    let ino = create(&volume, "taken").unwrap();
    volume.commit().unwrap();
    let generation = volume.committed().superblock().generation;
    let refused = create(&volume, "taken");
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    let refused = volume.link(FS, ino, ROOT, b"taken", Default::default());
    assert!(matches!(refused, Err(Error::Exists { .. })), "{refused:?}");
    volume.commit().unwrap();
    assert_eq!(volume.committed().superblock().generation, generation);
    let root = volume.inode(InodeId::new(FS, ROOT)).unwrap();
    assert!(root.transid <= generation, "{root:?}");
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
    for name in 0.. {
        let made = create(volume, &format!("{name}")).and_then(|ino| {
            volume.set_xattr(FS, ino, b"user.x", &[7; 2000])?;
            Ok(ino)
        });
        match made {
            Ok(ino) => {
                inodes.push(ino);
                each(ino);
                refused = 0;
            }
            Err(error) => {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                volume.commit().unwrap();
                refused += 1;
                if refused == 2 {
                    break;
                }
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

/// Bytes of metadata that are free in block groups.
fn free_metadata(volume: &Volume) -> u64 {
    let groups = volume.committed().info().unwrap().block_groups;
    let metadata = groups
        .iter()
        .filter(|group| group.flags & block_group_flags::METADATA != 0);
    metadata
        .map(|group| group.total_bytes - group.used_bytes)
        .sum()
}

/// The same with many attributes, or many names, of one inode: they lie in many leaves, and only the one of
/// the inode was counted. Guard: `scatter_item`.
#[test]
fn attributes_and_names_of_one_inode_took_more_room_than_was_left() {
    for links in [false, true] {
        let volume = volume(256 << 20);
        let ino = create(&volume, "many").unwrap();
        let name = |n: u64| match links {
            false => format!("user.{n}"),
            true => format!("{n}{}", "-".repeat(240)),
        };
        let change = |dir: u64, name: &str, value: &[u8]| match links {
            false => volume.set_xattr(FS, ino, name.as_bytes(), value),
            true => volume.link(FS, ino, dir, name.as_bytes(), Default::default()),
        };
        let many = if links { 30_000 } else { 12_000 };
        for n in 0..many {
            change(ROOT, &name(n), &[7; 1000]).unwrap();
        }
        volume.commit().unwrap();
        while volume.allocate(1 << 20).is_ok() {}
        for n in 0.. {
            if n % 200 == 0 {
                volume.commit().unwrap();
                if free_metadata(&volume) < 8 << 20 {
                    break;
                }
            }
            let other = create(&volume, &format!("other {n}")).unwrap();
            volume.set_xattr(FS, other, b"user.x", &[7; 2000]).unwrap();
        }
        volume.commit().unwrap();
        let dir = InodeItem {
            mode: 0o040_755,
            ..InodeItem::default()
        };
        // A new one, of which no entry counts, either.
        let dir = volume.create(FS, ROOT, b"dir", &dir, b"").unwrap();
        for n in 0..1500 {
            let changed = change(dir, &name(n * 7), b"");
            if let Err(error) = changed {
                assert!(matches!(error, Error::NoSpace { .. }), "{error}");
                volume.commit().unwrap();
            }
        }
        volume.commit().unwrap();
    }
}

/// On a volume that had no room for more names nothing could be cut either, so it stayed that way. Guard:
/// `check_some_room` in `change_inode` and `drop_extents`.
#[test]
fn a_volume_without_room_for_names_could_not_be_relieved() {
    let volume = volume(48 << 20);
    let ino = create(&volume, "data").unwrap();
    write(&volume, ino, 0, &Bytes::from(vec![1; 1 << 20])).unwrap();
    while volume.allocate(1 << 20).is_ok() {}
    fill(&volume, &mut |_| ());
    let before = volume.data_available();
    volume.change_inode(FS, ino, |item| item.size = 0).unwrap();
    volume.drop_extents(FS, ino, 0..1 << 20).unwrap();
    volume.commit().unwrap();
    assert!(volume.data_available() >= before + (1 << 20));
}

/// Names were made in a directory that has none, and of an inode that has none: both would be lost, and
/// count wrong. Guard: the link counts in `check_new_name` and `link`.
#[test]
fn what_has_no_name_got_others() {
    let volume = volume(48 << 20);
    let dir = InodeItem {
        mode: 0o040_755,
        ..InodeItem::default()
    };
    let dir = volume.create(FS, ROOT, b"dir", &dir, b"").unwrap();
    let file = create(&volume, "file").unwrap();
    for gone in [dir, file] {
        let unlinked = volume.change_inode(FS, gone, |item| item.nlink = 0);
        unlinked.unwrap();
    }
    let new = InodeItem {
        mode: 0o100_644,
        ..InodeItem::default()
    };
    let made = volume.create(FS, dir, b"a", &new, b"");
    assert!(matches!(made, Err(Error::NoInode { ino, .. }) if ino == dir));
    let linked = volume.link(FS, file, ROOT, b"b", Default::default());
    assert!(matches!(linked, Err(Error::NoInode { ino, .. }) if ino == file));
}

/// Fails, or panics, when it is told to.
#[derive(Debug)]
struct Faulty {
    inner: MemDevice,
    reads_left: AtomicUsize,
    largest: u64,
    flushes: AtomicBool,
    writes_left: AtomicUsize,
}

impl Faulty {
    fn new(largest: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: MemDevice::new(0),
            reads_left: AtomicUsize::new(usize::MAX),
            largest,
            flushes: AtomicBool::new(true),
            writes_left: AtomicUsize::new(usize::MAX),
        })
    }
}

impl BlockDevice for Faulty {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        match self.reads_left.fetch_update(order, order, less) {
            Ok(_) => self.inner.read_at(offset, buf),
            Err(_) => Err(io::Error::other("unreadable")),
        }
    }
    fn write_vectored_at(&self, offset: u64, bufs: &[io::IoSlice<'_>]) -> io::Result<()> {
        assert!(
            self.writes_left.fetch_sub(1, Ordering::Relaxed) > 0,
            "told to"
        );
        self.inner.write_vectored_at(offset, bufs)
    }
    fn flush(&self) -> io::Result<()> {
        match self.flushes.load(Ordering::Relaxed) {
            true => self.inner.flush(),
            false => Err(io::Error::other("not flushed")),
        }
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        match size > self.largest {
            true => Err(io::Error::from(io::ErrorKind::FileTooLarge)),
            false => self.inner.set_size(size),
        }
    }
}

/// A directory could not be read while a file was made in it, and the file stayed without a name. Guard:
/// the place of `next_index` in `create`.
#[test]
fn a_file_that_could_not_be_made_stayed_without_a_name() {
    let device = Faulty::new(u64::MAX);
    let mut options = MkfsOptions::default();
    options.size = Some(64 << 20);
    options.cache_bytes = 0;
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    let mut last = 0;
    for n in 0..2000 {
        last = create(&volume, &format!("{n}")).unwrap();
    }
    volume.commit().unwrap();
    let mut failed = 0;
    for reads in 0.. {
        device.reads_left.store(reads, Ordering::Relaxed);
        let made = create(&volume, "one more");
        device.reads_left.store(usize::MAX, Ordering::Relaxed);
        if made.is_ok() {
            break;
        }
        failed += 1;
        for ino in last + 1..last + 10 {
            let there = volume.inode(InodeId::new(FS, ino));
            assert!(there.is_err(), "inode {ino} after {reads} reads");
        }
        volume.commit().unwrap();
    }
    assert!(failed > 2, "{failed}");
}

/// A device could not grow any more, and the next commit said that it had: no kernel takes a volume that is
/// longer than its device. Guard: `set_size` comes first in `Space::add_chunk`.
#[test]
fn a_volume_was_longer_than_its_device() {
    let device = Faulty::new(200 << 20);
    let volume = Volume::mkfs(device.clone(), &MkfsOptions::default()).unwrap();
    let mut refused = 0;
    while refused < 3 {
        refused += usize::from(volume.allocate(4 << 20).is_err());
    }
    create(&volume, "a").unwrap();
    volume.commit().unwrap();
    let total = volume.committed().superblock().total_bytes;
    assert!(total <= device.size().unwrap(), "{total}");
}

/// After a commit that failed, what had been written since the last one read as a hole, or as what was there
/// before. Guard: `check_readable`.
#[test]
fn what_a_failed_commit_lost_read_as_zeroes() {
    let device = Faulty::new(u64::MAX);
    let mut options = MkfsOptions::default();
    options.size = Some(64 << 20);
    let volume = Volume::mkfs(device.clone(), &options).unwrap();
    let [old, changed] = ["old", "changed"].map(|name| create(&volume, name).unwrap());
    let data = Bytes::from(vec![1; 64 << 10]);
    write(&volume, old, 0, &data).unwrap();
    write(&volume, changed, 0, &data).unwrap();
    volume.commit().unwrap();
    let new = create(&volume, "new").unwrap();
    for ino in [changed, new] {
        write(&volume, ino, 0, &data).unwrap();
    }
    device.flushes.store(false, Ordering::Relaxed);
    assert!(volume.commit().is_err());
    let extents = |ino| volume.extents(InodeId::new(FS, ino), 0..64 << 10);
    assert_eq!(extents(old).unwrap().len(), 1);
    for ino in [changed, new] {
        assert!(matches!(extents(ino), Err(Error::Io { .. })), "inode {ino}");
    }
    // Names are those of the last commit, at least.
    let names = volume.read_dir(InodeId::new(FS, ROOT), 0, 10).unwrap();
    assert!(names.len() >= 2);
}

/// Where space was scarce, the same input made different images: a chunk for data was cut to what pending
/// metadata left, and that depends on how many extents have been recorded so far. Guard: the eighth in
/// `Space::add_chunk`.
#[test]
fn a_chunk_was_as_long_as_timing_made_it() {
    let chunks = |files: u64| {
        let volume = volume(104 << 20);
        for name in 0..files {
            let ino = create(&volume, &format!("{name}")).unwrap();
            volume.set_xattr(FS, ino, b"user.x", &[7; 2000]).unwrap();
        }
        while volume.allocate(1 << 20).is_ok() {}
        let chunks = volume.storage().chunks();
        let lengths: Vec<u64> = chunks.iter().map(|(_, chunk)| chunk.length).collect();
        lengths
    };
    let most = chunks(0);
    for files in [1000, 1800, 2000, 2500] {
        let some = chunks(files);
        assert!(some.len() > 4, "{files}: {some:?}");
        assert!(most.starts_with(&some), "{files}: {some:?}, not {most:?}");
    }
}

/// A device panicked in a commit, and the next commit made that half of it last that was not written yet.
/// Guard: that `commit` takes itself for failed until it is over.
#[test]
fn a_commit_that_was_broken_off_was_gone_on_with() {
    let mut broken_off = 0;
    for writes in 0.. {
        let device = Faulty::new(u64::MAX);
        let mut options = MkfsOptions::default();
        options.size = Some(64 << 20);
        let volume = Volume::mkfs(device.clone(), &options).unwrap();
        let generation = volume.committed().superblock().generation;
        create(&volume, "a").unwrap();
        device.writes_left.store(writes, Ordering::Relaxed);
        let committed = catch_unwind(AssertUnwindSafe(|| volume.commit()));
        device.writes_left.store(usize::MAX, Ordering::Relaxed);
        if committed.is_ok() {
            break;
        }
        broken_off += 1;
        let refused = create(&volume, "b");
        assert!(
            matches!(refused, Err(Error::ReadOnly { .. })),
            "{refused:?}"
        );
        assert!(matches!(volume.commit(), Err(Error::ReadOnly { .. })));
        let opened = Volume::open(device, &OpenOptions::default()).unwrap();
        let found = opened.committed().superblock().generation;
        assert!(found <= generation + 1, "after {writes} writes");
        opened.read_dir(InodeId::new(FS, ROOT), 0, 10).unwrap();
    }
    assert!(broken_off > 2, "{broken_off}");
}

/// Extents that cannot be, or whose place was never allocated, were taken: adding up their ends overflowed,
/// the next commit panicked, or did not end, or made an image that no kernel takes. Guard: `check_extent`.
#[test]
fn extents_that_cannot_be_were_taken() {
    let volume = volume(64 << 20);
    let ino = create(&volume, "a").unwrap();
    let fine = || NewExtent {
        file_offset: 0,
        num_bytes: 8192,
        bytenr: volume.allocate(8192).unwrap(),
        disk_num_bytes: 8192,
        compression: 0,
        checksums: csum::checksum_sectors(&[0; 8192], 4096).into(),
    };
    let try_with = |change: &dyn Fn(&mut NewExtent)| {
        let mut extent = fine();
        change(&mut extent);
        volume.insert_extent(FS, ino, extent)
    };
    let bad: [&dyn Fn(&mut NewExtent); 16] = [
        &|extent| extent.file_offset = u64::MAX - 4095,
        &|extent| extent.file_offset = 1 << 63,
        &|extent| extent.file_offset = 5,
        &|extent| extent.num_bytes = 0,
        &|extent| extent.num_bytes = 8191,
        &|extent| extent.num_bytes = 4096,
        &|extent| extent.disk_num_bytes = 0,
        &|extent| extent.disk_num_bytes = 64 << 20,
        &|extent| extent.disk_num_bytes = u64::MAX - 4095,
        &|extent| extent.bytenr.0 += 5,
        &|extent| extent.bytenr = Bytenr(0),
        &|extent| extent.bytenr = Bytenr(1 << 40),
        &|extent| extent.bytenr = Bytenr(u64::MAX - 4095),
        // Of a block group for metadata.
        &|extent| extent.bytenr = Bytenr(16 << 20),
        &|extent| extent.checksums.truncate(7),
        &|extent| extent.compression = compression::ZSTD + 1,
    ];
    for (nth, change) in bad.iter().enumerate() {
        let refused = try_with(*change);
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "{nth}: {refused:?}"
        );
    }
    let of_directory = volume.insert_extent(FS, ROOT, fine());
    assert!(matches!(of_directory, Err(Error::WrongType { .. })));
    let extent = fine();
    for commits in [false, true] {
        if commits {
            volume.commit().unwrap();
        }
        let first = volume.insert_extent(FS, ino, extent.clone());
        assert_eq!(first.is_ok(), !commits);
        let again = volume.insert_extent(FS, ino, extent.clone());
        assert!(matches!(again, Err(Error::Invalid { .. })), "{again:?}");
    }
    volume.commit().unwrap();
}

/// Space that was not allocated, or that an extent had taken, was given back, so that the next extent was
/// written over it. Guard: `is_reserved` in `release_data`.
#[test]
fn what_was_in_use_was_given_back() {
    let volume = volume(64 << 20);
    let ino = create(&volume, "a").unwrap();
    write(&volume, ino, 0, &Bytes::from(vec![1; 8192])).unwrap();
    let extents = volume.extents(InodeId::new(FS, ino), 0..8192).unwrap();
    let ExtentSource::Raw { bytenr, .. } = extents[0].source else {
        panic!("{extents:?}");
    };
    let kept = volume.allocate(8192).unwrap();
    let before = volume.data_available();
    for _ in 0..2 {
        for (at, len) in [
            (bytenr.0, 8192),
            (bytenr.0, 4096),
            (kept.0, 16384),
            (kept.0, 0),
            (kept.0 + 8192, 4096),
            (0, 4096),
            (1 << 40, 4096),
            (u64::MAX, 4096),
        ] {
            volume.release(Bytenr(at), len);
            assert_eq!(volume.data_available(), before, "{at}, {len}");
        }
        volume.commit().unwrap();
    }
    volume.release(kept, 8192);
    assert_eq!(volume.data_available(), before + 8192);
    for len in [u64::MAX - 4095, 1 << 63, 1 << 40] {
        assert!(volume.allocate(len).is_err());
    }
    let far = volume.write_data(&[(Bytenr(u64::MAX), Bytes::from(vec![1; 4096]))]);
    assert!(matches!(far, Err(Error::Unmapped { .. })), "{far:?}");
}

/// Inodes, attributes and content that no kernel takes were made, and files in trees that are none of
/// files. Guards: `check_new_inode`, `is_subvolume` in `State::warm`, and the lengths in `insert_inline`.
#[test]
fn inodes_that_cannot_be_were_made() {
    let volume = volume(64 << 20);
    let ino = create(&volume, "a").unwrap();
    volume.commit().unwrap();
    let generation = volume.committed().superblock().generation;
    let make = |tree, dir, mode, target: &[u8]| {
        let new = InodeItem {
            mode,
            ..InodeItem::default()
        };
        volume.create(tree, dir, b"new", &new, target)
    };
    for (mode, target) in [
        (0, &b""[..]),
        (0o644, b""),
        (0o170_644, b""),
        (0o100_644, b"target"),
        (0o120_777, b""),
        (0o120_777, b"tar\0get"),
    ] {
        let refused = make(FS, ROOT, mode, target);
        assert!(
            matches!(refused, Err(Error::Invalid { .. })),
            "{mode:o}: {refused:?}"
        );
    }
    for (tree, dir) in [
        (objectid::ROOT_TREE, objectid::ROOT_TREE_DIR),
        (objectid::DATA_RELOC_TREE, ROOT),
    ] {
        let refused = make(tree, dir, 0o100_644, b"");
        assert!(
            matches!(refused, Err(Error::NoInode { .. })),
            "{tree}: {refused:?}"
        );
        let refused = volume.set_xattr(tree, dir, b"user.x", b"");
        assert!(
            matches!(refused, Err(Error::NoInode { .. })),
            "{tree}: {refused:?}"
        );
    }
    let data = Bytes::from(vec![1; 5]);
    for (compression, ram_bytes) in [(0, 0), (0, 4096), (3, 0), (4, 5)] {
        let refused = volume.insert_inline(FS, ino, data.clone(), compression, ram_bytes);
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    let refused = volume.insert_inline(FS, ROOT, data, 0, 5);
    assert!(
        matches!(refused, Err(Error::WrongType { .. })),
        "{refused:?}"
    );
    let refused = volume.set_xattr(FS, ino, b"us\0er.x", b"");
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    volume.commit().unwrap();
    assert_eq!(volume.committed().superblock().generation, generation);
}
