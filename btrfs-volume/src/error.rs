//! What may go wrong, with the names of what it went wrong with.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::address::Bytenr;
use crate::ondisk::BadItem;
use crate::ondisk::key::Key;
use crate::ondisk::objectid::tree_name;

/// What everything here returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The coarse kind of an [`Error`]: what an errno is chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No such inode, name, tree or attribute.
    NotFound,
    /// The name is taken.
    Exists,
    /// Not a directory where one is needed.
    NotADirectory,
    /// A name or value that the format cannot hold.
    TooLarge,
    /// The inode has as many names as it can.
    TooManyLinks,
    /// No room.
    NoSpace,
    /// The volume may not be written.
    ReadOnly,
    /// What was read contradicts itself or its checksum, or is no btrfs at all.
    Corrupt,
    /// A feature that this crate lacks.
    Unsupported,
    /// An argument that is never valid.
    Invalid,
    /// Somebody else uses the device.
    Busy,
    /// The device failed.
    Io,
}

/// An error of a volume.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device could not be read, written, flushed or resized.
    #[error("{op} of {len} bytes at device offset {offset} failed: {source}")]
    Io {
        /// `read`, `write`, `flush`, `resize`.
        op: &'static str,
        /// Where, in bytes on the device.
        offset: u64,
        /// How much.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The file behind the device could not be opened or is in use.
    #[error("{}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file behind the device is in use.
    #[error("{}: in use: {by}", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
        /// By what.
        by: String,
    },
    /// No superblock copy carries btrfs's magic.
    #[error("not a btrfs volume: {reason}")]
    NotBtrfs {
        /// What was found instead.
        reason: String,
    },
    /// No superblock copy is usable.
    #[error("superblock at device offset {at}: {problem}")]
    Superblock {
        /// Offset of the copy, in bytes on the device.
        at: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The volume has features that this crate lacks.
    #[error("unsupported for {}: {}", if *.writing { "writing" } else { "reading" }, features.join(", "))]
    Unsupported {
        /// Their names.
        features: Vec<String>,
        /// Whether only writing is refused.
        writing: bool,
    },
    /// A tree node is damaged, in every copy.
    #[error("tree {}: node at {bytenr}: {problem}", tree_name(*.tree))]
    Node {
        /// The tree that led here.
        tree: u64,
        /// Logical address of the node.
        bytenr: Bytenr,
        /// What was expected and what was found.
        problem: String,
    },
    /// An item is damaged.
    #[error("tree {}: item {key}: {problem}", tree_name(*.tree))]
    Item {
        /// The tree that holds it.
        tree: u64,
        /// Its key.
        key: Key,
        /// What was expected and what was found.
        problem: String,
    },
    /// A logical address that no chunk maps.
    #[error("logical address {bytenr} (+{len}) is in no chunk")]
    Unmapped {
        /// First byte.
        bytenr: Bytenr,
        /// How many.
        len: u64,
    },
    /// There is no such tree.
    #[error("no tree {}", tree_name(*.tree))]
    NoTree {
        /// Its objectid.
        tree: u64,
    },
    /// There is no such inode.
    #[error("tree {}: no inode {ino}", tree_name(*.tree))]
    NoInode {
        /// The subvolume's tree.
        tree: u64,
        /// The inode number.
        ino: u64,
    },
    /// An inode is not what the operation needs.
    #[error("tree {}: inode {ino}: not {what}", tree_name(*.tree))]
    WrongType {
        /// The subvolume's tree.
        tree: u64,
        /// The inode number.
        ino: u64,
        /// What it is not: `a directory`, `a symbolic link`, ...
        what: &'static str,
    },
    /// The name is taken.
    #[error("tree {}: inode {dir}: {} exists", tree_name(*.tree), Name(name))]
    Exists {
        /// The subvolume's tree.
        tree: u64,
        /// The directory.
        dir: u64,
        /// The name.
        name: Vec<u8>,
    },
    /// A name or value that the format cannot hold.
    #[error("{what} of {len} bytes: at most {max} fit")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// An inode has all the names it can have.
    #[error("tree {}: inode {ino}: too many links", tree_name(*.tree))]
    TooManyLinks {
        /// The subvolume's tree.
        tree: u64,
        /// The inode number.
        ino: u64,
    },
    /// No room is left.
    #[error("no space for {what}: {wanted} bytes wanted, {available} available")]
    NoSpace {
        /// `data`, `metadata`, `a chunk`, ...
        what: &'static str,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes left.
        available: u64,
    },
    /// The volume may not be written.
    #[error("the volume is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// An argument that is never valid.
    #[error("invalid {what}: {problem}")]
    Invalid {
        /// Which.
        what: &'static str,
        /// Why.
        problem: String,
    },
}

impl Error {
    /// The kind, for choosing an errno.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                ErrorKind::NoSpace
            }
            Self::Io { .. } | Self::Open { .. } => ErrorKind::Io,
            Self::InUse { .. } => ErrorKind::Busy,
            Self::NotBtrfs { .. }
            | Self::Superblock { .. }
            | Self::Node { .. }
            | Self::Item { .. }
            | Self::Unmapped { .. } => ErrorKind::Corrupt,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::NoTree { .. } | Self::NoInode { .. } => ErrorKind::NotFound,
            Self::WrongType { what, .. } if *what == "a directory" => ErrorKind::NotADirectory,
            Self::WrongType { .. } | Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Exists { .. } => ErrorKind::Exists,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::TooManyLinks { .. } => ErrorKind::TooManyLinks,
            Self::NoSpace { .. } => ErrorKind::NoSpace,
            Self::ReadOnly { .. } => ErrorKind::ReadOnly,
        }
    }

    /// `problem` as an error of the item `key` of `tree`.
    #[must_use]
    pub fn bad_item(tree: u64, key: Key, problem: impl fmt::Display) -> Self {
        Self::Item {
            tree,
            key,
            problem: problem.to_string(),
        }
    }
}

/// Adds to a decoder's complaint which item it is about.
pub(crate) trait InItem<T> {
    /// The value, or the complaint as an error of the item `key` of `tree`.
    fn in_item(self, tree: u64, key: Key) -> Result<T>;
}

impl<T> InItem<T> for Result<T, BadItem> {
    fn in_item(self, tree: u64, key: Key) -> Result<T> {
        self.map_err(|bad| Error::bad_item(tree, key, bad))
    }
}

/// A name as a message shows it: quoted, with control characters escaped.
struct Name<'a>(&'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
