//! Reading ranges of files into the page cache.

use std::fmt;
use std::ops::Range;

use pagecache::{Fetch, Mapping, PAGE_SIZE};

use crate::batch::Batch;
use crate::counters::{Counters, Stats, count};
use crate::error::{Error, FileId, shared};
use crate::extent_map::{ExtentKind, ExtentMap};
use crate::flight::{Claim, Flight, Flights, Key};
use crate::load::{Led, Loader, Target};
use crate::plan::{Piece, RAW_PIECE, ReadPlan, page_up, plan};
use crate::ports::{Decode, DiskRead, ExtentMaps, Job, Locator, Spawn, Verify};
use crate::sync::Arc;

/// Looks and reads again so often where the file changes or the cache is too small meanwhile.
const ATTEMPTS: usize = 1000;

/// Most bytes on disk that are fetched with one call.
const GROUP_DISK_BYTES: u64 = 1 << 20;

/// Most pieces that one thread takes at a time.
const GROUP_PIECES: usize = 8;

/// A file to read: its name, its part of the page cache, and where its bytes are.
///
/// The mapping knows the file's size, and nothing behind it is filled.
pub struct File<'a, L> {
    /// Its name.
    pub id: FileId,
    /// Its pages.
    pub mapping: &'a Mapping,
    /// Its extent maps.
    pub maps: &'a dyn ExtentMaps<L>,
}

/// Fills pages of files with what is on a disk. A handle: clones are the same.
pub struct ReadPath<L, D> {
    shared: Arc<Shared<D>>,
    locator: std::marker::PhantomData<fn() -> L>,
}

struct Shared<D> {
    disk: Arc<D>,
    decode: Arc<dyn Decode>,
    spawn: Arc<dyn Spawn>,
    flights: Arc<Flights>,
    counters: Counters,
}

/// What a reader waits for.
struct Pending {
    fill: Range<u64>,
    flight: Arc<Flight>,
    /// Another reader's: it may have planned with other maps.
    joined: bool,
}

impl<L: Locator, D: DiskRead<L> + Verify<L> + 'static> ReadPath<L, D> {
    /// Reads `disk`, decompresses with `decode`, and lets `spawn` help.
    pub fn new(disk: Arc<D>, decode: Arc<dyn Decode>, spawn: Arc<dyn Spawn>) -> Self {
        Self {
            shared: Arc::new(Shared {
                disk,
                decode,
                spawn,
                flights: Arc::default(),
                counters: Counters::default(),
            }),
            locator: std::marker::PhantomData,
        }
    }

    /// What was done since this was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    /// Waits until nothing is being read; readers who come meanwhile are not waited for.
    pub fn quiesce(&self) {
        self.shared.flights.quiesce();
    }

    /// Whether nothing is being read.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.flights.is_empty()
    }

    /// Fills the pages of `range` that are not cached, and begins to fill those up to
    /// `readahead_until`; both are cut at the file's end.
    ///
    /// An empty `range` only begins to read ahead, from its start on.
    ///
    /// Every page that a compressed extent covers is filled along. Waits for `range` only: the rest
    /// goes on in the background where other threads help, and its errors are nobody's. Where
    /// memory is short there is no readahead.
    ///
    /// The caller keeps writers of `range` away, or accepts either content. Takes no lock that it
    /// keeps; waits for other readers of the same extents.
    ///
    /// # Errors
    ///
    /// Of the first page of `range` that can't be read. All others have been filled.
    pub fn read_range(
        &self,
        file: &File<'_, L>,
        range: Range<u64>,
        readahead_until: u64,
    ) -> Result<(), Error> {
        let asked_until = range.end;
        self.read_part(file, range, asked_until, readahead_until)
    }

    /// The part `range` of what a reader asked for, which ends at `asked_until`.
    pub(crate) fn read_part(
        &self,
        file: &File<'_, L>,
        range: Range<u64>,
        asked_until: u64,
        readahead_until: u64,
    ) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            // Who was disturbed again and again doesn't go further than it must.
            let until = if attempt < 4 { readahead_until } else { 0 };
            if let Some(result) = self.attempt(file, &range, asked_until, until) {
                return result;
            }
        }
        let file = file.id;
        Err(Error::Contended { file, range })
    }

    /// `None`: look again.
    fn attempt(
        &self,
        file: &File<'_, L>,
        range: &Range<u64>,
        asked_until: u64,
        readahead_until: u64,
    ) -> Option<Result<(), Error>> {
        let size = file.mapping.size();
        let range = range.start..range.end.min(size);
        let demand = match range.is_empty() {
            true => page_up(range.start)..page_up(range.start),
            false => page_down(range.start)..page_up(range.end),
        };
        let window = demand.start..demand.end.max(page_up(readahead_until.min(size)));
        if window.is_empty() {
            return Some(Ok(()));
        }
        let lookup = file.mapping.missing(window);
        let missing = lookup.ranges;
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else {
            return Some(Ok(()));
        };
        let demanded = |fill: &Range<u64>| overlap(fill, &demand);
        let looked_up = first.start..last.end;
        let maps = match file.maps.extent_maps(looked_up.clone()) {
            Ok(maps) => maps,
            // Nobody asked for what lies ahead.
            Err(_) if !missing.iter().any(demanded) => return Some(Ok(())),
            // It may have been the readahead's map.
            Err(_) if looked_up.end > demand.end => return None,
            Err(error) => {
                return Some(Err(Error::Maps {
                    file: file.id,
                    range: looked_up,
                    source: shared(error),
                }));
            }
        };
        let pieces = plan(&maps, &missing, lookup.file_size);
        let batch = Arc::new(Batch::default());
        let (led, pending) = self.claim(file, pieces, &demand, &batch);
        let target = Target {
            file: file.id,
            mapping: file.mapping.clone(),
            fetch: Fetch {
                epoch: lookup.epoch,
                demand: demand.start..demand.end.max(asked_until),
            },
        };
        self.start(&batch, target, led, !pending.is_empty());
        self.wait(file, &range, &maps, pending)
    }

    /// Claims what nobody reads yet. Returns what to read, and what to wait for.
    fn claim(
        &self,
        file: &File<'_, L>,
        pieces: Vec<Piece<L>>,
        demand: &Range<u64>,
        batch: &Arc<Batch>,
    ) -> (Vec<Led<L>>, Vec<Pending>) {
        let counters = &self.shared.counters;
        let cache = file.mapping.cache();
        let mut led = Vec::new();
        let mut pending = Vec::new();
        let mut ahead_bytes = 0;
        let count_of_pieces = pieces.len();
        for (n, piece) in pieces.into_iter().enumerate() {
            let demanded = overlap(&piece.wanted, demand);
            if !demanded {
                ahead_bytes += piece.fill.end - piece.fill.start;
                // A window as large as the cache would push itself out.
                if ahead_bytes > cache.budget() / 4 || !cache.try_room(ahead_bytes) {
                    count(&counters.readahead_skipped, (count_of_pieces - n) as u64);
                    break;
                }
            }
            let key = Key {
                file: file.id,
                mapping: file.mapping.identity(),
                start: piece.fill.start,
            };
            let fill = piece.fill.clone();
            let (flight, joined) = match self.shared.flights.claim(key, fill.end, batch) {
                Claim::Lead(lead) => {
                    let flight = lead.flight();
                    led.push((piece, lead));
                    (flight, false)
                }
                Claim::Joined(flight) => (flight, true),
            };
            if demanded {
                count(&counters.joined, u64::from(joined));
                pending.push(Pending {
                    fill,
                    flight,
                    joined,
                });
            }
        }
        (led, pending)
    }

    /// Makes jobs of what the caller leads, for whoever takes them first.
    fn start(&self, batch: &Arc<Batch>, target: Target, led: Vec<Led<L>>, caller_works: bool) {
        if led.is_empty() {
            return;
        }
        let flights: Vec<_> = led.iter().map(|(_, lead)| lead.flight()).collect();
        let threads = self.shared.spawn.parallelism() + usize::from(caller_works);
        let jobs: Vec<Job> = groups(led, threads)
            .into_iter()
            .map(|group| {
                let shared = Arc::clone(&self.shared);
                let target = target.clone();
                Box::new(move || shared.loader().load(&target, group)) as Job
            })
            .collect();
        let others = jobs.len().saturating_sub(usize::from(caller_works));
        let helpers = others.min(self.shared.spawn.parallelism());
        batch.publish(jobs);
        for flight in flights {
            flight.publish();
        }
        batch.enlist(helpers, &*self.shared.spawn);
        if helpers == 0 {
            while batch.run_one() {}
        }
    }

    /// Whether a range is somewhere else now than `before` tells.
    fn has_moved(&self, file: &File<'_, L>, range: &Range<u64>, before: &[ExtentMap<L>]) -> bool {
        let Ok(now) = file.maps.extent_maps(range.clone()) else {
            return false;
        };
        let there = |map: &&ExtentMap<L>| {
            let end = map.start.saturating_add(map.len);
            !matches!(map.kind, ExtentKind::Hole) && overlap(&(map.start..end), range)
        };
        now.iter().filter(there).ne(before.iter().filter(there))
    }

    fn wait(
        &self,
        file: &File<'_, L>,
        range: &Range<u64>,
        maps: &[ExtentMap<L>],
        pending: Vec<Pending>,
    ) -> Option<Result<(), Error>> {
        let mut again = false;
        let mut first_error: Option<Error> = None;
        for Pending {
            fill,
            flight,
            joined,
        } in pending
        {
            let outcome = flight.wait();
            if outcome.stale {
                count(&self.shared.counters.stale, 1);
            }
            again |= joined || outcome.stale;
            let error = outcome
                .failures
                .iter()
                .find(|error| overlap(&error.range(), range));
            let Some(error) = error else { continue };
            // The other reader's end, or older maps, say nothing about this one's bytes.
            if joined || outcome.stale || first_error.is_some() {
                continue;
            }
            // An extent that was overwritten meanwhile may be anything by now.
            if self.has_moved(file, &error.range(), maps) {
                count(&self.shared.counters.stale, 1);
                again = true;
                continue;
            }
            tracing::trace!(file = %file.id, ?fill, %error, "can't be read");
            first_error = Some(error.clone());
        }
        match (first_error, again) {
            (Some(error), _) => Some(Err(error)),
            (None, true) => None,
            (None, false) => Some(Ok(())),
        }
    }
}

impl<D> Shared<D> {
    fn loader(&self) -> Loader<'_, D> {
        Loader {
            disk: &self.disk,
            decode: &*self.decode,
            counters: &self.counters,
        }
    }
}

/// Cuts what is to be read into jobs: neighbours together, for the disk's sake, but enough of them
/// for `threads`.
fn groups<L: Locator>(led: Vec<Led<L>>, threads: usize) -> Vec<Vec<Led<L>>> {
    let most = match threads {
        0 | 1 => GROUP_PIECES,
        // Two for each, so that one slow job does not leave the others idle.
        _ => led.len().div_ceil(2 * threads).min(GROUP_PIECES),
    };
    let mut groups: Vec<Vec<Led<L>>> = Vec::new();
    let mut disk_bytes = 0;
    for (piece, lead) in led {
        let bytes = match &piece.plan {
            ReadPlan::Compressed { disk_num_bytes, .. } => *disk_num_bytes as u64,
            ReadPlan::Raw { .. } => RAW_PIECE,
            _ => 0,
        };
        disk_bytes += bytes;
        match groups.last_mut() {
            Some(group) if group.len() < most && disk_bytes <= GROUP_DISK_BYTES => {
                group.push((piece, lead));
            }
            _ => {
                disk_bytes = bytes;
                groups.push(vec![(piece, lead)]);
            }
        }
    }
    groups
}

fn page_down(offset: u64) -> u64 {
    offset - offset % PAGE_SIZE
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    !a.is_empty() && !b.is_empty() && a.start < b.end && b.start < a.end
}

impl<L, D> Clone for ReadPath<L, D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            locator: std::marker::PhantomData,
        }
    }
}

impl<L, D> fmt::Debug for ReadPath<L, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadPath")
            .field("stats", &self.shared.counters.stats())
            .finish_non_exhaustive()
    }
}

impl<L> fmt::Debug for File<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").field("id", &self.id).finish()
    }
}
