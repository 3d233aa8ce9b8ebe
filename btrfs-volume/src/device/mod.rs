//! The port to what holds the bytes.

mod file;
mod in_use;
mod mem;

pub use file::{Access, FileDevice};
pub use in_use::in_use;
pub use mem::MemDevice;

use std::io::{self, IoSlice};
use std::sync::Arc;

/// Something with bytes at offsets: a file, a block device, memory.
///
/// Implementers: all methods may be called from several threads at once; ranges that overlap
/// and are written at once end up as either. What was written before a [`flush`](Self::flush)
/// that returned success must survive power loss. Errors are not retried.
pub trait BlockDevice: Send + Sync {
    /// Fills `buf` from `offset` on. Reading beyond the end is
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bufs`, one behind the other, from `offset` on. Writing beyond the end
    /// extends the device if it can grow.
    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()>;
    /// Makes all that was written durable.
    fn flush(&self) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Grows (with zeros) or cuts the device; an error where it cannot.
    fn set_size(&self, size: u64) -> io::Result<()>;
}

impl<D: BlockDevice + ?Sized> BlockDevice for Arc<D> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buf)
    }
    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        (**self).write_vectored_at(offset, bufs)
    }
    fn flush(&self) -> io::Result<()> {
        (**self).flush()
    }
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        (**self).set_size(size)
    }
}
