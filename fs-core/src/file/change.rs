//! Size, holes and preallocated space.

use std::ops::Range;

use delalloc::{Reservation, Until};
use pagecache::{FOLIO_SIZE, PAGE_SIZE};
use readpath::ExtentKind;

use super::{File, MAX_SIZE};
use crate::error::Error;
use crate::sync::Ordering;
use crate::volume::{Volume, VolumeError, VolumeErrorKind};

/// Bytes that one preallocated extent has at most, and where in a file they are cut: as long as a
/// piece of what will be written there, so that each gives all of its space back for that. Of a
/// longer one nothing would come back before all of it was overwritten.
const MAX_PREALLOC: u64 = FOLIO_SIZE;

/// Bytes of a file whose maps are looked up at a time.
const MAPS_AT_ONCE: u64 = 64 << 20;

/// What promises space, and the preallocated space that was given up for that.
pub(super) type GivingUp<R> = (R, Vec<Range<u64>>);

impl<V: Volume> File<V> {
    /// Sets the size: a larger one adds a hole, a smaller one drops what lies behind it, and the same
    /// one what was preallocated there. What is dirty behind the new end is not written first.
    ///
    /// # Errors
    ///
    /// Those of reading the last page, and of the volume.
    pub fn set_size(&self, size: u64) -> Result<(), Error> {
        self.writable()?;
        let size = self.end_of(size, 0)?;
        let ino = self.inode.id.ino;
        let _span = tracing::debug_span!("set_size", ino, size).entered();
        self.shared.will_change(200);
        let _guard = self.lock(0..u64::MAX);
        let old = self.size();
        if size > old {
            self.drop_lost_tail(size)?;
            let _out = self.settle_head(size);
            // Also within the last page: nobody writes what the file grows by.
            self.pin_tail(u64::MAX)?;
            self.inode.mapping.truncate(size);
            self.inode.grew_to(size);
            self.inode.touch();
            return Ok(());
        }
        let dropped = size.next_multiple_of(PAGE_SIZE)..MAX_SIZE;
        if size == old {
            // There may be preallocated space behind the end, of which that is the way to be rid.
            let maps = self.maps(dropped.clone())?;
            if maps.iter().all(|map| map.kind == ExtentKind::Hole) {
                return Ok(());
            }
        }
        // Nothing that is on its way may enter the trees behind the new end.
        let unwanted = self.hold_back(dropped.clone(), dropped.clone());
        let cut = || self.shared.cut(&self.inode, size, dropped.clone());
        self.shared.with_room(cut)?;
        unwanted.was_dropped();
        Ok(())
    }

    /// Makes a range read as zeroes and gives its space back, where whole pages of it have any. The
    /// size stays. What is dirty there is not written first.
    ///
    /// # Errors
    ///
    /// Those of reading the pages at its ends, and of the volume.
    pub fn punch_hole(&self, range: Range<u64>) -> Result<(), Error> {
        let ino = self.inode.id.ino;
        let _span = tracing::debug_span!("punch_hole", ino, ?range).entered();
        self.writable()?;
        // Behind that no file has anything.
        let range = range.start..range.end.min(MAX_SIZE);
        if range.is_empty() {
            return Ok(());
        }
        self.shared.will_change(400);
        let pages = Self::pages(&range);
        let _guard = self.lock(pages.clone());
        let size = self.size();
        // The last page is whole as soon as all of it that the file has is meant. Behind it there
        // may be preallocated space.
        let end = range.end / PAGE_SIZE * PAGE_SIZE;
        let end = if range.end >= size {
            end.max(size.next_multiple_of(PAGE_SIZE))
        } else {
            end
        };
        let whole = range.start.next_multiple_of(PAGE_SIZE)..end;
        let unwanted = self.hold_back(whole.clone(), pages);
        if whole.start < whole.end {
            self.shared.with_room(|| {
                // Or else preallocated space of the window, given up for a write meanwhile, comes back here.
                let _books = self.shared.books.read();
                // What is dropped may be another file's before it has left the cache.
                let _held_off = self.inode.mapping.hold_off(whole.clone());
                let dropped = self
                    .shared
                    .volume
                    .drop_extents(self.inode.id, whole.clone());
                dropped.map_err(Error::volume("punching a hole"))?;
                self.inode.mapping.discard(whole.clone());
                self.inode.touch();
                Ok(())
            })?;
        }
        unwanted.was_dropped();
        let range = range.start.min(size)..range.end.min(size);
        let before = range.start..range.end.min(whole.start);
        let behind = range.start.max(whole.end)..range.end;
        for part in [before, behind] {
            // Both ends may be in one page.
            if part.start < part.end {
                let pages = Self::pages(&part);
                match self.is_hole(pages.clone())? {
                    // What was lost on its way may still be in the cache.
                    true => _ = self.inode.mapping.invalidate(pages),
                    false => self.put(part.start, &vec![0; (part.end - part.start) as usize])?,
                }
            }
            if whole.start > whole.end {
                break;
            }
        }
        Ok(())
    }

    /// Takes space for what of a range has none, so that writing there later cannot fail for want of
    /// it. What is written there is compressed like everything else. The file grows to the end of
    /// the range unless `keep_size`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`], with what was taken before kept, and those of the volume.
    pub fn allocate(&self, range: Range<u64>, keep_size: bool) -> Result<(), Error> {
        let ino = self.inode.id.ino;
        let _span = tracing::debug_span!("allocate", ino, ?range).entered();
        self.writable()?;
        let range = range.start..self.end_of(range.end, 0)?;
        if range.is_empty() {
            return Err(Error::WrongType {
                id: self.inode.id,
                what: "there is nothing to allocate in an empty range",
            });
        }
        let _guard = self.lock(0..u64::MAX);
        self.drop_lost_tail(range.end)?;
        self.leave_the_tree()?;
        let pages = Self::pages(&range);
        self.shared
            .wait_range(&self.inode, pages.clone(), Until::Clean);
        // What can't be had is not to be had in part; and what the file has elsewhere is not for this.
        let holes = self.hole_bytes(pages.clone())?;
        let had = self.reserve_free(0..holes)?;
        drop(had.ok_or_else(|| self.no_space(holes))?);
        let mut at = pages.start;
        while at < pages.end {
            let window = at..pages.end.min(at + MAPS_AT_ONCE);
            let maps = self.maps(window.clone())?;
            for map in maps {
                let end = map.start.saturating_add(map.len).min(pages.end);
                if map.kind == ExtentKind::Hole {
                    self.preallocate(map.start.max(at)..end)?;
                }
                at = at.max(end);
            }
            if at < window.end {
                let why = format!("no extent map covers {at}, which was asked for");
                let why = VolumeError::new(VolumeErrorKind::Corrupt, why);
                return Err(Error::volume("looking extents up")(why));
            }
        }
        if !keep_size && range.end > self.size() {
            self.pin_tail(u64::MAX)?;
            self.inode.mapping.extend(range.end);
            self.inode.grew_to(range.end);
        }
        self.inode.touch();
        Ok(())
    }

    fn hole_bytes(&self, pages: Range<u64>) -> Result<u64, Error> {
        let mut at = pages.start;
        let mut bytes = 0;
        // Longer and longer: a hole may be as long as a file can be.
        let mut look = MAPS_AT_ONCE;
        while at < pages.end {
            let window = at..pages.end.min(at.saturating_add(look));
            look = look.saturating_mul(2);
            for map in self.maps(window.clone())? {
                if map.kind == ExtentKind::Hole {
                    let end = map.start.saturating_add(map.len).min(window.end);
                    bytes += end - map.start.max(window.start);
                }
            }
            at = window.end;
        }
        Ok(bytes)
    }

    /// Makes extents of content that is in the tree, or on its way there, before others are put beside
    /// it. The caller keeps writers away from the first page unless that was done before.
    pub(super) fn leave_the_tree(&self) -> Result<(), Error> {
        // That it is not planned says nothing of what there is: it may be longer than the file.
        if self.inode.left_tree.load(Ordering::Acquire) {
            return Ok(());
        }
        let head = 0..PAGE_SIZE;
        // From now on it is not planned any more; what was planned before ends here.
        let before = self.inode.no_inline.swap(true, Ordering::AcqRel);
        self.shared
            .wait_range(&self.inode, head.clone(), Until::Clean);
        let left = (|| {
            if self.shared.is_in_tree(self.inode.id)? {
                let mut bytes = vec![0; self.size().min(PAGE_SIZE) as usize];
                self.read_exact(0, &mut bytes)?;
                self.put(0, &bytes)?;
                self.shared.wait_range(&self.inode, head, Until::Clean);
            }
            self.shared.is_in_tree(self.inode.id)
        })();
        if let Ok(false) = left {
            self.inode.left_tree.store(true, Ordering::Release);
            return Ok(());
        }
        self.inode.no_inline.store(before, Ordering::Release);
        left?;
        self.told()?;
        Err(Error::WrongType {
            id: self.inode.id,
            what: "its content could not be moved out of the tree",
        })
    }

    /// Takes space for a hole, in smaller parts where there is no room for it in one place.
    fn preallocate(&self, hole: Range<u64>) -> Result<(), Error> {
        let shared = &self.shared;
        let mut at = hole.start;
        let mut most = MAX_PREALLOC;
        while at < hole.end {
            let part = at..hole
                .end
                .min((at / MAX_PREALLOC + 1) * MAX_PREALLOC)
                .min(at + most);
            let len = part.end - part.start;
            let reservation = self.reserve(part.clone())?;
            let _books = shared.books.read();
            let place = match shared.volume.allocate(len) {
                Ok(place) => place,
                Err(_) if len > PAGE_SIZE => {
                    most = (len / 2).next_multiple_of(PAGE_SIZE);
                    continue;
                }
                Err(error) => return Err(Error::volume("preallocating")(error)),
            };
            let allocated = reservation.allocate(len);
            let kept = shared
                .volume
                .preallocate(self.inode.id, part.clone(), place);
            if let Err(error) = kept {
                shared.volume.release(place, len);
                return Err(Error::volume("preallocating")(error));
            }
            shared.made_extents(&part);
            shared.will_change(200);
            allocated.commit();
            // Who looked the hole up before may still fill zeroes, which are right.
            at = part.end;
        }
        Ok(())
    }

    /// Reserves for a range out of the preallocated space that it touches, which is given up for
    /// that; what of it lies elsewhere is kept. With what it promised comes what of the range was given
    /// up. `None` if there is none, or not enough.
    pub(super) fn reserve_preallocated<R>(
        &self,
        range: Range<u64>,
        reserve: impl FnOnce() -> Option<R>,
    ) -> Result<Option<GivingUp<R>>, Error> {
        let (id, shared) = (self.inode.id, &self.shared);
        // Alone, from the first look on: what others record in the same window is not to be given up,
        // and what is given up is not to be had by anybody else.
        let _alone = shared.books.write();
        // Extents end with windows, so these hold all of those that the range touches.
        let whole =
            range.start / MAX_PREALLOC * MAX_PREALLOC..range.end.next_multiple_of(MAX_PREALLOC);
        let maps = self.maps(whole.clone())?;
        let kept: Vec<Range<u64>> = maps
            .iter()
            .filter(|map| map.kind == ExtentKind::Prealloc)
            .map(|map| map.start.max(whole.start)..(map.start + map.len).min(whole.end))
            .collect();
        if !kept
            .iter()
            .any(|part| part.start < range.end && range.start < part.end)
        {
            return Ok(None);
        }
        let rest: Vec<Range<u64>> = kept
            .iter()
            .flat_map(|part| {
                [
                    part.start..part.end.min(range.start),
                    part.start.max(range.end)..part.end,
                ]
            })
            .filter(|rest| rest.start < rest.end)
            .collect();
        // What could not be dropped is still there, and is not to be put there again.
        let mut given_up = 0;
        let freed = kept.iter().cloned().try_for_each(|part| {
            let dropped = shared.volume.drop_extents(id, part);
            dropped.map_err(Error::volume("using preallocated space"))?;
            given_up += 1;
            Ok(())
        });
        let freed = freed.and_then(|()| shared.commit());
        shared.count_anew(0);
        let promise = |parts: &[Range<u64>]| {
            let bytes = parts.iter().map(|part| part.end - part.start).sum();
            shared.ledger.reserve(bytes, 0).ok()
        };
        // The rest keeps its promise, or nothing is given up.
        let both = match &freed {
            Ok(()) => promise(&rest).and_then(|promised| Some((promised, reserve()?))),
            Err(_) => None,
        };
        let reserved = match both {
            Some((promised, reserved)) => {
                shared.preallocate_again(id, &rest, promised);
                let within = kept
                    .iter()
                    .map(|part| part.start.max(range.start)..part.end.min(range.end))
                    .filter(|part| part.start < part.end);
                Some((reserved, within.collect()))
            }
            None => {
                let given_up = &kept[..given_up];
                if let Some(promised) = promise(given_up) {
                    shared.preallocate_again(id, given_up, promised);
                }
                None
            }
        };
        freed.map(|()| reserved)
    }

    /// Preallocates once more what was given up for a write and lies at or behind `unused`, which the write
    /// did not need, out of what was promised to it. The caller keeps writers away from it.
    pub(super) fn keep_again(
        &self,
        given_up: &[Range<u64>],
        unused: u64,
        promised: &mut Reservation,
    ) {
        let (id, shared) = (self.inode.id, &self.shared);
        for part in given_up {
            let part = part.start.max(unused)..part.end;
            if part.is_empty() {
                continue;
            }
            // What was on its way there may have been recorded meanwhile.
            let _alone = shared.books.write();
            let Ok(maps) = self.maps(part.clone()) else {
                continue;
            };
            for map in maps.iter().filter(|map| map.kind == ExtentKind::Hole) {
                let end = map.start.saturating_add(map.len).min(part.end);
                let hole = map.start.max(part.start)..end;
                if !hole.is_empty() {
                    let promised = promised.split(hole.end - hole.start, 0);
                    shared.preallocate_again(id, std::slice::from_ref(&hole), promised);
                }
            }
        }
    }

    /// Whether a page has neither data on the volume nor anything in memory that is to be written. The
    /// caller keeps writers away from it.
    ///
    /// What is on its way elsewhere in the file says nothing, or the answer would depend on when that
    /// ends.
    pub(super) fn is_hole(&self, page: Range<u64>) -> Result<bool, Error> {
        if self.inode.unstored_bytes(page.clone()) > 0 {
            return Ok(false);
        }
        let maps = self.maps(page)?;
        let hole = |kind: &ExtentKind<_>| matches!(kind, ExtentKind::Hole | ExtentKind::Prealloc);
        Ok(maps.iter().all(|map| hole(&map.kind)))
    }

    /// The first byte at or behind `offset` that is data and no hole; `None` if there is none before
    /// the end of the file. What is dirty is written back first.
    ///
    /// # Errors
    ///
    /// As [`File::next_data`].
    pub fn seek_data(&self, offset: u64) -> Result<Option<u64>, Error> {
        Ok(self.next_data(offset)?.map(|data| data.start.max(offset)))
    }

    /// The first byte at or behind `offset` that is in a hole, which the end of the file is, too;
    /// `None` if `offset` is not in the file.
    ///
    /// # Errors
    ///
    /// As [`File::seek_data`].
    pub fn seek_hole(&self, offset: u64) -> Result<Option<u64>, Error> {
        if offset >= self.size() {
            return Ok(None);
        }
        Ok(Some(match self.next_data(offset)? {
            Some(data) if data.start <= offset => data.end,
            _ => offset,
        }))
    }
}
