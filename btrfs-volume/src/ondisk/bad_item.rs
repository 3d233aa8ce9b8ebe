//! What a decoder complains about.

/// Why bytes are not the item that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadItem {
    /// Fewer bytes than the item needs.
    #[error("{what}: {have} bytes, expected at least {need}")]
    Short {
        /// The kind of item.
        what: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes there.
        have: usize,
    },
    /// Bytes behind the item's end.
    #[error("{what}: {extra} bytes too many")]
    Trailing {
        /// The kind of item.
        what: &'static str,
        /// How many.
        extra: usize,
    },
    /// A field holds what it never may.
    #[error("{what}: {field} is {found}, expected {expected}")]
    Field {
        /// The kind of item.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it should be.
        expected: &'static str,
    },
}
