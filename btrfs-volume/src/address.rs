//! Addresses: logical (what trees speak of) and physical (what the device speaks of).

use std::fmt;

/// A logical address, which the chunk tree maps to one or more physical ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytenr(pub u64);

impl fmt::Debug for Bytenr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytenr {}", self.0)
    }
}

/// A byte offset on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Physical(pub u64);

impl fmt::Display for Bytenr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Physical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
