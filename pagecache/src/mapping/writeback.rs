//! Taking dirty pages to the device.

use std::io::ErrorKind;
use std::ops::Range;

use bytes::Bytes;

use crate::mapping::{Mapping, Waiting, push_pages};
use crate::pages::{
    FOLIO_SIZE, assert_page_aligned, covered, folio_index, folios_of, hull, in_file, mask, runs,
    to_bytes, touched, within,
};
use crate::writeback_errors::ErrorCursor;

/// The contents of claimed pages, which later writers don't change.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where in the file `bytes` begin.
    pub offset: u64,
    /// Exactly the claimed range, without a copy; zero behind the file's end.
    pub bytes: Bytes,
    /// The file's size at the moment of the claim, so that size and contents agree.
    pub file_size: u64,
}

impl Snapshot {
    /// The claimed range.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }
}

/// How writeback of some pages ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritebackEnd {
    /// The device has the bytes.
    Done,
    /// It hasn't: the pages are dirty again, unless their contents were dropped meanwhile.
    Redirty,
}

impl Mapping {
    /// The dirty pages of a range, page-aligned, ascending and joined. A dirty page that the range
    /// touches is listed whole.
    #[must_use]
    pub fn dirty_ranges(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut list = Vec::new();
        let state = self.inner.state.lock();
        if state.tally.dirty > 0 {
            for (index, folio) in state.folios.range(folios_of(&range)) {
                push_pages(
                    &mut list,
                    index,
                    folio.dirty & touched(&within(&range, index)),
                );
            }
        }
        list
    }

    /// Takes all of `range` under writeback: clears dirty, sets writeback, shares the contents.
    ///
    /// `None`, and nothing changed, unless all of it is dirty and none of it is under writeback
    /// already. End it with [`end_writeback`](Self::end_writeback).
    ///
    /// # Panics
    ///
    /// If `range` isn't page-aligned or not within one folio.
    #[must_use]
    pub fn claim(&self, range: Range<u64>) -> Option<Snapshot> {
        assert_page_aligned(&range);
        let index = folio_index(range.start);
        assert!(
            range.is_empty() || folio_index(range.end - 1) == index,
            "{range:?} is not within one folio"
        );
        let pages = covered(&within(&range, index));
        self.claim_pages(
            index,
            |dirty| if dirty & pages == pages { pages } else { 0 },
        )
    }

    /// Takes the first claimable pages of `range` under writeback: as many as lie in one folio and
    /// next to each other. `None` if there are none.
    ///
    /// # Panics
    ///
    /// If `range` isn't page-aligned.
    #[must_use]
    pub fn claim_next(&self, range: Range<u64>) -> Option<Snapshot> {
        assert_page_aligned(&range);
        let mut from = range.start;
        loop {
            let rest = from..range.end;
            let index = {
                let state = self.inner.state.lock();
                if state.tally.dirty == 0 {
                    return None;
                }
                let found = state.folios.range(folios_of(&rest)).find(|(index, folio)| {
                    folio.dirty & !folio.writeback & covered(&within(&rest, *index)) != 0
                });
                found?.0
            };
            let pages = covered(&within(&rest, index));
            let claimed = self.claim_pages(index, |claimable| {
                runs(claimable & pages).next().map_or(0, mask)
            });
            if claimed.is_some() {
                return claimed;
            }
            // Somebody else took them meanwhile.
            from = (index + 1) * FOLIO_SIZE;
        }
    }

    /// `choose` gets the pages that may be claimed and says which.
    fn claim_pages(&self, index: u64, choose: impl Fn(u32) -> u32) -> Option<Snapshot> {
        let mut state = self.inner.state.lock();
        let file_size = state.tally.size;
        let mut claimed = None;
        self.inner
            .each_folio(&mut state, index..index + 1, |_, folio| {
                let pages = choose(folio.dirty & !folio.writeback);
                claimed = folio.claim(pages).map(|bytes| (pages, bytes));
            });
        claimed.map(|(pages, bytes)| Snapshot {
            offset: in_file(index, to_bytes(hull(pages))).start,
            bytes,
            file_size,
        })
    }

    /// Ends writeback of the pages of `range` that are under it, and wakes who waits for them.
    ///
    /// Harmless for pages whose contents were dropped since they were claimed.
    ///
    /// # Panics
    ///
    /// If `range` isn't page-aligned.
    pub fn end_writeback(&self, range: Range<u64>, end: WritebackEnd) {
        assert_page_aligned(&range);
        let mut state = self.inner.state.lock();
        let mut waiting = std::mem::take(&mut state.waiting);
        self.inner
            .each_folio(&mut state, folios_of(&range), |index, folio| {
                let pages = covered(&within(&range, index));
                folio.end_writeback(pages, end == WritebackEnd::Redirty);
                for waiting in waiting.iter_mut().filter(|waiting| waiting.index == index) {
                    waiting.left &= !pages;
                }
            });
        if waiting.iter().any(|waiting| waiting.left == 0) {
            self.inner.ended.notify_all();
        }
        state.waiting = waiting;
    }

    /// Waits until each page that `range` touches was seen not to be under writeback.
    ///
    /// Pages that are claimed again behind its back don't hold it up.
    pub fn wait_writeback(&self, range: Range<u64>) {
        let mut folios = folios_of(&range);
        let mut state = self.inner.state.lock();
        while state.tally.writeback > 0 {
            let busy = state
                .folios
                .range(folios.clone())
                .map(|(index, folio)| (index, folio.writeback & touched(&within(&range, index))))
                .find(|(_, pages)| *pages != 0);
            let Some((index, left)) = busy else {
                return;
            };
            // Ascending, so that a waiter for all of a file looks at each folio but once.
            folios.start = index + 1;
            let id = state.next_id;
            state.next_id += 1;
            state.waiting.push(Waiting { id, index, left });
            loop {
                state = self.inner.ended.wait(state);
                let mut over = |waiting: &mut Waiting| waiting.id == id && waiting.left == 0;
                if state.waiting.extract_if(.., &mut over).next().is_some() {
                    break;
                }
            }
        }
    }

    /// Remembers that contents of this file could not be written, for everyone who has it open.
    pub fn record_error(&self, error: ErrorKind) {
        self.inner.state.lock().errors.record(error);
    }

    /// Where somebody begins who opens the file now. An error that nobody was told of yet is still
    /// news to it.
    #[must_use]
    pub fn error_cursor(&self) -> ErrorCursor {
        self.inner.state.lock().errors.cursor()
    }

    /// The last error that was recorded since `cursor` looked, once; as `fsync` reports it.
    pub fn check_error(&self, cursor: &mut ErrorCursor) -> Option<ErrorKind> {
        self.inner.state.lock().errors.check(cursor)
    }
}
