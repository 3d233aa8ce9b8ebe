//! Races that were found by looking for them, each a test named after what went wrong, with one of the
//! two held up in a call of the volume.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use bytes::Bytes;
use fs_core::memory::{FaultOp, Faults};
use fs_core::{
    Commit, ErrorKind, FileType, Filesystem, InodeId, InodeStore, MemoryVolume, Namespace, Policy,
};
use support::gate::*;
use support::hooked::{Call, Hooked};
use support::*;

/// A filesystem that halts at the calls that `at` names, and what halts it.
fn halting(
    inner: MemoryVolume,
    at: impl Fn(&Call) -> bool + Send + Sync + 'static,
) -> (Filesystem<Hooked>, Arc<Halt>) {
    let halt = Arc::new(Halt::default());
    let passes = Arc::clone(&halt);
    let volume = Hooked::new(inner, move |call| {
        if at(&call) {
            // Others may have to wait until this is done.
            passes.pass(ms(1000));
        }
        true
    });
    let fs = Filesystem::builder(volume).threads(2);
    (fs.policy(Policy::Always(ZSTD)).build().unwrap(), halt)
}

fn make(fs: &Filesystem<Hooked>, name: &[u8], file_type: FileType) -> InodeId {
    fs.create(fs.root(), name, &inode(file_type)).unwrap()
}

/// Two set a policy at once, and what the volume had of the second was in memory that of the first.
/// Guard: the table of inodes is locked in `Filesystem::set_policy`.
#[test]
fn a_policy_in_memory_was_not_that_of_the_volume() {
    within(20, || {
        let (fs, halt) = halting(MemoryVolume::new(u64::MAX), |call| {
            matches!(call, Call::SetPolicy)
        });
        let id = make(&fs, b"a", FileType::Regular);
        let f = fs.open(id).unwrap();
        halt.set();
        let first = {
            let fs = fs.clone();
            std::thread::spawn(move || fs.set_policy(id, Some(Policy::Always(ZSTD))).unwrap())
        };
        halt.wait_held();
        fs.set_policy(id, Some(Policy::Never)).unwrap();
        halt.let_go();
        first.join().unwrap();
        assert_eq!(fs.policy(id).unwrap(), Some(Policy::Never));
        f.write(0, &text(100_000)).unwrap();
        f.fsync().unwrap();
        assert_eq!(fs.stats().pieces_compressed, 0);
    });
}

/// A commit fell between a new name and the policy that it inherits, and after a power cut the file had
/// none. Guard: `whole` in `Filesystem::create` and in `Shared::commit`.
#[test]
fn a_new_file_was_durable_without_the_policy_that_it_inherits() {
    within(20, || {
        let volume = MemoryVolume::with_faults(u64::MAX, Faults::remembering_commits());
        let (fs, halt) = halting(volume, |call| matches!(call, Call::WillSetPolicy));
        fs.set_policy(fs.root(), Some(Policy::Never)).unwrap();
        halt.set();
        let creates = {
            let fs = fs.clone();
            std::thread::spawn(move || make(&fs, b"a", FileType::Regular))
        };
        halt.wait_held();
        fs.sync().unwrap();
        halt.let_go();
        let id = creates.join().unwrap();
        let volume = &fs.volume().inner;
        volume.power_cut();
        if volume.lookup(fs.root(), b"a").unwrap().is_some() {
            assert_eq!(volume.policy(id).unwrap(), Some(Policy::Never));
        }
    });
}

/// Something was made in a directory that had been removed and was not freed yet: it had a name that
/// leads nowhere, and nothing would have freed it. Guard: `Filesystem::unlink` frees before it lets go
/// of the attributes.
#[test]
fn a_file_was_made_in_a_directory_that_was_removed() {
    within(20, || {
        let (fs, halt) = halting(MemoryVolume::new(u64::MAX), |call| {
            matches!(call, Call::Free)
        });
        let dir = make(&fs, b"d", FileType::Directory);
        halt.set();
        let removes = {
            let fs = fs.clone();
            std::thread::spawn(move || fs.unlink(fs.root(), b"d").unwrap())
        };
        halt.wait_held();
        let made = fs.create(dir, b"a", &inode(FileType::Regular));
        halt.let_go();
        removes.join().unwrap();
        assert_eq!(made.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

/// A file was cut while another read what was cut off: its extents were gone, and its end was not yet
/// where it should be. Guard: `hold_off` in `Shared::cut`.
#[test]
fn a_reader_saw_zeroes_where_a_file_was_being_cut() {
    within(20, || {
        let (fs, halt) = halting(MemoryVolume::new(u64::MAX), |call| {
            matches!(call, Call::Dropped)
        });
        let id = make(&fs, b"a", FileType::Regular);
        let (f, reader) = (fs.open(id).unwrap(), fs.open(id).unwrap());
        f.write(0, &text(100_000)).unwrap();
        f.fsync().unwrap();
        fs.drop_caches();
        halt.set();
        let cuts = std::thread::spawn(move || f.set_size(8192).unwrap());
        halt.wait_held();
        let got = reader.read_bytes(0, 100_000).unwrap().concat();
        halt.let_go();
        cuts.join().unwrap();
        assert!(got == text(got.len()), "{} bytes", got.len());
    });
}

/// Where a reader had looked bytes up, a hole was punched, or others were written past the cache. Before
/// that was known to the cache the space was freed, and another file got it: the reader got its bytes.
/// Guards: `hold_off` in `File::punch_hole` and in `File::write_extent`.
#[test]
fn a_reader_got_bytes_of_another_file_while_its_own_were_dropped() {
    const LEN: u64 = 128 << 10;
    within(30, || {
        for direct in [false, true] {
            let faults = Faults::default().reusing_space();
            let volume = MemoryVolume::with_faults(u64::MAX, faults);
            let looked_up = Arc::new(Halt::default());
            let at_look = Arc::clone(&looked_up);
            let (fs, dropped) = halting(volume, move |call| {
                if call.looks_up(&(0..LEN)) {
                    at_look.pass(ms(5000));
                }
                match direct {
                    true => matches!(call, Call::Inserted),
                    false => matches!(call, Call::Dropped),
                }
            });
            let id = make(&fs, b"a", FileType::Regular);
            let other = fs.open(make(&fs, b"b", FileType::Regular)).unwrap();
            let (f, reader) = (fs.open(id).unwrap(), fs.open(id).unwrap());
            let old = noise(LEN as usize, 1);
            let new = match direct {
                true => noise(LEN as usize, 5),
                false => vec![0; LEN as usize],
            };
            f.write(0, &old).unwrap();
            f.fsync().unwrap();
            fs.drop_caches();
            looked_up.set();
            let reads = std::thread::spawn(move || reader.read_bytes(0, LEN).unwrap().concat());
            looked_up.wait_held();
            dropped.set();
            let replaces = {
                let new = Bytes::from(new.clone());
                std::thread::spawn(move || match direct {
                    true => f.write_direct(0, &new).unwrap(),
                    false => f.punch_hole(0..LEN).unwrap(),
                })
            };
            dropped.wait_held();
            fs.volume().commit().unwrap();
            other.write(0, &noise(LEN as usize, 2)).unwrap();
            other.sync_range(0..LEN, true).unwrap();
            looked_up.let_go();
            let got = reads.join().unwrap();
            dropped.let_go();
            replaces.join().unwrap();
            assert!(got == old || got == new, "direct: {direct}");
        }
    });
}

/// Who synced waited until the device had nothing to do, which others prevented for as long as they
/// wrote. Guard: `all` in `Writer::drain`.
#[test]
fn sync_did_not_return_while_others_wrote() {
    within(30, || {
        let faults = Faults::default();
        faults.delay(FaultOp::Write, ms(2));
        let fs = builder(MemoryVolume::with_faults(u64::MAX, faults)).cache_bytes(64 << 20);
        let fs = fs.build().unwrap();
        let f = fs.open(new_file(&fs, "a")).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let writes = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let data = noise(128 << 10, 1);
                let start = Instant::now();
                for n in 0.. {
                    if stop.load(SeqCst) || start.elapsed().as_secs() > 12 {
                        return;
                    }
                    let at = n % 64 * (128 << 10);
                    f.write(at, &data).unwrap();
                    f.sync_range(at..at + (128 << 10), false).unwrap();
                }
            })
        };
        sleep(100);
        fs.sync().unwrap();
        let goes_on = !writes.is_finished();
        stop.store(true, SeqCst);
        writes.join().unwrap();
        assert!(goes_on);
    });
}
