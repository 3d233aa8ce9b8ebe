//! Buffers: recycled memory in powers of two, owned by one or shared by many.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use bytes::Bytes;

use crate::cache::Shared;
use crate::pages::{FOLIO, PAGE};
use crate::sync::Arc;

/// Size classes: 4 KiB, 8 KiB, ... 128 KiB.
pub(crate) const CLASSES: usize = (FOLIO / PAGE).ilog2() as usize + 1;

/// The class of the smallest buffer that holds `len` bytes (at most a folio).
pub(crate) fn class_of(len: usize) -> usize {
    debug_assert!(len <= FOLIO);
    len.div_ceil(PAGE).max(1).next_power_of_two().ilog2() as usize
}

/// Bytes of a buffer of this class.
pub(crate) fn class_size(class: usize) -> usize {
    PAGE << class
}

/// A private buffer out of a cache's budget; its memory goes back there when it is dropped.
///
/// A new one holds arbitrary earlier contents of the cache: write before you show it to anyone.
/// [`Mapping::insert`](crate::Mapping::insert) makes it part of a file without a copy.
pub struct Buffer {
    /// As long as its class says.
    memory: Box<[u8]>,
    len: usize,
    cache: Arc<Shared>,
}

impl Buffer {
    pub(crate) fn new(memory: Box<[u8]>, len: usize, cache: Arc<Shared>) -> Self {
        debug_assert!(len <= memory.len());
        Self { memory, len, cache }
    }

    /// Cuts the length, for instance to what a decompressor produced; a longer `len` does nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// The contents as `Bytes`, without a copy; the memory returns to the cache with the last
    /// clone.
    #[must_use]
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }

    pub(crate) fn is_of(&self, cache: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.cache, cache)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// All of the memory, whatever the length.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.memory
    }

    pub(crate) fn whole_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.cache.recycle(std::mem::take(&mut self.memory));
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// Cached bytes that stay as they are while this is held, without a copy or an allocation: whoever
/// writes there meanwhile copies them first.
///
/// `Bytes::from` makes it shareable with code that knows nothing of this crate.
#[derive(Clone)]
pub struct Pinned {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) range: Range<usize>,
}

impl Deref for Pinned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer.whole()[self.range.clone()]
    }
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Pinned> for Bytes {
    fn from(pinned: Pinned) -> Self {
        Self::from_owner(pinned)
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(CLASSES, 6);
        assert_eq!(class_of(0), 0);
        assert_eq!(class_of(4096), 0);
        assert_eq!(class_of(4097), 1);
        assert_eq!(class_of(8193), 2);
        assert_eq!(class_of(FOLIO), 5);
        assert_eq!(class_size(5), FOLIO);
    }
}
