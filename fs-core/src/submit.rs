//! The ordered part: allocate, add the ordered extent, hand the bytes to the writer.
//!
//! It runs for one piece at a time, in the order in which writeback claimed them, and neither reads
//! or writes data nor waits for the queue; only a piece that is given up may be the last of an inode,
//! whose metadata is stored or freed then. What it decides depends on that order alone, so that the same
//! input makes the same image.

use bytes::{Bytes, BytesMut};
use compress::CodecId;
use delalloc::Claim;
use ordered_wq::Permit;
use smallvec::{SmallVec, smallvec};

use crate::error::ErrorKind;
use crate::inode::Inode;
use crate::piece::{Piece, Prepared};
use crate::pipeline_trace::PipelineStep;
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::Arc;
use crate::under_writeback::UnderWriteback;
use crate::unrecorded::Unrecorded;
use crate::volume::{FileExtent, StoredExtent, Volume, VolumeError, VolumeErrorKind, VolumeResult};
use crate::writer::{Submitted, WriteJob};

/// Neighbouring raw pieces of one claim, which become one extent.
pub(crate) struct RawRun<V: Volume> {
    inode: Arc<Inode>,
    claim_number: u64,
    parts: Vec<RawPart<V>>,
}

struct RawPart<V: Volume> {
    pages: UnderWriteback<V>,
    claim: Claim,
    data: Bytes,
    checksums: Bytes,
    permit: Option<Permit>,
}

impl<V: Volume> RawPart<V> {
    /// Takes its first `len` bytes, whole sectors, out; something stays.
    fn split_to(&mut self, len: u64, sector: u64) -> Self {
        let sectors = self.data.len() / sector as usize;
        let checksum = self.checksums.len() / sectors;
        let at = self.claim.range().start + len;
        Self {
            pages: self.pages.split_to(at),
            claim: self.claim.split_to(at),
            data: self.data.split_to(len as usize),
            checksums: self.checksums.split_to(checksum * (len / sector) as usize),
            permit: self.permit.as_mut().map(|permit| permit.split(len)),
        }
    }
}

/// What a range has with it on its way.
struct OnWay<V: Volume> {
    // Dropped first: what is claimable is not under writeback.
    pages: SmallVec<[UnderWriteback<V>; 1]>,
    claim: Claim,
    permits: SmallVec<[Permit; 1]>,
    /// Where its bytes go, unless that is the tree. Dropped behind the claim, which promises it.
    space: Option<Unrecorded<V>>,
}

impl<V: Volume> Piece<V> {
    pub(crate) fn submit(&mut self, claim: Claim, pages: UnderWriteback<V>, prepared: Prepared) {
        let shared = Arc::clone(&self.shared);
        let mut run = shared.raw_run.lock().take();
        if run.as_ref().is_some_and(|run| !self.continues(run, &claim)) {
            shared.submit_run(run.take());
        }
        let permit = self.permit.take();
        let prepared = self.unless_outgrown(&claim, prepared);
        let counters = &shared.counters;
        match prepared {
            Prepared::Raw { checksums } => {
                add(&counters.pieces_raw, 1);
                let run = run.get_or_insert_with(|| RawRun {
                    inode: Arc::clone(&self.inode),
                    claim_number: self.claim_number,
                    parts: Vec::new(),
                });
                run.parts.push(RawPart {
                    claim,
                    pages,
                    data: std::mem::take(&mut self.snapshot),
                    checksums,
                    permit,
                });
            }
            Prepared::Compressed {
                codec,
                data,
                checksums,
            } => {
                shared.submit_run(run.take());
                let disk_num_bytes = data.len() as u64;
                let _books = shared.books.read();
                match shared.allocate(disk_num_bytes) {
                    Ok(space) => {
                        add(&counters.pieces_compressed, 1);
                        // The source is not needed any more; the copy is.
                        self.snapshot = Bytes::new();
                        let permit = permit.map(|mut permit| {
                            permit.shrink(disk_num_bytes);
                            permit
                        });
                        let stored = StoredExtent {
                            at: space.at(),
                            disk_num_bytes,
                            codec: Some(codec),
                        };
                        let permits = permit.into_iter().collect();
                        let data = smallvec![data];
                        let on_way = OnWay {
                            claim,
                            pages: smallvec![pages],
                            permits,
                            space: Some(space),
                        };
                        shared.submit_extent(&self.inode, on_way, stored, data, checksums);
                    }
                    // Raw it can be cut. There is as much as that, for it was promised.
                    Err(_) => {
                        add(&counters.pieces_raw, 1);
                        let range = claim.range();
                        shared.observe(self.inode.id, &range, PipelineStep::KeptRaw);
                        let data = std::mem::take(&mut self.snapshot);
                        let part = RawPart {
                            claim,
                            pages,
                            checksums: shared.volume.checksum(&data),
                            data,
                            permit,
                        };
                        shared.submit_cut(&self.inode, part);
                    }
                }
            }
            Prepared::Inline { codec, data } => {
                shared.submit_run(run.take());
                add(&counters.pieces_inline, 1);
                let on_way = OnWay {
                    claim,
                    pages: smallvec![pages],
                    permits: permit.into_iter().collect(),
                    space: None,
                };
                shared.submit_inline(&self.inode, on_way, codec, data, self.data_len);
            }
        }
        if self.last_of_claim {
            shared.submit_run(run.take());
        }
        *shared.raw_run.lock() = run;
    }

    /// What a file has in its tree is all that it has: what the file grew by since the claim may be on
    /// its way, or there already. What it grows by from now on comes behind this piece.
    fn unless_outgrown(&self, claim: &Claim, prepared: Prepared) -> Prepared {
        let shared = &self.shared;
        let sector = u64::from(shared.limits.sector_size);
        match prepared {
            Prepared::Inline { .. } if self.inode.size() > sector => {
                add(&shared.counters.raw_outgrown, 1);
                shared.observe(self.inode.id, &claim.range(), PipelineStep::KeptRaw);
                self.raw()
            }
            prepared => prepared,
        }
    }

    fn continues(&self, run: &RawRun<V>, claim: &Claim) -> bool {
        let end = run.parts.last().map(|part| part.claim.range().end);
        run.claim_number == self.claim_number && end == Some(claim.range().start)
    }

    /// The piece cannot be written: says so, and lets go of it. Its neighbours go on.
    pub(crate) fn give_up(&mut self, claim: Claim, pages: UnderWriteback<V>, why: &str) {
        let run = self.shared.raw_run.lock().take();
        self.shared.submit_run(run);
        self.shared
            .give_up(&self.inode, claim, pages, why, ErrorKind::Io);
    }
}

impl<V: Volume> Shared<V> {
    fn allocate(&self, num_bytes: u64) -> VolumeResult<Unrecorded<V>> {
        let at = self.volume.allocate(num_bytes)?;
        Ok(Unrecorded::new(&self.volume, at, num_bytes))
    }

    fn submit_run(self: &Arc<Self>, run: Option<RawRun<V>>) {
        let Some(run) = run else { return };
        let _books = self.books.read();
        let bytes: usize = run.parts.iter().map(|part| part.data.len()).sum();
        match self.allocate(bytes as u64) {
            Ok(space) => self.submit_parts(&run.inode, run.parts, space),
            // If there is no room for it in one place, there may be for its parts.
            Err(_) => {
                for part in run.parts {
                    self.submit_cut(&run.inode, part);
                }
            }
        }
    }

    /// Submits a part, cut smaller and smaller as long as there is no room for it in one place. The
    /// caller has the books.
    fn submit_cut(self: &Arc<Self>, inode: &Arc<Inode>, part: RawPart<V>) {
        let sector = u64::from(self.limits.sector_size);
        let mut rest = part;
        let mut most = u64::MAX;
        let mut committed = false;
        loop {
            let whole = rest.data.len() as u64;
            let len = whole.min(most);
            match self.allocate(len) {
                Ok(space) if len == whole => return self.submit_parts(inode, vec![rest], space),
                Ok(space) => {
                    let part = rest.split_to(len, sector);
                    self.submit_parts(inode, vec![part], space);
                }
                Err(error) if error.kind() == VolumeErrorKind::NoSpace && len > sector => {
                    most = (len / 2).next_multiple_of(sector);
                }
                // What is lacking may be room for metadata, or come back with a commit.
                Err(error)
                    if error.kind() == VolumeErrorKind::NoSpace
                        && self.commit_for_room
                        && !committed =>
                {
                    committed = true;
                    most = u64::MAX;
                    let _ = self.commit();
                }
                Err(error) => return self.no_space(inode, rest.claim, rest.pages, &error),
            }
        }
    }

    fn no_space(&self, inode: &Inode, claim: Claim, pages: UnderWriteback<V>, error: &VolumeError) {
        let kind = error.kind().into();
        self.give_up(inode, claim, pages, &error.to_string(), kind);
    }

    fn submit_parts(
        self: &Arc<Self>,
        inode: &Arc<Inode>,
        parts: Vec<RawPart<V>>,
        space: Unrecorded<V>,
    ) {
        let mut checksums = BytesMut::new();
        let mut buffers = SmallVec::with_capacity(parts.len());
        let mut permits = SmallVec::new();
        let mut pages = SmallVec::new();
        let mut whole: Option<Claim> = None;
        for part in parts {
            checksums.extend_from_slice(&part.checksums);
            buffers.push(part.data);
            permits.extend(part.permit);
            pages.push(part.pages);
            match &mut whole {
                Some(claim) => claim.join(part.claim),
                None => whole = Some(part.claim),
            }
        }
        if let Some(claim) = whole {
            let stored = StoredExtent {
                at: space.at(),
                disk_num_bytes: buffers.iter().map(|b: &Bytes| b.len() as u64).sum(),
                codec: None,
            };
            let on_way = OnWay {
                claim,
                pages,
                permits,
                space: Some(space),
            };
            self.submit_extent(inode, on_way, stored, buffers, checksums.freeze());
        }
    }

    fn submit_extent(
        self: &Arc<Self>,
        inode: &Arc<Inode>,
        on_way: OnWay<V>,
        stored: StoredExtent<V::Locator>,
        buffers: SmallVec<[Bytes; 1]>,
        checksums: Bytes,
    ) {
        let range = on_way.claim.range();
        let extent = FileExtent {
            file_offset: range.start,
            num_bytes: range.end - range.start,
            stored,
            checksums,
        };
        let what = Submitted::Extent { extent, buffers };
        self.order(inode, on_way, stored.disk_num_bytes, what);
    }

    fn submit_inline(
        self: &Arc<Self>,
        inode: &Arc<Inode>,
        on_way: OnWay<V>,
        codec: Option<CodecId>,
        data: Bytes,
        ram_bytes: u64,
    ) {
        let what = Submitted::Inline {
            data,
            codec,
            ram_bytes,
        };
        self.order(inode, on_way, 0, what);
    }

    /// The ordered extent is there before the range leaves the in-flight state, and the range is
    /// ordered before the writer can finish it.
    fn order(
        self: &Arc<Self>,
        inode: &Arc<Inode>,
        on_way: OnWay<V>,
        disk_num_bytes: u64,
        what: Submitted<V>,
    ) {
        let OnWay {
            claim,
            pages,
            permits,
            space,
        } = on_way;
        let range = claim.range();
        let handle = inode.ordered.add(range.clone(), disk_num_bytes, ());
        let ordered = claim.order(disk_num_bytes);
        self.observe(inode.id, &range, PipelineStep::Submitted);
        self.writer.push(WriteJob {
            shared: Arc::clone(self),
            inode: Arc::clone(inode),
            ordered,
            handle,
            what,
            space,
            pages,
            permits,
        });
    }

    fn give_up(
        &self,
        inode: &Inode,
        claim: Claim,
        pages: UnderWriteback<V>,
        why: &str,
        kind: ErrorKind,
    ) {
        self.failed(inode, claim.range(), why, kind);
        pages.end();
        drop(claim);
        self.let_go(inode);
    }
}
