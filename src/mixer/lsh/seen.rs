//! What a query sees, and what a decoder remembers for it.

use super::Hashing;
use crate::block::Heads;
use crate::kernel::precision::Precision;
use half::bf16;

/// What a query's score with itself loses: it counts only where nothing else is seen.
const SELF: f32 = 1e5;
/// No position.
const NONE: u32 = u32::MAX;

/// Numbers, held in f32 or bf16.
#[derive(Debug, Clone)]
pub(super) enum Numbers {
    /// As they are.
    Whole(Vec<f32>),
    /// Rounded to the nearest.
    Half(Vec<bf16>),
}

impl Numbers {
    fn new(precision: Precision) -> Self {
        if precision == Precision::Bf16 { Self::Half(Vec::new()) } else { Self::Whole(Vec::new()) }
    }

    fn extend(&mut self, x: &[f32]) {
        match self {
            Self::Whole(own) => own.extend_from_slice(x),
            Self::Half(own) => own.extend(x.iter().map(|x| bf16::from_f32(*x))),
        }
    }

    fn reserve(&mut self, n: usize) {
        match self {
            Self::Whole(own) => own.reserve_exact(n.saturating_sub(own.len())),
            Self::Half(own) => own.reserve_exact(n.saturating_sub(own.len())),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Whole(own) => size_of_val(&own[..]),
            Self::Half(own) => size_of_val(&own[..]),
        }
    }

    /// Σ_j own(at + j) x(j), in one order.
    fn dot(&self, at: usize, x: &[f32]) -> f32 {
        match self {
            Self::Whole(own) => dot(&own[at..at + x.len()], x, |x| x),
            Self::Half(own) => dot(&own[at..at + x.len()], x, bf16::to_f32),
        }
    }

    /// out(j) ← out(j) + a · own(at + j).
    fn add_to(&self, at: usize, a: f32, out: &mut [f32]) {
        match self {
            Self::Whole(own) => out.iter_mut().zip(&own[at..]).for_each(|(out, x)| *out += a * x),
            Self::Half(own) => out.iter_mut().zip(&own[at..]).for_each(|(out, x)| *out += a * x.to_f32()),
        }
    }
}

/// Sums that run beside each other, as registers do.
const LANES: usize = 8;

fn dot<E: Copy>(a: &[E], b: &[f32], number: impl Fn(E) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks(LANES), b.chunks(LANES));
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += number(*a) * b);
    }
    sums.iter().sum()
}

/// Keys (with the scale in them) and values of `width` numbers, at the same places.
#[derive(Debug, Clone)]
pub(super) struct Pairs {
    keys: Numbers,
    values: Numbers,
}

impl Pairs {
    /// None yet.
    pub fn new(precision: Precision) -> Self {
        Self { keys: Numbers::new(precision), values: Numbers::new(precision) }
    }

    /// Of these, in f32.
    pub fn of(keys: Vec<f32>, values: Vec<f32>) -> Self {
        Self { keys: Numbers::Whole(keys), values: Numbers::Whole(values) }
    }

    /// Softmax attention of `q` over the pairs at these places, `own` being the query's: the weighted sum of values, and the logarithm of the sum of exponentials.
    pub fn look(&self, q: &[f32], own: usize, seen: &[usize], scores: &mut Vec<f32>, out: &mut [f32]) -> f32 {
        scores.clear();
        scores.extend(seen.iter().map(|&at| self.keys.dot(at, q) - if at == own { SELF } else { 0.0 }));
        let most = scores.iter().fold(f32::NEG_INFINITY, |most, s| if *s > most { *s } else { most });
        let mut sum = 0.0;
        out.fill(0.0);
        for (score, at) in scores.iter().zip(seen) {
            let weight = (score - most).exp();
            sum += weight;
            self.values.add_to(*at, weight, out);
        }
        let lse = most + sum.ln();
        // near −10⁵ the logarithm has few digits left; the reference divides by what is left of it, and so do we
        let share = (most - lse).exp();
        out.iter_mut().for_each(|out| *out *= share);
        lse
    }
}

/// Puts rounds together: Σ_r softmax_r(lse) · round(r). `rounds` are out (rounds, width) with their lse.
pub(super) fn combine(rounds: &[f32], lse: &[f32], out: &mut [f32]) {
    let most = lse.iter().fold(f32::NEG_INFINITY, |most, s| if *s > most { *s } else { most });
    // rounded as the reference's, see `Pairs::look`
    let total = most + lse.iter().map(|l| (l - most).exp()).sum::<f32>().ln();
    out.fill(0.0);
    for (round, lse) in rounds.chunks_exact(out.len().max(1)).zip(lse) {
        let weight = (lse - total).exp();
        out.iter_mut().zip(round).for_each(|(out, x)| *out += weight * x);
    }
}

/// A row's keys and values, and for each position, head and round the one before it in its bucket.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pairs: Pairs,
    /// (position, head, round); [`NONE`] for the first of a bucket.
    previous: Vec<u32>,
    /// (head, round, bucket): the latest position there.
    latest: Vec<u32>,
    len: usize,
    heads: usize,
    width: usize,
    rounds: usize,
}

impl Row {
    /// An empty one.
    pub fn new(heads: &Heads, hashing: &Hashing, precision: Precision) -> Self {
        let latest = vec![NONE; heads.count * hashing.rounds * hashing.buckets];
        let (heads, width, rounds) = (heads.count, heads.width, hashing.rounds);
        Self { pairs: Pairs::new(precision), previous: Vec::new(), latest, len: 0, heads, width, rounds }
    }

    /// Positions read.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all of it.
    pub fn bytes(&self) -> usize {
        self.pairs.keys.bytes() + self.pairs.values.bytes() + size_of_val(&self.previous[..]) + size_of_val(&self.latest[..])
    }

    /// Bytes after so many positions.
    pub fn bytes_at(heads: &Heads, hashing: &Hashing, precision: Precision, positions: usize) -> usize {
        let number = if precision == Precision::Bf16 { size_of::<bf16>() } else { size_of::<f32>() };
        let (one, links) = (2 * heads.count * heads.width * number, heads.count * hashing.rounds * size_of::<u32>());
        positions * (one + links) + links * hashing.buckets
    }

    /// Room for so many positions in all.
    pub fn reserve(&mut self, positions: usize) {
        self.pairs.keys.reserve(positions * self.heads * self.width);
        self.pairs.values.reserve(positions * self.heads * self.width);
        let links = positions * self.heads * self.rounds;
        self.previous.reserve_exact(links.saturating_sub(self.previous.len()));
    }

    /// Positions more: keys and values (t, h w), buckets (t, h, rounds).
    pub fn append(&mut self, (keys, values): (&[f32], &[f32]), buckets: &[u32]) {
        self.pairs.keys.extend(keys);
        self.pairs.values.extend(values);
        let links = self.heads * self.rounds;
        let of_one = self.latest.len() / links.max(1);
        for position in buckets.chunks_exact(links.max(1)) {
            for (link, bucket) in position.iter().enumerate() {
                let latest = &mut self.latest[link * of_one + *bucket as usize];
                self.previous.push(std::mem::replace(latest, self.len as u32));
            }
            self.len += 1;
        }
    }

    /// What head `h` of the query at position `p` makes of itself and the latest `window` positions before it in its buckets.
    pub fn look(&self, q: &[f32], (p, h): (usize, usize), window: usize, out: &mut [f32]) {
        let place = |p: usize| (p * self.heads + h) * self.width;
        let (mut seen, mut scores) = (Vec::new(), Vec::new());
        let (mut rounds, mut lse) = (vec![0.0; self.rounds * self.width], vec![0.0; self.rounds]);
        for (r, (round, lse)) in rounds.chunks_exact_mut(self.width).zip(&mut lse).enumerate() {
            let before = |p: usize| Some(self.previous[(p * self.heads + h) * self.rounds + r]).filter(|p| *p != NONE).map(|p| p as usize);
            seen.clear();
            seen.push(place(p));
            seen.extend(std::iter::successors(before(p), |p| before(*p)).take(window).map(place));
            *lse = self.pairs.look(q, place(p), &seen, &mut scores, round);
        }
        combine(&rounds, &lse, out);
    }
}
