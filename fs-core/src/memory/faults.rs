//! What goes wrong on request.

use crate::sync::{AtomicU64, Duration, Ordering, thread};
use crate::volume::{VolumeError, VolumeErrorKind};

/// Operations that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultOp {
    /// Reading data.
    Read,
    /// Writing data.
    Write,
    /// Allocating data space (fails with "no space").
    Allocate,
    /// Changing inodes, names or extents.
    Metadata,
    /// Committing.
    Flush,
}

const OPS: usize = 5;

/// Which operations fail, and in which order a batch of writes is carried out. Nothing goes wrong
/// by default.
#[derive(Debug, Default)]
pub struct Faults {
    seen: [AtomicU64; OPS],
    /// 0: never; n: the n-th.
    fail_at: [AtomicU64; OPS],
    /// 1: all of them.
    fail_all: [AtomicU64; OPS],
    /// How long each takes, in microseconds.
    delay_us: [AtomicU64; OPS],
    /// 0: as given.
    shuffle: AtomicU64,
    remember: bool,
    /// Of what a power cut does to writes that were not flushed; 0: they stay.
    lose: u64,
    reuse: bool,
}

impl Faults {
    /// Keeps what each commit made durable, for [`MemoryVolume::power_cut`](super::MemoryVolume::power_cut).
    #[must_use]
    pub fn remembering_commits() -> Self {
        Self {
            remember: true,
            ..Self::default()
        }
    }

    /// The device has a cache that a power cut empties: of the writes since the last commit, a subset
    /// that follows from `seed` is lost, and one is torn at a boundary of sectors.
    #[must_use]
    pub fn losing_unflushed(self, seed: u64) -> Self {
        Self {
            lose: seed | 1,
            ..self
        }
    }

    /// What was freed is allocated again, where it is as long as what is wanted: an address that
    /// somebody remembers may hold other bytes, with checksums of their own.
    #[must_use]
    pub fn reusing_space(self) -> Self {
        Self {
            reuse: true,
            ..self
        }
    }

    /// Lets the `nth` operation `op` from now on fail, once; counted from 1.
    pub fn fail_nth(&self, op: FaultOp, nth: u64) {
        let seen = self.seen[op as usize].load(Ordering::SeqCst);
        self.fail_at[op as usize].store(seen + nth, Ordering::SeqCst);
    }

    /// Lets every operation `op` fail, until it is told not to.
    pub fn fail_every(&self, op: FaultOp, fail: bool) {
        self.fail_all[op as usize].store(u64::from(fail), Ordering::SeqCst);
    }

    /// Lets every operation `op` take so long.
    pub fn delay(&self, op: FaultOp, time: Duration) {
        let us = time.as_micros().try_into().unwrap_or(u64::MAX);
        self.delay_us[op as usize].store(us, Ordering::SeqCst);
    }

    /// How many operations `op` there were.
    #[must_use]
    pub fn seen(&self, op: FaultOp) -> u64 {
        self.seen[op as usize].load(Ordering::SeqCst)
    }

    /// Carries out the writes of each batch in an order that follows from `seed`; 0: as given.
    pub fn shuffle_writes(&self, seed: u64) {
        self.shuffle.store(seed, Ordering::SeqCst);
    }

    pub(super) fn loses_unflushed(&self) -> Option<Rng> {
        (self.lose != 0).then_some(Rng(self.lose))
    }

    pub(super) fn reuses_space(&self) -> bool {
        self.reuse
    }

    pub(super) fn remembers_commits(&self) -> bool {
        self.remember
    }

    pub(super) fn check(&self, op: FaultOp) -> Result<(), VolumeError> {
        let nth = self.seen[op as usize].fetch_add(1, Ordering::SeqCst) + 1;
        let delay_us = self.delay_us[op as usize].load(Ordering::Relaxed);
        if delay_us > 0 {
            thread::sleep(Duration::from_micros(delay_us));
        }
        let all = self.fail_all[op as usize].load(Ordering::SeqCst) > 0;
        if all || self.fail_at[op as usize].load(Ordering::SeqCst) == nth {
            let kind = match op {
                FaultOp::Allocate => VolumeErrorKind::NoSpace,
                _ => VolumeErrorKind::Io,
            };
            return Err(VolumeError::new(
                kind,
                format!("injected fault: {op:?} number {nth}"),
            ));
        }
        Ok(())
    }

    pub(super) fn order(&self, len: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..len).collect();
        let seed = self.shuffle.load(Ordering::SeqCst);
        if seed != 0 {
            let mut rng = Rng(seed);
            for i in (1..len).rev() {
                order.swap(i, rng.below(i as u64 + 1) as usize);
            }
            self.shuffle.store(rng.0, Ordering::SeqCst);
        }
        order
    }
}

/// xorshift64: any spread will do.
#[derive(Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
