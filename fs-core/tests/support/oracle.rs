//! What files should hold, and delays by which it should not change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fs_core::PipelineEvent;

use super::{noise, text};

/// Content that shrinks, does not, or does by half, so that pieces next to each other are stored
/// differently.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    match seed % 3 {
        0 => noise(len, seed),
        1 => text(len),
        _ => {
            let mut bytes = noise(len / 2, seed);
            bytes.extend(text(len - len / 2));
            bytes
        }
    }
}

pub(crate) fn put(oracle: &mut Vec<u8>, at: u64, data: &[u8]) {
    let at = at as usize;
    if oracle.len() < at + data.len() {
        oracle.resize(at + data.len(), 0);
    }
    oracle[at..at + data.len()].copy_from_slice(data);
}

pub(crate) fn clear(oracle: &mut [u8], at: u64, len: u64) {
    let end = oracle.len().min((at + len) as usize);
    if (at as usize) < end {
        oracle[at as usize..end].fill(0);
    }
}

pub(crate) fn part(oracle: &[u8], at: u64, len: u64) -> &[u8] {
    let from = (at as usize).min(oracle.len());
    &oracle[from..from.saturating_add(len as usize).min(oracle.len())]
}

/// Whether each sector of `got` is what it was in one of `states`, and the size that of one.
pub(crate) fn is_of_some_time(got: &[u8], states: &[Vec<u8>]) -> Result<(), String> {
    const SECTOR: u64 = 4096;
    let sector = |bytes: &[u8], at: u64| {
        let mut sector = part(bytes, at, SECTOR).to_vec();
        sector.resize(SECTOR as usize, 0);
        sector
    };
    for at in (0..got.len() as u64).step_by(SECTOR as usize) {
        let is = sector(got, at);
        if !states.iter().any(|state| sector(state, at) == is) {
            return Err(format!("sector at {at}"));
        }
    }
    match states.iter().any(|state| state.len() == got.len()) {
        true => Ok(()),
        false => Err(format!("{} bytes", got.len())),
    }
}

/// Delays in the threads that carry pieces on, so that the order of events varies.
pub(crate) fn jitter(seed: u64) -> impl Fn(&PipelineEvent) + Send + Sync {
    let state = AtomicU64::new(seed | 1);
    move |_| {
        let n = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        match (n >> 32) % 16 {
            0 => std::thread::sleep(Duration::from_micros(n >> 40 & 0xff)),
            1..=3 => std::thread::yield_now(),
            _ => {}
        }
    }
}
