use crate::StateBits;

/// A condition on the state of a byte.
///
/// It always asks for at least one bit to be set, so a byte without any bits
/// never matches.
///
/// ```
/// use extent_tree::{Select, StateBits};
///
/// let claimable = Select::all(StateBits::DELALLOC).without(StateBits::IN_FLIGHT);
/// assert!(claimable.matches(StateBits::DELALLOC));
/// assert!(!claimable.matches(StateBits::DELALLOC | StateBits::IN_FLIGHT));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select {
    all: StateBits,
    any: StateBits,
    none: StateBits,
}

impl Select {
    /// Bytes that have every one of `bits`.
    ///
    /// # Panics
    ///
    /// When `bits` is empty.
    #[must_use]
    pub const fn all(bits: StateBits) -> Self {
        assert!(!bits.is_empty(), "a selection needs a bit to look for");
        Self {
            all: bits,
            any: bits,
            none: StateBits::empty(),
        }
    }

    /// Bytes that have at least one of `bits`.
    ///
    /// # Panics
    ///
    /// When `bits` is empty.
    #[must_use]
    pub const fn any(bits: StateBits) -> Self {
        assert!(!bits.is_empty(), "a selection needs a bit to look for");
        Self {
            all: StateBits::empty(),
            any: bits,
            none: StateBits::empty(),
        }
    }

    /// Of those, only bytes that have none of `bits`.
    #[must_use]
    pub const fn without(mut self, bits: StateBits) -> Self {
        self.none = self.none.union(bits);
        self
    }

    /// Whether a byte in state `bits` is meant.
    #[must_use]
    pub const fn matches(self, bits: StateBits) -> bool {
        bits.contains(self.all) && bits.intersects(self.any) && !bits.intersects(self.none)
    }
}
