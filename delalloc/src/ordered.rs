use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use crate::claim::Ordered;
use crate::sync::{Arc, Condvar, Mutex};

/// Why an ordered extent failed of which nobody said how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an extent was given up before it was finished")]
pub struct Unfinished;

/// The ordered extents of one file: submitted data whose metadata is still to
/// come.
///
/// `T` is what its user wants to find in one, `E` how one fails. A handle:
/// clones are the same set.
pub struct OrderedExtents<T, E> {
    set: Arc<Mutex<Set<T, E>>>,
}

struct Set<T, E> {
    by_start: BTreeMap<u64, Arc<OrderedExtent<T, E>>>,
    failures: u64,
    last_error: Option<E>,
}

/// One ordered extent, as others see it.
pub struct OrderedExtent<T, E> {
    range: Range<u64>,
    payload: T,
    status: Mutex<Status<E>>,
    finished: Condvar,
}

struct Status<E> {
    io_left: u64,
    finished: bool,
    error: Option<E>,
}

/// One ordered extent in the hands of whoever must finish it.
///
/// Dropped unfinished, it counts as failed ([`Unfinished`]), so that nobody
/// waits for ever.
#[must_use = "dropping it fails the extent"]
pub struct OrderedHandle<T, E: Clone + From<Unfinished>> {
    set: OrderedExtents<T, E>,
    extent: Arc<OrderedExtent<T, E>>,
}

impl<T, E: Clone + From<Unfinished>> OrderedExtents<T, E> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self {
            set: Arc::new(Mutex::new(Set {
                by_start: BTreeMap::new(),
                failures: 0,
                last_error: None,
            })),
        }
    }

    /// Adds one for a range, whose I/O is `io_bytes` long.
    ///
    /// # Panics
    ///
    /// When the range is empty or overlaps one that is not finished: then it
    /// was claimed twice.
    pub fn add(&self, range: Range<u64>, io_bytes: u64, payload: T) -> OrderedHandle<T, E> {
        assert!(!range.is_empty(), "an extent has bytes");
        let extent = Arc::new(OrderedExtent {
            range: range.clone(),
            payload,
            status: Mutex::new(Status {
                io_left: io_bytes,
                finished: false,
                error: None,
            }),
            finished: Condvar::default(),
        });
        let mut set = self.set.lock();
        let before = set.last_before(range.end);
        assert!(
            before.is_none_or(|before| before.range.end <= range.start),
            "{range:?} is ordered already"
        );
        set.by_start.insert(range.start, Arc::clone(&extent));
        drop(set);
        OrderedHandle {
            set: self.clone(),
            extent,
        }
    }

    /// The one that covers the byte at `offset`.
    #[must_use]
    pub fn lookup(&self, offset: u64) -> Option<Arc<OrderedExtent<T, E>>> {
        let set = self.set.lock();
        let last = set.last_before(offset.saturating_add(1))?;
        (offset < last.range.end).then(|| Arc::clone(last))
    }

    /// The last one that overlaps a range.
    #[must_use]
    pub fn last_in(&self, range: Range<u64>) -> Option<Arc<OrderedExtent<T, E>>> {
        if range.is_empty() {
            return None;
        }
        let set = self.set.lock();
        let last = set.last_before(range.end)?;
        (last.range.end > range.start).then(|| Arc::clone(last))
    }

    /// Waits until those in a range are finished, from the end backwards, each
    /// once: what is added behind meanwhile is not waited for.
    ///
    /// # Errors
    ///
    /// The error of one that was waited for; all are waited for nevertheless.
    /// Of those that had finished before, only
    /// [`OrderedExtents::error_since`] tells.
    pub fn wait_range(&self, range: Range<u64>) -> Result<(), E> {
        let mut result = Ok(());
        let mut end = range.end;
        while let Some(extent) = self.last_in(range.start..end) {
            if let Err(error) = extent.wait() {
                result = Err(error);
            }
            end = extent.range.start;
        }
        result
    }

    /// The last error since `seen`, which it moves on: so each opener of the
    /// file, with a `seen` of its own, is told once. Begin with
    /// [`OrderedExtents::failures`].
    pub fn error_since(&self, seen: &mut u64) -> Option<E> {
        let set = self.set.lock();
        if *seen == set.failures {
            return None;
        }
        *seen = set.failures;
        set.last_error.clone()
    }

    /// How many have failed so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.set.lock().failures
    }

    /// How many are not finished.
    #[must_use]
    pub fn len(&self) -> usize {
        self.set.lock().by_start.len()
    }

    /// Whether all are finished.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, E> Set<T, E> {
    fn last_before(&self, end: u64) -> Option<&Arc<OrderedExtent<T, E>>> {
        let last = self.by_start.range(..end).next_back();
        last.map(|(_, extent)| extent)
    }
}

impl<T, E: Clone> OrderedExtent<T, E> {
    /// The range of the file.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// What its user put there.
    #[must_use]
    pub fn payload(&self) -> &T {
        &self.payload
    }

    /// Waits until it is finished.
    ///
    /// # Errors
    ///
    /// Its error.
    pub fn wait(&self) -> Result<(), E> {
        let mut status = self.status.lock();
        while !status.finished {
            status = self.finished.wait(status);
        }
        status.error.clone().map_or(Ok(()), Err)
    }
}

impl<T, E: Clone + From<Unfinished>> OrderedHandle<T, E> {
    /// The extent, as others see it.
    #[must_use]
    pub fn extent(&self) -> &Arc<OrderedExtent<T, E>> {
        &self.extent
    }

    /// So many bytes of its I/O have ended. The first error sticks to the
    /// extent. True for the call that ended the last byte, and for no other.
    ///
    /// # Panics
    ///
    /// When more bytes end than its I/O has.
    pub fn end_io(&self, bytes: u64, result: Result<(), E>) -> bool {
        let mut status = self.extent.status.lock();
        if let Err(error) = result {
            status.error.get_or_insert(error);
        }
        status.io_left = status
            .io_left
            .checked_sub(bytes)
            .expect("a byte of I/O ends once");
        bytes > 0 && status.io_left == 0
    }

    /// The error that its I/O met.
    #[must_use]
    pub fn error(&self) -> Option<E> {
        self.extent.status.lock().error.clone()
    }

    /// Its metadata is in, or will never be: it leaves the set and all who wait
    /// for it wake. It failed if this or its I/O failed; that is counted once.
    pub fn finish(self, result: Result<(), E>) {
        self.end(result, None);
    }

    /// [`finish`](Self::finish), and its range stops being ORDERED: completed,
    /// or given up if it failed.
    ///
    /// Both in one step. If the range became claimable first, somebody could
    /// claim it and [`add`](OrderedExtents::add) an extent while this one is
    /// still there. If the extent went first, who waited for it could look for
    /// what became dirty meanwhile and not be able to claim it.
    pub fn settle(self, ordered: Ordered, result: Result<(), E>) {
        self.end(result, Some(ordered));
    }

    fn end(&self, result: Result<(), E>, ordered: Option<Ordered>) {
        let mut status = self.extent.status.lock();
        if status.finished {
            return;
        }
        if let Err(error) = result {
            status.error.get_or_insert(error);
        }
        let error = status.error.clone();
        let failed = error.is_some();
        drop(status);
        // It leaves the set before anybody wakes: who waited finds it gone.
        let mut set = self.set.set.lock();
        set.by_start.remove(&self.extent.range.start);
        if error.is_some() {
            set.failures += 1;
            set.last_error = error;
        }
        match ordered {
            Some(ordered) if !failed => ordered.complete(),
            given_up => drop(given_up),
        }
        drop(set);
        self.extent.status.lock().finished = true;
        self.extent.finished.notify_all();
    }
}

impl<T, E: Clone + From<Unfinished>> Drop for OrderedHandle<T, E> {
    fn drop(&mut self) {
        // It is there only for who was forgotten, and costs something.
        if !self.extent.status.lock().finished {
            self.end(Err(E::from(Unfinished)), None);
        }
    }
}

impl<T, E> Clone for OrderedExtents<T, E> {
    fn clone(&self) -> Self {
        Self {
            set: Arc::clone(&self.set),
        }
    }
}

impl<T, E: Clone + From<Unfinished>> Default for OrderedExtents<T, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, E> fmt::Debug for OrderedExtents<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = self.set.lock();
        let ranges = set.by_start.values().map(|extent| &extent.range);
        f.debug_list().entries(ranges).finish()
    }
}

impl<T, E> fmt::Debug for OrderedExtent<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrderedExtent").field(&self.range).finish()
    }
}

impl<T, E: Clone + From<Unfinished>> fmt::Debug for OrderedHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrderedHandle")
            .field(&self.extent.range)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    enum Failure {
        Io(u32),
        Lost,
    }

    impl From<Unfinished> for Failure {
        fn from(_: Unfinished) -> Self {
            Self::Lost
        }
    }

    type Extents = OrderedExtents<&'static str, Failure>;

    #[test]
    fn io_ends_once_and_the_first_error_sticks() {
        let extents = Extents::new();
        let handle = extents.add(0..8192, 100, "a");
        assert!(!handle.end_io(0, Ok(())));
        assert!(!handle.end_io(60, Err(Failure::Io(1))));
        assert!(handle.end_io(40, Err(Failure::Io(2))));
        assert!(!handle.end_io(0, Ok(())), "told once");
        assert_eq!(handle.error(), Some(Failure::Io(1)));
        handle.finish(Err(Failure::Io(3)));
        assert!(extents.is_empty());
        let mut seen = 0;
        assert_eq!(extents.error_since(&mut seen), Some(Failure::Io(1)));
        assert_eq!((extents.error_since(&mut seen), seen), (None, 1));
    }

    #[test]
    fn an_extent_is_found_by_any_of_its_bytes() {
        let extents = Extents::new();
        let a = extents.add(0..10, 1, "a");
        let b = extents.add(10..20, 1, "b");
        let c = extents.add(30..40, 1, "c");
        assert_eq!((extents.len(), extents.is_empty()), (3, false));
        let at = |offset| extents.lookup(offset).map(|extent| *extent.payload());
        assert_eq!(
            [at(0), at(9), at(10), at(19)],
            [Some("a"), Some("a"), Some("b"), Some("b")]
        );
        assert_eq!(
            [at(20), at(29), at(30), at(40)],
            [None, None, Some("c"), None]
        );
        let last = |range| extents.last_in(range).map(|extent| *extent.payload());
        assert_eq!(last(0..30), Some("b"));
        assert_eq!(last(0..31), Some("c"));
        assert_eq!(last(20..30), None);
        assert_eq!(last(15..15), None);
        for handle in [a, b, c] {
            handle.finish(Ok(()));
        }
        assert_eq!(extents.failures(), 0);
    }

    #[test]
    #[should_panic(expected = "ordered already")]
    fn a_byte_is_ordered_once() {
        let extents = Extents::new();
        let _a = extents.add(0..10, 1, "a");
        let _b = extents.add(9..20, 1, "b");
    }

    #[test]
    fn one_failed_item_leaves_its_neighbours_whole() {
        // The guard: the drop of a handle finishes it; each counts for itself.
        for failed in 0..4 {
            let extents = Extents::new();
            let handles: Vec<_> = (0..4)
                .map(|item| extents.add(item * 10..item * 10 + 10, 10, "x"))
                .collect();
            let waiter = thread::spawn({
                let extents = extents.clone();
                move || extents.wait_range(0..100)
            });
            for (item, handle) in handles.into_iter().enumerate() {
                if item == failed {
                    drop(handle);
                } else {
                    assert!(handle.end_io(10, Ok(())));
                    handle.finish(Ok(()));
                }
            }
            let waited = waiter.join().unwrap();
            assert!(waited.is_ok() || waited == Err(Failure::Lost));
            assert!(extents.is_empty());
            assert_eq!(extents.error_since(&mut 0), Some(Failure::Lost));
            assert_eq!(extents.failures(), 1);
        }
    }

    #[test]
    fn a_wait_goes_backwards_and_ends_with_the_first() {
        let extents = Extents::new();
        let a = extents.add(0..10, 1, "a");
        let b = extents.add(10..20, 1, "b");
        let out = extents.add(20..30, 1, "out of range");
        let (send, done) = mpsc::channel();
        thread::spawn({
            let extents = extents.clone();
            move || send.send(extents.wait_range(5..20)).unwrap()
        });
        let waits =
            |done: &mpsc::Receiver<_>| done.recv_timeout(Duration::from_millis(30)).is_err();
        // The set and the handle have a share of it, and so has who waits.
        let found = || Arc::strong_count(b.extent()) == 3;
        assert!((0..700).any(|_| found() || !waits(&done)) && found());
        assert!(waits(&done));
        b.finish(Err(Failure::Io(7)));
        assert!(waits(&done), "the one before is not finished");
        a.finish(Ok(()));
        assert_eq!(done.recv().unwrap(), Err(Failure::Io(7)));
        drop(out);
    }
}
