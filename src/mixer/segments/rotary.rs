//! Rotary positions (Su et al. 2021, <https://arxiv.org/abs/2104.09864>) at places that may lie before the text.

use crate::error::{Error, Result};
use serde::Deserialize;

/// Which features are turned against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RotaryStyle {
    /// Feature i and feature i + w/2.
    #[default]
    Half,
    /// Features 2i and 2i + 1.
    Interleaved,
}

/// Turns pairs of features of each head by place · base^(−2i/w).
#[derive(Debug, Clone)]
pub struct Rotary {
    factors: Vec<f64>,
    style: RotaryStyle,
}

impl Rotary {
    /// For heads of `width` features. Fails if that is odd, or at a base that is no positive number.
    pub fn new(width: usize, base: f64, style: RotaryStyle) -> Result<Self> {
        if !width.is_multiple_of(2) {
            return Err(Error::new(format!("config.json: rotary positions turn pairs of features, a head has {width}"))
                .hint("choose an even `d_head`"));
        }
        if !(base.is_finite() && base > 0.0) {
            return Err(Error::new(format!("config.json: `rotary_base` is {base}, not a positive number")));
        }
        let factors = (0..width / 2).map(|i| base.powf(-2.0 * i as f64 / width as f64)).collect();
        Ok(Self { factors, style })
    }

    /// Turns x (rows, heads · width) in place, each row at its place.
    pub fn apply_signed(&self, x: &mut [f32], heads: usize, places: impl Iterator<Item = i64>) {
        let half = self.factors.len();
        let inner = 2 * half * heads;
        let mut waves = Vec::with_capacity(half);
        for (row, place) in x.chunks_exact_mut(inner).zip(places) {
            waves.clear();
            waves.extend(self.factors.iter().map(|f| (place as f64 * f).sin_cos()).map(|(sin, cos)| (sin as f32, cos as f32)));
            for head in row.chunks_exact_mut(2 * half) {
                for (i, (sin, cos)) in waves.iter().enumerate() {
                    let (a, b) = match self.style {
                        RotaryStyle::Half => (i, i + half),
                        RotaryStyle::Interleaved => (2 * i, 2 * i + 1),
                    };
                    (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
                }
            }
        }
    }
}
