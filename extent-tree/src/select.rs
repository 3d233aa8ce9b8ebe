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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_must_be_there_and_what_is_excluded_must_not() {
        let [a, b, c] = [StateBits::USER0, StateBits::USER1, StateBits::USER2];
        let none = StateBits::empty();
        let matching = |select: Select| {
            let states = [none, a, b, a | b, a | c, a | b | c];
            states.map(|bits| select.matches(bits))
        };
        assert_eq!(
            matching(Select::all(a | b)),
            [false, false, false, true, false, true]
        );
        assert_eq!(
            matching(Select::any(a | b)),
            [false, true, true, true, true, true]
        );
        assert_eq!(
            matching(Select::any(a | b).without(c).without(b)),
            [false, true, false, false, false, false]
        );
    }
}
