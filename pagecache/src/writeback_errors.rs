//! Errors of writeback, reported once to everyone who has the file open.

use std::io::ErrorKind;

/// How far an opener of the file has been told of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCursor(u64);

/// The last error of a file, and whether anybody knows of it. Kernel counterpart: `lib/errseq.c`.
#[derive(Debug, Default)]
pub(crate) struct WritebackErrors {
    last: Option<ErrorKind>,
    /// How many there were.
    count: u64,
    seen: bool,
}

impl WritebackErrors {
    pub(crate) fn record(&mut self, error: ErrorKind) {
        self.last = Some(error);
        self.count += 1;
        self.seen = false;
    }

    /// The cursor of who opens the file now: errors that nobody was told of yet are news to it.
    pub(crate) fn cursor(&self) -> ErrorCursor {
        ErrorCursor(if self.seen { self.count } else { 0 })
    }

    pub(crate) fn check(&mut self, cursor: &mut ErrorCursor) -> Option<ErrorKind> {
        if cursor.0 == self.count {
            return None;
        }
        cursor.0 = self.count;
        self.seen = true;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_opener_is_told_once() {
        let mut errors = WritebackErrors::default();
        let (mut a, mut b) = (errors.cursor(), errors.cursor());
        assert_eq!(errors.check(&mut a), None);
        errors.record(ErrorKind::StorageFull);
        // Opened after the error, which nobody knows of.
        let mut late = errors.cursor();
        assert_eq!(errors.check(&mut a), Some(ErrorKind::StorageFull));
        assert_eq!(errors.check(&mut a), None);
        let mut later = errors.cursor();
        assert_eq!(errors.check(&mut b), Some(ErrorKind::StorageFull));
        assert_eq!(errors.check(&mut late), Some(ErrorKind::StorageFull));
        assert_eq!(errors.check(&mut later), None);
        errors.record(ErrorKind::Other);
        errors.record(ErrorKind::TimedOut);
        for cursor in [&mut a, &mut b, &mut late, &mut later] {
            assert_eq!(errors.check(cursor), Some(ErrorKind::TimedOut));
            assert_eq!(errors.check(cursor), None);
        }
    }
}
