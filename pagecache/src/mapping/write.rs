//! Writing into the cache.

use std::io;
use std::ops::Range;

use crate::buffer::Buffer;
use crate::error::{Error, MissingPages};
use crate::folio::{Folio, Refused};
use crate::mapping::{Inner, Mapping, State, Tally, push_pages};
use crate::pages::{PAGE, PAGE_SIZE, below, folio_index, folio_start, folios_of, page_up, within};
use crate::stats::count;
use crate::sync::Arc;

/// How much of a buffer the source filled, and why not more.
enum Taken {
    All,
    Ended,
    Failed(io::Error),
}

impl Mapping {
    /// Copies `data` to `offset`; its pages become uptodate and dirty, the file grows as needed.
    ///
    /// Never waits for writeback: contents that are being written are copied once and the copy is
    /// changed. Writes of one folio are atomic, longer ones aren't; the caller orders writers.
    ///
    /// # Errors
    ///
    /// [`MissingPages`] if the write covers a page in part whose other bytes exist (lie below the
    /// file's size) and aren't cached. Fill them and try again; what was filled stays until then.
    ///
    /// # Panics
    ///
    /// If the write ends behind 2^63 - 1.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<(), MissingPages> {
        let end = end_of(offset, data.len() as u64);
        self.inner.check_writable(&(offset..end))?;
        self.inner.write_all(offset, data)
    }

    /// Lets `source` put up to `len` bytes straight into the cache, from `offset` on.
    ///
    /// It gets windows of at most one folio with arbitrary contents and says how many bytes it put
    /// there, from the window's beginning; 0 means that it has no more. Only what it put becomes
    /// the file's. No lock is held while it runs. Returns how many bytes were written.
    ///
    /// `len` should be what the source is expected to have: it decides how large buffers are. An
    /// error of kind `Interrupted` is tried again.
    ///
    /// # Errors
    ///
    /// [`Error::MissingPages`] as [`write`](Self::write), found before anything is taken from the
    /// source for them; [`Error::MissingTail`] if the source ends inside a page that must be filled first;
    /// [`Error::Source`] if it fails. What was written before stays; what a source that fails had
    /// put into a page that must be filled first is lost.
    ///
    /// # Panics
    ///
    /// If `source` says that it put more than the window holds.
    pub fn write_with(
        &self,
        offset: u64,
        len: u64,
        mut source: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<u64, Error> {
        let end = end_of(offset, len);
        let keeps_old = self.inner.check_writable(&(offset..end))?;
        let mut at = offset;
        while at < end {
            let window_end = end.min(folio_start(folio_index(at) + 1));
            let old = match keeps_old {
                true => self.inner.hold_old(&(at..window_end)),
                false => Ok(None),
            };
            let old = old.map_err(|missing| Error::from(missing).after(at - offset))?;
            let window = (window_end - at) as usize;
            let gap = (at % PAGE_SIZE) as usize;
            let mut buffer = self.inner.cache.buffer(gap + window);
            let (got, taken) = take(&mut buffer[gap..], &mut source);
            if got > 0 {
                match (self.inner.place(at, gap, got, buffer, old), &taken) {
                    (Ok(()), _) => at += got as u64,
                    // That the source failed is what must be told.
                    (Err(Error::MissingTail { written, .. }), Taken::Failed(_)) => at += written,
                    (Err(error), _) => return Err(error.after(at - offset)),
                }
            }
            match taken {
                Taken::All => {}
                Taken::Ended => {
                    self.inner.give_up(at..end);
                    break;
                }
                Taken::Failed(source) => {
                    self.inner.give_up(at..end);
                    return Err(Error::Source {
                        written: at - offset,
                        source,
                    });
                }
            }
        }
        Ok(at - offset)
    }

    /// Says that who was told of [`MissingPages`] does not come back to write in `range`, for want of
    /// these or of anything else, so that reclaim may have what was filled for it.
    pub fn give_up_write(&self, range: Range<u64>) {
        self.inner.give_up(range);
    }
}

impl Error {
    /// The same error of a longer call, which had written `bytes` before.
    fn after(mut self, bytes: u64) -> Self {
        match &mut self {
            Self::MissingTail {
                written, missing, ..
            } => {
                *written += bytes;
                missing.written += bytes;
            }
            Self::MissingPages(missing) => missing.written += bytes,
            Self::Source { written, .. } => *written += bytes,
        }
        self
    }
}

/// Calls `source` until `window` is full or the source has no more.
fn take(
    window: &mut [u8],
    source: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> (usize, Taken) {
    let mut got = 0;
    while got < window.len() {
        let rest = &mut window[got..];
        match source(rest) {
            Ok(0) => return (got, Taken::Ended),
            Ok(put) => {
                assert!(
                    put <= rest.len(),
                    "the source says that it put {put} bytes into {}",
                    rest.len()
                );
                got += put;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (got, Taken::Failed(error)),
        }
    }
    (got, Taken::All)
}

impl Inner {
    /// Looks for pages that a write of `range` would have to have cached. `false` if it keeps no
    /// part of any.
    fn check_writable(&self, range: &Range<u64>) -> Result<bool, MissingPages> {
        if is_aligned(range) {
            return Ok(false);
        }
        let mut state = self.state.lock();
        if range.is_empty() || range.start >= page_up(state.tally.size) {
            return Ok(false);
        }
        let mut ranges = Vec::new();
        let first = folio_index(range.start);
        let last = folio_index(range.end - 1);
        state.missing_in(first, range, &mut ranges);
        if last != first {
            state.missing_in(last, range, &mut ranges);
        }
        if ranges.is_empty() {
            Ok(true)
        } else {
            Err(MissingPages { written: 0, ranges })
        }
    }

    /// Keeps reclaim away from the pages of a folio of which a write of `range`, within it, keeps a
    /// part, while the source runs.
    fn hold_old(&self, range: &Range<u64>) -> Result<Option<Arc<Buffer>>, MissingPages> {
        if is_aligned(range) {
            return Ok(None);
        }
        let index = folio_index(range.start);
        let mut state = self.state.lock();
        let mut ranges = Vec::new();
        state.missing_in(index, range, &mut ranges);
        if ranges.is_empty() {
            Ok(state.folios.get(index).and_then(Folio::keep))
        } else {
            Err(MissingPages { written: 0, ranges })
        }
    }

    /// The end of what was announced isn't coming: reclaim may have what was filled for it.
    fn give_up(&self, range: Range<u64>) {
        let mut state = self.state.lock();
        state.tally.wanted.remove(&folios_of(&range));
    }

    fn write_all(self: &Arc<Self>, offset: u64, data: &[u8]) -> Result<(), MissingPages> {
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let window = (folio_start(folio_index(at) + 1) - at).min((data.len() - done) as u64);
            self.write_folio(at, &data[done..][..window as usize], None)
                .map_err(|ranges| MissingPages {
                    written: done as u64,
                    ranges,
                })?;
            done += window as usize;
        }
        Ok(())
    }

    /// Writes within one folio, of which `held` kept reclaim away until now.
    fn write_folio(
        self: &Arc<Self>,
        at: u64,
        data: &[u8],
        mut held: Option<Arc<Buffer>>,
    ) -> Result<(), Vec<Range<u64>>> {
        if data.is_empty() {
            return Ok(());
        }
        let index = folio_index(at);
        let end = at + data.len() as u64;
        let bytes = within(&(at..end), index);
        self.with_folio(index, |folio, tally, spare| {
            // Only now, and before it would have to be copied.
            drop(held.take());
            let limit = below(tally.size, index);
            let written = folio.write(bytes.clone(), data, limit, spare)?;
            tally.written(index, end);
            count(
                &self.cache.shared.counters.cow_copies,
                u64::from(written.copied),
            );
            Ok(())
        })
        .map_err(|pages| missing_ranges(index, pages))
    }

    /// Makes `got` bytes of `buffer`, behind its first `gap`, the file's contents at `at`. `old`
    /// keeps what remains of the folio's pages.
    fn place(
        self: &Arc<Self>,
        at: u64,
        gap: usize,
        got: usize,
        buffer: Buffer,
        old: Option<Arc<Buffer>>,
    ) -> Result<(), Error> {
        let index = folio_index(at);
        let end = at + got as u64;
        let bytes = within(&(at..end), index);
        let mut offered = Some(buffer);
        let adopted = self.with_folio(index, |folio, tally, _| {
            let missing = folio.missing_for(&bytes, below(tally.size, index));
            if missing != 0 {
                return Err(Refused::Missing(missing));
            }
            offered = match offered.take() {
                Some(buffer) => folio
                    .adopt(&bytes, (bytes.start / PAGE) as u32, buffer)
                    .err(),
                None => None,
            };
            if offered.is_none() {
                tally.written(index, end);
            }
            Ok(())
        });
        let Some(buffer) = offered else {
            return Ok(());
        };
        let mut written = 0;
        let refused = match adopted {
            Ok(()) => self.write_folio(at, &buffer[gap..gap + got], old).err(),
            Err(pages) => {
                // The whole pages before the one that the source ended in.
                let whole = (end / PAGE_SIZE * PAGE_SIZE).saturating_sub(at) as usize;
                let whole = whole.min(got);
                match self.write_folio(at, &buffer[gap..gap + whole], old) {
                    Ok(()) => {
                        written = whole;
                        Some(missing_ranges(index, pages))
                    }
                    Err(ranges) => Some(ranges),
                }
            }
        };
        let Some(ranges) = refused else {
            return Ok(());
        };
        Err(Error::MissingTail {
            written: written as u64,
            offset: at + written as u64,
            bytes: buffer.freeze().slice(gap + written..gap + got),
            missing: MissingPages {
                written: written as u64,
                ranges,
            },
        })
    }
}

impl Tally {
    /// A write to folio `index` went in and ends at `end`.
    fn written(&mut self, index: u64, end: u64) {
        self.size = self.size.max(end);
        self.wanted.remove(&(index..index + 1));
    }
}

impl State {
    fn missing_in(&mut self, index: u64, range: &Range<u64>, ranges: &mut Vec<Range<u64>>) {
        let empty = Folio::default();
        let folio = self.folios.get(index).unwrap_or(&empty);
        let pages = folio.missing_for(&within(range, index), below(self.tally.size, index));
        if pages != 0 {
            push_pages(ranges, index, pages);
            self.tally.wanted.add(index);
        }
    }
}

/// Whether both ends are between pages, so that a write keeps a part of none.
fn is_aligned(range: &Range<u64>) -> bool {
    range.start.is_multiple_of(PAGE_SIZE) && range.end.is_multiple_of(PAGE_SIZE)
}

fn missing_ranges(index: u64, pages: u32) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    push_pages(&mut ranges, index, pages);
    ranges
}

/// The end of a range; what lies behind the largest file is the caller's mistake.
#[track_caller]
fn end_of(offset: u64, len: u64) -> u64 {
    offset
        .checked_add(len)
        .filter(|&end| end <= i64::MAX as u64)
        .expect("the range ends within the largest file, 2^63 - 1 bytes")
}
