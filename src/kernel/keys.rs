//! Keys and values as [`super::attention`] reads them: each head a run of its own, appended in place, in f32 or bf16.
//!
//! A head's keys lie in blocks of [`BLOCK`] positions, feature by feature, so that one line holds a feature of neighbouring keys and scores need
//! no sums across a register. Its values lie position by position, features filled up to a multiple of 16. A task that takes one
//! head so reads two long runs of memory, whatever the number of heads.
//!
//! Who looks at recent positions only lets the others go ([`Keys::forget`]): positions keep their numbers, and what is stored begins at a fixed position.

use super::attention::CHUNK;
use super::pool;
use super::precision::Precision;
use line::numbers;
use std::ops::Range;

mod line;

pub(super) use line::{Element, Line, numbers_mut};

/// Positions of a block of keys.
pub const BLOCK: usize = 32;
/// A position's values take a multiple of this many numbers.
pub(super) const LANES: usize = 16;
/// Numbers below which threads cost more than they bring.
const SERIAL: usize = 1 << 9;

/// One head's runs.
#[derive(Debug)]
struct Head {
    k: Vec<Line>, // block, feature, position in block
    v: Vec<Line>, // position, feature
}

/// Keys and values of one sequence, all heads, growing at the end.
#[derive(Debug)]
pub struct Keys {
    width: usize,
    first: usize,
    len: usize,
    precision: Precision,
    heads: Vec<Head>,
}

impl Clone for Keys {
    /// A copy with the same room to grow: a beam that forks goes on without allocating.
    fn clone(&self) -> Self {
        let copy = |lines: &Vec<Line>| {
            let mut copy = Vec::with_capacity(lines.capacity());
            copy.extend_from_slice(lines);
            copy
        };
        Self { heads: self.heads.iter().map(|h| Head { k: copy(&h.k), v: copy(&h.v) }).collect(), ..*self }
    }

    /// Takes over what `source` holds; allocates only where it has no room for it.
    fn clone_from(&mut self, source: &Self) {
        (self.width, self.first, self.len, self.precision) = (source.width, source.first, source.len, source.precision);
        self.heads.resize_with(source.heads.len(), || Head { k: Vec::new(), v: Vec::new() });
        for (own, other) in self.heads.iter_mut().zip(&source.heads) {
            own.k.clone_from(&other.k);
            own.v.clone_from(&other.v);
        }
    }
}

impl Keys {
    /// None yet, for `heads` heads of `width` features, stored in f32 or bf16.
    pub fn new(heads: usize, width: usize, precision: Precision) -> Self {
        debug_assert!(precision != Precision::Int8, "a cache holds f32 or bf16");
        Self { width, first: 0, len: 0, precision, heads: (0..heads).map(|_| Head { k: Vec::new(), v: Vec::new() }).collect() }
    }

    /// Positions read so far, those that were forgotten included: the next one has this number.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Number of the first position that is stored: a multiple of a chunk.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Positions stored.
    pub fn stored(&self) -> usize {
        self.len - self.first
    }

    /// Positions that are stored of `positions`, when those before position `before` were forgotten.
    pub fn stored_at(positions: usize, before: usize) -> usize {
        positions - before.min(positions) / CHUNK * CHUNK
    }

    /// Positions for which there must be room, so that appending one at a time and forgetting all but the last `keep` never allocates.
    pub fn room_for(keep: usize) -> usize {
        keep + CHUNK
    }

    /// Lets positions before `before` go, whole chunks of them: what is stored depends on `before` alone, not on how often it was asked. One copy of what
    /// stays in 128 positions: a small part of looking at it.
    pub fn forget(&mut self, before: usize) {
        let first = before.min(self.len) / CHUNK * CHUNK;
        if first <= self.first {
            return;
        }
        let (gone_k, gone_v) = lines(self.width, first - self.first, self.precision);
        self.first = first;
        // what a long text took is given back, what a reserved window needs is not
        let (most_k, most_v) = lines(self.width, 2 * Self::room_for(self.stored()), self.precision);
        for head in &mut self.heads {
            for (run, gone, most) in [(&mut head.k, gone_k, most_k), (&mut head.v, gone_v, most_v)] {
                run.drain(..gone.min(run.len()));
                if run.capacity() > most {
                    run.shrink_to(most);
                }
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How the numbers are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of what is stored (whole blocks).
    pub fn bytes(&self) -> usize {
        Self::bytes_at(self.heads.len(), self.width, self.stored(), self.precision)
    }

    /// Bytes of `positions` stored positions of `heads` heads of `width` features.
    pub fn bytes_at(heads: usize, width: usize, positions: usize, precision: Precision) -> usize {
        let (k, v) = lines(width, positions, precision);
        heads * (k + v) * size_of::<Line>()
    }

    /// Makes room for `positions` stored ones in all, so that appending does not allocate.
    pub fn reserve(&mut self, positions: usize) {
        let (k, v) = lines(self.width, positions, self.precision);
        for head in &mut self.heads {
            head.k.reserve_exact(k.saturating_sub(head.k.len()));
            head.v.reserve_exact(v.saturating_sub(head.v.len()));
        }
    }

    /// Stores t more positions, `k` and `v` (t, heads · width).
    pub fn append(&mut self, k: &[f32], v: &[f32]) {
        match self.precision {
            Precision::Bf16 => self.put::<u16>(k, v),
            _ => self.put::<f32>(k, v),
        }
    }

    /// Gives the room of the values back, for who needs the keys alone.
    pub(super) fn drop_values(&mut self) {
        self.heads.iter_mut().for_each(|h| h.v = Vec::new());
    }

    /// Stores the positions `positions` of other keys of the same sizes and precision, as they are.
    pub fn extend(&mut self, other: &Self, positions: Range<usize>) {
        debug_assert_eq!((self.width, self.heads.len(), self.precision), (other.width, other.heads.len(), other.precision));
        debug_assert_eq!((self.first, other.first), (0, 0), "queues forget nothing one by one");
        match self.precision {
            Precision::Bf16 => self.copy::<u16>(other, positions),
            _ => self.copy::<f32>(other, positions),
        }
    }

    fn copy<E: Element>(&mut self, other: &Self, positions: Range<usize>) {
        let (width, first) = (self.width, self.len);
        self.len += positions.len();
        let (k_lines, v_lines) = lines(width, self.len, self.precision);
        let wide = padded(width);
        for (to, from) in self.heads.iter_mut().zip(&other.heads) {
            grow(&mut to.k, k_lines);
            grow(&mut to.v, v_lines);
            let (k, old) = (numbers_mut::<E>(&mut to.k), numbers::<E>(&from.k));
            for (new, of) in (first..).zip(positions.clone()) {
                let place = |p: usize| p / BLOCK * BLOCK * width + p % BLOCK;
                let old = old[place(of)..].iter().step_by(BLOCK).take(width);
                k[place(new)..].iter_mut().step_by(BLOCK).zip(old).for_each(|(to, x)| *to = *x);
            }
            let old = &numbers::<E>(&from.v)[positions.start * wide..positions.end * wide];
            numbers_mut::<E>(&mut to.v)[first * wide..][..old.len()].copy_from_slice(old);
        }
    }

    /// Forgets all positions and keeps their room.
    pub fn clear(&mut self) {
        (self.first, self.len) = (0, 0);
        for head in &mut self.heads {
            head.k.clear();
            head.v.clear();
        }
    }

    fn put<E: Element>(&mut self, k: &[f32], v: &[f32]) {
        let (width, first, heads) = (self.width, self.stored(), self.heads.len());
        let d = heads * width;
        self.len += k.len() / d;
        let (k_lines, v_lines) = lines(width, self.stored(), self.precision);
        let all = Place(self.heads.as_mut_ptr());
        let task = |h: usize| {
            // SAFETY: h is below the number of heads, and each task has its own
            let head = unsafe { &mut *all.head(h) };
            grow(&mut head.k, k_lines);
            grow(&mut head.v, v_lines);
            let rows = |x| <[f32]>::chunks_exact(x, d).map(move |row| &row[h * width..(h + 1) * width]);
            put_keys::<E>(numbers_mut(&mut head.k), first, width, rows(k));
            for (to, from) in numbers_mut::<E>(&mut head.v).chunks_exact_mut(padded(width)).skip(first).zip(rows(v)) {
                to.iter_mut().zip(from).for_each(|(to, x)| *to = E::round(*x));
            }
        };
        if k.len() < SERIAL { (0..heads).for_each(task) } else { pool::each(heads, task) }
    }

    /// The run of a head's keys, from [`Keys::first`] on: blocks of `width` lines of one feature, [`BLOCK`] positions each.
    pub(super) fn k<E: Element>(&self, head: usize) -> &[E] {
        debug_assert_eq!(size_of::<E>(), self.precision.bytes());
        numbers(&self.heads[head].k)
    }

    /// The run of a head's values, from [`Keys::first`] on: [`padded`] features a position.
    pub(super) fn v<E: Element>(&self, head: usize) -> &[E] {
        debug_assert_eq!(size_of::<E>(), self.precision.bytes());
        numbers(&self.heads[head].v)
    }
}

/// Numbers that a position's values take.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(LANES)
}

/// Lines of a head's keys and of its values.
fn lines(width: usize, positions: usize, precision: Precision) -> (usize, usize) {
    let lines = |features: usize| positions.div_ceil(BLOCK) * BLOCK * features * precision.bytes() / size_of::<Line>();
    (lines(width), lines(padded(width)))
}

/// The first positions are stored in as much room as they take (a document is read once), later ones at least double it.
fn grow(run: &mut Vec<Line>, lines: usize) {
    if run.is_empty() {
        run.reserve_exact(lines);
    }
    run.resize(lines, Line::ZERO);
}

/// Position by position into blocks, which stay in the first-level cache while they fill.
fn put_keys<'a, E: Element>(run: &mut [E], first: usize, width: usize, rows: impl Iterator<Item = &'a [f32]>) {
    for (position, row) in (first..).zip(rows) {
        let at = position / BLOCK * BLOCK * width + position % BLOCK;
        for (to, x) in run[at..].iter_mut().step_by(BLOCK).zip(row) {
            *to = E::round(*x);
        }
    }
}

/// The heads, for tasks that take one each.
struct Place(*mut Head);
// SAFETY: tasks touch different heads
unsafe impl Sync for Place {}

impl Place {
    /// # Safety
    /// There is a head `h`.
    unsafe fn head(&self, h: usize) -> *mut Head {
        // SAFETY: the caller's promise
        unsafe { self.0.add(h) }
    }
}

#[cfg(test)]
mod tests;
