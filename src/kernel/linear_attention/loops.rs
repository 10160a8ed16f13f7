//! One head's tokens, written once for all paths.

use super::{Features, Kernel, padded};
use crate::kernel::elementwise::{Loop, Wide, exp};
use crate::kernel::simd::Lanes;

/// Numbers that are added up side by side.
const LANES: usize = 16;
/// Tokens that pass over S together, each after the one before.
const TOGETHER: usize = 4;
/// Most columns of S that they pass at once.
const COLUMNS: usize = 64;
/// What a denominator is at least.
const LEAST: f32 = 1e-30;

/// Projected queries or keys of one head: of each token m numbers, heads · m apart, and what was projected, heads · width apart.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub projected: *mut f32,
    pub raw: *const f32,
}

/// One head of one turn: makes features of projected keys and queries where they lie, sums and reads.
pub(super) struct Part<'a> {
    pub features: &'a Features,
    pub tokens: usize,
    pub k: Option<Rows>,
    pub q: Option<Rows>,
    /// A value of each key, heads · width numbers apart.
    pub v: *const f32,
    pub sums: *mut f32,
    /// A place for each query, as far apart.
    pub out: *mut f32,
}

impl Loop for Part<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        let f = self.features;
        let mut ready = 0;
        // SAFETY: rows, values, sums and outputs of this head
        unsafe {
            let mut sums = Head::of(f, self.sums);
            for t in 0..self.tokens {
                if let Some(k) = self.k {
                    let (row, raw) = k.token(f, t);
                    let (most, diagonal) = most(f, row, raw);
                    if most > *sums.most {
                        self.pass::<L>(&sums, ready, t);
                        ready = t;
                        sums.raise(most);
                    }
                    make::<L>(f, row, diagonal + *sums.most);
                }
                if let Some(q) = self.q {
                    let (row, raw) = q.token(f, t);
                    // with ε = 0 what all features have in common cancels, D(q) too
                    let diagonal = if f.kernel == Kernel::Softmax && f.epsilon > 0.0 { diagonal(f, raw) } else { 0.0 };
                    let shift = if f.kernel == Kernel::Relu { 0.0 } else { f.scale() * maximum(row) };
                    make::<L>(f, row, diagonal + shift);
                }
                if t + 1 - ready == TOGETHER {
                    self.pass::<L>(&sums, ready, t + 1);
                    ready = t + 1;
                }
            }
            self.pass::<L>(&sums, ready, self.tokens);
        }
    }
}

impl Part<'_> {
    /// Tokens `from .. to`, whose features are made, in their order.
    ///
    /// Loops, not closures: a closure has not the caller's instruction set, and every operation in it would be a call.
    #[inline(always)]
    unsafe fn pass<L: Lanes>(&self, sums: &Head, from: usize, to: usize) {
        // SAFETY: the caller's tokens
        unsafe {
            match (to - from, self.k.is_some(), self.q.is_some()) {
                (4, true, true) => self.group::<L, 4, true, true>(sums, from),
                (4, true, false) => self.group::<L, 4, true, false>(sums, from),
                (4, false, true) => self.group::<L, 4, false, true>(sums, from),
                (_, true, true) => {
                    for t in from..to {
                        self.group::<L, 1, true, true>(sums, t);
                    }
                }
                (_, true, false) => {
                    for t in from..to {
                        self.group::<L, 1, true, false>(sums, t);
                    }
                }
                (_, false, true) => {
                    for t in from..to {
                        self.group::<L, 1, false, true>(sums, t);
                    }
                }
                (_, false, false) => {}
            }
        }
    }

    /// T tokens from `first` on.
    #[inline(always)]
    unsafe fn group<L: Lanes, const T: usize, const SUM: bool, const READ: bool>(&self, sums: &Head, first: usize) {
        let (f, width) = (self.features, self.features.width);
        let d = f.heads * width;
        // SAFETY: rows of T tokens, lines of S that hold all columns, filled up
        unsafe {
            let row = |rows: Option<Rows>, i: usize| rows.map_or(std::ptr::null(), |r| r.token(f, first + i).0.as_ptr());
            let (k, q): ([_; T], [_; T]) = (std::array::from_fn(|i| row(self.k, i)), std::array::from_fn(|i| row(self.q, i)));
            let mut factors = [0.0f32; T];
            for i in 0..T {
                if SUM {
                    sums.add(k[i]);
                }
                if READ {
                    factors[i] = sums.denominator(f, q[i]);
                }
            }
            let mut column = 0;
            while column < width {
                let step = if T == 1 && width - column > 2 * L::N {
                    4 * L::N
                } else if width - column > L::N {
                    2 * L::N
                } else {
                    L::N
                };
                let n = step.min(width - column);
                let (mut v, mut out) = ([[0.0f32; COLUMNS]; T], [[0.0f32; COLUMNS]; T]);
                if SUM {
                    for (i, v) in v.iter_mut().enumerate() {
                        v.as_mut_ptr().copy_from_nonoverlapping(self.v.add((first + i) * d + column), n);
                    }
                }
                let place = sums.s.add(column);
                let lines = (sums.m, sums.line);
                match step / L::N {
                    4 => columns::<L, T, 4, SUM, READ>(place, lines, (k, q), &v, &mut out),
                    2 => columns::<L, T, 2, SUM, READ>(place, lines, (k, q), &v, &mut out),
                    _ => columns::<L, T, 1, SUM, READ>(place, lines, (k, q), &v, &mut out),
                }
                if READ {
                    for (i, out) in out.iter().enumerate() {
                        let to = std::slice::from_raw_parts_mut(self.out.add((first + i) * d + column), n);
                        to.iter_mut().zip(out).for_each(|(to, x)| *to = x / factors[i]);
                    }
                }
                column += step;
            }
        }
    }
}

/// R registers of columns of S, line by line: adds φ(k) vᵀ of each token, then reads φ(q)ᵀ S.
#[inline(always)]
unsafe fn columns<L: Lanes, const T: usize, const R: usize, const SUM: bool, const READ: bool>(
    s: *mut f32,
    (m, line): (usize, usize),
    (k, q): ([*const f32; T], [*const f32; T]),
    v: &[[f32; COLUMNS]; T],
    out: &mut [[f32; COLUMNS]; T],
) {
    // SAFETY: m lines of R registers, m features of each token
    unsafe {
        let mut values = [[L::splat(0.0); R]; T];
        let mut sums = [[L::splat(0.0); R]; T];
        for (values, v) in values.iter_mut().zip(v) {
            for (r, value) in values.iter_mut().enumerate() {
                *value = L::load(v.as_ptr().add(r * L::N));
            }
        }
        for f in 0..m {
            let at = s.add(f * line);
            let mut row = [L::splat(0.0); R];
            for (r, row) in row.iter_mut().enumerate() {
                *row = L::load(at.add(r * L::N));
            }
            for t in 0..T {
                if SUM {
                    let k = L::splat(*k[t].add(f));
                    for r in 0..R {
                        row[r] = k.mul_add(values[t][r], row[r]);
                    }
                }
                if READ {
                    let q = L::splat(*q[t].add(f));
                    for r in 0..R {
                        sums[t][r] = q.mul_add(row[r], sums[t][r]);
                    }
                }
            }
            if SUM {
                for (r, row) in row.iter().enumerate() {
                    row.store(at.add(r * L::N));
                }
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            for (r, sum) in sums.iter().enumerate() {
                sum.store(out.as_mut_ptr().add(r * L::N));
            }
        }
    }
}

/// Takes the keys of one head into their running maximum.
pub(super) struct Raise<'a> {
    pub features: &'a Features,
    pub tokens: usize,
    pub k: Rows,
    pub sums: *mut f32,
}

impl Loop for Raise<'_> {
    type Out = ();
    #[inline(always)]
    unsafe fn run<L: Lanes, W: Wide>(self) {
        // SAFETY: rows and sums of this head
        unsafe {
            let mut sums = Head::of(self.features, self.sums);
            let top = (0..self.tokens).fold(*sums.most, |top, t| {
                let (row, raw) = self.k.token(self.features, t);
                most(self.features, row, raw).0.max(top)
            });
            if top > *sums.most {
                sums.raise(top);
            }
        }
    }
}

impl Rows {
    /// What is projected of token `t`, and what was projected.
    #[inline(always)]
    unsafe fn token<'a>(self, f: &Features, t: usize) -> (&'a mut [f32], &'a [f32]) {
        let m = f.count();
        // SAFETY: the token is one of the caller's
        unsafe {
            let row = std::slice::from_raw_parts_mut(self.projected.add(t * f.heads * m), m);
            (row, std::slice::from_raw_parts(self.raw.add(t * f.heads * f.width), f.width))
        }
    }
}

/// The sums of one head.
struct Head<'a> {
    s: *mut f32,
    z: *mut f32,
    most: &'a mut f32,
    m: usize,
    /// Numbers of a line of S.
    line: usize,
}

impl Head<'_> {
    #[inline(always)]
    unsafe fn of(f: &Features, sums: *mut f32) -> Self {
        let (m, line) = (f.count(), padded(f.width));
        // SAFETY: m lines, m numbers, one
        unsafe { Self { s: sums, z: sums.add(m * line), most: &mut *sums.add(m * (line + 1)), m, line } }
    }

    /// A greater maximum: multiplies S and z.
    #[inline(always)]
    unsafe fn raise(&mut self, most: f32) {
        let factor = f64::from(*self.most - most).exp() as f32;
        // SAFETY: S and z lie one behind the other
        let all = unsafe { std::slice::from_raw_parts_mut(self.s, self.m * (self.line + 1)) };
        all.iter_mut().for_each(|x| *x *= factor);
        *self.most = most;
    }

    /// z ← z + φ(k).
    #[inline(always)]
    unsafe fn add(&self, k: *const f32) {
        // SAFETY: m numbers of each
        let (z, k) = unsafe { (std::slice::from_raw_parts_mut(self.z, self.m), std::slice::from_raw_parts(k, self.m)) };
        z.iter_mut().zip(k).for_each(|(z, k)| *z += k);
    }

    /// φ(q) · (z + constant), not below [`LEAST`].
    #[inline(always)]
    unsafe fn denominator(&self, f: &Features, q: *const f32) -> f32 {
        // SAFETY: m numbers of each
        let (z, q) = unsafe { (std::slice::from_raw_parts(self.z, self.m), std::slice::from_raw_parts(q, self.m)) };
        let mut lanes = [0.0f32; LANES];
        let (many, rest) = z.as_chunks::<LANES>();
        let (also, last) = q.as_chunks::<LANES>();
        for (z, q) in many.iter().zip(also) {
            for i in 0..LANES {
                lanes[i] += z[i] * q[i];
            }
        }
        lanes.iter_mut().zip(rest.iter().zip(last)).for_each(|(sum, (z, q))| *sum += z * q);
        let mut sum: f32 = lanes.iter().sum();
        if f.constant > 0.0 {
            // the features of the exponential kernel are what they are: the maximum is no part of them
            let factor = if f.kernel == Kernel::Exponential { f64::from(-*self.most).exp() as f32 } else { 1.0 };
            sum += f.constant * factor * q.iter().sum::<f32>();
        }
        if sum < LEAST { LEAST } else { sum }
    }
}

/// A key's own maximum and D.
#[inline(always)]
unsafe fn most(f: &Features, row: &[f32], raw: &[f32]) -> (f32, f32) {
    // SAFETY: the caller has checked the instruction set
    unsafe {
        match f.kernel {
            Kernel::Relu => (0.0, 0.0),
            Kernel::Exponential => (maximum(row), 0.0),
            Kernel::Softmax => {
                let (top, diagonal) = (f.scale() * maximum(row), diagonal(f, raw));
                (if f.epsilon > 0.0 { top } else { top - diagonal }, diagonal)
            }
        }
    }
}

/// D: half the square of the norm of x̂.
#[inline(always)]
unsafe fn diagonal(f: &Features, raw: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (many, rest) = raw.as_chunks::<LANES>();
    for x in many {
        for i in 0..LANES {
            lanes[i] += x[i] * x[i];
        }
    }
    lanes.iter_mut().zip(rest).for_each(|(sum, x)| *sum += x * x);
    let sum: f64 = lanes.iter().map(|x| f64::from(*x)).sum();
    (sum / (2.0 * (f.width as f64).sqrt())) as f32
}

/// The greatest of a row, those that are no numbers left out.
#[inline(always)]
unsafe fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (many, rest) = row.as_chunks::<LANES>();
    for x in many {
        for i in 0..LANES {
            lanes[i] = if x[i] > lanes[i] { x[i] } else { lanes[i] };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |top, x| if *x > top { *x } else { top })
}

/// Features of a projected row, in place; `shift` is what is taken away before an exponential.
#[inline(always)]
unsafe fn make<L: Lanes>(f: &Features, row: &mut [f32], shift: f32) {
    let (scale, epsilon) = (f.scale(), f.epsilon);
    if f.kernel == Kernel::Relu {
        // not with `max`, which would drop a NaN
        return row.iter_mut().for_each(|x| *x = (if *x <= 0.0 { 0.0 } else { *x * scale }) + epsilon);
    }
    // SAFETY: whole registers, the last from a filled copy
    unsafe {
        let (scale, shift, epsilon) = (L::splat(scale), L::splat(shift), L::splat(epsilon));
        let (many, rest) = row.as_chunks_mut::<LANES>();
        for x in many {
            powers::<L>(x, scale, shift, epsilon);
        }
        if !rest.is_empty() {
            let mut copy = [0.0f32; LANES];
            copy[..rest.len()].copy_from_slice(rest);
            powers::<L>(&mut copy, scale, shift, epsilon);
            rest.copy_from_slice(&copy[..rest.len()]);
        }
    }
}

/// e^(scale · x − shift) + ε of sixteen numbers, in place.
#[inline(always)]
unsafe fn powers<L: Lanes>(x: &mut [f32; LANES], scale: L, shift: L, epsilon: L) {
    // SAFETY: whole registers of the sixteen
    unsafe {
        for r in 0..LANES / L::N {
            let at = x.as_mut_ptr().add(r * L::N);
            exp(L::load(at).mul(scale).sub(shift)).add(epsilon).store(at);
        }
    }
}
