//! Bytes of disk extents, verified, each bad sector replaced by a good one of another mirror.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::counters::{Counters, count};
use crate::error::{Source, shared};
use crate::ports::{BoxError, DiskRange, DiskRead, Locator, Verify, or_panicked};

/// What a [`DiskRange`] holds.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// As many as were asked for. Arbitrary where bad.
    pub(crate) bytes: Bytes,
    /// Ranges of `bytes` that no mirror has, whole sectors, ascending, joined.
    pub(crate) bad: Vec<Range<usize>>,
    /// The device's or the checksums' own error, if that is why something is bad.
    pub(crate) cause: Option<Source>,
}

/// Why a read of several sectors can't be used at all.
fn short(got: usize, wanted: usize) -> BoxError {
    format!("the device gave {got} bytes instead of {wanted}").into()
}

/// Reads all `requests` with one call.
pub(crate) fn read<L: Locator>(
    disk: &impl DiskRead<L>,
    requests: &[DiskRange<L>],
    mirror: usize,
    counters: &Counters,
) -> Vec<Result<Bytes, BoxError>> {
    if requests.is_empty() {
        return Vec::new();
    }
    count(&counters.fetches, 1);
    let len: usize = requests.iter().map(|request| request.len).sum();
    count(&counters.fetched_bytes, len as u64);
    let answers = or_panicked("the device", || Ok(disk.read(requests, mirror)));
    let (mut answers, why) = match answers {
        Ok(answers) => (answers, "the device did not answer".into()),
        Err(panicked) => (Vec::new(), panicked.to_string()),
    };
    answers.truncate(requests.len());
    while answers.len() < requests.len() {
        answers.push(Err(why.as_str().into()));
    }
    for (answer, request) in answers.iter_mut().zip(requests) {
        if let Ok(bytes) = answer
            && bytes.len() != request.len
        {
            *answer = Err(short(bytes.len(), request.len));
        }
    }
    answers
}

/// Verifies what mirror 0 gave for `request`, and heals it.
pub(crate) fn settle<L: Locator, D: DiskRead<L> + Verify<L>>(
    disk: &D,
    request: DiskRange<L>,
    first: Result<Bytes, BoxError>,
    counters: &Counters,
) -> Fetched {
    let sector = disk.sector_size() as usize;
    let sectors = request.len.div_ceil(sector);
    let mut cause = None;
    let (bytes, bad) = match first {
        Ok(bytes) => {
            let bad = check(disk, &request, &bytes, sectors, &mut cause);
            (bytes, bad)
        }
        Err(error) => {
            cause = Some(shared(error));
            (Bytes::new(), (0..sectors).collect())
        }
    };
    if bad.is_empty() {
        return Fetched {
            bytes,
            bad: Vec::new(),
            cause: None,
        };
    }
    Healing {
        disk,
        request,
        sector,
        buffer: match bytes.is_empty() {
            true => BytesMut::zeroed(request.len),
            false => BytesMut::from(bytes),
        },
        bad,
        healed: 0,
        cause,
        counters,
    }
    .heal()
}

/// Indexes of the bad sectors of `bytes`.
fn check<L: Locator>(
    verify: &impl Verify<L>,
    at: &DiskRange<L>,
    bytes: &[u8],
    sectors: usize,
    cause: &mut Option<Source>,
) -> Vec<usize> {
    let verify = || verify.verify(at.disk, at.offset, bytes);
    match or_panicked("who verifies", verify) {
        Ok(mut bad) => {
            bad.retain(|&index| index < sectors);
            bad
        }
        Err(error) => {
            *cause = Some(shared(error));
            (0..sectors).collect()
        }
    }
}

struct Healing<'a, L, D> {
    disk: &'a D,
    request: DiskRange<L>,
    sector: usize,
    buffer: BytesMut,
    /// Indexes of sectors, ascending.
    bad: Vec<usize>,
    /// Sectors that came from another mirror than the first.
    healed: usize,
    cause: Option<Source>,
    counters: &'a Counters,
}

impl<L: Locator, D: DiskRead<L> + Verify<L>> Healing<'_, L, D> {
    fn heal(mut self) -> Fetched {
        let mirrors = self.disk.mirrors(self.request.disk).max(1);
        for mirror in 1..mirrors {
            for run in self.runs() {
                self.patch(run, mirror);
            }
        }
        // One unreadable sector fails a read of many.
        if self.cause.is_some() && self.request.len > self.sector {
            for mirror in 0..mirrors {
                for index in self.bad.clone() {
                    self.patch(index..index + 1, mirror);
                }
            }
        }
        let damaged = self.bad.len();
        let healed = self.healed;
        count(&self.counters.healed_sectors, healed as u64);
        count(&self.counters.damaged_sectors, damaged as u64);
        if healed > 0 {
            let healed = || {
                self.disk.healed(&self.request, healed);
                Ok(())
            };
            // Nothing is lost with it.
            let _ = or_panicked("the device", healed);
        }
        tracing::warn!(
            disk = ?self.request.disk,
            offset = self.request.offset,
            len = self.request.len,
            healed,
            damaged,
            mirrors,
            cause = self.cause.as_ref().map(tracing::field::display),
            "bad sectors"
        );
        let bad = self.runs();
        let bad = bad.into_iter().map(|run| self.bytes_of(&run)).collect();
        Fetched {
            bytes: self.buffer.freeze(),
            bad,
            cause: self.cause,
        }
    }

    /// Takes what is good of the sectors `run` of `mirror`.
    fn patch(&mut self, run: Range<usize>, mirror: usize) {
        let within = self.bytes_of(&run);
        let request = DiskRange {
            disk: self.request.disk,
            offset: self.request.offset + within.start as u64,
            len: within.len(),
        };
        let answer = read(self.disk, &[request], mirror, self.counters).pop();
        let bytes = match answer {
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => {
                self.cause = Some(shared(error));
                return;
            }
            None => return,
        };
        let bad = check(self.disk, &request, &bytes, run.len(), &mut self.cause);
        for (n, index) in run.enumerate() {
            if bad.contains(&n) {
                continue;
            }
            let to = self.bytes_of(&(index..index + 1));
            let from = n * self.sector;
            let len = to.len();
            self.buffer[to].copy_from_slice(&bytes[from..from + len]);
            self.bad.retain(|&other| other != index);
            // What the first one only gives in single sectors was never bad.
            self.healed += usize::from(mirror > 0);
        }
    }

    fn bytes_of(&self, sectors: &Range<usize>) -> Range<usize> {
        let end = (sectors.end * self.sector).min(self.request.len);
        sectors.start * self.sector..end
    }

    /// The bad sectors as ranges of sectors.
    fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for &index in &self.bad {
            match runs.last_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => runs.push(index..index + 1),
            }
        }
        runs
    }
}
