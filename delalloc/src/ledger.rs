use std::fmt;

use crate::reservation::{Amount, Reservation};
use crate::sync::{Arc, Mutex, MutexGuard};
use crate::{Error, Space};

/// What a filesystem has promised and given away.
///
/// Data passes three stages: `bytes_may_use`, promised to dirty data for its
/// worst case; `bytes_reserved`, allocated on disk but not yet in the trees;
/// `bytes_used`, in the trees. Metadata is promised for the worst case, a fixed
/// amount per extent, and given back when the extent is in the trees; what the
/// trees really take, the volume reports as used.
///
/// A handle: clones are the same ledger.
#[derive(Clone)]
pub struct SpaceLedger {
    books: Arc<Mutex<Books>>,
    metadata_per_extent: u64,
}

/// What a [`SpaceLedger`] starts with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of data that fit.
    pub data: u64,
    /// Bytes of metadata that fit.
    pub metadata: u64,
    /// Bytes of metadata that the items of one more extent may take.
    pub metadata_per_extent: u64,
    /// Bytes of metadata that ordinary reservations leave alone, for what could
    /// not be foreseen when it was promised: a dirty range cut in two.
    pub global_reserve: u64,
}

impl Limits {
    /// Space without an end, for a volume that grows.
    pub const UNLIMITED: Self = Self {
        data: u64::MAX,
        metadata: u64::MAX,
        metadata_per_extent: 0,
        global_reserve: 0,
    };
}

/// The counters of one kind of space, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// What fits.
    pub capacity: u64,
    /// Promised to dirty data for its worst case.
    pub bytes_may_use: u64,
    /// Allocated, not yet in the trees.
    pub bytes_reserved: u64,
    /// In the trees.
    pub bytes_used: u64,
}

impl Counters {
    /// Whether nothing is promised or on its way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.bytes_may_use == 0 && self.bytes_reserved == 0
    }

    fn taken(&self) -> u64 {
        let promised = self.bytes_may_use.saturating_add(self.bytes_reserved);
        promised.saturating_add(self.bytes_used)
    }
}

pub(crate) struct Books {
    pub(crate) data: Counters,
    pub(crate) metadata: Counters,
    global_reserve: u64,
}

impl SpaceLedger {
    /// A ledger in which everything is free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let empty = |capacity| Counters {
            capacity,
            ..Counters::default()
        };
        Self {
            books: Arc::new(Mutex::new(Books {
                data: empty(limits.data),
                metadata: empty(limits.metadata),
                global_reserve: limits.global_reserve,
            })),
            metadata_per_extent: limits.metadata_per_extent,
        }
    }

    /// Promises `data` bytes, and metadata for `extents` extents: both or none.
    ///
    /// # Errors
    ///
    /// [`Error::NoSpace`]; this is the moment at which a writer learns it.
    pub fn reserve(&self, data: u64, extents: u64) -> Result<Reservation, Error> {
        let amount = Amount {
            data,
            metadata: self.metadata_for(extents),
        };
        let mut books = self.books();
        let reserve = books.global_reserve;
        check(&books.data, Space::Data, amount.data, 0)?;
        check(&books.metadata, Space::Metadata, amount.metadata, reserve)?;
        books.promise(amount);
        drop(books);
        Ok(Reservation::new(self.clone(), amount))
    }

    /// A reservation of nothing, to merge others into.
    pub fn reserve_nothing(&self) -> Reservation {
        Reservation::new(self.clone(), Amount::default())
    }

    /// The counters of one kind of space.
    #[must_use]
    pub fn counters(&self, space: Space) -> Counters {
        *self.books().of(space)
    }

    /// Bytes that a reservation could still get.
    #[must_use]
    pub fn available(&self, space: Space) -> u64 {
        let mut books = self.books();
        let kept = match space {
            Space::Data => 0,
            Space::Metadata => books.global_reserve,
        };
        available(books.of(space), kept)
    }

    /// Sets what fits: more when the volume grew, less when it shrank. Below
    /// what is taken already, nothing more is given until enough came back.
    pub fn set_capacity(&self, space: Space, capacity: u64) {
        self.books().of(space).capacity = capacity;
    }

    /// Counts bytes that came into use other than through a reservation.
    pub fn add_used(&self, space: Space, bytes: u64) {
        let mut books = self.books();
        let counters = books.of(space);
        counters.bytes_used = counters.bytes_used.saturating_add(bytes);
    }

    /// Counts bytes that are in use no more.
    ///
    /// # Panics
    ///
    /// When that many were not in use.
    pub fn sub_used(&self, space: Space, bytes: u64) {
        subtract(&mut self.books().of(space).bytes_used, bytes);
    }

    /// Whether nothing is promised or on its way: so it must be after unmount.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let books = self.books();
        books.data.is_settled() && books.metadata.is_settled()
    }

    /// Bytes of metadata that are reserved for so many extents.
    #[must_use]
    pub fn metadata_for(&self, extents: u64) -> u64 {
        extents.saturating_mul(self.metadata_per_extent)
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.books, &other.books)
    }
}

impl Books {
    fn of(&mut self, space: Space) -> &mut Counters {
        match space {
            Space::Data => &mut self.data,
            Space::Metadata => &mut self.metadata,
        }
    }

    /// Promises without asking whether it fits.
    pub(crate) fn promise(&mut self, amount: Amount) {
        self.data.bytes_may_use += amount.data;
        self.metadata.bytes_may_use += amount.metadata;
    }

    pub(crate) fn take_back(&mut self, amount: Amount) {
        subtract(&mut self.data.bytes_may_use, amount.data);
        subtract(&mut self.metadata.bytes_may_use, amount.metadata);
    }
}

impl fmt::Debug for SpaceLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = self.books();
        f.debug_struct("SpaceLedger")
            .field("data", &books.data)
            .field("metadata", &books.metadata)
            .finish_non_exhaustive()
    }
}

fn available(counters: &Counters, kept: u64) -> u64 {
    let taken = counters.taken().saturating_add(kept);
    counters.capacity.saturating_sub(taken)
}

fn check(counters: &Counters, space: Space, wanted: u64, kept: u64) -> Result<(), Error> {
    let available = available(counters, kept);
    if wanted <= available {
        return Ok(());
    }
    Err(Error::NoSpace {
        space,
        wanted,
        available,
        reclaimable: counters.bytes_may_use,
    })
}

/// A counter below zero would mean that something was settled twice.
pub(crate) fn subtract(counter: &mut u64, bytes: u64) {
    *counter = counter
        .checked_sub(bytes)
        .expect("what is given back was given before, once");
}
