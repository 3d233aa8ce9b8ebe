//! A file is a vector of bytes, whatever is done to it and whenever it is written back.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use fs_core::memory::{FaultOp, Faults};
use fs_core::{Background, ErrorKind, File, Filesystem, InodeId, MemoryVolume, Policy};
use proptest::prelude::*;
use support::oracle::*;
use support::*;

const SECTOR: u64 = 4096;

#[derive(Debug, Clone)]
enum Op {
    Write {
        at: u64,
        len: usize,
        seed: u64,
    },
    WriteDirect {
        sector: u64,
        sectors: u64,
        seed: u64,
    },
    Resize(u64),
    Punch {
        at: u64,
        len: u64,
    },
    Allocate {
        at: u64,
        len: u64,
        keep_size: bool,
    },
    Policy(u8),
    Fsync,
    SyncRange {
        at: u64,
        len: u64,
        wait: bool,
    },
    Sync,
    DropCaches,
    Reopen,
    Read {
        at: u64,
        len: usize,
    },
    ReadDirect {
        at: u64,
        len: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    // Often at the boundaries of sectors and folios.
    let at = prop_oneof![
        3 => 0..600_000_u64,
        1 => (0..5_u64, -1..=1_i64).prop_map(|(n, by)| (n * 131_072).saturating_add_signed(by)),
        1 => (0..20_u64, -1..=1_i64).prop_map(|(n, by)| (n * SECTOR).saturating_add_signed(by)),
    ]
    .boxed();
    let len = prop_oneof![2 => 1..200_000_u64, 1 => 1..5000_u64].boxed();
    prop_oneof![
        8 => (at.clone(), len.clone(), any::<u64>())
            .prop_map(|(at, len, seed)| Op::Write { at, len: len as usize, seed }),
        2 => (0..120_u64, 1..40_u64, any::<u64>())
            .prop_map(|(sector, sectors, seed)| Op::WriteDirect { sector, sectors, seed }),
        2 => at.clone().prop_map(Op::Resize),
        2 => (at.clone(), len.clone()).prop_map(|(at, len)| Op::Punch { at, len }),
        1 => (at.clone(), len.clone(), any::<bool>())
            .prop_map(|(at, len, keep_size)| Op::Allocate { at, len, keep_size }),
        1 => (0..3_u8).prop_map(Op::Policy),
        2 => Just(Op::Fsync),
        2 => (at.clone(), len.clone(), any::<bool>())
            .prop_map(|(at, len, wait)| Op::SyncRange { at, len, wait }),
        1 => Just(Op::Sync),
        3 => Just(Op::DropCaches),
        1 => Just(Op::Reopen),
        3 => (at.clone(), len.clone())
            .prop_map(|(at, len)| Op::Read { at, len: len as usize }),
        1 => (at, len).prop_map(|(at, len)| Op::ReadDirect { at, len }),
    ]
}

/// One file and what it should hold.
struct Both {
    fs: Filesystem<MemoryVolume>,
    id: InodeId,
    file: Option<File<MemoryVolume>>,
    oracle: Vec<u8>,
}

impl Both {
    fn carry_out(&mut self, op: Op) {
        let (fs, oracle) = (&self.fs, &mut self.oracle);
        let file = self.file.as_ref().unwrap();
        match op {
            Op::Write { at, len, seed } => {
                let data = bytes(len, seed);
                file.write(at, &data).unwrap();
                put(oracle, at, &data);
            }
            Op::WriteDirect {
                sector,
                sectors,
                seed,
            } => {
                let data = bytes((sectors * SECTOR) as usize, seed);
                file.write_direct(sector * SECTOR, &Bytes::from(data.clone()))
                    .unwrap();
                put(oracle, sector * SECTOR, &data);
            }
            Op::Resize(size) => {
                file.set_size(size).unwrap();
                oracle.resize(size as usize, 0);
            }
            Op::Punch { at, len } => {
                file.punch_hole(at..at + len).unwrap();
                clear(oracle, at, len);
            }
            Op::Allocate { at, len, keep_size } => {
                file.allocate(at..at + len, keep_size).unwrap();
                if !keep_size && oracle.len() < (at + len) as usize {
                    oracle.resize((at + len) as usize, 0);
                }
            }
            Op::Policy(n) => {
                let policy = [None, Some(Policy::Never), Some(Policy::Auto(ZSTD))][usize::from(n)];
                fs.set_policy(self.id, policy).unwrap();
            }
            Op::Fsync => file.fsync().unwrap(),
            Op::SyncRange { at, len, wait } => file.sync_range(at..at + len, wait).unwrap(),
            Op::Sync => fs.sync().unwrap(),
            Op::DropCaches => {
                fs.drop_caches();
            }
            Op::Reopen => {
                self.file = None;
                self.file = Some(fs.open(self.id).unwrap());
            }
            Op::Read { at, len } => {
                let mut got = vec![0xdd; len];
                let n = file.read(at, &mut got).unwrap();
                assert!(
                    got[..n] == *part(oracle, at, len as u64),
                    "read {at}, {len}"
                );
            }
            Op::ReadDirect { at, len } => {
                let got = file.read_direct(at, len).unwrap().concat();
                assert!(got == part(oracle, at, len), "read directly {at}, {len}");
            }
        }
        let file = self.file.as_ref().unwrap();
        assert_eq!(file.size(), self.oracle.len() as u64);
    }

    fn finish(mut self) {
        self.file = None;
        self.fs.sync().unwrap();
        self.fs.drop_caches();
        assert!(content(&self.fs, self.id) == self.oracle);
        let attrs = self.fs.attrs(self.id).unwrap();
        assert_eq!(attrs.size, self.oracle.len() as u64);
        self.fs.unmount().unwrap();
    }
}

/// Carries an operation out on a volume that may be full: only that may go wrong, and only here,
/// with a part of it done.
fn as_far_as_there_is_room(both: &mut Both, op: Op) {
    let file = both.file.as_ref().unwrap();
    let done = match &op {
        Op::Write { at, len, seed } => file.write(*at, &bytes(*len, *seed)),
        Op::WriteDirect {
            sector,
            sectors,
            seed,
        } => {
            let data = bytes((sectors * SECTOR) as usize, *seed);
            file.write_direct(sector * SECTOR, &Bytes::from(data))
        }
        Op::Resize(size) => file.set_size(*size),
        Op::Punch { at, len } => file.punch_hole(*at..at + len),
        Op::Allocate { at, len, keep_size } => file.allocate(*at..at + len, *keep_size),
        _ => return both.carry_out(op),
    };
    if let Err(error) = done {
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{op:?}: {error}");
        both.oracle = file.read_bytes(0, u64::MAX).unwrap().concat();
        assert_eq!(both.oracle.len() as u64, file.size());
        return;
    }
    // The same once more would take space again.
    match op {
        Op::Write { at, len, seed } => put(&mut both.oracle, at, &bytes(len, seed)),
        Op::WriteDirect {
            sector,
            sectors,
            seed,
        } => {
            let data = bytes((sectors * SECTOR) as usize, seed);
            put(&mut both.oracle, sector * SECTOR, &data);
        }
        Op::Resize(size) => both.oracle.resize(size as usize, 0),
        Op::Punch { at, len } => clear(&mut both.oracle, at, len),
        Op::Allocate { at, len, keep_size } => {
            let size = both.oracle.len().max((at + len) as usize);
            if !keep_size {
                both.oracle.resize(size, 0);
            }
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 160 } else { 1000 }))]

    #[test]
    fn a_file_is_a_vector_of_bytes(
        ops in prop::collection::vec(op(), 1..40),
        seed in any::<u64>(),
        by_itself in any::<bool>(),
    ) {
        let volume = MemoryVolume::new(u64::MAX);
        volume.faults().shuffle_writes(seed);
        let background = Background {
            expire: Duration::ZERO,
            interval: Duration::from_micros(300),
            ..Background::for_cache(8 << 20)
        };
        let fs = builder(volume)
            .observe(jitter(seed))
            .background(by_itself.then_some(background))
            .build()
            .unwrap();
        let id = new_file(&fs, "a");
        let file = Some(fs.open(id).unwrap());
        let mut both = Both { fs, id, file, oracle: Vec::new() };
        for op in ops {
            both.carry_out(op);
        }
        both.finish();
    }

    /// On a volume that is full now and then, writers are told and nothing else fails: what they were
    /// promised reaches the device, and all promises are settled in the end.
    #[test]
    fn no_space_is_told_to_the_writer_and_to_nobody_else(
        ops in prop::collection::vec(op(), 1..40),
        sectors in 20..200_u64,
        seed in any::<u64>(),
    ) {
        let fs = builder(MemoryVolume::new(sectors * SECTOR))
            .observe(jitter(seed))
            .build()
            .unwrap();
        let id = new_file(&fs, "a");
        let file = Some(fs.open(id).unwrap());
        let mut both = Both { fs, id, file, oracle: Vec::new() };
        for op in ops {
            as_far_as_there_is_room(&mut both, op);
        }
        both.finish();
    }

    /// After a power cut, a file is what it was at the last `fsync`, if nothing was done since, and
    /// otherwise each of its sectors is what it was at some time since then.
    #[test]
    fn what_was_synced_survives(
        before in prop::collection::vec(op(), 1..20),
        after in prop::collection::vec(op(), 0..6),
        seed in any::<u64>(),
    ) {
        let faults = Faults::remembering_commits().losing_unflushed(seed);
        let volume = MemoryVolume::with_faults(u64::MAX, faults);
        volume.faults().shuffle_writes(seed);
        let fs = filesystem(volume);
        let id = new_file(&fs, "a");
        let file = Some(fs.open(id).unwrap());
        let mut both = Both { fs, id, file, oracle: Vec::new() };
        for op in before {
            both.carry_out(op);
        }
        both.carry_out(Op::Fsync);
        let mut states = vec![both.oracle.clone()];
        for op in after {
            both.carry_out(op);
            states.push(both.oracle.clone());
        }
        // Nothing of it gets there.
        both.fs.volume().faults().fail_every(FaultOp::Flush, true);
        both.file = None;
        let _ = both.fs.sync();
        let fs = both.fs.clone();
        drop(both);
        let fs = filesystem(fs.into_volume().unwrap().after_power_cut());
        fs.volume().faults().fail_every(FaultOp::Flush, false);
        let got = content(&fs, id);
        if states.len() == 1 {
            prop_assert!(got == states[0]);
        }
        let known = is_of_some_time(&got, &states);
        prop_assert!(known.is_ok(), "{known:?}");
        fs.unmount().unwrap();
    }
}
