use std::fmt;

use crate::SpaceLedger;
use crate::ledger::subtract;

/// Bytes of both kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) data: u64,
    pub(crate) metadata: u64,
}

impl Amount {
    fn checked_sub(self, part: Self) -> Option<Self> {
        Some(Self {
            data: self.data.checked_sub(part.data)?,
            metadata: self.metadata.checked_sub(part.metadata)?,
        })
    }
}

/// Space that was promised and is not used yet (`bytes_may_use`).
///
/// Dropping it gives all of it back, so no error path can leak or settle twice.
#[must_use = "dropping it gives the space back"]
pub struct Reservation {
    ledger: SpaceLedger,
    amount: Amount,
}

/// Space that is allocated on disk and not in the trees yet
/// (`bytes_reserved`), with the metadata promised for putting it there.
///
/// Dropping it without [`Allocated::commit`] gives all of it back: the write
/// failed.
#[must_use = "dropping it gives the space back"]
pub struct Allocated {
    ledger: SpaceLedger,
    disk_num_bytes: u64,
    metadata: u64,
}

impl Reservation {
    pub(crate) fn new(ledger: SpaceLedger, amount: Amount) -> Self {
        Self { ledger, amount }
    }

    /// Bytes of data.
    #[must_use]
    pub fn data(&self) -> u64 {
        self.amount.data
    }

    /// Bytes of metadata.
    #[must_use]
    pub fn metadata(&self) -> u64 {
        self.amount.metadata
    }

    /// Takes `data` bytes and metadata for `extents` extents out, as a
    /// reservation of their own.
    ///
    /// # Panics
    ///
    /// When there is less than that.
    pub fn split(&mut self, data: u64, extents: u64) -> Self {
        let amount = Amount {
            data,
            metadata: self.ledger.metadata_for(extents),
        };
        let left = self.amount.checked_sub(amount);
        self.amount = left.expect("a part is no more than the whole");
        Self::new(self.ledger.clone(), amount)
    }

    /// Adds another reservation of the same ledger to this one.
    ///
    /// # Panics
    ///
    /// When it is of another ledger.
    pub fn merge(&mut self, mut other: Self) {
        assert!(self.ledger.is(&other.ledger), "one ledger");
        let amount = std::mem::take(&mut other.amount);
        self.amount.data += amount.data;
        self.amount.metadata += amount.metadata;
    }

    /// Brings the metadata to exactly what `extents` extents need.
    ///
    /// It never fails: what was not promised comes out of the global reserve,
    /// since this happens where a writer cannot be told any more.
    pub fn set_extents(&mut self, extents: u64) {
        let metadata = self.ledger.metadata_for(extents);
        if metadata == self.amount.metadata {
            return;
        }
        let mut books = self.ledger.books();
        books.take_back(Amount {
            data: 0,
            metadata: self.amount.metadata,
        });
        books.promise(Amount { data: 0, metadata });
        drop(books);
        self.amount.metadata = metadata;
    }

    /// Brings the data down to `data` bytes, and the metadata to exactly what
    /// `extents` extents need.
    pub(crate) fn settle_to(&mut self, data: u64, extents: u64) {
        let amount = Amount {
            data,
            metadata: self.ledger.metadata_for(extents),
        };
        assert!(
            amount.data <= self.amount.data,
            "less was reserved than became dirty"
        );
        if amount == self.amount {
            return;
        }
        let mut books = self.ledger.books();
        books.take_back(self.amount);
        books.promise(amount);
        drop(books);
        self.amount = amount;
    }

    /// Gives `data` bytes back.
    ///
    /// # Panics
    ///
    /// When there is less than that.
    pub fn release_data(&mut self, data: u64) {
        drop(self.split(data, 0));
    }

    /// The data has an address: `disk_num_bytes` of it were allocated, and the
    /// rest of the promise is given back (what compression saved).
    ///
    /// # Panics
    ///
    /// When more was allocated than was promised.
    pub fn allocate(mut self, disk_num_bytes: u64) -> Allocated {
        self.check_allocation(disk_num_bytes);
        let amount = std::mem::take(&mut self.amount);
        let mut books = self.ledger.books();
        subtract(&mut books.data.bytes_may_use, amount.data);
        books.data.bytes_reserved += disk_num_bytes;
        drop(books);
        Allocated {
            ledger: self.ledger.clone(),
            disk_num_bytes,
            metadata: amount.metadata,
        }
    }

    pub(crate) fn check_allocation(&self, disk_num_bytes: u64) {
        assert!(
            disk_num_bytes <= self.amount.data,
            "an extent is never larger than the data that was reserved for it"
        );
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.amount == Amount::default()
    }

    pub(crate) fn ledger(&self) -> &SpaceLedger {
        &self.ledger
    }
}

impl Allocated {
    /// Bytes on disk.
    #[must_use]
    pub fn disk_num_bytes(&self) -> u64 {
        self.disk_num_bytes
    }

    /// The extent is in the trees: its bytes are used now, and the metadata
    /// that was promised is given back.
    pub fn commit(mut self) {
        self.settle(true);
    }

    fn settle(&mut self, used: bool) {
        let disk_num_bytes = std::mem::take(&mut self.disk_num_bytes);
        let metadata = std::mem::take(&mut self.metadata);
        if disk_num_bytes == 0 && metadata == 0 {
            return;
        }
        let mut books = self.ledger.books();
        subtract(&mut books.data.bytes_reserved, disk_num_bytes);
        subtract(&mut books.metadata.bytes_may_use, metadata);
        if used {
            books.data.bytes_used += disk_num_bytes;
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_nothing() {
            self.ledger.books().take_back(self.amount);
        }
    }
}

impl Drop for Allocated {
    fn drop(&mut self) {
        self.settle(false);
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("data", &self.amount.data)
            .field("metadata", &self.amount.metadata)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Allocated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocated")
            .field("disk_num_bytes", &self.disk_num_bytes)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
