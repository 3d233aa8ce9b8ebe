//! Codecs to test.

use compress::Registry;

/// btrfs's codecs, and those of ours that are built in.
pub(crate) fn all_codecs() -> Registry {
    let registry = Registry::btrfs();
    #[cfg(feature = "lz4")]
    let registry = registry.with(compress::Lz4);
    registry
}
