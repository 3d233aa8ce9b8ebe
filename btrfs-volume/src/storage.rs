//! The device as logical addresses: nodes and data, with their copies.

use bytes::Bytes;
use tracing::warn;
use uuid::Uuid;

use crate::address::{Bytenr, Physical};
use crate::chunk_map::ChunkMap;
use crate::device::BlockDevice;
use crate::error::{Error, Result};
use crate::node::{Expect, Node};
use crate::node_cache::NodeCache;
use crate::ondisk::objectid::is_subvolume;
use crate::ondisk::{Chunk, Superblock};
use crate::sync::{Arc, Mutex, RwLock};
use crate::tree::Nodes;

/// Warnings kept in words; more are only counted.
const WARNINGS_KEPT: usize = 100;

/// Bytes that may be allocated for a read without asking the device for its size first.
const LARGE_READ: usize = 1 << 20;

/// What stays the same as long as a volume is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Unit of data, in bytes.
    pub sectorsize: u32,
    /// Bytes of a node.
    pub nodesize: u32,
    /// The UUID that nodes carry.
    pub node_fsid: Uuid,
    /// Number of our device.
    pub devid: u64,
}

impl Geometry {
    /// As the superblock says.
    #[must_use]
    pub fn of(superblock: &Superblock) -> Self {
        Self {
            sectorsize: superblock.sectorsize,
            nodesize: superblock.nodesize,
            node_fsid: superblock.node_fsid(),
            devid: superblock.dev_item.devid,
        }
    }
}

/// Device, chunk map and node cache: everything that reading and writing share.
///
/// Locking: the chunk map and the warnings have a lock each, neither held during I/O.
pub struct Storage {
    device: Arc<dyn BlockDevice>,
    geometry: Geometry,
    chunks: RwLock<ChunkMap>,
    cache: NodeCache,
    warnings: Mutex<Warnings>,
}

#[derive(Debug, Default)]
struct Warnings {
    kept: Vec<String>,
    total: u64,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("geometry", &self.geometry)
            .finish_non_exhaustive()
    }
}

impl Storage {
    /// A device without chunks yet; at most `cache_bytes` of nodes are kept.
    #[must_use]
    pub fn new(device: Arc<dyn BlockDevice>, geometry: Geometry, cache_bytes: usize) -> Self {
        Self {
            device,
            geometry,
            chunks: RwLock::new(ChunkMap::new(geometry.devid)),
            cache: NodeCache::new(geometry.nodesize as usize, cache_bytes),
            warnings: Mutex::default(),
        }
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Arc<dyn BlockDevice> {
        &self.device
    }

    /// Sizes and ids.
    #[must_use]
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Adds a chunk; see [`ChunkMap::insert`].
    ///
    /// # Errors
    /// It makes no sense or is of an unsupported profile.
    pub fn add_chunk(&self, start: Bytenr, chunk: Chunk) -> Result<()> {
        self.chunks.write().insert(start, chunk)
    }

    /// A copy of the chunk map as it is now.
    #[must_use]
    pub fn chunks(&self) -> ChunkMap {
        self.chunks.read().clone()
    }

    /// How many copies there are of `bytenr`; 0 if no chunk has it.
    #[must_use]
    pub fn mirrors(&self, bytenr: Bytenr) -> usize {
        self.chunks.read().mirrors(bytenr)
    }

    /// Where copy `mirror` (from 0) of `len` bytes at `bytenr` is.
    ///
    /// # Errors
    /// [`Error::Unmapped`].
    pub fn physical(&self, bytenr: Bytenr, len: u64, mirror: usize) -> Result<Physical> {
        self.chunks.read().physical(bytenr, len, mirror)
    }

    /// Reads copy `mirror` (from 0) of what is at `bytenr` into `buf`, unverified.
    ///
    /// # Errors
    /// [`Error::Unmapped`], [`Error::Io`].
    pub fn read_into(&self, bytenr: Bytenr, mirror: usize, buf: &mut [u8]) -> Result<()> {
        let at = self.physical(bytenr, buf.len() as u64, mirror)?;
        self.device.read_at(at.0, buf).map_err(|source| Error::Io {
            op: "read",
            offset: at.0,
            len: buf.len() as u64,
            source,
        })
    }

    /// Reads `len` bytes of copy `mirror` (from 0), unverified. Much memory is taken only once it
    /// is known that a chunk and the device have that many bytes.
    ///
    /// # Errors
    /// [`Error::Unmapped`], [`Error::Io`].
    pub fn read(&self, bytenr: Bytenr, len: usize, mirror: usize) -> Result<Bytes> {
        let at = self.physical(bytenr, len as u64, mirror)?;
        let failed = |source| Error::Io {
            op: "read",
            offset: at.0,
            len: len as u64,
            source,
        };
        let end = at.0.saturating_add(len as u64);
        if len > LARGE_READ && self.device.size().map_err(failed)? < end {
            return Err(failed(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let mut buf = vec![0; len];
        self.device.read_at(at.0, &mut buf).map_err(failed)?;
        Ok(buf.into())
    }

    /// Drops what is cached for the node at `bytenr`: call when another one is written there.
    pub fn forget_node(&self, bytenr: Bytenr) {
        self.cache.remove(bytenr);
    }

    /// Keeps `node` in the cache, for example after writing it.
    pub fn keep_node(&self, node: &Arc<Node>) {
        self.cache.insert(node);
    }

    /// Drops all cached nodes.
    pub fn forget_nodes(&self) {
        self.cache.clear();
    }

    /// Bytes of cached nodes.
    #[must_use]
    pub fn cached_bytes(&self) -> usize {
        self.cache.used()
    }

    /// Notes something that the user should know: a copy was damaged and another one used.
    pub fn warn(&self, warning: String) {
        warn!("{warning}");
        let mut warnings = self.warnings.lock();
        warnings.total += 1;
        if warnings.kept.len() < WARNINGS_KEPT {
            warnings.kept.push(warning);
        }
    }

    /// The first hundred warnings, and how many there were.
    #[must_use]
    pub fn warnings(&self) -> (Vec<String>, u64) {
        let warnings = self.warnings.lock();
        (warnings.kept.clone(), warnings.total)
    }

    /// The node at `bytenr` from the first copy that is whole.
    fn fetch(&self, expect: &Expect) -> Result<Node> {
        let mirrors = self.mirrors(expect.bytenr);
        let len = self.geometry.nodesize as usize;
        let mut problems: Vec<String> = Vec::new();
        for mirror in 0..mirrors {
            let problem = match self.read(expect.bytenr, len, mirror) {
                Err(error) => error.to_string(),
                Ok(buf) => match Node::decode(&buf, expect) {
                    Err(problem) => problem,
                    Ok(node) => {
                        if let Some(problem) = problems.first() {
                            self.warn(format!(
                                "{}; going by copy {}",
                                node_error(expect, problem.clone()),
                                mirror + 1
                            ));
                        }
                        return Ok(node);
                    }
                },
            };
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        Err(match mirrors {
            0 => node_error(expect, "is in no chunk".into()),
            1 => node_error(expect, problems.join("; ")),
            _ => node_error(
                expect,
                format!("{} (all {mirrors} copies)", problems.join("; ")),
            ),
        })
    }
}

impl Nodes for Storage {
    fn fsid(&self) -> Uuid {
        self.geometry.node_fsid
    }

    fn read_node(&self, expect: &Expect) -> Result<Arc<Node>> {
        if let Some(node) = self.cache.get(expect.bytenr) {
            // The expectations may be another parent's than those it was checked against.
            if meets(&node, expect) {
                return Ok(node);
            }
        }
        let node = Arc::new(self.fetch(expect)?);
        self.cache.insert(&node);
        Ok(node)
    }
}

/// Whether a node that was decoded for one expectation meets another.
fn meets(node: &Node, expect: &Expect) -> bool {
    let header = node.header();
    let same_kind =
        header.owner == expect.tree || (is_subvolume(header.owner) && is_subvolume(expect.tree));
    same_kind
        && expect.generation.is_none_or(|g| g == header.generation)
        && expect.level.is_none_or(|level| level == header.level)
        && (expect.first_key.is_none() || expect.first_key == node.first_key())
}

fn node_error(expect: &Expect, problem: String) -> Error {
    Error::Node {
        tree: expect.tree,
        bytenr: expect.bytenr,
        problem,
    }
}
