//! A device in memory.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};

use crate::device::BlockDevice;
use crate::sync::RwLock;

/// Unit of allocation; what was never written takes no memory.
const PAGE: usize = 64 * 1024;

/// A sparse device in memory, for tests and for embedding.
#[derive(Debug, Default)]
pub struct MemDevice {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    size: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl MemDevice {
    /// A device of `size` zero bytes.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self {
            inner: RwLock::new(Inner {
                size,
                pages: BTreeMap::new(),
            }),
        }
    }

    /// A device that holds `bytes`.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let pages = bytes
            .chunks(PAGE)
            .zip(0u64..)
            .filter(|(chunk, _)| chunk.iter().any(|&b| b != 0))
            .map(|(chunk, index)| {
                let mut page = vec![0; PAGE].into_boxed_slice();
                page[..chunk.len()].copy_from_slice(chunk);
                (index, page)
            })
            .collect();
        Self {
            inner: RwLock::new(Inner {
                size: bytes.len() as u64,
                pages,
            }),
        }
    }

    /// All its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let size = self.inner.read().size;
        let mut bytes = vec![0; usize::try_from(size).expect("it is in memory already")];
        self.read_at(0, &mut bytes).expect("within the device");
        bytes
    }
}

/// Cuts `offset..offset + len` at page boundaries: (page, offset therein, length).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let mut left = len;
    std::iter::from_fn(move || {
        (left > 0).then(|| {
            let within = (at % PAGE as u64) as usize;
            let len = left.min(PAGE - within);
            let piece = (at / PAGE as u64, within, len);
            at += len as u64;
            left -= len;
            piece
        })
    })
}

impl BlockDevice for MemDevice {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let inner = self.inner.read();
        let end = offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > inner.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (page, within, len) in pieces(offset, buf.len()) {
            let dst = &mut buf[done..done + len];
            match inner.pages.get(&page) {
                Some(page) => dst.copy_from_slice(&page[within..within + len]),
                None => dst.fill(0),
            }
            done += len;
        }
        Ok(())
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[IoSlice<'_>]) -> io::Result<()> {
        let mut inner = self.inner.write();
        let mut at = offset;
        for buf in bufs {
            let end = at
                .checked_add(buf.len() as u64)
                .ok_or(io::ErrorKind::InvalidInput)?;
            let mut done = 0;
            for (page, within, len) in pieces(at, buf.len()) {
                let page = inner
                    .pages
                    .entry(page)
                    .or_insert_with(|| vec![0; PAGE].into_boxed_slice());
                page[within..within + len].copy_from_slice(&buf[done..done + len]);
                done += len;
            }
            at = end;
            inner.size = inner.size.max(at);
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.inner.read().size)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut inner = self.inner.write();
        if size < inner.size {
            inner.pages.split_off(&size.div_ceil(PAGE as u64));
            if let Some(last) = inner.pages.get_mut(&(size / PAGE as u64)) {
                last[(size % PAGE as u64) as usize..].fill(0);
            }
        }
        inner.size = size;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_off_is_zero_after_growing_again() {
        let device = MemDevice::new(0);
        let data = vec![7; 200_000];
        device
            .write_vectored_at(10, &[IoSlice::new(&data[..5]), IoSlice::new(&data[5..])])
            .unwrap();
        assert_eq!(device.size().unwrap(), 200_010);
        device.set_size(100_000).unwrap();
        device.set_size(150_000).unwrap();
        let bytes = device.to_bytes();
        assert!(bytes[..10].iter().all(|&b| b == 0));
        assert!(bytes[10..100_000].iter().all(|&b| b == 7));
        assert!(bytes[100_000..].iter().all(|&b| b == 0));
        let mut past = [0; 2];
        assert!(device.read_at(149_999, &mut past).is_err());
        assert!(device.read_at(u64::MAX, &mut past).is_err());
        assert_eq!(MemDevice::from_bytes(&bytes).to_bytes(), bytes);
    }
}
