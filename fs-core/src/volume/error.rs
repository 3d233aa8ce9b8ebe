//! What a volume may answer instead.

use std::error::Error;
use std::fmt;

/// What went wrong on a volume, in the terms that decide an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VolumeErrorKind {
    /// No such inode, name or attribute.
    NotFound,
    /// The name is taken.
    Exists,
    /// Not a directory where one is needed.
    NotADirectory,
    /// A directory that still has entries.
    NotEmpty,
    /// A name or value that the format cannot hold.
    TooLarge,
    /// The inode has as many names as it can.
    TooManyLinks,
    /// No room.
    NoSpace,
    /// The volume may not be written.
    ReadOnly,
    /// What was read contradicts itself or its checksum.
    Corrupt,
    /// A feature that this implementation lacks.
    Unsupported,
    /// A name or argument that is never valid.
    Invalid,
    /// The device failed.
    Io,
}

/// An error of a volume: its kind, and the volume's own words in full.
#[derive(Debug)]
pub struct VolumeError {
    kind: VolumeErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl VolumeError {
    /// An error of `kind` that explains itself with `source`.
    pub fn new(kind: VolumeErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
        }
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> VolumeErrorKind {
        self.kind
    }
}

impl fmt::Display for VolumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for VolumeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
