//! What was measured.

/// One round of one contestant.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) seconds: f64,
    /// Most memory that the process had, in bytes.
    pub(crate) peak: Option<u64>,
    pub(crate) size: Option<Size>,
}

/// What was made, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Size {
    /// Extents of data that are in use.
    pub(crate) data: Option<u64>,
    /// Nodes in use, one copy of each.
    pub(crate) metadata: Option<u64>,
    /// What the file takes up on its filesystem, holes excluded.
    pub(crate) file: u64,
}

/// All samples of one contestant of one group.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) samples: Vec<(usize, Sample)>,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) rows: Vec<Row>,
}

impl Figures {
    pub(crate) fn add(&mut self, group: &'static str, name: &str, round: usize, sample: Sample) {
        let known = self
            .rows
            .iter_mut()
            .find(|row| row.group == group && row.name == name);
        match known {
            Some(row) => row.samples.push((round, sample)),
            None => self.rows.push(Row {
                group,
                name: name.to_owned(),
                samples: vec![(round, sample)],
            }),
        }
    }

    /// In the order in which they were first measured.
    pub(crate) fn groups(&self) -> Vec<&'static str> {
        let mut groups = Vec::new();
        for row in &self.rows {
            if !groups.contains(&row.group) {
                groups.push(row.group);
            }
        }
        groups
    }

    pub(crate) fn of_group(&self, group: &str) -> Vec<&Row> {
        let mut rows: Vec<_> = self.rows.iter().filter(|row| row.group == group).collect();
        rows.sort_by(|a, b| (!a.is_ours(), &a.name).cmp(&(!b.is_ours(), &b.name)));
        rows
    }

    pub(crate) fn row(&self, group: &str, name: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.group == group && row.name.contains(name))
    }
}

impl Row {
    pub(crate) fn is_ours(&self) -> bool {
        self.name.contains("ours")
    }

    pub(crate) fn seconds(&self) -> Vec<f64> {
        self.samples.iter().map(|(_, s)| s.seconds).collect()
    }

    pub(crate) fn peak(&self) -> Option<u64> {
        self.samples.iter().filter_map(|(_, s)| s.peak).max()
    }

    pub(crate) fn size(&self) -> Option<Size> {
        self.samples.iter().find_map(|(_, s)| s.size)
    }

    /// The longest time divided by the shortest.
    pub(crate) fn spread(&self) -> f64 {
        let seconds = self.seconds();
        let most = seconds.iter().copied().fold(0.0, f64::max);
        most / seconds.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Median over the rounds of this one's time divided by `other`'s in the same round.
    pub(crate) fn times(&self, other: &Self) -> Option<f64> {
        let ratios: Vec<f64> = self
            .samples
            .iter()
            .filter_map(|(round, sample)| {
                let (_, theirs) = other.samples.iter().find(|(n, _)| n == round)?;
                Some(sample.seconds / theirs.seconds)
            })
            .collect();
        median(&ratios)
    }
}

pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn rounds_are_compared_with_themselves() {
        let mut figures = Figures::default();
        let sample = |seconds| Sample {
            seconds,
            ..Sample::default()
        };
        // A machine that becomes twice as slow changes no ratio.
        for (round, speed) in [(0, 1.0), (1, 2.0), (2, 4.0)] {
            figures.add("g", "ours", round, sample(speed));
            figures.add("g", "kernel", round, sample(1.5 * speed));
        }
        figures.add("g", "late", 2, sample(2.0));
        let [ours, kernel, late] = [0, 1, 2].map(|n| &figures.rows[n]);
        assert_eq!(kernel.times(ours), Some(1.5));
        assert_eq!(late.times(ours), Some(0.5));
        assert_eq!((ours.spread(), late.spread()), (4.0, 1.0));
        assert_eq!(figures.groups(), ["g"]);
        assert!(figures.of_group("g")[0].is_ours());
    }
}
