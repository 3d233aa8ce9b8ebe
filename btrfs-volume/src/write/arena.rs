//! Where the data of pending items lies.

use bytes::{Bytes, BytesMut};

/// Bytes of a block.
const BLOCK: usize = 64 << 10;

/// Copies of small data, many to one allocation. A block stays as long as any of its data.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    block: BytesMut,
}

impl Arena {
    /// A copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if self.block.capacity() < bytes.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(bytes.len()));
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_copied_stays_as_it_was() {
        let mut arena = Arena::default();
        let copies: Vec<_> = (0..5000_usize)
            .map(|n| (n, arena.copy(&vec![n as u8; n * 7 % 90])))
            .collect();
        let large = arena.copy(&[3; BLOCK + 1]);
        assert_eq!(large, vec![3; BLOCK + 1]);
        for (n, copy) in copies {
            assert_eq!(copy, vec![n as u8; n * 7 % 90]);
        }
    }
}
