//! Reading: from the cache, and from the volume into the cache.

use std::ops::Range;

use bytes::Bytes;
use pagecache::{FOLIO_SIZE, MissingPages, PAGE_SIZE};
use readpath::{ExtentKind, ExtentMap};

use crate::error::{Error, ErrorKind};
use crate::file::File;
use crate::volume::{Locator, Volume, VolumeError, VolumeErrorKind};

/// The longest that a compressed extent is once decompressed.
const MAX_UNCOMPRESSED: u64 = 128 << 10;

impl<V: Volume> File<V> {
    /// Reads into `dst` and returns how many bytes there were: fewer than asked for at the end of
    /// the file only.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] if any of the bytes cannot be had.
    pub fn read(&self, offset: u64, dst: &mut [u8]) -> Result<usize, Error> {
        let end = self.size().min(offset.saturating_add(dst.len() as u64));
        let mut at = offset;
        while at < end {
            let into = &mut dst[(at - offset) as usize..(end - offset) as usize];
            let got = self.inode.mapping.read(at, into) as u64;
            at += got;
            if at < end && got == 0 {
                // Read around what is missing, a folio at a time.
                let page = at / PAGE_SIZE * PAGE_SIZE;
                let folio_end = (at / FOLIO_SIZE + 1) * FOLIO_SIZE;
                let until = folio_end.min(end.next_multiple_of(PAGE_SIZE));
                self.load(page..until)?;
                let got = self.inode.mapping.read(at, into) as u64;
                if got == 0 {
                    // Taken by reclaim at once, or changed meanwhile: look again.
                    continue;
                }
                at += got;
            }
        }
        Ok(at.saturating_sub(offset) as usize)
    }

    /// The bytes of a range, without a copy where they are cached; shorter at the end of the file.
    ///
    /// # Errors
    ///
    /// As [`File::read`].
    pub fn read_bytes(&self, offset: u64, len: u64) -> Result<Vec<Bytes>, Error> {
        let end = self.size().min(offset.saturating_add(len));
        let mut list = Vec::new();
        let mut at = offset;
        while at < end {
            let until = end.min((at / FOLIO_SIZE + 1) * FOLIO_SIZE);
            match self.inode.mapping.read_bytes(at..until) {
                Some(bytes) => {
                    at += bytes.len() as u64;
                    list.push(bytes);
                }
                None => self.load(at / PAGE_SIZE * PAGE_SIZE..until.next_multiple_of(PAGE_SIZE))?,
            }
        }
        Ok(list)
    }

    /// The next range at or behind `offset` that holds data and no hole; `None` if there is none
    /// before the end of the file. What is dirty is written back first.
    ///
    /// # Errors
    ///
    /// Those of writeback and of the volume.
    pub fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, Error> {
        let size = self.size();
        let mut from = offset;
        let mut found: Option<Range<u64>> = None;
        self.shared.wait_range(
            &self.inode,
            0..size.next_multiple_of(PAGE_SIZE),
            delalloc::Until::Written,
        )?;
        while from < size {
            let start = from / PAGE_SIZE * PAGE_SIZE;
            let window = start..size.next_multiple_of(PAGE_SIZE).min(start + (64 << 20));
            for map in self.maps(window.clone())? {
                let end = map.start.saturating_add(map.len);
                match (&map.kind, &mut found) {
                    (ExtentKind::Hole | ExtentKind::Prealloc, Some(range)) => {
                        range.end = range.end.min(size);
                        return Ok(found);
                    }
                    (ExtentKind::Hole | ExtentKind::Prealloc, None) => {}
                    (_, Some(range)) => range.end = end,
                    (_, None) => found = Some(map.start.max(offset)..end),
                }
            }
            from = window.end;
        }
        Ok(found.map(|range| range.start..range.end.min(size)))
    }

    pub(crate) fn fill(&self, missing: &MissingPages) -> Result<(), Error> {
        for range in &missing.ranges {
            self.load(range.clone())?;
        }
        Ok(())
    }

    pub(crate) fn read_exact(&self, offset: u64, dst: &mut [u8]) -> Result<(), Error> {
        let got = self.read(offset, dst)?;
        dst[got..].fill(0);
        Ok(())
    }

    fn maps(&self, range: Range<u64>) -> Result<Vec<ExtentMap<V::Locator>>, Error> {
        let maps = self.shared.volume.extent_maps(self.inode.id, range);
        maps.map_err(Error::volume("looking extents up"))
    }

    /// Puts the pages of `range` that are not cached into the cache, with all else that is
    /// decompressed on the way. Page-aligned.
    fn load(&self, range: Range<u64>) -> Result<(), Error> {
        let epoch = self.inode.mapping.epoch();
        for map in self.maps(range.clone())? {
            let wanted = map.start.max(range.start)..(map.start + map.len).min(range.end);
            let (start, bytes) = self.load_map(&map, wanted.clone()).map_err(|source| {
                let kind = ErrorKind::from(source.kind());
                Error::Read {
                    id: self.inode.id,
                    range: wanted,
                    source: Box::new(source),
                    kind,
                }
            })?;
            // Stale: somebody wrote meanwhile, and the caller looks again.
            let _ = self.inode.mapping.fill_as_of(epoch, start, &bytes);
        }
        Ok(())
    }

    /// The bytes of one extent map: at least `wanted`, which lies in it; from where, and which.
    fn load_map(
        &self,
        map: &ExtentMap<V::Locator>,
        wanted: Range<u64>,
    ) -> Result<(u64, Vec<u8>), VolumeError> {
        let len = (wanted.end - wanted.start) as usize;
        match &map.kind {
            ExtentKind::Hole | ExtentKind::Prealloc => Ok((wanted.start, vec![0; len])),
            ExtentKind::Inline {
                data,
                codec,
                ram_bytes,
            } => {
                let ram = bounded(*ram_bytes, "an inline extent")?;
                let mut out = match codec {
                    Some(codec) => self.decompress(*codec, data, ram)?,
                    None => data.to_vec(),
                };
                out.resize(bounded(map.len, "an inline extent")?, 0);
                Ok((map.start, out))
            }
            ExtentKind::Raw { disk, offset, .. } => {
                let skip = wanted.start - map.start;
                let at = disk.plus(offset + skip);
                let bytes = self.read_verified(at, len)?;
                Ok((wanted.start, bytes.to_vec()))
            }
            ExtentKind::Compressed {
                disk,
                disk_num_bytes,
                ram_bytes,
                offset,
                codec,
            } => {
                let packed =
                    self.read_verified(*disk, bounded(*disk_num_bytes, "a compressed extent")?)?;
                let ram = bounded(*ram_bytes, "a compressed extent")?;
                let out = self.decompress(*codec, &packed, ram)?;
                let from = usize::try_from(*offset)
                    .unwrap_or(usize::MAX)
                    .min(out.len());
                let mut part = out[from..].to_vec();
                // Every page that the map covers, and none that it doesn't.
                part.resize(bounded(map.len, "a compressed extent")?, 0);
                Ok((map.start, part))
            }
        }
    }

    fn decompress(
        &self,
        codec: compress::CodecId,
        packed: &[u8],
        ram: usize,
    ) -> Result<Vec<u8>, VolumeError> {
        let mut out = vec![0; ram];
        let result = self
            .shared
            .workspaces
            .decompressor(codec)
            .and_then(|mut decompressor| decompressor.decompress(packed, &mut out));
        let made = result.map_err(|error| VolumeError::new(VolumeErrorKind::Corrupt, error))?;
        out[made..].fill(0);
        Ok(out)
    }

    /// Reads and verifies; tries every mirror before it gives up.
    fn read_verified(&self, at: V::Locator, len: usize) -> Result<Bytes, VolumeError> {
        let volume = &self.shared.volume;
        let mut last = None;
        for mirror in 0..volume.mirrors(at) {
            let tried = volume.read(at, len, mirror).and_then(|bytes| {
                let bad = volume.verify(at, &bytes)?;
                match bad.first() {
                    None => Ok(bytes),
                    Some(sector) => Err(VolumeError::new(
                        VolumeErrorKind::Corrupt,
                        format!("sector {sector} of {at:?}, mirror {mirror}: wrong checksum"),
                    )),
                }
            });
            match tried {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    tracing::warn!(?at, mirror, %error, "a mirror cannot be used");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            VolumeError::new(VolumeErrorKind::Corrupt, format!("{at:?} has no mirror"))
        }))
    }
}

fn bounded(len: u64, what: &str) -> Result<usize, VolumeError> {
    if len <= MAX_UNCOMPRESSED {
        return Ok(len as usize);
    }
    Err(VolumeError::new(
        VolumeErrorKind::Corrupt,
        format!("{what} is said to have {len} bytes, more than {MAX_UNCOMPRESSED}"),
    ))
}
