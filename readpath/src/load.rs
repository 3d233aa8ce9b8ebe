//! Executes pieces of a plan: fetch, verify, decompress, fill.

use std::ops::Range;

use bytes::Bytes;
use compress::CodecId;
use pagecache::{Buffer, FOLIO_SIZE, Fetch, Mapping, PAGE_SIZE, Stale};

use crate::counters::{Counters, count};
use crate::error::{Error, FileId, shared};
use crate::fetch::{self, Fetched};
use crate::flight::{Lead, Outcome};
use crate::plan::{Piece, ReadPlan};
use crate::ports::{BoxError, Decode, DiskRange, DiskRead, Locator, Verify, or_panicked};

static ZEROES: [u8; FOLIO_SIZE as usize] = [0; FOLIO_SIZE as usize];

/// The file that is filled, as it was when the plan was made.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) file: FileId,
    pub(crate) mapping: Mapping,
    pub(crate) fetch: Fetch,
}

/// What pieces are read with.
pub(crate) struct Loader<'a, D> {
    pub(crate) disk: &'a D,
    pub(crate) decode: &'a dyn Decode,
    pub(crate) counters: &'a Counters,
}

/// A piece that the caller must read.
pub(crate) type Led<L> = (Piece<L>, Lead);

impl<D> Loader<'_, D> {
    /// Reads all of `group`, with one call for what mirror 0 has of it.
    pub(crate) fn load<L: Locator>(&self, target: &Target, group: Vec<Led<L>>)
    where
        D: DiskRead<L> + Verify<L>,
    {
        let sector = u64::from(self.disk.sector_size());
        let mut todo = Vec::with_capacity(group.len());
        let mut requests = Vec::with_capacity(group.len());
        for (piece, lead) in group {
            // Whoever read it before may have ended between the look-up and the claim.
            let missing = target.mapping.missing(piece.wanted.clone());
            if missing.ranges.is_empty() {
                lead.complete(Outcome::default());
                continue;
            }
            let request = request_of(&piece, sector);
            requests.extend(request);
            todo.push((piece, request, lead));
        }
        let mut answers = fetch::read(self.disk, &requests, 0, self.counters).into_iter();
        for (piece, request, lead) in todo {
            let fetched = request.map(|request| {
                let first = answers
                    .next()
                    .unwrap_or_else(|| Err("the device did not answer".into()));
                let fetched = fetch::settle(self.disk, request, first, self.counters);
                (request, fetched)
            });
            lead.complete(self.fill(target, &piece, fetched));
        }
    }

    fn fill<L: Locator>(
        &self,
        target: &Target,
        piece: &Piece<L>,
        fetched: Option<(DiskRange<L>, Fetched)>,
    ) -> Outcome
    where
        D: DiskRead<L>,
    {
        let mut sink = Sink {
            target,
            counters: self.counters,
            sector: self.disk.sector_size() as usize,
            outcome: Outcome::default(),
        };
        let file = target.file;
        let range = piece.fill.clone();
        match (&piece.plan, fetched) {
            (ReadPlan::Invalid(reason), _) => {
                let reason = *reason;
                sink.fail(Error::InvalidMap {
                    file,
                    range,
                    reason,
                });
            }
            (ReadPlan::Hole, _) => {
                let mut at = range.start;
                while at < range.end {
                    let len = (range.end - at).min(FOLIO_SIZE - at % FOLIO_SIZE);
                    sink.fill(at, &ZEROES[..len as usize]);
                    at += len;
                }
            }
            (
                ReadPlan::Inline {
                    data,
                    codec,
                    ram_bytes,
                },
                _,
            ) => {
                // An inline extent begins with the file.
                let skip = range.start as usize;
                self.expand(&mut sink, range, skip, data, *codec, *ram_bytes, &|| {
                    "the inline extent".into()
                });
            }
            (ReadPlan::Raw { offset, .. }, Some((request, fetched))) => {
                let shift = (offset - request.offset) as usize;
                let mirrors = self.disk.mirrors(request.disk);
                sink.fill_raw(&range, shift, &request, &fetched, mirrors);
            }
            (
                ReadPlan::Compressed {
                    ram_bytes,
                    skip,
                    codec,
                    ..
                },
                Some((request, fetched)),
            ) => {
                if fetched.bad.is_empty() {
                    let name = || name(&request, 0);
                    let (src, codec) = (&fetched.bytes, Some(*codec));
                    self.expand(&mut sink, range, *skip, src, codec, *ram_bytes, &name);
                } else {
                    let mirrors = self.disk.mirrors(request.disk);
                    let sector = sink.sector;
                    let bad = &fetched.bad;
                    let error = bad_sectors(file, range, &request, &fetched, bad, sector, mirrors);
                    sink.fail(error);
                }
            }
            (ReadPlan::Raw { .. } | ReadPlan::Compressed { .. }, None) => {
                sink.fail(Error::Aborted { file, range });
            }
        }
        sink.outcome
    }

    /// Decompresses `src` into one buffer and gives that, or what is missing of it, to the cache.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call for each kind of extent"
    )]
    fn expand(
        &self,
        sink: &mut Sink<'_>,
        range: Range<u64>,
        skip: usize,
        src: &Bytes,
        codec: Option<CodecId>,
        ram_bytes: usize,
        name: &dyn Fn() -> String,
    ) {
        let len = skip + (range.end - range.start) as usize;
        let mut buffer = sink.target.mapping.cache().buffer(len);
        let within = ram_bytes.min(len);
        match self.decompress(codec, src, &mut buffer[..within]) {
            Ok(produced) => {
                // Recycled memory: what an extent does not reach must not show through.
                buffer[produced..].fill(0);
                sink.give(range, skip, buffer);
            }
            Err((codec, error)) => sink.fail(Error::Undecodable {
                file: sink.target.file,
                range,
                disk: name(),
                codec,
                source: shared(error),
            }),
        }
    }

    /// Never more than `dst` holds.
    fn decompress(
        &self,
        codec: Option<CodecId>,
        src: &Bytes,
        dst: &mut [u8],
    ) -> Result<usize, (CodecId, BoxError)> {
        let Some(codec) = codec else {
            let len = src.len().min(dst.len());
            dst[..len].copy_from_slice(&src[..len]);
            return Ok(len);
        };
        count(&self.counters.decompressions, 1);
        match or_panicked("the codec", || self.decode.decode(codec, src, dst)) {
            Ok(produced) => Ok(produced.min(dst.len())),
            Err(error) => Err((codec, error)),
        }
    }
}

/// What goes into one file's pages.
struct Sink<'a> {
    target: &'a Target,
    counters: &'a Counters,
    sector: usize,
    outcome: Outcome,
}

impl Sink<'_> {
    fn fail(&mut self, error: Error) {
        self.outcome.failures.push(error);
    }

    fn note(&mut self, filled: Result<u64, Stale>) {
        match filled {
            Ok(bytes) => count(&self.counters.filled_bytes, bytes),
            Err(Stale) => self.outcome.stale = true,
        }
    }

    fn fill(&mut self, at: u64, data: &[u8]) {
        let filled = self.target.mapping.fill_for(&self.target.fetch, at, data);
        self.note(filled);
    }

    /// The whole buffer where it is as a folio has it, else what is missing of it.
    fn give(&mut self, range: Range<u64>, skip: usize, buffer: Buffer) {
        let folio_end = (range.start / FOLIO_SIZE + 1).saturating_mul(FOLIO_SIZE);
        if skip == 0 && range.end <= folio_end {
            let Target { mapping, fetch, .. } = self.target;
            let filled = mapping.insert_for(fetch, range.start, buffer);
            self.note(filled);
        } else {
            self.fill(range.start, &buffer[skip..]);
        }
    }

    /// Fills the good pages of `range`, whose first byte is `shift` bytes into `fetched`.
    fn fill_raw<L: Locator>(
        &mut self,
        range: &Range<u64>,
        shift: usize,
        request: &DiskRange<L>,
        fetched: &Fetched,
        mirrors: usize,
    ) {
        let wanted = (range.end - range.start) as usize;
        let end = fetched.bytes.len().min(shift + wanted);
        let mut done = 0;
        for bad in &fetched.bad {
            // The pages that the bad sectors touch.
            let page = PAGE_SIZE as usize;
            let first = bad.start.saturating_sub(shift) / page * page;
            let last = bad.end.saturating_sub(shift).next_multiple_of(page);
            let (first, last) = (first.max(done), last.min(wanted));
            if first >= last {
                continue;
            }
            if done < first {
                let good = shift + done..end.min(shift + first);
                self.fill(range.start + done as u64, &fetched.bytes[good]);
            }
            let pages = range.start + first as u64..range.start + last as u64;
            let file = self.target.file;
            let bad = std::slice::from_ref(bad);
            self.fail(bad_sectors(
                file,
                pages,
                request,
                fetched,
                bad,
                self.sector,
                mirrors,
            ));
            done = last;
        }
        if shift + done < end {
            let good = shift + done..end;
            self.fill(range.start + done as u64, &fetched.bytes[good]);
        }
    }
}

fn bad_sectors<L: Locator>(
    file: FileId,
    range: Range<u64>,
    request: &DiskRange<L>,
    fetched: &Fetched,
    bad: &[Range<usize>],
    sector: usize,
    mirrors: usize,
) -> Error {
    let first = bad.first().map_or(0, |bad| bad.start);
    let disk = name(request, first as u64);
    match &fetched.cause {
        Some(source) => Error::Device {
            file,
            range,
            disk,
            source: source.clone(),
        },
        None => Error::Damaged {
            file,
            range,
            disk,
            bad_sectors: bad.iter().map(|bad| bad.len().div_ceil(sector)).sum(),
            mirrors,
        },
    }
}

/// The disk address, as people look for it.
fn name<L: Locator>(request: &DiskRange<L>, behind: u64) -> String {
    match request.offset + behind {
        0 => format!("{:?}", request.disk),
        offset => format!("{:?} + {offset}", request.disk),
    }
}

/// Whole sectors that hold what `piece` needs, if it needs any.
fn request_of<L: Locator>(piece: &Piece<L>, sector: u64) -> Option<DiskRange<L>> {
    match piece.plan {
        ReadPlan::Raw {
            disk,
            disk_num_bytes,
            offset,
        } => {
            let start = offset - offset % sector;
            let end = offset.saturating_add(piece.fill.end - piece.fill.start);
            let end = end.checked_next_multiple_of(sector).unwrap_or(end);
            Some(DiskRange {
                disk,
                offset: start,
                len: (end.min(disk_num_bytes) - start) as usize,
            })
        }
        ReadPlan::Compressed {
            disk,
            disk_num_bytes,
            ..
        } => Some(DiskRange {
            disk,
            offset: 0,
            len: disk_num_bytes,
        }),
        _ => None,
    }
}
