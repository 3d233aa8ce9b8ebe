//! Whether and how data is compressed.

use compress::CodecId;

/// How to compress what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// With which codec; it must be registered and the volume must know it.
    pub codec: CodecId,
    /// At which of the codec's levels.
    pub level: i32,
}

/// Bytes from which on a sample says something.
const MIN_SAMPLED: u64 = 16 << 10;

/// Whether a file is compressed, decided piece by piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Never.
    Never,
    /// Where the piece shrinks. A codec that takes long to find that out is spared pieces of which a
    /// sample, 8 KiB of 128, does not look as if they did; the others are spared noise only. Nothing
    /// is remembered: the next piece is looked at anew.
    Auto(Compression),
    /// Tried, unless the piece is noise beyond doubt: [`compress::is_noise`], and for codecs that take
    /// long [`compress::is_noise_throughout`].
    UnlessNoise(Compression),
    /// Always tried, whatever the sample would say.
    Always(Compression),
}

impl Policy {
    /// How, if at all.
    #[must_use]
    pub fn compression(self) -> Option<Compression> {
        match self {
            Self::Never => None,
            Self::Auto(how) | Self::UnlessNoise(how) | Self::Always(how) => Some(how),
        }
    }
}

/// What to do with one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WritebackPlan {
    /// Store it as it is, without looking at it.
    Raw,
    /// Try to make it smaller by at least one sector.
    Compress(Compression),
    /// The same, but only if a sample promises that.
    Sample(Compression),
    /// The same, but not of noise.
    UnlessNoise {
        how: Compression,
        /// The codec is worth the longer look.
        throughout: bool,
    },
    /// The piece is a whole small file: store it in the tree if that is possible, compressed if
    /// that helps, else as an ordinary extent.
    Inline(Option<Compression>),
}

/// What `plan` looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PieceFacts {
    pub(crate) start: u64,
    /// Bytes of data, not rounded up.
    pub(crate) data_len: u64,
    /// The file's size.
    pub(crate) i_size: u64,
    pub(crate) sector_size: u64,
    pub(crate) max_inline: u64,
    pub(crate) policy: Policy,
    /// The policy's codec finds out by itself as fast as a sample would tell.
    pub(crate) quick_on_noise: bool,
}

/// Decides from facts alone, so that it can be tested without threads.
pub(crate) fn plan(facts: PieceFacts) -> WritebackPlan {
    let whole_file = facts.start == 0 && facts.data_len == facts.i_size;
    if whole_file && facts.i_size <= facts.sector_size && facts.max_inline > 0 {
        let fits = facts.data_len <= facts.max_inline && facts.data_len < facts.sector_size;
        let compression = facts.policy.compression();
        if fits || compression.is_some() {
            return WritebackPlan::Inline(compression);
        }
    }
    // One sector cannot shrink by one.
    if facts.data_len <= facts.sector_size {
        return WritebackPlan::Raw;
    }
    match facts.policy {
        Policy::Never => WritebackPlan::Raw,
        Policy::Always(how) => WritebackPlan::Compress(how),
        // Of what is shorter, the sample would cost as much as trying.
        Policy::Auto(how) | Policy::UnlessNoise(how) if facts.data_len < MIN_SAMPLED => {
            WritebackPlan::Compress(how)
        }
        Policy::Auto(how) if !facts.quick_on_noise => WritebackPlan::Sample(how),
        Policy::Auto(how) | Policy::UnlessNoise(how) => WritebackPlan::UnlessNoise {
            how,
            throughout: !facts.quick_on_noise,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZSTD: Compression = Compression {
        codec: CodecId::ZSTD,
        level: 3,
    };

    fn facts(start: u64, data_len: u64, i_size: u64) -> PieceFacts {
        PieceFacts {
            start,
            data_len,
            i_size,
            sector_size: 4096,
            max_inline: 2048,
            policy: Policy::Always(ZSTD),
            quick_on_noise: false,
        }
    }

    #[test]
    fn one_sector_in_a_larger_file_is_raw() {
        assert_eq!(plan(facts(0, 4096, 8192)), WritebackPlan::Raw);
        assert_eq!(plan(facts(131_072, 1, 131_073)), WritebackPlan::Raw);
    }

    #[test]
    fn a_file_of_one_sector_may_become_inline() {
        assert_eq!(
            plan(facts(0, 4096, 4096)),
            WritebackPlan::Inline(Some(ZSTD))
        );
        assert_eq!(plan(facts(0, 1, 1)), WritebackPlan::Inline(Some(ZSTD)));
        let raw = PieceFacts {
            policy: Policy::Never,
            ..facts(0, 2049, 2049)
        };
        assert_eq!(plan(raw), WritebackPlan::Raw);
        let small = PieceFacts {
            policy: Policy::Never,
            ..facts(0, 2048, 2048)
        };
        assert_eq!(plan(small), WritebackPlan::Inline(None));
    }

    #[test]
    fn two_sectors_are_compressed() {
        assert_eq!(plan(facts(0, 4097, 4097)), WritebackPlan::Compress(ZSTD));
    }

    #[test]
    fn only_auto_asks_a_sample_and_not_about_little() {
        let auto = |data_len| PieceFacts {
            policy: Policy::Auto(ZSTD),
            ..facts(0, data_len, 1 << 20)
        };
        assert_eq!(plan(auto(MIN_SAMPLED)), WritebackPlan::Sample(ZSTD));
        assert_eq!(plan(auto(MIN_SAMPLED - 1)), WritebackPlan::Compress(ZSTD));
        assert_eq!(plan(auto(4096)), WritebackPlan::Raw);
        let quick = PieceFacts {
            quick_on_noise: true,
            ..auto(MIN_SAMPLED)
        };
        let noise = |throughout| WritebackPlan::UnlessNoise {
            how: ZSTD,
            throughout,
        };
        assert_eq!(plan(quick), noise(false));
        let unless_noise = |data_len| PieceFacts {
            policy: Policy::UnlessNoise(ZSTD),
            ..auto(data_len)
        };
        assert_eq!(plan(unless_noise(MIN_SAMPLED)), noise(true));
        let little = plan(unless_noise(MIN_SAMPLED - 1));
        assert_eq!(little, WritebackPlan::Compress(ZSTD));
        assert_eq!(
            plan(facts(0, MIN_SAMPLED, 1 << 20)),
            WritebackPlan::Compress(ZSTD)
        );
    }

    #[test]
    fn a_volume_without_inline_extents_never_gets_one() {
        let none = PieceFacts {
            max_inline: 0,
            ..facts(0, 10, 10)
        };
        assert_eq!(plan(none), WritebackPlan::Raw);
    }
}
