//! Several files, and several threads on each, are what an oracle says: also where names go while
//! files are open, space is short and the power is cut.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;
use std::sync::Barrier;

use bytes::Bytes;
use fs_core::memory::{FaultOp, Faults};
use fs_core::{Error, ErrorKind, File, Filesystem, InodeId, MemoryVolume, Policy};
use proptest::prelude::*;
use support::gate::{eventually, within};
use support::oracle::*;
use support::*;

const SECTOR: u64 = 4096;
const SLOTS: usize = 4;

/// What changes or reads the content of a file that is open.
#[derive(Debug, Clone)]
enum Change {
    Write { at: u64, len: u64, seed: u64 },
    WriteDirect { at: u64, len: u64, seed: u64 },
    Punch { at: u64, len: u64 },
    Allocate { at: u64, len: u64 },
    Read { at: u64, len: u64 },
    ReadDirect { at: u64, len: u64 },
    SyncRange { at: u64, len: u64, wait: bool },
    Fsync,
}

/// Within the first `space` bytes, a multiple of sectors.
fn change(space: u64) -> impl Strategy<Value = Change> {
    let range = (0..space, prop_oneof![1..200_000_u64, 1..5000_u64])
        .prop_map(move |(at, len)| (at, len.min(space - at)));
    let sectors = range.clone().prop_map(|(at, len)| {
        let start = at / SECTOR * SECTOR;
        (start, (at + len).next_multiple_of(SECTOR) - start)
    });
    prop_oneof![
        8 => (range.clone(), any::<u64>())
            .prop_map(|((at, len), seed)| Change::Write { at, len, seed }),
        2 => (sectors, any::<u64>())
            .prop_map(|((at, len), seed)| Change::WriteDirect { at, len, seed }),
        2 => range.clone().prop_map(|(at, len)| Change::Punch { at, len }),
        1 => range.clone().prop_map(|(at, len)| Change::Allocate { at, len }),
        3 => range.clone().prop_map(|(at, len)| Change::Read { at, len }),
        1 => range.clone().prop_map(|(at, len)| Change::ReadDirect { at, len }),
        2 => (range, any::<bool>())
            .prop_map(|((at, len), wait)| Change::SyncRange { at, len, wait }),
        2 => Just(Change::Fsync),
    ]
}

/// Carries a change out in the part of the file that `held` should be, or in all of it, `base` bytes
/// in. Only the want
/// of space may go wrong, and only where the change itself is; then a part of it is done.
fn carry_out(file: &File<MemoryVolume>, part_at: Option<u64>, held: &mut Vec<u8>, change: &Change) {
    let base = part_at.unwrap_or(0);
    let done: Result<(), Error> = match *change {
        Change::Write { at, len, seed } => {
            let data = bytes(len as usize, seed);
            let done = file.write(base + at, &data);
            if done.is_ok() {
                put(held, at, &data);
            }
            done
        }
        Change::WriteDirect { at, len, seed } => {
            let data = bytes(len as usize, seed);
            let done = file.write_direct(base + at, &Bytes::from(data.clone()));
            if done.is_ok() {
                put(held, at, &data);
            }
            done
        }
        Change::Punch { at, len } => {
            let done = file.punch_hole(base + at..base + at + len);
            if done.is_ok() {
                clear(held, at, len);
            }
            done
        }
        Change::Allocate { at, len } => file.allocate(base + at..base + at + len, true),
        Change::Read { at, len } => {
            let want = part(held, at, len);
            let mut got = vec![0xdd; want.len()];
            let mut done = 0;
            while done < got.len() {
                let n = file
                    .read(base + at + done as u64, &mut got[done..])
                    .unwrap();
                assert!(n > 0, "nothing at {}", base + at + done as u64);
                done += n;
            }
            assert!(got == want, "read {at}, {len} behind {base}");
            Ok(())
        }
        Change::ReadDirect { at, len } => {
            let want = part(held, at, len);
            let got = file.read_direct(base + at, want.len() as u64).unwrap();
            assert!(
                got.concat() == want,
                "directly read {at}, {len} behind {base}"
            );
            Ok(())
        }
        Change::SyncRange { at, len, wait } => {
            file.sync_range(base + at..base + at + len, wait).unwrap();
            Ok(())
        }
        Change::Fsync => {
            file.fsync().unwrap();
            Ok(())
        }
    };
    if let Err(error) = done {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{change:?}: {error}");
        let len = part_at.map_or(u64::MAX, |_| held.len() as u64);
        *held = file.read_bytes(base, len).unwrap().concat();
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Makes and opens a file where the name is free.
    Create,
    Unlink,
    Close,
    /// Opens it anew, if it has a name.
    Reopen,
    Resize(u64),
    Policy(u8),
    /// What new files inherit.
    DirPolicy(u8),
    Sync,
    DropCaches,
    Change(Change),
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let op = prop_oneof![
        4 => Just(Op::Create),
        2 => Just(Op::Unlink),
        1 => Just(Op::Close),
        2 => Just(Op::Reopen),
        1 => (0..400_000_u64).prop_map(Op::Resize),
        1 => (0..4_u8).prop_map(Op::Policy),
        1 => (0..4_u8).prop_map(Op::DirPolicy),
        1 => Just(Op::Sync),
        2 => Just(Op::DropCaches),
        16 => change(400_000 / SECTOR * SECTOR).prop_map(Op::Change),
    ];
    (0..SLOTS, op)
}

fn policy(n: u8) -> Option<Policy> {
    [
        None,
        Some(Policy::Never),
        Some(Policy::Auto(ZSTD)),
        Some(Policy::Always(ZSTD)),
    ][usize::from(n)]
}

/// A name, and the file behind it; of one that lost its name, as long as it is open.
#[derive(Default)]
struct Slot {
    id: Option<InodeId>,
    named: bool,
    file: Option<File<MemoryVolume>>,
    held: Vec<u8>,
    /// What it held at each moment since it was surely durable as it was.
    since: Vec<Vec<u8>>,
    /// Whether the name was there, at each moment since the last commit.
    named_since: BTreeSet<bool>,
    /// The file that the name led to at the last commit is another one.
    replaced: bool,
}

struct Several {
    fs: Filesystem<MemoryVolume>,
    slots: [Slot; SLOTS],
}

impl Several {
    fn new(fs: Filesystem<MemoryVolume>) -> Self {
        let mut slots: [Slot; SLOTS] = Default::default();
        for slot in &mut slots {
            slot.named_since.insert(false);
        }
        Self { fs, slots }
    }

    fn carry_out(&mut self, (which, op): (usize, Op)) {
        let fs = &self.fs;
        let root = fs.root();
        let name = [b'a' + which as u8];
        let slot = &mut self.slots[which];
        match op {
            Op::Create if !slot.named => {
                slot.file = None;
                let id = new_file(fs, std::str::from_utf8(&name).unwrap());
                slot.file = Some(fs.open(id).unwrap());
                slot.id = Some(id);
                slot.held = Vec::new();
                slot.since = vec![Vec::new()];
                slot.named = true;
                slot.named_since.insert(true);
                slot.replaced = true;
            }
            Op::Unlink if slot.named => {
                fs.unlink(root, &name).unwrap();
                slot.named = false;
                slot.named_since.insert(false);
            }
            Op::Close => slot.file = None,
            Op::Reopen if slot.named => slot.file = Some(fs.open(slot.id.unwrap()).unwrap()),
            Op::Resize(size) => {
                let Some(file) = &slot.file else { return };
                match file.set_size(size) {
                    Ok(()) => slot.held.resize(size as usize, 0),
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::NoSpace, "resize: {error}");
                        slot.held = file.read_bytes(0, u64::MAX).unwrap().concat();
                    }
                }
                slot.since.push(slot.held.clone());
            }
            Op::Policy(n) if slot.named => fs.set_policy(slot.id.unwrap(), policy(n)).unwrap(),
            Op::DirPolicy(n) => fs.set_policy(root, policy(n)).unwrap(),
            Op::Sync => {
                fs.sync().unwrap();
                for slot in &mut self.slots {
                    slot.since = vec![slot.held.clone()];
                    slot.committed();
                }
            }
            Op::DropCaches => {
                fs.drop_caches();
            }
            Op::Change(change) => {
                let Some(file) = &slot.file else { return };
                carry_out(file, None, &mut slot.held, &change);
                assert_eq!(file.size(), slot.held.len() as u64);
                slot.since.push(slot.held.clone());
                if let Change::Fsync = change {
                    slot.since = vec![slot.held.clone()];
                    self.slots.iter_mut().for_each(Slot::committed);
                }
            }
            Op::Create | Op::Unlink | Op::Reopen | Op::Policy(_) => {}
        }
    }

    /// Cuts the power, with what is dirty on the device or not, and goes on with what is left.
    fn cut(mut self, seed: u64, written: bool) -> Self {
        for slot in &mut self.slots {
            slot.file = None;
        }
        let fs = self.fs;
        fs.volume().faults().fail_every(FaultOp::Flush, true);
        if written {
            let _ = fs.sync();
            eventually(|| fs.check_idle().is_ok());
        }
        let volume = fs.into_volume().unwrap().after_power_cut();
        volume.faults().fail_every(FaultOp::Flush, false);
        let fs = builder(volume).observe(jitter(seed)).build().unwrap();
        let mut next = Self::new(fs);
        for (n, (slot, old)) in next.slots.iter_mut().zip(self.slots).enumerate() {
            let found = next.fs.lookup(next.fs.root(), &[b'a' + n as u8]).unwrap();
            assert!(
                old.named_since.contains(&found.is_some()),
                "the name of file {n}"
            );
            let Some(id) = found else { continue };
            slot.id = found;
            slot.named = true;
            slot.named_since = BTreeSet::from([true]);
            slot.held = content(&next.fs, id);
            slot.since = vec![slot.held.clone()];
            // A commit that nobody asked for may have made the new one durable, or not.
            if old.id == found && !old.replaced {
                let known = is_of_some_time(&slot.held, &old.since);
                assert!(known.is_ok(), "file {n}: {known:?}");
            }
        }
        next
    }

    fn finish(mut self) {
        let fs = &self.fs;
        fs.sync().unwrap();
        fs.drop_caches();
        for (n, slot) in self.slots.iter_mut().enumerate() {
            if let Some(file) = slot.file.take() {
                let got = file.read_bytes(0, u64::MAX).unwrap().concat();
                assert!(got == slot.held, "file {n}, which is open");
            }
            if slot.named {
                assert!(content(fs, slot.id.unwrap()) == slot.held, "file {n}");
                fs.unlink(fs.root(), &[b'a' + n as u8]).unwrap();
            }
        }
        fs.sync().unwrap();
        assert_eq!(fs.volume().bytes_allocated(), 0, "what was removed stayed");
        self.fs.unmount().unwrap();
    }
}

impl Slot {
    /// All names are durable.
    fn committed(&mut self) {
        self.named_since = BTreeSet::from([self.named]);
        self.replaced = false;
    }
}

/// A thread's own ranges of the files that all share.
const SHARED: usize = 3;
const REGION: u64 = 50 * SECTOR;
const THREADS: usize = 3;

fn shared_op() -> impl Strategy<Value = (usize, SharedOp)> {
    let op = prop_oneof![
        16 => change(REGION).prop_map(SharedOp::Change),
        1 => Just(SharedOp::Unlink),
        1 => Just(SharedOp::Private),
        1 => Just(SharedOp::Sync),
        1 => Just(SharedOp::DropCaches),
        1 => (0..4_u8).prop_map(SharedOp::Policy),
        1 => Just(SharedOp::Reopen),
    ];
    (0..SHARED, op)
}

#[derive(Debug, Clone)]
enum SharedOp {
    Change(Change),
    /// Takes the name from a file that all go on with.
    Unlink,
    /// Makes a file of one's own, writes to it and removes it while it is open.
    Private,
    Sync,
    DropCaches,
    Policy(u8),
    Reopen,
}

/// What one thread does, and what its ranges hold in the end.
fn one_of_many(
    fs: &Filesystem<MemoryVolume>,
    ids: &[InodeId],
    thread: usize,
    ops: &[(usize, SharedOp)],
    start: &Barrier,
) -> (Vec<File<MemoryVolume>>, Vec<Vec<u8>>) {
    let base = thread as u64 * REGION;
    let mut files: Vec<_> = ids.iter().map(|id| fs.open(*id).unwrap()).collect();
    let mut held = vec![vec![0; REGION as usize]; ids.len()];
    start.wait();
    for (n, (which, op)) in ops.iter().enumerate() {
        match op {
            SharedOp::Change(change) => {
                carry_out(&files[*which], Some(base), &mut held[*which], change)
            }
            SharedOp::Unlink => match fs.unlink(fs.root(), &[b'a' + *which as u8]) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
            },
            SharedOp::Private => {
                let name = format!("{thread}.{n}");
                let file = fs.open(new_file(fs, &name)).unwrap();
                let mut own = Vec::new();
                let write = Change::Write {
                    at: 0,
                    len: 70_000,
                    seed: n as u64,
                };
                carry_out(&file, None, &mut own, &write);
                file.sync_range(0..u64::MAX, false).unwrap();
                fs.unlink(fs.root(), name.as_bytes()).unwrap();
                let read = Change::Read { at: 0, len: 70_000 };
                carry_out(&file, None, &mut own, &read);
            }
            SharedOp::Sync => fs.sync().unwrap(),
            SharedOp::DropCaches => {
                fs.drop_caches();
            }
            SharedOp::Policy(n) => {
                // Of a file that may have no name any more, but is open.
                fs.set_policy(ids[*which], policy(*n)).unwrap();
            }
            SharedOp::Reopen => {
                let anew = fs.open(ids[*which]).unwrap();
                files[*which] = anew;
            }
        }
    }
    (files, held)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 80 } else { 600 }))]

    /// Guards: `let_go` frees what has no name with its last handle and not before; `store_attrs` and
    /// the commit of `fsync` come after the bytes.
    #[test]
    fn several_files_and_their_names(
        parts in prop::collection::vec(prop::collection::vec(op(), 1..25), 1..4),
        sectors in prop_oneof![Just(u64::MAX / SECTOR), 30..300_u64],
        seed in any::<u64>(),
        written in any::<bool>(),
    ) {
        within(60, move || {
            let faults = Faults::remembering_commits().losing_unflushed(seed);
            let volume = MemoryVolume::with_faults(sectors * SECTOR, faults);
            volume.faults().shuffle_writes(seed);
            let fs = builder(volume).observe(jitter(seed)).build().unwrap();
            let mut several = Several::new(fs);
            for (n, ops) in parts.into_iter().enumerate() {
                if n > 0 {
                    several = several.cut(seed, written);
                }
                for op in ops {
                    several.carry_out(op);
                }
            }
            several.finish();
        });
    }

    /// Each thread has ranges of its own in files that all share.
    #[test]
    fn threads_on_disjoint_ranges_of_shared_files(
        ops in prop::array::uniform3(prop::collection::vec(shared_op(), 1..30)),
        sectors in prop_oneof![Just(u64::MAX / SECTOR), 100..500_u64],
        seed in any::<u64>(),
    ) {
        within(60, move || {
            let volume = MemoryVolume::new(sectors * SECTOR);
            volume.faults().shuffle_writes(seed);
            let fs = builder(volume).observe(jitter(seed)).build().unwrap();
            let ids = ["a", "b", "c"].map(|name| new_file(&fs, name));
            let keep = ids.map(|id| fs.open(id).unwrap());
            for file in &keep {
                file.set_size(REGION * THREADS as u64).unwrap();
            }
            let start = Barrier::new(THREADS);
            let held: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = ops.iter().enumerate().map(|(thread, ops)| {
                    let (fs, start) = (&fs, &start);
                    scope.spawn(move || one_of_many(fs, &ids, thread, ops, start))
                }).collect();
                threads.into_iter().map(|thread| thread.join().unwrap().1).collect()
            });
            fs.sync().unwrap();
            // What was read ahead and nobody waits for ends by itself.
            eventually(|| fs.check_idle().is_ok());
            fs.drop_caches();
            for (which, file) in keep.iter().enumerate() {
                let all = file.read_bytes(0, u64::MAX).unwrap().concat();
                let want: Vec<u8> = held.iter().flat_map(|held| held[which].clone()).collect();
                assert!(all == want, "file {which}");
            }
            drop(keep);
            for name in [b"a", b"b", b"c"] {
                let _ = fs.unlink(fs.root(), name);
            }
            fs.sync().unwrap();
            assert_eq!(fs.volume().bytes_allocated(), 0, "what was removed stayed");
            fs.unmount().unwrap();
        });
    }
}
