//! Space that the volume gave, and that is no extent's yet.

use crate::sync::Arc;
use crate::volume::Volume;

/// Space from `allocate`. Dropped before [`Unrecorded::enter`], as when something panics, it goes back.
pub(crate) struct Unrecorded<V: Volume> {
    volume: Arc<V>,
    at: V::Locator,
    num_bytes: u64,
    entered: bool,
}

impl<V: Volume> Unrecorded<V> {
    /// Takes over what `allocate` gave.
    pub(crate) fn new(volume: &Arc<V>, at: V::Locator, num_bytes: u64) -> Self {
        Self {
            volume: Arc::clone(volume),
            at,
            num_bytes,
            entered: false,
        }
    }

    pub(crate) fn at(&self) -> V::Locator {
        self.at
    }

    /// Lets `insert` enter it as an extent. It goes back if that fails, and not if that panics: nobody
    /// knows then whose it is.
    pub(crate) fn enter<E>(mut self, insert: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        self.entered = true;
        let inserted = insert();
        self.entered = inserted.is_ok();
        inserted
    }
}

impl<V: Volume> Drop for Unrecorded<V> {
    fn drop(&mut self) {
        if !self.entered {
            self.volume.release(self.at, self.num_bytes);
        }
    }
}
