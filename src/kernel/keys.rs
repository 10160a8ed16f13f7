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
use std::ops::Range;

/// Positions of a block of keys.
pub const BLOCK: usize = 32;
/// A position's values take a multiple of this many numbers.
pub(super) const LANES: usize = 16;
/// Numbers below which threads cost more than they bring.
const SERIAL: usize = 1 << 9;

/// A cache line of either precision: runs begin at one, so that no register is filled from two.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line([u32; 16]);

impl Line {
    /// All zeros.
    pub(super) const ZERO: Self = Line([0; 16]);
}

/// How a number lies in a run.
pub(super) trait Element: Copy {
    /// The nearest number that the run can hold, ties to even.
    fn round(x: f32) -> Self;
}

impl Element for f32 {
    fn round(x: f32) -> Self {
        x
    }
}

/// bf16, the upper half of an f32.
impl Element for u16 {
    fn round(x: f32) -> Self {
        let bits = x.to_bits();
        // a half, less one unit where the upper half is even: ties go to even; NaN must not become infinite
        let up = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        (if x.is_nan() { bits | 0x40_0000 } else { up } >> 16) as u16
    }
}

/// The numbers in `lines`.
pub(super) fn numbers<E: Element>(lines: &[Line]) -> &[E] {
    // SAFETY: f32 and u16 take any bits, need no more than a line's alignment, and fill lines evenly
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines) / size_of::<E>()) }
}

/// See [`numbers`].
pub(super) fn numbers_mut<E: Element>(lines: &mut [Line]) -> &mut [E] {
    // SAFETY: as in `numbers`; the borrow is exclusive
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines) / size_of::<E>()) }
}

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
mod tests {
    use super::*;
    use crate::kernel::testing::noise;

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        let special = [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, 1e-45, -1e-40, 3.0e-39];
        let ties = (0..4096u32).map(|i| f32::from_bits(0x3F80_0000 + i * 0x800));
        for x in special.into_iter().chain(ties).chain(noise(4096, 1)) {
            assert_eq!(u16::round(x), half::bf16::from_f32(x).to_bits(), "{x}");
        }
        for bits in [0x7F80_0001, 0xFFFF_FFFF, 0x7FC0_0000, 0x7FFF_8000] {
            assert!(f32::from_bits(u32::from(u16::round(f32::from_bits(bits))) << 16).is_nan(), "{bits:x}");
        }
    }

    /// What was appended lies where the layout says, in any cut into calls.
    #[test]
    fn lies_where_the_layout_says() {
        for (heads, width, n, cut) in [(1, 1, 1, 1), (3, 5, 70, 1), (2, 16, 64, 33), (4, 40, 500, 500), (2, 64, 1030, 7)] {
            let d = heads * width;
            let (k, v) = (noise(n * d, 1), noise(n * d, 2));
            let (mut exact, mut half) = (Keys::new(heads, width, Precision::F32), Keys::new(heads, width, Precision::Bf16));
            for (k, v) in k.chunks(cut * d).zip(v.chunks(cut * d)) {
                exact.append(k, v);
                half.append(k, v);
            }
            assert_eq!((exact.len(), half.len()), (n, n));
            for (at, (k, v)) in k.iter().zip(&v).enumerate() {
                let (p, h, f) = (at / d, at % d / width, at % width);
                let (i, j) = ((p / BLOCK * width + f) * BLOCK + p % BLOCK, p * width.next_multiple_of(16) + f);
                assert_eq!((exact.k::<f32>(h)[i], exact.v::<f32>(h)[j]), (*k, *v));
                assert_eq!((half.k::<u16>(h)[i], half.v::<u16>(h)[j]), (u16::round(*k), u16::round(*v)));
            }
            for keys in [&exact, &half] {
                let stored: usize = keys.heads.iter().map(|h| size_of_val(&h.k[..]) + size_of_val(&h.v[..])).sum();
                assert_eq!(keys.bytes(), stored);
            }
            assert_eq!(exact.bytes(), 2 * half.bytes());
            assert_eq!(exact.bytes(), n.div_ceil(32) * 32 * heads * (width + width.next_multiple_of(16)) * 4);
        }
    }

    /// Keys that were put together from parts of others are those of the positions named, in both precisions, and after a new beginning too.
    #[test]
    fn parts_of_others_are_what_they_were() {
        let (heads, width, n) = (3, 5, 90);
        let d = heads * width;
        let (k, v) = (noise(n * d, 1), noise(n * d, 2));
        for precision in [Precision::F32, Precision::Bf16] {
            let all = |parts: &[Range<usize>]| {
                let mut keys = Keys::new(heads, width, precision);
                parts.iter().for_each(|p| keys.append(&k[p.start * d..p.end * d], &v[p.start * d..p.end * d]));
                keys
            };
            let parts = [3..40, 0..0, 31..33, 60..90, 2..5];
            let (whole, want) = (all(std::slice::from_ref(&(0..n))), all(&parts));
            let mut keys = all(std::slice::from_ref(&(0..70)));
            keys.clear();
            assert_eq!((keys.len(), keys.bytes()), (0, 0));
            parts.iter().for_each(|p| keys.extend(&whole, p.clone()));
            assert_eq!(keys.len(), want.len());
            for h in 0..heads {
                let same = |a: &[Line], b: &[Line]| {
                    numbers::<f32>(a).iter().map(|x| x.to_bits()).eq(numbers::<f32>(b).iter().map(|x| x.to_bits()))
                };
                assert!(same(&keys.heads[h].k, &want.heads[h].k) && same(&keys.heads[h].v, &want.heads[h].v), "{h}");
            }
        }
    }

    /// Where the runs lie: they move when they are allocated anew.
    fn places(keys: &Keys) -> Vec<(*const Line, *const Line)> {
        keys.heads.iter().map(|h| (h.k.as_ptr(), h.v.as_ptr())).collect()
    }

    #[test]
    fn reserved_room_is_used_and_growth_doubles() {
        let one = [1.0; 8];
        let mut keys = Keys::new(2, 4, Precision::Bf16);
        keys.append(&one, &one);
        keys.reserve(1000);
        let before = places(&keys);
        (1..1000).for_each(|_| keys.append(&one, &one));
        assert_eq!(places(&keys), before);
        let mut copy = keys.clone();
        copy.reserve(1000); // has it already
        let mut other = Keys::new(2, 4, Precision::Bf16);
        other.append(&one, &one);
        let before = places(&copy);
        copy.clone_from(&other);
        assert_eq!((copy.len(), places(&copy)), (1, before));
        let mut moves = 0;
        let mut growing = Keys::new(1, 4, Precision::F32);
        for _ in 0..10_000 {
            let before = places(&growing);
            growing.append(&one[..4], &one[..4]);
            moves += usize::from(before != places(&growing));
        }
        assert!(moves <= 10, "{moves}"); // 1 and log₂ (10 000 / 32) doublings
    }

    /// A window that forgets holds what one that was made of the last positions would, in bounded room, in any cut into calls.
    #[test]
    fn forgetting_keeps_numbers_and_boundaries_and_bounds_the_room() {
        let (heads, width, keep) = (2, 5, 70);
        let d = heads * width;
        let (k, v) = (noise(2000 * d, 1), noise(2000 * d, 2));
        for cut in [1, 3, 128, 500] {
            for precision in [Precision::F32, Precision::Bf16] {
                let mut keys = Keys::new(heads, width, precision);
                keys.reserve(Keys::room_for(keep));
                let room = |keys: &Keys| keys.heads.iter().map(|h| (h.k.capacity(), h.v.capacity())).collect::<Vec<_>>();
                let reserved = room(&keys);
                for (k, v) in k.chunks(cut * d).zip(v.chunks(cut * d)) {
                    keys.append(k, v);
                    keys.forget(keys.len().saturating_sub(keep));
                    let n = keys.len();
                    assert_eq!(keys.stored(), Keys::stored_at(n, n.saturating_sub(keep)));
                    assert_eq!(keys.first(), n.saturating_sub(keep) / 128 * 128);
                    assert_eq!(keys.bytes(), Keys::bytes_at(heads, width, keys.stored(), precision));
                    assert_eq!(keys.bytes(), keys.heads.iter().map(|h| size_of_val(&h.k[..]) + size_of_val(&h.v[..])).sum::<usize>());
                    assert!(keys.stored() < keep + 128);
                    if cut == 1 {
                        assert_eq!(room(&keys), reserved, "after {n}");
                    }
                }
                let (most, _) = lines(width, 2 * Keys::room_for(keys.stored()), precision);
                assert!(keys.heads.iter().all(|h| h.k.capacity() <= most));
                let first = keys.first();
                assert_eq!((first, keys.len()), ((2000 - keep) / 128 * 128, 2000));
                let mut fresh = Keys::new(heads, width, precision);
                fresh.append(&k[first * d..], &v[first * d..]);
                for (a, b) in keys.heads.iter().zip(&fresh.heads) {
                    assert!(numbers::<u16>(&a.k) == numbers::<u16>(&b.k) && numbers::<u16>(&a.v) == numbers::<u16>(&b.v));
                }
                let mut copy = Keys::new(heads, width, precision);
                copy.clone_from(&keys);
                assert_eq!((copy.first(), copy.len()), (first, 2000));
                // nothing is left of an empty window but its numbers
                keys.forget(usize::MAX);
                assert_eq!((keys.first(), keys.len()), (1920, 2000));
            }
        }
    }
}
