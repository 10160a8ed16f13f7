//! What scores get for where query and key stand, a number a head and distance: the relative position bias of T5 (Raffel et al. 2020,
//! <https://arxiv.org/abs/1910.10683>, section 2.1), of LongT5's slots, and keys that count several times.

use super::CHUNK;
use super::plan::Seen;

/// A number for each head and distance, those of the farthest past first.
#[derive(Debug)]
pub struct Biases {
    /// (heads, n), in units of ln 2 as scores are.
    numbers: Vec<f32>,
    n: usize,
    /// Which number belongs to distance 0.
    own: usize,
}

impl Biases {
    /// `numbers` (heads, n), of which number `own` is a query's own position. None at all is a blueprint's.
    pub fn new(heads: usize, numbers: &[f32], own: usize) -> Self {
        let n = numbers.len() / heads.max(1);
        assert!(numbers.is_empty() || (own < n && n * heads == numbers.len()), "a number a head and distance");
        Self { numbers: numbers.iter().map(|x| (f64::from(*x) * std::f64::consts::LOG2_E) as f32).collect(), n, own }
    }

    /// One number for all keys of a span, whatever the head: ln of how often each of them counts.
    pub fn times(heads: usize, count: usize) -> Self {
        Self::new(heads, &vec![(count as f64).ln() as f32; heads], 0)
    }

    /// Bytes of the numbers.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }
}

/// [`Biases`] for the keys of a span: the score of row i and key j gets number `own` + j − p(i) of its head, the first or last where that lies beyond the
/// table, with p(i) = min((`first` + i) / `each`, `last`).
#[derive(Debug, Clone, Copy)]
pub struct Bias<'a> {
    /// The numbers.
    pub table: &'a Biases,
    /// Position of row 0.
    pub first: usize,
    /// Positions for which one key stands: 1 for tokens, more where keys sum up blocks of them.
    pub each: usize,
    /// Rows behind it stand where it stands.
    pub last: usize,
}

impl<'a> Bias<'a> {
    /// Of keys that are tokens, for rows from position `first` on.
    pub fn of(table: &'a Biases, first: usize) -> Self {
        Self { table, first, each: 1, last: usize::MAX }
    }

    /// Which number row `row` and key `key` get.
    #[cfg(test)]
    pub(super) fn at(&self, row: usize, key: usize) -> usize {
        (self.table.own as isize + key as isize - self.place(row)).clamp(0, self.table.n as isize - 1) as usize
    }

    /// The number itself, in units of ln 2.
    #[cfg(test)]
    pub(super) fn number(&self, head: usize, row: usize, key: usize) -> f32 {
        self.table.numbers[head * self.table.n + self.at(row, key)]
    }

    #[inline(always)]
    fn place(&self, row: usize) -> isize {
        ((self.first + row) / self.each).min(self.last) as isize
    }

    /// Adds to a row's scores `s` of the chunk that begins with key `base` what the keys that it sees get.
    #[inline(always)]
    pub(super) fn add(&self, head: usize, row: usize, base: usize, seen: Seen, s: &mut [f32]) {
        debug_assert_eq!(s.len(), CHUNK);
        let Biases { numbers, n, own } = self.table;
        let (numbers, n) = (&numbers[head * n..(head + 1) * n], *n as isize);
        // the number of the chunk's first key, were the table endless
        let shift = *own as isize + base as isize - self.place(row);
        let key = |number: isize| (number - shift).clamp(seen.from as isize, seen.to as isize) as usize;
        let (within, beyond) = (key(0), key(n));
        let (far, near) = (numbers[0], numbers[n as usize - 1]);
        s[seen.from..within].iter_mut().for_each(|s| *s += far);
        if within < beyond {
            let from = (shift + within as isize) as usize;
            s[within..beyond].iter_mut().zip(&numbers[from..from + beyond - within]).for_each(|(s, b)| *s += b);
        }
        s[beyond.max(within)..seen.to].iter_mut().for_each(|s| *s += near);
    }
}
