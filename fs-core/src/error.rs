//! What can go wrong, with inode, range and cause.

use std::io;
use std::ops::Range;

use crate::volume::{InodeId, VolumeError, VolumeErrorKind};

/// Why an operation on a [`Filesystem`](crate::Filesystem) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The volume said no.
    #[error("{what}: {source}")]
    Volume {
        /// What was being done.
        what: &'static str,
        /// The volume's own words.
        source: VolumeError,
    },
    /// Data of one inode could not be read: the error names inode, range and cause.
    #[error(transparent)]
    Read(#[from] readpath::Error),
    /// Dirty data of one inode did not reach the device.
    #[error("inode {}, bytes {}..{} could not be written: {message}", id.ino, range.start, range.end)]
    Writeback {
        /// Whose data.
        id: InodeId,
        /// Bytes of the file that were lost or are still dirty.
        range: Range<u64>,
        /// Why.
        message: String,
        /// In the terms that decide an errno.
        kind: ErrorKind,
    },
    /// There is no room for what is to be written.
    #[error("no space: {wanted} bytes wanted, {available} available")]
    NoSpace {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes there were.
        available: u64,
    },
    /// The source of the bytes to be written failed.
    #[error("reading what is to be written: {0}")]
    Source(#[source] io::Error),
    /// A file would end behind the largest offset that there is.
    #[error("inode {}: a file cannot be that large", id.ino)]
    FileTooLarge {
        /// Which inode.
        id: InodeId,
    },
    /// An operation that this kind of inode has not.
    #[error("inode {}: {what}", id.ino)]
    WrongType {
        /// Which inode.
        id: InodeId,
        /// What was expected of it.
        what: &'static str,
    },
    /// The filesystem was built from parts that don't fit.
    #[error("{0}")]
    Config(String),
    /// The filesystem was found not idle after everything should have ended.
    #[error("not idle at unmount: {0}")]
    NotIdle(String),
}

/// Kinds of errors, from which a caller derives an errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// ENOENT
    NotFound,
    /// EEXIST
    Exists,
    /// ENOTDIR
    NotADirectory,
    /// ENOTEMPTY
    NotEmpty,
    /// ENAMETOOLONG, ENOSPC or E2BIG, as the operation has it
    TooLarge,
    /// EMLINK
    TooManyLinks,
    /// ENOSPC
    NoSpace,
    /// EFBIG
    FileTooLarge,
    /// EROFS
    ReadOnly,
    /// EINVAL
    Invalid,
    /// EOPNOTSUPP
    Unsupported,
    /// EIO
    Io,
}

impl From<VolumeErrorKind> for ErrorKind {
    fn from(kind: VolumeErrorKind) -> Self {
        match kind {
            VolumeErrorKind::NotFound => Self::NotFound,
            VolumeErrorKind::Exists => Self::Exists,
            VolumeErrorKind::NotADirectory => Self::NotADirectory,
            VolumeErrorKind::NotEmpty => Self::NotEmpty,
            VolumeErrorKind::TooLarge => Self::TooLarge,
            VolumeErrorKind::TooManyLinks => Self::TooManyLinks,
            VolumeErrorKind::NoSpace => Self::NoSpace,
            VolumeErrorKind::ReadOnly => Self::ReadOnly,
            VolumeErrorKind::Invalid => Self::Invalid,
            VolumeErrorKind::Unsupported => Self::Unsupported,
            VolumeErrorKind::Corrupt | VolumeErrorKind::Io => Self::Io,
        }
    }
}

impl Error {
    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Volume { source, .. } => source.kind().into(),
            Self::Read(error) => volume_error(error).map_or(ErrorKind::Io, |e| e.kind().into()),
            Self::Writeback { kind, .. } => *kind,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::FileTooLarge { .. } => ErrorKind::FileTooLarge,
            Self::Source(_) | Self::NotIdle(_) => ErrorKind::Io,
            Self::WrongType { .. } | Self::Config(_) => ErrorKind::Invalid,
        }
    }

    pub(crate) fn volume(what: &'static str) -> impl FnOnce(VolumeError) -> Self {
        move |source| Self::Volume { what, source }
    }
}

/// What the volume said, where it was the volume that could not be read.
fn volume_error(error: &readpath::Error) -> Option<&VolumeError> {
    match error {
        readpath::Error::Maps { source, .. } | readpath::Error::Device { source, .. } => {
            source.downcast_ref()
        }
        _ => None,
    }
}
