//! Failures of writeback, told once to everyone who has the file open.

use std::ops::Range;

use delalloc::Unfinished;

use crate::error::{Error, ErrorKind};
use crate::sync::Arc;
use crate::volume::InodeId;

/// Why a range did not reach the device.
#[derive(Debug, Clone)]
pub(crate) struct WriteFailure {
    pub(crate) range: Range<u64>,
    pub(crate) message: Arc<str>,
    pub(crate) kind: ErrorKind,
}

impl From<Unfinished> for WriteFailure {
    fn from(error: Unfinished) -> Self {
        Self {
            range: 0..0,
            message: error.to_string().into(),
            kind: ErrorKind::Io,
        }
    }
}

impl WriteFailure {
    fn of(&self, id: InodeId) -> Error {
        Error::Writeback {
            id,
            range: self.range.clone(),
            message: self.message.to_string(),
            kind: self.kind,
        }
    }
}

/// How far an opener of the file has been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailureCursor(u64);

/// The last failure of a file, and whether anybody knows of it. Kernel counterpart: `lib/errseq.c`.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    last: Option<WriteFailure>,
    /// How many there were.
    count: u64,
    told: bool,
}

impl Failures {
    pub(crate) fn record(&mut self, failure: WriteFailure) {
        self.last = Some(failure);
        self.count += 1;
        self.told = false;
    }

    /// Nobody knows of the last one yet.
    pub(crate) fn is_untold(&self) -> bool {
        self.count > 0 && !self.told
    }

    /// Where somebody begins who opens the file now: what nobody was told of is news to it.
    pub(crate) fn cursor(&self) -> FailureCursor {
        FailureCursor(if self.told { self.count } else { 0 })
    }

    /// The last failure, if there was one since there were so many. Whoever has the file open is still
    /// told.
    pub(crate) fn since(&self, count: u64, id: InodeId) -> Result<(), Error> {
        match &self.last {
            Some(failure) if self.count != count => Err(failure.of(id)),
            _ => Ok(()),
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The last failure, if there was one since `cursor` looked.
    pub(crate) fn check(&mut self, cursor: &mut FailureCursor, id: InodeId) -> Result<(), Error> {
        if cursor.0 == self.count {
            return Ok(());
        }
        cursor.0 = self.count;
        self.tell(id)
    }

    /// The last failure, if nobody was told of it.
    pub(crate) fn check_untold(&mut self, id: InodeId) -> Result<(), Error> {
        if self.is_untold() {
            return self.tell(id);
        }
        Ok(())
    }

    fn tell(&mut self, id: InodeId) -> Result<(), Error> {
        self.told = true;
        match &self.last {
            Some(failure) => Err(failure.of(id)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(at: u64) -> WriteFailure {
        WriteFailure {
            range: at..at + 1,
            message: "lost".into(),
            kind: ErrorKind::Io,
        }
    }

    #[test]
    fn each_opener_is_told_once_and_sync_what_nobody_was_told() {
        let id = InodeId { tree: 0, ino: 7 };
        let mut failures = Failures::default();
        let (mut a, mut b) = (failures.cursor(), failures.cursor());
        assert!(failures.check(&mut a, id).is_ok() && failures.check_untold(id).is_ok());
        failures.record(failure(0));
        assert!(failures.is_untold());
        let mut opened_late = failures.cursor();
        assert!(failures.check(&mut a, id).is_err());
        assert!(failures.check(&mut a, id).is_ok());
        assert!(failures.check_untold(id).is_ok());
        assert!(failures.check(&mut b, id).is_err());
        assert!(failures.check(&mut opened_late, id).is_err());
        let mut opened_later = failures.cursor();
        assert!(failures.check(&mut opened_later, id).is_ok());
        failures.record(failure(1));
        failures.record(failure(2));
        let told = failures.check_untold(id).unwrap_err();
        assert!(matches!(told, Error::Writeback { range, .. } if range == (2..3)));
        for cursor in [&mut a, &mut b, &mut opened_late, &mut opened_later] {
            assert!(failures.check(cursor, id).is_err());
            assert!(failures.check(cursor, id).is_ok());
        }
    }
}
