//! One tile: some neighbouring queries of one head, walking over the keys that any of them sees.

use super::exponential::exponentials;
use super::plan::Plan;
use super::product::{Load, scores, values};
use super::relative::{Far, Relative};
use super::{Bias, CHUNK, Span};
use crate::kernel::keys::{BLOCK, LANES, Line, numbers_mut, padded};
use crate::kernel::precision::Precision;
use crate::kernel::simd::{Isa, Lanes, Plain};
use std::ops::Range;

/// Queries of a tile at most: a chunk of keys is fetched once for all of them.
pub(super) const ROWS: usize = 48;

/// Rows of one head, `rows` of `q` (t, d), and what they look at.
pub(super) struct Tile<'a> {
    pub spans: &'a [Span<'a>],
    pub q: &'a [f32],
    pub relative: Option<&'a Relative<'a>>,
    pub rows: Range<usize>,
    pub head: usize,
    pub width: usize,
    pub d: usize,
    pub scale: f32,
}

/// What a row has summed up so far.
#[derive(Clone, Copy)]
struct Row {
    max: f32,
    sum: f32,
    /// What the sums before this chunk are multiplied by.
    factor: f32,
}

/// Before the first key: less than any score but −∞.
const FRESH: Row = Row { max: f32::MIN, sum: 0.0, factor: 1.0 };

impl Tile<'_> {
    /// Writes the outputs: the first row at `out`, rows `d` apart.
    ///
    /// # Safety
    /// `isa` is available; `out` is valid for `width` floats of every row and nobody else's.
    pub(super) unsafe fn run(&self, isa: Isa, out: *mut f32) {
        // SAFETY: handed on
        unsafe {
            match isa.lanes() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => avx512(self, out),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => avx2(self, out),
                _ => walk::<Plain, 4, 2>(self, out),
            }
        }
    }

    /// The rows' queries of this head among `all`, (n, width), in units of ln 2 (see [`super::exponential`]).
    fn queries(&self, all: &[f32], q: &mut [f32]) {
        let scale = (f64::from(self.scale) * std::f64::consts::LOG2_E) as f32;
        let rows = all[self.rows.start * self.d..self.rows.end * self.d].chunks_exact(self.d);
        for (to, from) in q.chunks_exact_mut(self.width).zip(rows) {
            let from = &from[self.head * self.width..(self.head + 1) * self.width];
            to.iter_mut().zip(from).for_each(|(to, x)| *to = x * scale);
        }
    }

    /// Chunks with a key that one of the rows sees.
    fn chunks(&self, span: &Span) -> Range<usize> {
        let len = span.keys.len();
        let (a, b) = (span.visible.range(self.rows.start, len), span.visible.range(self.rows.end - 1, len));
        let chunks = a.start / CHUNK..b.end.max(a.start).div_ceil(CHUNK);
        assert!(chunks.is_empty() || chunks.start * CHUNK >= span.keys.first(), "a row sees keys that were forgotten");
        chunks
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
unsafe fn avx512(tile: &Tile, out: *mut f32) {
    // SAFETY: handed on
    unsafe { walk::<crate::kernel::simd::Zmm, 2, 1>(tile, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(tile: &Tile, out: *mut f32) {
    // SAFETY: handed on
    unsafe { walk::<crate::kernel::simd::Ymm, 4, 2>(tile, out) }
}

#[cfg(test)]
impl Tile<'_> {
    /// [`Tile::run`] with two registers a row, as paths with wide registers have it.
    pub(super) unsafe fn run_six(&self, isa: Isa, out: *mut f32) {
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2(tile: &Tile, out: *mut f32) {
            // SAFETY: handed on
            unsafe { walk::<crate::kernel::simd::Ymm, 2, 2>(tile, out) }
        }
        // SAFETY: handed on
        unsafe {
            match isa.lanes() {
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 | Isa::Avx2 => avx2(self, out),
                _ => walk::<Plain, 2, 2>(self, out),
            }
        }
    }
}

/// [`exponentials`] on a path of this machine.
#[cfg(test)]
pub(super) fn powers(isa: Isa, s: &mut [f32], max: f32) -> (f32, f32, f32) {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,fma")]
    unsafe fn avx512(s: &mut [f32], max: f32) -> (f32, f32, f32) {
        // SAFETY: `s` by its length
        unsafe { exponentials::<crate::kernel::simd::Zmm, 1>(s.as_mut_ptr(), s.len(), max) }
    }
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(s: &mut [f32], max: f32) -> (f32, f32, f32) {
        // SAFETY: as above
        unsafe { exponentials::<crate::kernel::simd::Ymm, 2>(s.as_mut_ptr(), s.len(), max) }
    }
    assert!(isa.available() && s.len().is_multiple_of(LANES));
    // SAFETY: the path is available
    unsafe {
        match isa.lanes() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => avx512(s, max),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => avx2(s, max),
            _ => exponentials::<Plain, 2>(s.as_mut_ptr(), s.len(), max),
        }
    }
}

/// Calls a product for as many rows as there are: 1 to [`most`].
macro_rules! by_rows {
    ($rows:expr, $P:ident, $f:ident::<$L:ident, $E:ident>($($x:expr),*)) => {
        match $rows {
            1 => $f::<$L, $E, 1, $P>($($x),*),
            2 => $f::<$L, $E, 2, $P>($($x),*),
            3 => $f::<$L, $E, 3, $P>($($x),*),
            rows => {
                // an `if` of its own, so that paths of three rows do not compile the others
                if $P <= 2 {
                    match rows {
                        4 => $f::<$L, $E, 4, $P>($($x),*),
                        5 => $f::<$L, $E, 5, $P>($($x),*),
                        6 => $f::<$L, $E, 6, $P>($($x),*),
                        _ => unreachable!("groups have at most six rows"),
                    }
                }
            }
        }
    };
}

/// Rows that fit the registers, of P registers each.
const fn most(p: usize) -> usize {
    if p == 2 { 6 } else { 3 }
}

/// The tile on a path of P registers a row; H of them are [`LANES`] lanes.
#[inline(always)]
unsafe fn walk<L: Lanes, const P: usize, const H: usize>(tile: &Tile, out: *mut f32) {
    let (n, width, stride) = (tile.rows.len(), tile.width, padded(tile.width));
    // a few rows read bf16 as it is stored; more of them share the numbers as floats
    let floats = if n > 2 * most(P) { CHUNK * (width + stride) } else { 0 };
    // queries once more, and a block of products
    let far = if tile.relative.is_some() { n * width + most(2) * CHUNK } else { 0 };
    let mut room = vec![Line::ZERO; (n * (CHUNK + stride + width) + floats + far).div_ceil(LANES)];
    let (s, rest) = numbers_mut::<f32>(&mut room).split_at_mut(n * CHUNK);
    let (acc, rest) = rest.split_at_mut(n * stride);
    let (floats, rest) = rest.split_at_mut(floats);
    let (products, rest) = rest.split_at_mut(if tile.relative.is_some() { most(2) * CHUNK } else { 0 });
    let (q, q_far) = rest.split_at_mut(n * width);
    tile.queries(tile.q, q);
    let mut far = tile.relative.map(|relative| {
        tile.queries(relative.q, &mut q_far[..n * width]);
        relative.far(tile.head, q_far, products)
    });
    let (mut rows, mut plan) = ([FRESH; ROWS], Plan::default());
    let mut state = Sums { width, stride, q, s, rows: &mut rows[..n], acc, far: far.as_mut(), bias: None };
    for span in tile.spans {
        for chunk in tile.chunks(span) {
            if let Some(far) = &mut state.far {
                far.shift = far.own + span.visible.apart() + (chunk * CHUNK) as isize - tile.rows.start as isize;
            }
            state.bias = span.bias.map(|bias| (bias, tile.head, tile.rows.start, chunk * CHUNK));
            plan.look(span, chunk, tile.rows.clone(), most(P));
            if plan.groups.is_empty() {
                continue;
            }
            let at = chunk * CHUNK - span.keys.first();
            let (k, v) = (at * width, at * stride);
            // SAFETY: the caller's promise
            unsafe {
                if span.keys.precision() == Precision::Bf16 {
                    let (k, v) = (&span.keys.k::<u16>(tile.head)[k..], &span.keys.v::<u16>(tile.head)[v..]);
                    if n <= 2 * most(P) {
                        state.pass::<L, u16, P, H>(&plan, k, v);
                        continue;
                    }
                    let (k_floats, v_floats) = floats.split_at_mut(CHUNK * width);
                    expand::<L>(k, k_floats);
                    expand::<L>(v, v_floats);
                }
                let (k, v) = match span.keys.precision() {
                    Precision::Bf16 => floats.split_at(CHUNK * width),
                    _ => (&span.keys.k::<f32>(tile.head)[k..], &span.keys.v::<f32>(tile.head)[v..]),
                };
                state.pass::<L, f32, P, H>(&plan, k, v);
            }
        }
    }
    for (i, (row, acc)) in state.rows.iter().zip(state.acc.chunks_exact_mut(stride)).enumerate() {
        acc.iter_mut().for_each(|x| *x /= row.sum);
        // SAFETY: the caller's place for row i
        unsafe { out.add(i * tile.d).copy_from_nonoverlapping(acc.as_ptr(), width) };
    }
}

/// The rows of a tile on their way over the keys.
struct Sums<'a> {
    width: usize,
    stride: usize,
    /// (n, width), scaled.
    q: &'a [f32],
    /// (n, CHUNK): scores, then powers.
    s: &'a mut [f32],
    rows: &'a mut [Row],
    /// (n, stride): weighted sums.
    acc: &'a mut [f32],
    /// What depends on distances.
    far: Option<&'a mut Far<'a>>,
    /// What the keys of the chunk get besides; the head, the tile's first row and the chunk's first key.
    bias: Option<(Bias<'a>, usize, usize, usize)>,
}

impl Sums<'_> {
    /// Goes over a chunk, `k` and `v` from its first key on.
    #[inline(always)]
    unsafe fn pass<L: Lanes, E: Load, const P: usize, const H: usize>(&mut self, plan: &Plan, k: &[E], v: &[E]) {
        // SAFETY: handed on
        unsafe {
            self.scores::<L, E, P>(plan, k);
            if self.far.is_some() {
                self.distances::<L, P>(plan);
            }
            if let Some((bias, head, first, base)) = self.bias {
                for ((r, seen), s) in plan.seen.iter().enumerate().zip(self.s.chunks_exact_mut(CHUNK)).filter(|((_, s), _)| !s.is_empty()) {
                    bias.add(head, first + r, base, *seen, s);
                }
            }
            self.powers::<L, H>(plan);
            let mut f = 0;
            while f < self.stride {
                if self.stride - f >= P * L::N {
                    self.values::<L, E, P>(plan, &v[f..], f);
                    f += P * L::N;
                } else {
                    self.values::<L, E, H>(plan, &v[f..], f);
                    f += LANES;
                }
            }
        }
    }

    /// Block by block, which stays in the first-level cache for all groups.
    #[inline(always)]
    unsafe fn scores<L: Lanes, E: Load, const P: usize>(&mut self, plan: &Plan, k: &[E]) {
        let width = self.width;
        let (from, to) = plan.groups.iter().fold((CHUNK, 0), |(a, b), g| (a.min(g.any.from), b.max(g.any.to)));
        for block in from / BLOCK..to.div_ceil(BLOCK) {
            let columns = block * BLOCK..(block + 1) * BLOCK;
            let k = k[columns.start * width..columns.end * width].as_ptr();
            for g in plan.groups.iter().filter(|g| g.any.from < columns.end && g.any.to > columns.start) {
                let q = self.q[g.first * width..(g.first + g.rows) * width].as_ptr();
                let s = self.s[g.first * CHUNK..(g.first + g.rows) * CHUNK][columns.start..].as_mut_ptr();
                // SAFETY: the rows of a group, one block
                unsafe { by_rows!(g.rows, P, scores::<L, E>(q, width, k, s)) }
            }
        }
    }

    /// Adds to the scores what they get for the distance: a block of the table at a time, from the first to the last that a group needs.
    #[inline(always)]
    unsafe fn distances<L: Lanes, const P: usize>(&mut self, plan: &Plan) {
        let (width, Some(far)) = (self.width, &mut self.far) else { return };
        for g in &plan.groups {
            let q = far.q[g.first * width..(g.first + g.rows) * width].as_ptr();
            for block in far.blocks(g) {
                let k = far.k[block * BLOCK * width..(block + 1) * BLOCK * width].as_ptr();
                let products = far.products.as_mut_ptr();
                // SAFETY: the rows of a group, one block
                unsafe { by_rows!(g.rows, P, scores::<L, f32>(q, width, k, products)) }
                for r in (g.first..g.first + g.rows).filter(|r| !plan.seen[*r].is_empty()) {
                    let products = &far.products[(r - g.first) * CHUNK..][..BLOCK];
                    far.add(block, products, r, plan.seen[r], &mut self.s[r * CHUNK..(r + 1) * CHUNK]);
                }
            }
        }
    }

    /// Row by row.
    #[inline(always)]
    unsafe fn powers<L: Lanes, const H: usize>(&mut self, plan: &Plan) {
        for ((row, seen), s) in self.rows.iter_mut().zip(&plan.seen).zip(self.s.chunks_exact_mut(CHUNK)).filter(|((_, s), _)| !s.is_empty())
        {
            let (first, end) = (seen.from / BLOCK * BLOCK, seen.to.next_multiple_of(BLOCK));
            s[first..seen.from].fill(f32::NEG_INFINITY);
            s[seen.to..end].fill(f32::NEG_INFINITY);
            plan.hidden.iter().for_each(|h| s[*h] = f32::NEG_INFINITY);
            let s = &mut s[first..end];
            // SAFETY: `s` by its length, a multiple of a block
            let (max, sum, factor) = unsafe { exponentials::<L, H>(s.as_mut_ptr(), s.len(), row.max) };
            *row = Row { max, sum: row.sum * factor + sum, factor };
        }
    }

    /// Features f.. of P registers, `v` from there on: acc ← acc · factor + Σ p · v over the keys that each row sees.
    #[inline(always)]
    unsafe fn values<L: Lanes, E: Load, const P: usize>(&mut self, plan: &Plan, v: &[E], f: usize) {
        let stride = self.stride;
        let mut part = [[0.0f32; BLOCK]; most(2)];
        for g in &plan.groups {
            part[..g.rows].fill([0.0; BLOCK]);
            for piece in &plan.pieces[g.pieces.clone()] {
                let p = self.s[piece.first * CHUNK..(piece.first + piece.rows) * CHUNK].as_ptr();
                let v = v[piece.keys.start * stride..piece.keys.end * stride - f].as_ptr();
                let out = part[piece.first - g.first..][..piece.rows].as_mut_ptr().cast::<f32>();
                // SAFETY: the rows of a piece, keys and features within `v`, `P` registers within a line of `part`
                unsafe { by_rows!(piece.rows, P, values::<L, E>(p, (v, stride), piece.keys.clone(), out)) }
            }
            if let Some((far, v)) = self.far.as_ref().and_then(|far| far.v.map(|v| (far, v))) {
                for (r, part) in (g.first..g.first + g.rows).zip(&mut part).filter(|(r, _)| !plan.seen[*r].is_empty()) {
                    let p = self.s[r * CHUNK..(r + 1) * CHUNK].as_ptr();
                    for (row, apart, keys) in far.runs(r, plan.seen[r]).into_iter().filter(|(.., keys)| !keys.is_empty()) {
                        let v = v[row * stride + f..].as_ptr();
                        // SAFETY: a row's powers, rows of the table and features within it, `P` registers within a line of `part`
                        unsafe { values::<L, f32, 1, P>(p, (v, apart * stride), keys, part.as_mut_ptr()) }
                    }
                }
            }
            for (r, part) in (g.first..g.first + g.rows).zip(&part).filter(|(r, _)| !plan.seen[*r].is_empty()) {
                let acc = &mut self.acc[r * stride + f..][..P * L::N];
                for (acc, part) in acc.chunks_exact_mut(L::N).zip(part.chunks_exact(L::N)) {
                    // SAFETY: N floats each
                    unsafe {
                        let factor = L::splat(self.rows[r].factor);
                        L::load(acc.as_ptr()).mul_add(factor, L::load(part.as_ptr())).store(acc.as_mut_ptr());
                    }
                }
            }
        }
    }
}

/// bf16 numbers as floats, as many as there are on both sides.
#[inline(always)]
unsafe fn expand<L: Lanes>(from: &[u16], to: &mut [f32]) {
    for i in (0..from.len().min(to.len())).step_by(LANES) {
        for c in (0..LANES).step_by(L::N) {
            // SAFETY: both lengths are multiples of LANES
            unsafe { L::load_bf16(from[i + c..].as_ptr()).store(to[i + c..].as_mut_ptr()) }
        }
    }
}
