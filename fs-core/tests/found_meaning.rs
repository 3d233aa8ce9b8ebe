//! What callers could see and should not have, each a test named after what went wrong.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::ops::RangeInclusive;

use bytes::Bytes;
use compress::{Codec, CodecId, Compressor, Decompressor, Registry};
use fs_core::memory::FaultOp;
use fs_core::{Background, ErrorKind, FileType, Filesystem, MemoryVolume, PipelineStep, Policy};
use support::gate::*;
use support::hooked::{Call, Hooked};
use support::*;

/// What was written to a file seemed to take no room until it was on the device. Programs that copy
/// files take such a one for a hole, and copy zeroes. Guard: `unstored_bytes` in `Filesystem::attrs`.
#[test]
fn a_dirty_file_seemed_to_be_one_hole() {
    within(20, || {
        let (fs, gate) = gated(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        let f = fs.open(id).unwrap();
        let room = || fs.attrs(id).unwrap().nbytes;
        assert_eq!(room(), 0);
        f.set_size(1 << 20).unwrap();
        assert_eq!(room(), 0);
        f.write(0, &noise(100_000, 1)).unwrap();
        let whole = 100_000_u64.next_multiple_of(4096);
        assert_eq!(room(), whole);
        for step in [PipelineStep::Queued, PipelineStep::Submitted] {
            gate.shut(step, id.ino);
            let fs2 = fs.clone();
            let syncs = std::thread::spawn(move || fs2.sync().unwrap());
            gate.wait_inside();
            assert_eq!(room(), whole, "{step:?}");
            gate.open();
            syncs.join().unwrap();
            assert_eq!(room(), whole);
            f.punch_hole(0..whole).unwrap();
            f.write(0, &noise(100_000, 1)).unwrap();
        }
        f.set_size(100_000).unwrap();
        f.fsync().unwrap();
        f.write(0, &noise(100_000, 5)).unwrap();
        assert_eq!(room(), whole, "what is overwritten takes no more room");
    });
}

/// An inode could not be freed when its last name was removed: that was an error, and the name was gone
/// nevertheless. Guard: `Shared::free` tells nobody.
#[test]
fn a_name_was_gone_although_removing_it_failed() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        drop(f);
        fs.sync().unwrap();
        fs.volume().faults().fail_nth(FaultOp::Metadata, 2);
        fs.unlink(fs.root(), b"a").unwrap();
        assert_eq!(fs.lookup(fs.root(), b"a").unwrap(), None);
        assert!(fs.attrs(id).is_ok(), "an orphan");
        assert_eq!(fs.stats().orphans_left, 1);
    });
}

/// Writing a page failed, and what was lost stayed in the cache. A hole in a part of it was punched, which
/// the volume had one for already, and the page was read as it was. Guard: `invalidate` in
/// `File::punch_hole`.
#[test]
fn what_was_lost_was_read_in_a_hole_that_was_punched_there() {
    within(20, || {
        let (fs, id, f) = roomy_file();
        f.write(0, &noise(8192, 1)).unwrap();
        fs.volume().faults().fail_every(FaultOp::Write, true);
        f.fsync().unwrap_err();
        fs.volume().faults().fail_every(FaultOp::Write, false);
        f.punch_hole(100..200).unwrap();
        assert_eq!(content(&fs, id)[100..200], [0; 100]);
    });
}

/// Links and devices inherited a policy, an item of the volume for what has no content. Guard: the types
/// in `Filesystem::create`.
#[test]
fn a_symlink_inherited_how_to_compress_it() {
    let fs = filesystem(MemoryVolume::new(u64::MAX));
    fs.set_policy(fs.root(), Some(Policy::Never)).unwrap();
    for (n, file_type) in [
        (0, FileType::Symlink),
        (1, FileType::Fifo),
        (2, FileType::CharDevice),
        (3, FileType::Regular),
        (4, FileType::Directory),
    ] {
        let id = fs.create(fs.root(), &[b'a' + n], &inode(file_type));
        let inherited = fs.policy(id.unwrap()).unwrap().is_some();
        assert_eq!(inherited, n >= 3, "{file_type:?}");
    }
}

/// A volume that may not be written took writes, which were lost when they were written back. Guard:
/// `File::writable`.
#[test]
fn a_read_only_volume_took_writes() {
    within(20, || {
        let inner = MemoryVolume::new(u64::MAX);
        let fs = Filesystem::builder(inner).build().unwrap();
        let id = new_file(&fs, "a");
        fs.open(id).unwrap().write(0, b"abc").unwrap();
        fs.sync().unwrap();
        let inner = fs.into_volume().unwrap();
        let volume = Hooked::new(inner, |call| !matches!(call, Call::MayWrite));
        let fs = Filesystem::builder(volume).build().unwrap();
        let f = fs.open(id).unwrap();
        for refused in [
            f.write(0, b"x"),
            f.write_direct(0, &Bytes::from(vec![0; 4096])),
            f.set_size(1),
            f.punch_hole(0..1),
            f.allocate(0..1, true),
        ] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ReadOnly);
        }
        let mut all = [0; 4];
        assert_eq!(f.read(0, &mut all).unwrap(), 3);
        f.fsync().unwrap();
        drop(f);
        fs.unmount().unwrap();
    });
}

/// The volume in memory took names that no other one does. Guard: the checks in `Inodes::add_name`.
#[test]
fn names_that_cannot_be_were_taken() {
    let (fs, id, _f) = roomy_file();
    let kind = |name: &[u8]| {
        let new = inode(FileType::Regular);
        let created = fs.create(fs.root(), name, &new).map(drop);
        let linked = fs.link(id, fs.root(), name);
        [created, linked].map(|result| result.map_err(|error| error.kind()))
    };
    for name in [&b""[..], b".", b"..", b"/", b"a/b", b"a\0", b"\0"] {
        let invalid = Err(ErrorKind::Invalid);
        assert_eq!(kind(name), [invalid, invalid], "{name:?}");
    }
    let too_large = Err(ErrorKind::TooLarge);
    assert_eq!(kind(&[b'a'; 256]), [too_large, too_large]);
    assert_eq!(kind(&[b'a'; 255]), [Ok(()), Err(ErrorKind::Exists)]);
    assert_eq!(kind(b"..."), [Ok(()), Err(ErrorKind::Exists)]);
}

/// Somebody wanted the volume back while others still had the filesystem, did not get it, and from then
/// on data did not age for the others. Guard: the second `Flusher::start`, in `Filesystem::into_volume`.
#[test]
fn data_did_not_age_after_the_volume_was_not_given_back() {
    within(20, || {
        let background = Background {
            expire: ms(20),
            interval: ms(5),
            dirty_background: u64::MAX,
            dirty_limit: u64::MAX,
        };
        let fs = builder(MemoryVolume::new(u64::MAX)).background(Some(background));
        let fs = fs.build().unwrap();
        let f = fs.open(new_file(&fs, "a")).unwrap();
        assert!(fs.clone().into_volume().is_none());
        f.write(0, &noise(100_000, 1)).unwrap();
        eventually(|| fs.stats().pages_flushed_by_age > 0);
        drop(f);
        assert!(fs.into_volume().is_some());
    });
}

/// A file grew beyond an end that was in a hole, while something was on its way elsewhere in the file: a page
/// of zeroes became dirty, or, where that had ended a moment before, none. So the same calls made
/// different images, and what was punched in a hole took space. Guard: the
/// range in `File::is_hole`.
#[test]
fn what_became_of_a_hole_depended_on_what_was_written_elsewhere() {
    within(20, || {
        let (fs, gate) = gated(MemoryVolume::new(u64::MAX));
        let id = new_file(&fs, "a");
        let f = fs.open(id).unwrap();
        f.write(0, &noise(100_000, 1)).unwrap();
        gate.shut(PipelineStep::Submitted, id.ino);
        f.sync_range(0..100_000, false).unwrap();
        gate.wait_inside();
        f.set_size(500_000).unwrap();
        let before = fs.cache_stats().dirty;
        f.set_size(1 << 20).unwrap();
        f.write(2 << 20, &noise(4096, 1)).unwrap();
        f.punch_hole(500_100..500_200).unwrap();
        let made = fs.cache_stats().dirty - before;
        gate.open();
        assert_eq!(made, 4096);
    });
}

/// A volume of other sectors than pages was written, with extents that are not of whole sectors. Guard: the
/// check in `Builder::build`.
#[test]
fn sectors_of_16_kib_were_written_in_parts() {
    let build = |may_write: bool| {
        let volume = Hooked::new(MemoryVolume::new(u64::MAX), move |call| match call {
            Call::MayWrite => may_write,
            Call::SmallSectors => false,
            _ => true,
        });
        Filesystem::builder(volume).build().map(drop)
    };
    assert_eq!(build(true).unwrap_err().kind(), ErrorKind::Invalid);
    build(false).unwrap();
}

/// A file that would be too large was said to be an invalid argument. Guard: `Error::FileTooLarge`.
#[test]
fn a_file_that_would_be_too_large_was_an_invalid_argument() {
    let (_, _, f) = roomy_file();
    let most = i64::MAX as u64 & !4095;
    let page = Bytes::from(vec![0; 4096]);
    for refused in [
        f.write(most, b"a"),
        f.write(most - 1, b"ab"),
        f.write(u64::MAX, b"ab"),
        f.write_direct(most, &page),
        f.write_direct(!4095, &page),
        f.set_size(most + 1),
        f.set_size(u64::MAX),
        f.allocate(0..most + 1, true),
        f.allocate(0..u64::MAX, false),
    ] {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
    assert_eq!(f.size(), 0);
    f.write(most - 1, b"a").unwrap();
    f.set_size(most).unwrap();
    f.allocate(most - 1..most, true).unwrap();
}

/// Says that it put as many bytes as it is told to say.
struct Boasts(usize);

impl Codec for Boasts {
    fn id(&self) -> CodecId {
        CodecId::ZSTD
    }
    fn name(&self) -> &'static str {
        "boasts"
    }
    fn levels(&self) -> RangeInclusive<i32> {
        1..=15
    }
    fn default_level(&self) -> i32 {
        3
    }
    fn compressor(&self, _level: i32) -> Result<Box<dyn Compressor>, compress::Error> {
        Ok(Box::new(Self(self.0)))
    }
    fn decompressor(&self) -> Result<Box<dyn Decompressor>, compress::Error> {
        Err(compress::Error::Context { codec: "boasts" })
    }
}

impl Compressor for Boasts {
    fn compress(&mut self, _: &[u8], _: &mut [u8]) -> Result<Option<usize>, compress::Error> {
        Ok(Some(self.0))
    }
}

/// A codec said that it had put no bytes, or more than there was room for. What it was to compress was
/// lost: it could not be read, or not be written. Guard: the lengths in `Piece::try_codec`.
#[test]
fn what_a_codec_boasted_of_was_lost() {
    within(20, || {
        for boast in [0, 1 << 30, usize::MAX] {
            let codecs = Registry::btrfs().with(Boasts(boast));
            let fs = builder(MemoryVolume::new(u64::MAX)).codecs(codecs);
            let fs = fs.build().unwrap();
            for len in [100, 200_000] {
                let id = new_file(&fs, &len.to_string());
                let f = fs.open(id).unwrap();
                f.write(0, &text(len)).unwrap();
                f.fsync().unwrap();
                fs.drop_caches();
                assert!(content(&fs, id) == text(len), "{boast}, {len} bytes");
            }
        }
    });
}
