//! Compressors and decompressors to borrow.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use crate::sync::{Arc, Mutex};
use crate::{CodecId, Compressor, Decompressor, Error, Registry};

/// Keeps compressors and decompressors between uses. Clones share them.
#[derive(Clone)]
pub struct Workspaces {
    core: Arc<Core>,
}

struct Core {
    registry: Registry,
    keep: usize,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    compressors: HashMap<(CodecId, i32), Vec<Box<dyn Compressor>>>,
    decompressors: HashMap<CodecId, Vec<Box<dyn Decompressor>>>,
}

impl Workspaces {
    /// Workspaces of the codecs of `registry`, of which at most `keep` of a kind are kept while
    /// nobody uses them (at least one).
    #[must_use]
    pub fn new(registry: Registry, keep: usize) -> Self {
        Self {
            core: Arc::new(Core {
                registry,
                keep: keep.max(1),
                idle: Mutex::default(),
            }),
        }
    }

    /// The codecs.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// A compressor to use until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], [`Error::Level`], [`Error::Context`].
    pub fn compressor(&self, id: CodecId, level: i32) -> Result<CompressorLease, Error> {
        let key = (id, level);
        let mut idle = self.core.idle.lock();
        let kept = idle.compressors.get_mut(&key).and_then(Vec::pop);
        drop(idle);
        let codec = self.core.registry.get(id).ok_or(Error::Unknown(id))?;
        let compressor = kept.map_or_else(|| codec.compressor(level), Ok)?;
        Ok(CompressorLease {
            core: Arc::clone(&self.core),
            key,
            compressor: Some(compressor),
        })
    }

    /// A decompressor to use until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], [`Error::Context`].
    pub fn decompressor(&self, id: CodecId) -> Result<DecompressorLease, Error> {
        let mut idle = self.core.idle.lock();
        let kept = idle.decompressors.get_mut(&id).and_then(Vec::pop);
        drop(idle);
        let codec = self.core.registry.get(id).ok_or(Error::Unknown(id))?;
        let decompressor = kept.map_or_else(|| codec.decompressor(), Ok)?;
        Ok(DecompressorLease {
            core: Arc::clone(&self.core),
            id,
            decompressor: Some(decompressor),
        })
    }
}

/// A borrowed compressor; goes back when it is dropped.
pub struct CompressorLease {
    core: Arc<Core>,
    key: (CodecId, i32),
    /// There until the drop.
    compressor: Option<Box<dyn Compressor>>,
}

/// A borrowed decompressor; goes back when it is dropped.
pub struct DecompressorLease {
    core: Arc<Core>,
    id: CodecId,
    /// There until the drop.
    decompressor: Option<Box<dyn Decompressor>>,
}

impl Drop for CompressorLease {
    fn drop(&mut self) {
        if let Some(compressor) = self.compressor.take() {
            let mut idle = self.core.idle.lock();
            let kept = idle.compressors.entry(self.key).or_default();
            if kept.len() < self.core.keep {
                kept.push(compressor);
            }
        }
    }
}

impl Drop for DecompressorLease {
    fn drop(&mut self) {
        if let Some(decompressor) = self.decompressor.take() {
            let mut idle = self.core.idle.lock();
            let kept = idle.decompressors.entry(self.id).or_default();
            if kept.len() < self.core.keep {
                kept.push(decompressor);
            }
        }
    }
}

impl Deref for CompressorLease {
    type Target = dyn Compressor;

    fn deref(&self) -> &(dyn Compressor + 'static) {
        &**self.compressor.as_ref().expect("only taken by drop")
    }
}

impl DerefMut for CompressorLease {
    fn deref_mut(&mut self) -> &mut (dyn Compressor + 'static) {
        &mut **self.compressor.as_mut().expect("only taken by drop")
    }
}

impl Deref for DecompressorLease {
    type Target = dyn Decompressor;

    fn deref(&self) -> &(dyn Decompressor + 'static) {
        &**self.decompressor.as_ref().expect("only taken by drop")
    }
}

impl DerefMut for DecompressorLease {
    fn deref_mut(&mut self) -> &mut (dyn Decompressor + 'static) {
        &mut **self.decompressor.as_mut().expect("only taken by drop")
    }
}
