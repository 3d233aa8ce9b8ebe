//! btrfs-volume
