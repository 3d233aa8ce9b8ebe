//! The codecs that there are.

use std::fmt;

use crate::sync::Arc;
use crate::{Codec, CodecId, Error, Lzo, Zlib, Zstd};

/// Codecs by number and by name. Clones share the codecs.
#[derive(Clone, Default)]
pub struct Registry {
    codecs: Vec<Arc<dyn Codec>>,
}

impl Registry {
    /// No codecs.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// zlib, lzo and zstd, for volumes with sectors of 4 KiB.
    #[must_use]
    pub fn btrfs() -> Self {
        Self::empty().with(Zlib).with(Lzo::default()).with(Zstd)
    }

    /// zlib, lzo and zstd, for volumes with sectors of so many bytes. Only lzo cares.
    ///
    /// # Errors
    ///
    /// [`Error::SectorSize`] if btrfs has no such sectors.
    pub fn btrfs_with_sectors(sector_size: usize) -> Result<Self, Error> {
        Ok(Self::btrfs().with(Lzo::new(sector_size)?))
    }

    /// Adds a codec, instead of one of the same number.
    #[must_use]
    pub fn with(mut self, codec: impl Codec + 'static) -> Self {
        self.codecs.retain(|old| old.id() != codec.id());
        self.codecs.push(Arc::new(codec));
        self
    }

    /// The codec of a number.
    #[must_use]
    pub fn get(&self, id: CodecId) -> Option<&dyn Codec> {
        self.iter().find(|codec| codec.id() == id)
    }

    /// The codec of a name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&dyn Codec> {
        self.iter().find(|codec| codec.name() == name)
    }

    /// All codecs.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Codec> {
        self.codecs.iter().map(|codec| &**codec)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|codec| codec.name());
        f.debug_list().entries(names).finish()
    }
}
