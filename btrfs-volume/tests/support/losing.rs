//! A device that forgets what was not flushed.

use std::io::{self, IoSlice};
use std::sync::Mutex;

use btrfs_volume::device::{BlockDevice, MemDevice};
use btrfs_volume::ondisk::SUPER_OFFSETS;

/// Remembers what the power would leave at some moment of what was not flushed: of each write some of
/// the 512 bytes that a device writes at once, and a superblock as a whole or not at all.
pub(crate) struct Losing {
    now: MemDevice,
    state: Mutex<Unflushed>,
}

struct Unflushed {
    durable: MemDevice,
    pending: Vec<(u64, Vec<u8>)>,
    /// Writes and flushes so far.
    done: usize,
    cut_before: usize,
    random: u64,
    cut: Option<MemDevice>,
}

impl Losing {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: MemDevice::new(0),
            state: Mutex::new(Unflushed {
                durable: MemDevice::new(0),
                pending: Vec::new(),
                done: 0,
                cut_before: usize::MAX,
                random: seed | 1,
                cut: None,
            }),
        }
    }

    /// Writes and flushes so far.
    pub(crate) fn done(&self) -> usize {
        self.state.lock().unwrap().done
    }

    /// The power fails once there are so many more.
    pub(crate) fn cut_after(&self, more: usize) {
        let mut state = self.state.lock().unwrap();
        state.cut_before = state.done + more;
    }

    /// What is left then, if it came to that.
    pub(crate) fn take_cut(&self) -> Option<MemDevice> {
        self.state.lock().unwrap().cut.take()
    }
}

impl Unflushed {
    fn lost(&mut self) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.is_multiple_of(2)
    }

    fn step(&mut self) {
        if self.done == self.cut_before {
            let after = MemDevice::from_bytes(&self.durable.to_bytes());
            for (at, bytes) in std::mem::take(&mut self.pending) {
                let superblock = SUPER_OFFSETS.contains(&at);
                let at_once = if superblock { bytes.len() } else { 512 };
                for (from, part) in (at..).step_by(at_once).zip(bytes.chunks(at_once)) {
                    if !self.lost() {
                        after
                            .write_vectored_at(from, &[IoSlice::new(part)])
                            .unwrap();
                    }
                }
                self.pending.push((at, bytes));
            }
            self.cut = Some(after);
        }
        self.done += 1;
    }
}

impl BlockDevice for Losing {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.now.read_at(offset, buf)
    }
    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let bytes = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let mut state = self.state.lock().unwrap();
        state.step();
        state.pending.push((offset, bytes));
        self.now.write_vectored_at(offset, bufs)
    }
    fn flush(&self) -> io::Result<()> {
        let state = &mut *self.state.lock().unwrap();
        state.step();
        for (at, bytes) in state.pending.drain(..) {
            state
                .durable
                .write_vectored_at(at, &[IoSlice::new(&bytes)])?;
        }
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.now.size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.state.lock().unwrap().durable.set_size(size)?;
        self.now.set_size(size)
    }
}
