//! Keys: what every item of every tree is found by.

use std::fmt;

/// The key of an item: ordered by object, then type, then offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The object, for example an inode number or a logical address.
    pub objectid: u64,
    /// One of the constants in [`item_type`](crate::ondisk::item_type).
    pub item_type: u8,
    /// Depends on the type: a file offset, a length, a hash, ...
    pub offset: u64,
}

impl Key {
    /// The smallest key.
    pub const MIN: Self = Self::new(0, 0, 0);
    /// The largest key.
    pub const MAX: Self = Self::new(u64::MAX, u8::MAX, u64::MAX);

    /// A key of its three parts.
    #[must_use]
    pub const fn new(objectid: u64, item_type: u8, offset: u64) -> Self {
        Self {
            objectid,
            item_type,
            offset,
        }
    }

    /// The next larger key; `None` after [`Key::MAX`].
    #[must_use]
    pub fn successor(self) -> Option<Self> {
        if let Some(offset) = self.offset.checked_add(1) {
            return Some(Self { offset, ..self });
        }
        if let Some(item_type) = self.item_type.checked_add(1) {
            return Some(Self::new(self.objectid, item_type, 0));
        }
        self.objectid.checked_add(1).map(|o| Self::new(o, 0, 0))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {} {})", self.objectid, self.item_type, self.offset)
    }
}
