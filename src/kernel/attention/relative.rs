//! What scores and values get for the distance between query and key: Shaw et al. 2018 (<https://arxiv.org/abs/1803.02155>), Transformer-XL (Dai et al. 2019,
//! <https://arxiv.org/abs/1901.02860>), Music Transformer (Huang et al. 2018, <https://arxiv.org/abs/1809.04281>).
//!
//! A table has a row for each distance, the farthest past first, so that neighbouring keys take neighbouring rows: the product of a query with a block of rows is
//! added to its scores where they stand, from the place on that the query's own position gives. That is the skewing of Music Transformer as an offset; keys
//! beyond either end of the table take its first or last row.

use super::CHUNK;
use super::plan::{Group, Seen};
use crate::kernel::keys::{BLOCK, Keys};
use crate::kernel::precision::Precision;
use std::ops::{Range, RangeInclusive};

/// A table with a row a distance, in f32.
#[derive(Debug)]
pub struct Distances {
    rows: Keys,
    heads: usize,
    valued: bool,
}

impl Distances {
    /// `rows` (n, heads · width), where one head may serve all heads of an attention; `values`, of the same shape, are added to the values of the keys.
    pub fn new((heads, width): (usize, usize), rows: &[f32], values: Option<&[f32]>) -> Self {
        let mut table = Keys::new(heads, width, Precision::F32);
        table.append(rows, values.unwrap_or(&[]));
        if values.is_none() {
            table.drop_values();
        }
        Self { rows: table, heads, valued: values.is_some() }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// How the rows of a job depend on distances.
///
/// The score of query i and key j is scale · (q(i) · k(j) + r(i) · T(c)) and its value v(j) + U(c), with T and U the table's rows and values and
/// c = `own` + position of j − position of i, not less than 0 and not more than the last row.
#[derive(Debug, Clone, Copy)]
pub struct Relative<'a> {
    /// r, (t, heads · width): the queries themselves, or what else stands beside the table.
    pub q: &'a [f32],
    /// T, and U where there are values.
    pub table: &'a Distances,
    /// The row of a query's own position.
    pub own: usize,
}

impl Relative<'_> {
    /// For the rows of a tile: `q` are theirs of this head, scaled, `products` room for a block of products a row.
    pub(super) fn far<'b>(&'b self, head: usize, q: &'b [f32], products: &'b mut [f32]) -> Far<'b> {
        let head = if self.table.heads == 1 { 0 } else { head };
        let v = self.table.valued.then(|| self.table.rows.v::<f32>(head));
        Far { q, k: self.table.rows.k::<f32>(head), v, last: self.table.len() as isize - 1, own: self.own as isize, shift: 0, products }
    }
}

/// [`Relative`] for a tile on its way over the keys.
pub(super) struct Far<'a> {
    /// (n, width), scaled.
    pub q: &'a [f32],
    /// The rows, in blocks.
    pub k: &'a [f32],
    /// Their values.
    pub v: Option<&'a [f32]>,
    last: isize,
    /// Row of a query's own position.
    pub own: isize,
    /// Row that the chunk's first key takes for the tile's first query, were the table endless.
    pub shift: isize,
    /// Products of a group with a block, rows [`CHUNK`] apart.
    pub products: &'a mut [f32],
}

impl Far<'_> {
    /// Blocks of the table whose rows a group's keys take.
    #[inline(always)]
    pub fn blocks(&self, g: &Group) -> RangeInclusive<usize> {
        let at = |row: usize, key: usize| (self.shift + key as isize - row as isize).clamp(0, self.last) as usize / BLOCK;
        at(g.first + g.rows - 1, g.any.from)..=at(g.first, g.any.to - 1)
    }

    /// Keys of row r that take the rows from the table's row `from` on, were it endless, up to `to`.
    #[inline(always)]
    fn keys(&self, r: usize, seen: Seen, from: isize, to: isize) -> Range<usize> {
        let key = |row: isize| (row - self.shift + r as isize).clamp(seen.from as isize, seen.to as isize) as usize;
        key(from)..key(to)
    }

    /// Adds a row's products with a block to the scores `s` of the keys that take its rows.
    #[inline(always)]
    pub fn add(&self, block: usize, products: &[f32], r: usize, seen: Seen, s: &mut [f32]) {
        let first = (block * BLOCK) as isize;
        let end = (first + BLOCK as isize).min(self.last + 1);
        let own = self.keys(r, seen, first, end);
        if !own.is_empty() {
            let at = (self.shift + own.start as isize - r as isize - first) as usize;
            s[own.clone()].iter_mut().zip(&products[at..at + own.len()]).for_each(|(s, p)| *s += p);
        }
        let beyond = CHUNK as isize + self.shift.abs() + self.last + r as isize + 1;
        if first == 0 {
            s[self.keys(r, seen, -beyond, 0)].iter_mut().for_each(|s| *s += products[0]);
        }
        if end == self.last + 1 {
            s[self.keys(r, seen, end, end + beyond)].iter_mut().for_each(|s| *s += products[(self.last - first) as usize]);
        }
    }

    /// What row r's keys take: a row of the table, how many rows on it goes with each key, and which keys.
    #[inline(always)]
    pub fn runs(&self, r: usize, seen: Seen) -> [(usize, usize, Range<usize>); 3] {
        let within = self.keys(r, seen, 0, self.last + 1);
        let from = (self.shift + within.start as isize - r as isize).clamp(0, self.last) as usize;
        [(0, 0, seen.from..within.start), (from, 1, within.clone()), (self.last as usize, 0, within.end..seen.to)]
    }
}
