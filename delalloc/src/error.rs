use std::fmt;

/// What can fail here: there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A reservation does not fit. Nothing was reserved.
    #[error("no space left: {wanted} bytes of {space} wanted, {available} available")]
    NoSpace {
        /// Which kind of space ran out.
        space: Space,
        /// Bytes that were asked for.
        wanted: u64,
        /// Bytes that were to be had.
        available: u64,
        /// Bytes promised to dirty data for the worst case. Writing it back may
        /// give some of them back, which makes a second try worth while.
        reclaimable: u64,
    },
}

/// What space is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Contents of files.
    Data,
    /// Tree nodes for the items that describe them.
    Metadata,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Metadata => "metadata",
        })
    }
}
