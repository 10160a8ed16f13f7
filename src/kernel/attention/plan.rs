//! Who of a tile sees what of a chunk.

use super::{CHUNK, Span};
use std::ops::Range;

/// The keys of a chunk that one row sees, counted from the chunk's first; hidden ones at the ends cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub from: usize,
    pub to: usize,
}

impl Seen {
    const NOTHING: Self = Seen { from: 0, to: 0 };

    pub(super) fn is_empty(self) -> bool {
        self.from >= self.to
    }

    fn range(self) -> Range<usize> {
        self.from..self.to
    }
}

/// Neighbouring rows that pass through the products together.
#[derive(Debug)]
pub(super) struct Group {
    pub first: usize,
    pub rows: usize,
    /// From the first to the last key that any of them sees.
    pub any: Seen,
    /// Which of [`Plan::pieces`] are theirs.
    pub pieces: Range<usize>,
}

/// Keys that rows of a group see together, without gaps: all rows of the group or one.
#[derive(Debug)]
pub(super) struct Piece {
    pub first: usize,
    pub rows: usize,
    pub keys: Range<usize>,
}

/// A chunk as the rows of a tile see it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// A row's keys.
    pub seen: Vec<Seen>,
    /// Groups that see a key.
    pub groups: Vec<Group>,
    /// In the order in which they are summed up.
    pub pieces: Vec<Piece>,
    /// Positions in the chunk that no row sees.
    pub hidden: Vec<usize>,
}

impl Plan {
    /// For `rows` in groups of at most `most`, as equal as can be.
    pub(super) fn look(&mut self, span: &Span, chunk: usize, rows: Range<usize>, most: usize) {
        let (base, n, len) = (chunk * CHUNK, rows.len(), span.keys.len());
        let first = span.hidden.partition_point(|&h| h < base);
        self.hidden.clear();
        self.hidden.extend(span.hidden[first..].iter().take_while(|&&h| h < base + CHUNK).map(|h| h - base));
        self.seen.clear();
        self.seen.extend(rows.map(|row| {
            let seen = span.visible.range(row, len);
            trim(Seen { from: seen.start.saturating_sub(base), to: seen.end.saturating_sub(base).min(CHUNK) }, &self.hidden)
        }));
        self.groups.clear();
        self.pieces.clear();
        let count = n.div_ceil(most);
        for g in 0..count {
            let (first, end) = (g * n / count, (g + 1) * n / count);
            // rows at the ends that see nothing here cost nothing
            let sees = |r: &usize| !self.seen[*r].is_empty();
            let (Some(first), Some(last)) = ((first..end).find(sees), (first..end).rfind(sees)) else { continue };
            let end = last + 1;
            let some = || self.seen[first..end].iter().filter(|s| !s.is_empty());
            let Some(from) = some().map(|s| s.from).min() else { continue };
            let any = Seen { from, to: some().map(|s| s.to).max().unwrap_or(from) };
            let pieces = self.pieces.len();
            self.cut(first, end - first);
            self.groups.push(Group { first, rows: end - first, any, pieces: pieces..self.pieces.len() });
        }
    }

    /// What all rows see together as one piece, what lies before and behind it row by row. Every row meets its keys in their order.
    fn cut(&mut self, first: usize, rows: usize) {
        let seen = &self.seen[first..first + rows];
        let (from, to) = seen.iter().fold((0, CHUNK), |(a, b), s| (a.max(s.from), b.min(s.to)));
        // nothing together, or a row that sees nothing: all of it lies "before"
        let all = if from >= to { CHUNK..CHUNK } else { from..to };
        for (r, s) in seen.iter().enumerate() {
            gaps(&mut self.pieces, &self.hidden, first + r, 1, s.from..s.to.min(all.start));
        }
        gaps(&mut self.pieces, &self.hidden, first, rows, all.clone());
        for (r, s) in seen.iter().enumerate() {
            gaps(&mut self.pieces, &self.hidden, first + r, 1, s.from.max(all.end)..s.to);
        }
    }
}

/// Cuts hidden positions off both ends.
fn trim(mut seen: Seen, hidden: &[usize]) -> Seen {
    for h in hidden {
        seen.from += usize::from(seen.from == *h);
    }
    for h in hidden.iter().rev() {
        seen.to -= usize::from(seen.to == *h + 1);
    }
    if seen.range().is_empty() { Seen::NOTHING } else { seen }
}

/// Pushes the runs of `keys` between hidden positions.
fn gaps(pieces: &mut Vec<Piece>, hidden: &[usize], first: usize, rows: usize, keys: Range<usize>) {
    let mut from = keys.start;
    for h in hidden.iter().copied().filter(|h| keys.contains(h)).chain((!keys.is_empty()).then_some(keys.end)) {
        if from < h {
            pieces.push(Piece { first, rows, keys: from..h });
        }
        from = h + 1;
    }
}
