//! The work item: one piece of a claimed range, at most 128 KiB.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use compress::CodecId;
use delalloc::Claim;
use ordered_wq::{Outcome, Permit, Work};

use crate::inode::Inode;
use crate::pipeline_trace::PipelineStep;
use crate::policy::{Compression, PieceFacts, WritebackPlan, plan};
use crate::shared::Shared;
use crate::stats::add;
use crate::sync::{Arc, Ordering};
use crate::under_writeback::UnderWriteback;
use crate::volume::Volume;

/// What the parallel part made of the bytes.
pub(crate) enum Prepared {
    /// As they are.
    Raw { checksums: Bytes },
    /// Padded to whole sectors.
    Compressed {
        codec: CodecId,
        data: Bytes,
        checksums: Bytes,
    },
    /// To be stored in the tree.
    Inline { codec: Option<CodecId>, data: Bytes },
}

/// A piece on its way through the ordered work queue.
pub(crate) struct Piece<V: Volume> {
    pub(crate) shared: Arc<Shared<V>>,
    pub(crate) inode: Arc<Inode>,
    /// Taken by the ordered part, with the claim.
    pub(crate) pages: Option<UnderWriteback<V>>,
    pub(crate) claim: Option<Claim>,
    /// Pieces of one claim have the same number.
    pub(crate) claim_number: u64,
    pub(crate) last_of_claim: bool,
    /// Whole pages.
    pub(crate) snapshot: Bytes,
    /// Bytes of them that are data.
    pub(crate) data_len: u64,
    pub(crate) i_size: u64,
    pub(crate) permit: Option<Permit>,
    pub(crate) prepared: Option<Prepared>,
}

impl<V: Volume> Work for Piece<V> {
    fn run(&mut self) {
        if let Some(claim) = &self.claim {
            self.prepared = Some(self.prepare(claim.range().start));
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        if let (Some(claim), Some(pages)) = (self.claim.take(), self.pages.take()) {
            self.finish_claim(claim, pages, outcome);
        }
        // This item is still listed. Whoever submits another one calls here again.
        if self.shared.queue.unfinished() <= 1 {
            self.shared.writer.no_more();
        }
    }
}

impl<V: Volume> Piece<V> {
    fn finish_claim(&mut self, claim: Claim, pages: UnderWriteback<V>, outcome: Outcome) {
        match (outcome, self.prepared.take()) {
            (Outcome::Done, Some(prepared)) => self.submit(claim, pages, prepared),
            (Outcome::Panicked(message), _) => {
                self.give_up(claim, pages, &format!("preparing it panicked: {message}"));
            }
            (Outcome::Done | Outcome::Cancelled, _) => {
                self.give_up(claim, pages, "the filesystem was shut down");
            }
        }
    }

    fn prepare(&self, start: u64) -> Prepared {
        let shared = &self.shared;
        let policy = *self.inode.policy.lock();
        let plan = plan(PieceFacts {
            start,
            data_len: self.data_len,
            i_size: self.i_size,
            sector_size: u64::from(shared.limits.sector_size),
            max_inline: match self.inode.no_inline.load(Ordering::Relaxed) {
                true => 0,
                false => u64::from(shared.limits.max_inline),
            },
            policy,
            quick_on_noise: policy
                .compression()
                .is_some_and(|how| shared.is_quick_on_noise(how)),
        });
        let prepared = match plan {
            WritebackPlan::Raw => {
                add(&shared.counters.raw_unwanted, 1);
                self.raw()
            }
            WritebackPlan::Compress(how) => self.compress(how),
            WritebackPlan::Sample(how) => {
                self.compress_if(compress::advise(self.data()).is_compress(), how)
            }
            WritebackPlan::UnlessNoise { how, throughout } => self.unless_noise(how, throughout),
            WritebackPlan::Inline(how) => self.inline(how),
        };
        let range = start..start + self.snapshot.len() as u64;
        let step = match &prepared {
            Prepared::Raw { .. } => PipelineStep::KeptRaw,
            Prepared::Compressed { codec, data, .. } => PipelineStep::Compressed {
                codec: *codec,
                stored: data.len() as u64,
            },
            Prepared::Inline { .. } => PipelineStep::MadeInline,
        };
        shared.observe(self.inode.id, &range, step);
        prepared
    }

    fn data(&self) -> &[u8] {
        &self.snapshot[..self.data_len as usize]
    }

    pub(crate) fn raw(&self) -> Prepared {
        Prepared::Raw {
            checksums: self.shared.volume.checksum(&self.snapshot),
        }
    }

    /// Most of what may be noise is: its checksums are computed first, which reads it from end to end,
    /// and who asks further finds it in the processor's cache.
    fn unless_noise(&self, how: Compression, throughout: bool) -> Prepared {
        if !compress::may_be_noise(self.data()) {
            return self.compress(how);
        }
        let raw = self.raw();
        let noise = match throughout {
            true => compress::is_noise_throughout(self.data()),
            false => compress::is_noise(self.data()),
        };
        if !noise {
            return self.compress(how);
        }
        add(&self.shared.counters.raw_sampled, 1);
        raw
    }

    fn compress_if(&self, promising: bool, how: Compression) -> Prepared {
        if promising {
            return self.compress(how);
        }
        add(&self.shared.counters.raw_sampled, 1);
        self.raw()
    }

    fn compress(&self, how: Compression) -> Prepared {
        let shared = &self.shared;
        let sector = shared.limits.sector_size as usize;
        // Room for a result that saves a sector, and none for one that doesn't.
        let limit = self.snapshot.len() - sector;
        let mut out = shared.cache.buffer(limit);
        match self.try_codec(how, &mut out) {
            Ok(Some(len)) => {
                let stored = len.next_multiple_of(sector);
                out[len..stored].fill(0);
                out.truncate(stored);
                let data = out.freeze();
                Prepared::Compressed {
                    codec: how.codec,
                    checksums: shared.volume.checksum(&data),
                    data,
                }
            }
            Ok(None) => {
                add(&shared.counters.raw_incompressible, 1);
                self.raw()
            }
            Err(error) => {
                tracing::warn!(%error, "kept raw");
                add(&shared.counters.raw_codec_error, 1);
                self.raw()
            }
        }
    }

    fn inline(&self, how: Option<Compression>) -> Prepared {
        let shared = &self.shared;
        let max = shared.limits.max_inline as usize;
        let raw_fits =
            self.data_len as usize <= max && self.data_len < u64::from(shared.limits.sector_size);
        if let Some(how) = how {
            // Only worth it where it makes the payload smaller.
            let limit = if raw_fits {
                (self.data_len as usize).saturating_sub(1)
            } else {
                max
            };
            let mut out = vec![0; limit];
            match self.try_codec(how, &mut out) {
                Ok(Some(len)) => {
                    out.truncate(len);
                    return Prepared::Inline {
                        codec: Some(how.codec),
                        data: out.into(),
                    };
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "kept raw");
                    add(&shared.counters.raw_codec_error, 1);
                }
            }
        }
        if raw_fits {
            return Prepared::Inline {
                codec: None,
                data: Bytes::copy_from_slice(self.data()),
            };
        }
        add(&shared.counters.raw_incompressible, 1);
        self.raw()
    }

    fn try_codec(
        &self,
        how: Compression,
        out: &mut [u8],
    ) -> Result<Option<usize>, compress::Error> {
        let failed = |why: String| {
            Err(compress::Error::Compress {
                codec: self.shared.codec_name(how),
                len: self.data().len(),
                why,
            })
        };
        let room = out.len();
        let compress = || {
            let mut compressor = self.shared.workspaces.compressor(how.codec, how.level)?;
            compressor.compress(self.data(), out)
        };
        // Codecs may be others', and the data is not to be lost with one.
        match catch_unwind(AssertUnwindSafe(compress)) {
            // What would be stored could not be read.
            Ok(Ok(Some(put))) if put == 0 || put > room => {
                failed(format!("it says that it put {put} bytes into {room}"))
            }
            Ok(answer) => answer,
            Err(_) => failed("it panicked".to_owned()),
        }
    }
}
