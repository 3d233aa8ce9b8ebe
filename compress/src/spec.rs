//! What a user writes to name a compression.

use std::fmt;
use std::str::FromStr;

use crate::error::Levels;
use crate::{Codec, CodecId, Error, Registry};

/// A codec and one of its levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method {
    /// The codec.
    pub codec: CodecId,
    /// The level.
    pub level: i32,
}

/// A compression as a user names it: `zstd`, `zstd:3`, `zlib:9`, `lzo`, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spec {
    /// `none`: not at all.
    None,
    /// Compress so.
    Compress(Method),
}

impl Spec {
    /// Reads the name of one of the codecs of `registry`, and a level behind a colon; without one
    /// it is the codec's default level. `FromStr` does this with [`Registry::btrfs`].
    ///
    /// # Errors
    ///
    /// [`Error::Name`], [`Error::LevelText`], [`Error::Level`]: all tell what there is.
    pub fn parse(text: &str, registry: &Registry) -> Result<Self, Error> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (name, level) = match text.split_once(':') {
            Some((name, level)) => (name, Some(level)),
            None => (text, None),
        };
        let codec = registry.by_name(name).ok_or_else(|| Error::Name {
            name: name.to_owned(),
            known: known(registry),
        })?;
        let level = match level {
            None => codec.default_level(),
            Some(level) => level.parse().map_err(|_| Error::LevelText {
                codec: codec.name(),
                text: level.to_owned(),
                levels: codec.levels(),
            })?,
        };
        Error::check_level(codec.name(), level, codec.levels())?;
        Ok(Self::Compress(Method {
            codec: codec.id(),
            level,
        }))
    }

    /// How to compress; `None` for `none`.
    #[must_use]
    pub fn method(self) -> Option<Method> {
        match self {
            Self::None => None,
            Self::Compress(method) => Some(method),
        }
    }
}

impl FromStr for Spec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, &Registry::btrfs())
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Compress(method) => method.fmt(f),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = self.level;
        match self.codec {
            CodecId::ZLIB => write!(f, "zlib:{level}"),
            CodecId::LZO => f.write_str("lzo"),
            CodecId::ZSTD => write!(f, "zstd:{level}"),
            CodecId(number) => write!(f, "codec {number}:{level}"),
        }
    }
}

/// `none, zlib:1 to 9, lzo, zstd:-15 to 15`.
fn known(registry: &Registry) -> String {
    let name = |codec: &dyn Codec| {
        let levels = codec.levels();
        if levels.start() == levels.end() {
            format!(", {}", codec.name())
        } else {
            format!(", {}:LEVEL with LEVEL {}", codec.name(), Levels(&levels))
        }
    };
    let names: String = registry.iter().map(name).collect();
    format!("none{names}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(codec: CodecId, level: i32) -> Result<Spec, Error> {
        Ok(Spec::Compress(Method { codec, level }))
    }

    #[test]
    fn names_with_and_without_level() {
        assert_eq!("none".parse(), Ok(Spec::None));
        assert_eq!("zstd".parse(), method(CodecId::ZSTD, 3));
        assert_eq!("zstd:-15".parse(), method(CodecId::ZSTD, -15));
        assert_eq!("zlib".parse(), method(CodecId::ZLIB, 3));
        assert_eq!("zlib:9".parse(), method(CodecId::ZLIB, 9));
        assert_eq!("lzo".parse(), method(CodecId::LZO, 1));
    }

    #[test]
    fn what_is_printed_can_be_read() {
        for text in ["none", "lzo", "zlib:1", "zstd:-3"] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_name_what_there_is() {
        let error = |text: &str| text.parse::<Spec>().unwrap_err().to_string();
        assert_eq!(error("zstd:16"), "zstd has no level 16, only -15 to 15");
        assert_eq!(error("zlib:0"), "zlib has no level 0, only 1 to 9");
        assert_eq!(error("lzo:2"), "lzo has no level 2, only 1");
        assert_eq!(
            error("zlib:fast"),
            "\"fast\" is not a level of zlib, which has 1 to 9"
        );
        assert_eq!(
            error("gzip"),
            "no compression is called \"gzip\", only none, zlib:LEVEL with LEVEL 1 to 9, lzo, \
             zstd:LEVEL with LEVEL -15 to 15"
        );
        for text in ["", ":", "zstd:", "zstd:3:3", "ZSTD", "zstd: 3", "none:1"] {
            assert!(text.parse::<Spec>().is_err(), "{text:?}");
        }
    }
}
