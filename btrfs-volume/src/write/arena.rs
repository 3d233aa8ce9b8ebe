//! Where the data of pending items lies.

use bytes::{Bytes, BytesMut};

/// Bytes of a block.
const BLOCK: usize = 64 << 10;

/// Copies of small data, many to one allocation. A block stays as long as any of its data.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    /// The end of the one that is being filled.
    block: BytesMut,
    /// Ends of those that are full, and through them the blocks.
    full: Vec<BytesMut>,
    /// Those of `full` before this one are not free.
    looked_at: usize,
}

impl Arena {
    /// A copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > BLOCK {
            return Bytes::copy_from_slice(bytes);
        }
        if self.block.capacity() < bytes.len() {
            self.next_block();
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    /// Blocks whose data is gone are filled again.
    pub(crate) fn reuse(&mut self) {
        self.looked_at = 0;
    }

    fn next_block(&mut self) {
        let full = std::mem::take(&mut self.block);
        while let Some(block) = self.full.get_mut(self.looked_at) {
            if block.try_reclaim(BLOCK) {
                self.block = std::mem::replace(block, full);
                self.looked_at += 1;
                return;
            }
            self.looked_at += 1;
        }
        self.full.push(full);
        self.block = BytesMut::with_capacity(BLOCK);
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
        arena.reuse();
        let later = arena.copy(&[9; 80]);
        for (n, copy) in copies {
            assert_eq!(copy, vec![n as u8; n * 7 % 90]);
        }
        assert_eq!(later, vec![9; 80]);
    }

    #[test]
    fn a_block_whose_data_is_gone_is_filled_again() {
        let mut arena = Arena::default();
        let mut blocks = Vec::new();
        for _ in 0..5 {
            // 640 fill ten blocks, the last up to its end.
            let copies: Vec<_> = (0..640).map(|_| arena.copy(&[1; BLOCK / 64])).collect();
            blocks.push(arena.full.len());
            drop(copies);
            arena.reuse();
        }
        assert_eq!(
            blocks[1..],
            [blocks[1]; 4],
            "after the first round none is made"
        );
    }
}
