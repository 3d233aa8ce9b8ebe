//! Compressors and decompressors to borrow.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use crate::shelf::Shelf;
use crate::sync::{Arc, Mutex, panicking};
use crate::{Codec, CodecId, Compressor, Decompressor, Error, Registry};

/// Lends compressors and decompressors to threads and takes them back. Clones share them.
///
/// There are at most `limit` of a kind, where a kind is a codec and a level, or a codec's
/// decompressors. Who finds all of them in use waits for one to come back; who cannot make one for
/// want of memory waits, too, as long as another exists. One decompressor of each codec exists from
/// the start, and one compressor from [`Workspaces::reserve`] on, so none of these can fail later
/// for want of memory.
///
/// One that a panic drops is not lent again, and another is made when it is needed.
///
/// A thread that holds one and takes another of the same kind may wait for itself.
#[derive(Clone)]
pub struct Workspaces {
    core: Arc<Core>,
}

type CompressorShelf = Arc<Shelf<dyn Compressor>>;
type DecompressorShelf = Arc<Shelf<dyn Decompressor>>;

struct Core {
    registry: Registry,
    limit: usize,
    /// Kinds that were asked for; levels are checked first, so their number is bounded.
    compressors: Mutex<HashMap<(CodecId, i32), CompressorShelf>>,
    decompressors: Vec<(CodecId, DecompressorShelf)>,
}

impl Workspaces {
    /// Workspaces of the codecs of `registry`, at most `limit` of a kind (at least one).
    #[must_use]
    pub fn new(registry: Registry, limit: usize) -> Self {
        let decompressors = registry.iter().map(|codec| {
            let shelf = Arc::new(Shelf::default());
            // Without memory now, the first who takes one learns of it.
            let _ = shelf.reserve(|| codec.decompressor());
            (codec.id(), shelf)
        });
        let core = Core {
            decompressors: decompressors.collect(),
            compressors: Mutex::default(),
            limit: limit.max(1),
            registry,
        };
        Self {
            core: Arc::new(core),
        }
    }

    /// The codecs.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.core.registry
    }

    /// A compressor to use until it is dropped. Waits if `limit` of them are in use.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], [`Error::Level`]; [`Error::Context`] if there is none and no memory for
    /// one.
    pub fn compressor(&self, id: CodecId, level: i32) -> Result<CompressorLease, Error> {
        let (codec, shelf) = self.compressors_of(id, level)?;
        let compressor = shelf.take(self.core.limit, || codec.compressor(level))?;
        Ok(CompressorLease {
            shelf,
            compressor: Some(compressor),
        })
    }

    /// Makes sure that there is one compressor of a level, which is kept for good.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], [`Error::Level`], [`Error::Context`].
    pub fn reserve(&self, id: CodecId, level: i32) -> Result<(), Error> {
        let (codec, shelf) = self.compressors_of(id, level)?;
        shelf.reserve(|| codec.compressor(level))
    }

    /// A decompressor to use until it is dropped. Waits if `limit` of them are in use.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`]; [`Error::Context`] if there is none and no memory for one.
    pub fn decompressor(&self, id: CodecId) -> Result<DecompressorLease, Error> {
        let codec = self.core.registry.get(id).ok_or(Error::Unknown(id))?;
        let mut shelves = self.core.decompressors.iter();
        let (_, shelf) = shelves
            .find(|shelf| shelf.0 == id)
            .expect("there is a shelf for each codec of the registry");
        let decompressor = shelf.take(self.core.limit, || codec.decompressor())?;
        Ok(DecompressorLease {
            shelf: Arc::clone(shelf),
            decompressor: Some(decompressor),
        })
    }

    /// Frees what nobody uses, all but one of each kind.
    pub fn shrink(&self) {
        // Freeing takes long; takers of other kinds need not wait for it.
        let shelves: Vec<_> = self.core.compressors.lock().values().cloned().collect();
        shelves.iter().for_each(|shelf| shelf.shrink());
        let decompressors = &self.core.decompressors;
        decompressors.iter().for_each(|(_, shelf)| shelf.shrink());
    }

    /// How many compressors and decompressors there are, in use or not.
    #[must_use]
    pub fn existing(&self) -> (usize, usize) {
        let compressors = self.core.compressors.lock();
        let decompressors = &self.core.decompressors;
        (
            compressors.values().map(|shelf| shelf.existing()).sum(),
            decompressors
                .iter()
                .map(|(_, shelf)| shelf.existing())
                .sum(),
        )
    }

    fn compressors_of(
        &self,
        id: CodecId,
        level: i32,
    ) -> Result<(&dyn Codec, CompressorShelf), Error> {
        let codec = self.core.registry.get(id).ok_or(Error::Unknown(id))?;
        Error::check_level(codec.name(), level, codec.levels())?;
        let mut compressors = self.core.compressors.lock();
        let shelf = compressors.entry((id, level)).or_default();
        Ok((codec, Arc::clone(shelf)))
    }
}

/// A borrowed compressor; goes back when it is dropped.
pub struct CompressorLease {
    shelf: CompressorShelf,
    /// There until the drop.
    compressor: Option<Box<dyn Compressor>>,
}

/// A borrowed decompressor; goes back when it is dropped.
pub struct DecompressorLease {
    shelf: DecompressorShelf,
    /// There until the drop.
    decompressor: Option<Box<dyn Decompressor>>,
}

impl Drop for CompressorLease {
    fn drop(&mut self) {
        match self.compressor.take() {
            // It may have panicked half done, and give wrong bytes from now on.
            Some(compressor) if panicking() => self.shelf.discard(compressor),
            Some(compressor) => self.shelf.put(compressor),
            None => {}
        }
    }
}

impl Drop for DecompressorLease {
    fn drop(&mut self) {
        match self.decompressor.take() {
            // It may have panicked half done, and give wrong bytes from now on.
            Some(decompressor) if panicking() => self.shelf.discard(decompressor),
            Some(decompressor) => self.shelf.put(decompressor),
            None => {}
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_of_each_codec_exists_from_the_start() {
        let spaces = Workspaces::new(Registry::btrfs(), 2);
        assert_eq!(spaces.existing(), (0, 3));
        spaces.reserve(CodecId::ZSTD, 3).unwrap();
        spaces.reserve(CodecId::ZSTD, 3).unwrap();
        assert_eq!(spaces.existing(), (1, 3));
    }

    #[test]
    fn what_comes_back_is_lent_again() {
        let spaces = Workspaces::new(Registry::btrfs(), 4);
        for _ in 0..10 {
            let _one = spaces.compressor(CodecId::LZO, 1).unwrap();
            let _other = spaces.compressor(CodecId::LZO, 1).unwrap();
            let _read = spaces.decompressor(CodecId::LZO).unwrap();
        }
        assert_eq!(spaces.existing(), (2, 3));
        spaces.shrink();
        assert_eq!(spaces.existing(), (1, 3));
    }

    #[test]
    fn the_limit_makes_takers_wait() {
        let spaces = Workspaces::new(Registry::btrfs(), 0);
        let lease = spaces.compressor(CodecId::ZLIB, 9).unwrap();
        let (told, tell) = mpsc::channel();
        let waiter = thread::spawn({
            let spaces = spaces.clone();
            move || {
                let _lease = spaces.compressor(CodecId::ZLIB, 9).unwrap();
                told.send(()).unwrap();
            }
        });
        // Other kinds are not held up.
        drop(spaces.compressor(CodecId::ZLIB, 8).unwrap());
        assert!(tell.recv_timeout(Duration::from_millis(50)).is_err());
        drop(lease);
        tell.recv().unwrap();
        waiter.join().unwrap();
        assert_eq!(spaces.existing(), (2, 3));
    }

    #[test]
    fn what_is_asked_for_in_vain_leaves_no_trace() {
        let spaces = Workspaces::new(Registry::btrfs(), 1);
        for level in 16..1000 {
            assert!(spaces.compressor(CodecId::ZSTD, level).is_err());
        }
        assert!(spaces.core.compressors.lock().is_empty());
    }
}
