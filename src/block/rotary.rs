//! Rotary positions: pairs of features turn by an angle that grows with the position, so that products depend on distances
//! (Su et al. 2021, "RoFormer", <https://arxiv.org/abs/2104.09864>, section 3.2.2).
//!
//! With the angle θ = p · base^(−2i/width) of pair i at position p: (x₁, x₂) -> (x₁ cos θ − x₂ sin θ, x₂ cos θ + x₁ sin θ).

use crate::error::{Error, Result};
use serde::Deserialize;

/// Which features are a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotaryStyle {
    /// i and i + width/2 (GPT-NeoX).
    #[default]
    Half,
    /// 2i and 2i + 1 (RoFormer, lucidrains).
    Interleaved,
}

/// The turns of heads of one width.
#[derive(Debug, Clone)]
pub struct Rotary {
    style: RotaryStyle,
    width: usize,
    turns: Turns,
}

#[derive(Debug, Clone)]
enum Turns {
    /// These factors of the position; angles in f64.
    Factors(Vec<f64>),
    /// Stored rows, for each position sines, then cosines.
    Table(Vec<f32>),
}

impl Rotary {
    /// For heads of `width` features, all of which turn. Fails if that is odd, or `base` no number above 0.
    pub fn new(width: usize, base: f64, style: RotaryStyle) -> Result<Self> {
        even(width)?;
        if !base.is_finite() || base <= 0.0 {
            return Err(Error::new(format!("config.json: a rotary base of {base}")).hint("it is a number above 0, usually 10000"));
        }
        let factors = (0..width / 2).map(|i| base.powf(-2.0 * i as f64 / width as f64)).collect();
        Ok(Self { style, width, turns: Turns::Factors(factors) })
    }

    /// The same with sines and cosines that a checkpoint stores, (positions, width): sines in the first half, cosines in the second. Positions beyond
    /// are the caller's to refuse.
    pub fn stored(table: Vec<f32>, width: usize, style: RotaryStyle) -> Result<Self> {
        even(width)?;
        Ok(Self { style, width, turns: Turns::Table(table) })
    }

    /// Turns x (rows, heads · width) in place; `positions` has one for each row.
    pub fn apply(&self, x: &mut [f32], heads: usize, positions: impl Iterator<Item = usize>) {
        self.apply_signed(x, heads, positions.map(|p| p as i64));
    }

    /// The same for positions that may lie before the text.
    pub fn apply_signed(&self, x: &mut [f32], heads: usize, positions: impl Iterator<Item = i64>) {
        let half = self.width / 2;
        let mut angles = vec![(0.0f32, 0.0f32); half];
        for (row, p) in x.chunks_exact_mut(heads * self.width).zip(positions) {
            self.angles(p, &mut angles);
            for head in row.chunks_exact_mut(self.width) {
                match self.style {
                    RotaryStyle::Half => {
                        let (a, b) = head.split_at_mut(half);
                        a.iter_mut().zip(b).zip(&angles).for_each(|((a, b), turn)| (*a, *b) = turned(*a, *b, *turn));
                    }
                    RotaryStyle::Interleaved => {
                        let pairs = head.as_chunks_mut::<2>().0;
                        pairs.iter_mut().zip(&angles).for_each(|([a, b], turn)| (*a, *b) = turned(*a, *b, *turn));
                    }
                }
            }
        }
    }

    /// Sine and cosine of each pair's angle.
    fn angles(&self, p: i64, out: &mut [(f32, f32)]) {
        match &self.turns {
            Turns::Factors(factors) => out.iter_mut().zip(factors).for_each(|(out, factor)| {
                let (sine, cosine) = (p as f64 * factor).sin_cos();
                *out = (sine as f32, cosine as f32);
            }),
            Turns::Table(table) => {
                let row = usize::try_from(p).ok().and_then(|p| table.get(p * self.width..(p + 1) * self.width));
                let (sines, cosines) = row.unwrap_or_default().split_at(row.map_or(0, |_| self.width / 2));
                // a row that is not there turns by nothing that anybody could mistake for a result
                out.fill((f32::NAN, f32::NAN));
                out.iter_mut().zip(sines.iter().zip(cosines)).for_each(|(out, (s, c))| *out = (*s, *c));
            }
        }
    }
}

fn turned(a: f32, b: f32, (sine, cosine): (f32, f32)) -> (f32, f32) {
    (a * cosine - b * sine, b * cosine + a * sine)
}

fn even(width: usize) -> Result<()> {
    if width == 0 || !width.is_multiple_of(2) {
        return Err(Error::new(format!("config.json: rotary positions need an even number of features a head, not {width}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::noise;

    /// Turning by p is multiplying the complex number x₁ + i x₂ by e^(iθ).
    #[test]
    fn pairs_turn_as_complex_numbers() {
        let (width, heads, base) = (6, 2, 50.0);
        let positions = [0usize, 1, 7, 1000];
        let x = noise(positions.len() * heads * width, 1);
        for style in [RotaryStyle::Half, RotaryStyle::Interleaved] {
            let mut got = x.clone();
            Rotary::new(width, base, style).unwrap().apply(&mut got, heads, positions.into_iter());
            for (r, p) in positions.into_iter().enumerate() {
                for (h, i) in (0..heads).flat_map(|h| (0..width / 2).map(move |i| (h, i))) {
                    let (a, b) = if style == RotaryStyle::Half { (i, i + width / 2) } else { (2 * i, 2 * i + 1) };
                    let at = |f: usize| (r * heads + h) * width + f;
                    let (radius, angle) = (f64::from(x[at(a)]).hypot(f64::from(x[at(b)])), f64::from(x[at(b)]).atan2(f64::from(x[at(a)])));
                    let turned = angle + p as f64 * base.powf(-((2 * i) as f64) / width as f64);
                    let far = (f64::from(got[at(a)]) - radius * turned.cos()).abs() + (f64::from(got[at(b)]) - radius * turned.sin()).abs();
                    assert!(far < 1e-6, "{style:?} {p} {i} {far}");
                }
            }
        }
    }

    #[test]
    fn a_stored_table_is_read_as_sines_then_cosines_and_does_not_go_on() {
        let width = 4;
        let table: Vec<f32> = (0..3)
            .flat_map(|p| [1.0, 0.01].map(|f: f32| (p as f32 * f).sin()).into_iter().chain([1.0, 0.01].map(|f: f32| (p as f32 * f).cos())))
            .collect();
        let stored = Rotary::stored(table, width, RotaryStyle::Interleaved).unwrap();
        let worked = Rotary::new(width, 10_000.0, RotaryStyle::Interleaved).unwrap();
        let (mut a, mut b) = (noise(12, 2), noise(12, 2));
        stored.apply(&mut a, 1, 0..3);
        worked.apply(&mut b, 1, 0..3);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        stored.apply(&mut a[..4], 1, 3..4);
        assert!(a[..4].iter().all(|x| x.is_nan()));
        worked.apply_signed(&mut b, 1, [-5, 0, 5].into_iter());
        worked.apply_signed(&mut b[..4], 1, [5 + 5].into_iter());
        worked.apply_signed(&mut b[..4], 1, [-5].into_iter());
        assert!((b[0] - noise(12, 2)[0]).abs() < 1e-6);
    }

    #[test]
    fn widths_and_bases_that_make_no_sense_are_errors() {
        for (width, base) in [(0, 1e4), (5, 1e4), (4, 0.0), (4, f64::NAN), (4, -1.0)] {
            assert!(Rotary::new(width, base, RotaryStyle::Half).is_err());
        }
    }
}
