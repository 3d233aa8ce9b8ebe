use std::ops::Range;

/// The bytes whose state one call changed.
///
/// The ranges are ascending, not empty, and merged where they touch, whatever
/// states they came from. One range, the usual case, takes no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "accounting goes by what really changed"]
pub struct Change {
    bytes: u64,
    first: Option<Range<u64>>,
    rest: Vec<Range<u64>>,
}

impl Change {
    /// How many bytes changed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The ranges that changed, ascending.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.first.iter().chain(&self.rest).cloned()
    }

    /// The range that changed, if it is exactly one.
    #[must_use]
    pub fn single(&self) -> Option<Range<u64>> {
        if self.rest.is_empty() {
            self.first.clone()
        } else {
            None
        }
    }

    /// Forgets the change when its accounting happens elsewhere.
    pub fn ignore(self) {}

    /// A range that changed as a whole, or not at all.
    pub(crate) fn of(range: Range<u64>, changed: bool) -> Self {
        let mut change = Self::default();
        if changed {
            change.push(range);
        }
        change
    }

    /// Adds a range that lies behind all those added before.
    pub(crate) fn push(&mut self, range: Range<u64>) {
        debug_assert!(range.start < range.end);
        self.bytes += range.end - range.start;
        match self.rest.last_mut().or(self.first.as_mut()) {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(_) => self.rest.push(range),
            None => self.first = Some(range),
        }
    }
}
