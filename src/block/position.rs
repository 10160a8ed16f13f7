//! Absolute positions, added to the embeddings.

use crate::error::{Error, Result};
use crate::kernel::elementwise::add;
use crate::kernel::tensor;
use crate::weights::Weights;
use candle_core::Tensor;

/// What is added at each position.
#[derive(Debug, Clone)]
pub struct Positions {
    kind: Kind,
    d: usize,
    /// Fewer positions than the kind has.
    most: Option<usize>,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Position p is row p + `offset`.
    Table { table: Vec<f32>, rows: usize, offset: usize },
    /// Sines and cosines, worked out in f32 where they are asked for.
    Waves,
    /// The same in f64, rounded once: these factors of the position.
    Sines(Vec<f64>),
    /// Sines and cosines in f32: these factors of the position.
    Angles(Vec<f32>),
    /// Digits of the position in several bases.
    Digits(Digits),
    /// The last three features tell a bin of so many positions, and the place within it.
    Bins(usize),
    /// Nothing.
    None,
}

/// trax's `FixedBasePositionalEncoding`: for each base the position's eight digits, lowest first, each times a vector of d/8 features of its own;
/// the bases are added up. Position 0 gets a vector besides.
#[derive(Debug, Clone)]
struct Digits {
    /// One list of d features a base.
    weights: Vec<Vec<f32>>,
    start: Vec<f32>,
}

const BASES: [usize; 4] = [11, 13, 14, 15];
const DIGITS: usize = 8;

/// Fails where a table has more positions than any text.
fn possible(n: usize) -> Result<()> {
    const MOST: usize = 1 << 26;
    if n > MOST {
        return Err(Error::new(format!("config.json: {n} positions are more than {MOST}"))
            .hint("look at `max_position_embeddings`, or what the family calls it: is a digit mistyped?"));
    }
    Ok(())
}

impl Positions {
    /// A learned table with `n` usable rows; position p is row p + `offset` of `weight` below `w` (BART: 2, LED and GPT-2: 0).
    pub fn learned(w: &Weights, (n, d): (usize, usize), offset: usize) -> Result<Self> {
        possible(n)?;
        Ok(Self { kind: Kind::Table { table: w.get("weight", &[n + offset, d])?, rows: n + offset, offset }, d, most: None })
    }

    /// A table (n, d) that somebody else has read.
    pub fn stored(table: Vec<f32>, (n, d): (usize, usize)) -> Self {
        Self { kind: Kind::Table { table, rows: n, offset: 0 }, d, most: None }
    }

    /// Sines in the first half of the features, cosines in the second: angle p / 10000^(2j/d)
    /// (transformers:src/transformers/models/pegasus/modeling_pegasus.py). A table stored in the checkpoint is used as it is.
    pub fn sinusoidal(w: &Weights, (n, d): (usize, usize)) -> Result<Self> {
        if w.has("weight") {
            return Self::learned(w, (n, d), 0);
        }
        possible(n)?;
        let half = d.div_ceil(2);
        let angle = |p: usize, j: usize| p as f64 / 10_000f64.powf(2.0 * j as f64 / d as f64);
        let table = (0..n).flat_map(|p| (0..d).map(move |f| if f < half { angle(p, f).sin() } else { angle(p, f - half).cos() } as f32));
        Ok(Self { kind: Kind::Table { table: table.collect(), rows: n, offset: 0 }, d, most: None })
    }

    /// The same waves for any position, with the reference's rounding: factor and angle are f32
    /// (trax:trax/layers/research/position_encodings.py `SinCosPositionalEncoding`). Fails if d is odd.
    pub fn waves(d: usize) -> Result<Self> {
        if !d.is_multiple_of(2) {
            return Err(Error::new(format!("config.json: `pos_type` \"sin-cos\" needs an even `d_model`, not {d}")));
        }
        Ok(Self { kind: Kind::Waves, d, most: None })
    }

    /// Sines in the first half of the features, cosines in the second, for any position: angle p / 10000^(2j/d), in f64. Fails if d is odd.
    pub fn sines(d: usize) -> Result<Self> {
        Self::sines_of(d, 10_000.0)
    }

    /// The same with another base than 10000.
    pub fn sines_of(d: usize, base: f64) -> Result<Self> {
        if !d.is_multiple_of(2) {
            return Err(Error::new(format!("config.json: sinusoidal positions need an even number of features, not {d}")));
        }
        let factors = (0..d / 2).map(|j| base.powf(-2.0 * j as f64 / d as f64)).collect();
        Ok(Self { kind: Kind::Sines(factors), d, most: None })
    }

    /// Sines in the first half of the features, cosines in the second, for any position: angle p / 10000^(k / (d/2 − 1)), so that the last wave has the period
    /// 2π · 10000 (transformers:src/transformers/models/pegasus_x/modeling_pegasus_x.py). Factors and angles are rounded to f32, as there: far into a
    /// text that is more than the sine's own error. The reference's exponential is off by a unit in the last place for about one factor in a hundred, which one
    /// depends on the machine; this one is the nearest f32. Fails if d is odd or below 4.
    pub fn angles(d: usize) -> Result<Self> {
        if !d.is_multiple_of(2) || d < 4 {
            return Err(Error::new(format!("config.json: `d_model` is {d}"))
                .hint("sinusoidal positions need an even number of features, 4 or more"));
        }
        let step = -(10_000f64.ln() / (d / 2 - 1) as f64) as f32;
        let factors = (0..d / 2).map(|k| f64::from(k as f32 * step).exp() as f32).collect();
        Ok(Self { kind: Kind::Angles(factors), d, most: None })
    }

    /// `base.B.I` (1, d/8) for the bases 11, 13, 14, 15 and eight digits, and `start` (1, 1, d) below `w`
    /// (the same file, `FixedBasePositionalEncoding`). Fails if 8 does not divide d.
    pub fn digits(w: &Weights, d: usize) -> Result<Self> {
        if !d.is_multiple_of(DIGITS) {
            return Err(Error::new(format!("config.json: `pos_type` \"fixed-base\" needs a `d_model` that {DIGITS} divides, not {d}")));
        }
        let base = |b: usize| -> Result<Vec<f32>> {
            let digits = (0..DIGITS).map(|i| w.pp("base").pp(b).get(&i.to_string(), &[1, d / DIGITS])).collect::<Result<Vec<_>>>()?;
            Ok(digits.concat())
        };
        let weights = BASES.into_iter().map(base).collect::<Result<_>>()?;
        Ok(Self { kind: Kind::Digits(Digits { weights, start: w.get("start", &[1, 1, d])? }), d, most: None })
    }

    /// `axis.J` (n_j, d_j) below `w`: a position is the number of a place in a box of these lengths, the last axis fastest; the axes' rows stand side
    /// by side (the same file, `AxialPositionalEncoding`). Fails if the d_j do not add up to d.
    pub fn axial(w: &Weights, axes: &[(usize, usize)], d: usize) -> Result<Self> {
        let wide: usize = axes.iter().map(|a| a.1).sum();
        if wide != d || axes.is_empty() {
            return Err(Error::new(format!("config.json: `pos_d_axial_embs` add up to {wide}, `d_model` is {d}")));
        }
        let tables = axes.iter().enumerate().map(|(j, (n, d))| w.pp("axis").numbers(&j.to_string(), &[*n, *d]));
        let tables = tables.collect::<Result<Vec<_>>>()?;
        let rows: usize = axes.iter().map(|a| a.0).product();
        let mut table = Vec::with_capacity(rows * d);
        w.holds(rows * d);
        for p in 0..rows {
            let mut apart = rows;
            for (numbers, (n, d)) in tables.iter().zip(axes) {
                apart /= n;
                let row = p / apart % n;
                table.extend(numbers.iter().skip(row * d).take(*d));
            }
        }
        Ok(Self { kind: Kind::Table { table, rows, offset: 0 }, d, most: None })
    }

    /// `J` (1, 1, …, n_j, …, 1, d) below `w`, one for each axis: as [`Positions::axial`], but the axes' rows are added up (lucidrains'
    /// axial-positional-embedding). Fails if there are no axes, or one is empty, or too many positions in all.
    pub fn axial_sums(w: &Weights, axes: &[usize], d: usize) -> Result<Self> {
        let rows =
            axes.iter().try_fold(1usize, |rows, n| rows.checked_mul(*n)).filter(|rows| (1..=1 << 32).contains(rows) && !axes.is_empty());
        let rows = rows.ok_or_else(|| {
            Error::new(format!("config.json: `axial_position_shape` is {axes:?}")).hint("it has the lengths of the axes, each 1 or more")
        })?;
        let table = |(j, n): (usize, &usize)| {
            let mut shape = vec![1; axes.len() + 2];
            (shape[j + 1], shape[axes.len() + 1]) = (*n, d);
            w.numbers(&j.to_string(), &shape)
        };
        let tables = axes.iter().enumerate().map(table).collect::<Result<Vec<_>>>()?;
        w.holds(rows * d);
        // a blueprint has no numbers
        let known = tables.iter().zip(axes).all(|(table, n)| table.len() == n * d);
        let mut sums = vec![0.0; if known { rows * d } else { 0 }];
        for (p, sum) in sums.chunks_exact_mut(d.max(1)).enumerate() {
            let mut apart = rows;
            for (table, n) in tables.iter().zip(axes) {
                apart /= n;
                add(sum, &table[p / apart % n * d..][..d]);
            }
        }
        Ok(Self::stored(sums, (rows, d)))
    }

    /// The last three features become 1 / (1 + ⌊p / b⌋), (p mod b) / b and ⌊p / b⌋ mod 2 for bins of b positions (the same file, `TimeBinPositionalEncoding`).
    /// Fails if d is below 3.
    pub fn bins(bin: usize, d: usize) -> Result<Self> {
        if d < 3 || bin == 0 {
            return Err(Error::new(format!("config.json: `pos_type` \"time-bin\" needs three features and a bin, not {d} and {bin}")));
        }
        Ok(Self { kind: Kind::Bins(bin), d, most: None })
    }

    /// Nothing is added.
    pub fn none(d: usize) -> Self {
        Self { kind: Kind::None, d, most: None }
    }

    /// The same with `n` positions at most.
    pub fn up_to(self, n: usize) -> Self {
        Self { most: Some(n), ..self }
    }

    /// How many positions there are, if they end.
    pub fn limit(&self) -> Option<usize> {
        let kind = match &self.kind {
            Kind::Table { rows, offset, .. } => Some(rows - offset),
            Kind::Digits(_) => Some(BASES[0].pow(DIGITS as u32) - 1),
            Kind::Waves | Kind::Sines(_) | Kind::Angles(_) | Kind::Bins(_) | Kind::None => None,
        };
        kind.into_iter().chain(self.most).min()
    }

    /// Bytes that one position reads.
    pub fn row_bytes(&self) -> usize {
        match &self.kind {
            Kind::Table { .. } => self.d * size_of::<f32>(),
            Kind::Digits(_) => BASES.len() * self.d * size_of::<f32>(),
            Kind::Waves | Kind::Sines(_) | Kind::Angles(_) | Kind::Bins(_) | Kind::None => 0,
        }
    }

    /// The rows of these positions, (positions, d).
    pub fn forward(&self, positions: impl ExactSizeIterator<Item = usize>) -> Result<Tensor> {
        let n = positions.len();
        let mut out = vec![0.0; n * self.d];
        self.add_to(&mut out, positions)?;
        tensor(out, (n, self.d))
    }

    /// Adds the rows of these positions to `out`, (positions, d). Fails if one is beyond the last.
    pub fn add_to(&self, out: &mut [f32], positions: impl ExactSizeIterator<Item = usize>) -> Result<()> {
        if positions.len() * self.d != out.len() {
            return Err(Error::new(format!("{} positions for {} rows", positions.len(), out.len() / self.d.max(1))));
        }
        for (p, row) in positions.zip(out.chunks_exact_mut(self.d)) {
            if let Some(n) = self.limit().filter(|n| p >= *n) {
                return Err(Error::new(format!("position {p} is beyond the {n} positions of this model"))
                    .hint("shorten the input or the output (`--on-overflow`, `--max-new-tokens`)"));
            }
            match &self.kind {
                Kind::Table { table, offset, .. } => add(row, &table[(p + offset) * self.d..][..self.d]),
                Kind::Waves => waves(p, row),
                Kind::Sines(factors) => {
                    let (sines, cosines) = row.split_at_mut(factors.len());
                    for ((sine, cosine), factor) in sines.iter_mut().zip(cosines).zip(factors) {
                        let (s, c) = (p as f64 * factor).sin_cos();
                        *sine += s as f32;
                        *cosine += c as f32;
                    }
                }
                Kind::Angles(factors) => {
                    let (sines, cosines) = row.split_at_mut(factors.len());
                    for ((sine, cosine), factor) in sines.iter_mut().zip(cosines).zip(factors) {
                        let (s, c) = (p as f32 * factor).sin_cos();
                        *sine += s;
                        *cosine += c;
                    }
                }
                Kind::Digits(digits) => digits.add_to(p, row),
                Kind::Bins(bin) => {
                    let (number, place) = (p / bin, p % bin);
                    let last = [1.0 / (1.0 + number as f32), place as f32 / *bin as f32, (number % 2) as f32];
                    row[self.d - 3..].copy_from_slice(&last);
                }
                Kind::None => {}
            }
        }
        Ok(())
    }
}

fn waves(p: usize, row: &mut [f32]) {
    let (d, half) = (row.len(), row.len() / 2);
    let step = -(10_000f32.ln() / d as f32);
    for j in 0..half {
        let angle = p as f32 * (2.0 * j as f32 * step).exp();
        row[j] += angle.sin();
        row[half + j] += angle.cos();
    }
}

impl Digits {
    fn add_to(&self, p: usize, row: &mut [f32]) {
        let mut sum = vec![0.0f32; row.len()];
        for (weights, base) in self.weights.iter().zip(BASES) {
            let mut rest = p;
            for (sum, weights) in sum.chunks_exact_mut(row.len() / DIGITS).zip(weights.chunks_exact(row.len() / DIGITS)) {
                let digit = (rest % base) as f32;
                rest /= base;
                sum.iter_mut().zip(weights).for_each(|(sum, w)| *sum += digit * w);
            }
        }
        if p == 0 {
            add(&mut sum, &self.start);
        }
        add(row, &sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(d: usize, p: usize) -> Vec<f32> {
        Positions::angles(d).and_then(|x| x.forward([p].into_iter())).and_then(|x| Ok(x.to_vec2()?)).unwrap().remove(0)
    }

    /// What the reference's module says, whose f32 angles are off by 1e-3 so far into a text; and the definition where they are not.
    #[test]
    fn angles_are_rounded_as_the_reference_rounds_them() {
        let far = [
            [0.394_651, 0.394_938, -0.707_923, 0.999_99, -0.765_161, 0.165_394, 0.026_174, 0.342_596],
            [0.908_539, 0.682_768, -0.673_243, 0.248_975, -0.790_853, -0.635_864, 0.114_011, 0.997_723],
            [-0.918_831, 0.918_708, -0.706_29, -0.004_434, -0.643_839, 0.986_228, -0.999_657, -0.939_483],
            [0.417_8, -0.730_635, -0.739_422, 0.968_51, -0.612_007, 0.771_801, -0.993_479, -0.067_452],
        ];
        for (got, want) in row(32, 16_383).iter().zip(far.concat()) {
            assert!((got - want).abs() < 2e-6, "{got} {want}");
        }
        for d in [4, 6, 48, 768] {
            for p in [0usize, 1, 2, 31] {
                let angle = |k: usize| p as f64 * (-(k as f64) * 10_000f64.ln() / (d / 2 - 1) as f64).exp();
                for (f, x) in row(d, p).into_iter().enumerate() {
                    let want = if f < d / 2 { angle(f).sin() } else { angle(f - d / 2).cos() };
                    assert!((f64::from(x) - want).abs() < 5e-6, "{d} {p} {f}: {x} {want}");
                }
            }
        }
    }

    #[test]
    fn angles_need_features_in_pairs_and_two_waves() {
        for d in [0, 1, 2, 3, 7] {
            assert!(Positions::angles(d).is_err_and(|e| e.message().contains("`d_model`")), "{d}");
        }
        let three = Positions::angles(4).unwrap().up_to(3);
        assert_eq!((three.limit(), three.forward(0..3).is_ok(), three.forward(3..4).is_err()), (Some(3), true, true));
    }
}
