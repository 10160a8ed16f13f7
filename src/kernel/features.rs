//! Features whose products stand for the weights of an attention: what makes it linear (Choromanski et al. 2020, "Rethinking Attention with Performers",
//! <https://arxiv.org/abs/2009.14794>, section 2.3 and lemma 1).
//!
//! With the random matrix W (m, width), x̂ = width^(−1/4) x and D(x) = ‖x̂‖²/2, E[φ(q) · φ(k)] = e^(q · k / √width) for
//!
//! φ(x) = m^(−1/2) e^(W x̂ − D(x))
//!
//! What is the same for all features of a query cancels in the output, and so does what is the same for all keys: m^(−1/2), and a maximum that is taken away
//! before the exponential so that nothing overflows. A key's maximum is a running one, see [`super::linear_attention`].

use super::linear::{Packed, apply};
use rand_pcg::Lcg128Xsl64;
use rand_pcg::rand_core::Rng;
use std::borrow::Cow;

/// What features are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// e^(W x̂ − D(x)) + ε: stands for the exponential of a softmax.
    Softmax,
    /// max(0, W x̂) + ε.
    Relu,
    /// e^x, without projection (Shen et al. 2018, "Efficient Attention", <https://arxiv.org/abs/1812.01243>).
    Exponential,
}

/// How queries and keys become features.
#[derive(Debug)]
pub struct Features {
    /// W (m, width), shared by the heads; none where x itself takes the place of W x̂.
    pub projection: Option<Packed>,
    /// f in φ = f(W x̂).
    pub kernel: Kernel,
    /// ε, added to every feature of queries and keys. With the softmax kernel it is relative to the maxima: the greatest W x̂ of a query, and of all keys
    /// so far.
    pub epsilon: f32,
    /// Added to every feature's sum over the keys before the division, in the units of the features without their factor m^(−1/2); not part of the sums.
    pub constant: f32,
    /// h.
    pub heads: usize,
    /// Numbers of a head.
    pub width: usize,
}

impl Features {
    /// Of a projection (m, width).
    pub fn new(projection: Packed, kernel: Kernel, epsilon: f32, (heads, width): (usize, usize)) -> Self {
        Self { projection: Some(projection), kernel, epsilon, constant: 0.0, heads, width }
    }

    /// m, features of a head.
    pub fn count(&self) -> usize {
        self.projection.as_ref().map_or(self.width, |p| p.outputs)
    }

    /// Bytes of the projection.
    pub fn bytes(&self) -> usize {
        self.projection.as_ref().map_or(0, Packed::bytes)
    }

    /// What W x is multiplied by: x̂ = scale · x.
    pub(super) fn scale(&self) -> f32 {
        if self.projection.is_some() { (self.width as f64).powf(-0.25) as f32 } else { 1.0 }
    }

    /// W x of rows of `width` numbers: (n, width) -> (n, m).
    pub(super) fn project(&self, x: Cow<[f32]>) -> Vec<f32> {
        match &self.projection {
            Some(projection) => {
                let [out] = apply([projection], &x);
                out
            }
            None => x.into_owned(),
        }
    }
}

/// What the rows of a random matrix are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norms {
    /// The norms of other Gaussian vectors: each row by itself is distributed as a Gaussian vector (`ortho_scaling` 0).
    Gaussian,
    /// √width (`ortho_scaling` 1).
    Equal,
}

/// A random matrix (m, width) whose rows are orthogonal within each block of `width`: less noise than independent rows, and no bias (the paper's section 2.4).
///
/// Gram-Schmidt takes the rows of a Gaussian matrix one by one, so that directions are uniform; what a library returns as the Q of a QR decomposition
/// need not be.
pub fn orthogonal(seed: u64, (m, width): (usize, usize), norms: Norms) -> Vec<f32> {
    let mut generator = Lcg128Xsl64::new(u128::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835), 0xA02B_DBF7_BB3C_0A7A);
    let mut out = Vec::with_capacity(m * width);
    let mut block: Vec<Vec<f64>> = Vec::new();
    for _ in 0..m {
        if block.len() == width {
            block.clear();
        }
        let mut row: Vec<f64> = (0..width).map(|_| normal(&mut generator)).collect();
        // twice: what rounding leaves of the first time is gone after the second
        for other in block.iter().chain(&block) {
            let along = dot(&row, other);
            row.iter_mut().zip(other).for_each(|(x, o)| *x -= along * o);
        }
        let length = dot(&row, &row).sqrt();
        row.iter_mut().for_each(|x| *x /= length);
        let norm = match norms {
            Norms::Equal => (width as f64).sqrt(),
            Norms::Gaussian => (0..width).map(|_| normal(&mut generator).powi(2)).sum::<f64>().sqrt(),
        };
        out.extend(row.iter().map(|x| (norm * x) as f32));
        block.push(row);
    }
    out
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A draw from the normal distribution (Box and Muller).
fn normal(generator: &mut impl Rng) -> f64 {
    let mut uniform = || ((generator.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_block_are_orthogonal_and_as_long_as_asked_for() {
        for (m, width) in [(40, 16), (7, 10), (16, 16), (3, 1)] {
            for norms in [Norms::Gaussian, Norms::Equal] {
                let w: Vec<Vec<f64>> =
                    orthogonal(3, (m, width), norms).chunks(width).map(|r| r.iter().map(|x| f64::from(*x)).collect()).collect();
                assert_eq!(w.len(), m);
                for (i, j) in (0..m).flat_map(|i| (0..i).map(move |j| (i, j))).filter(|(i, j)| i / width == j / width) {
                    let cosine = dot(&w[i], &w[j]) / (dot(&w[i], &w[i]) * dot(&w[j], &w[j])).sqrt();
                    assert!(cosine.abs() < 1e-6, "{i} {j} {cosine}");
                }
                let lengths: Vec<f64> = w.iter().map(|r| dot(r, r).sqrt()).collect();
                let equal = lengths.iter().all(|l| (l - (width as f64).sqrt()).abs() < 1e-5);
                assert_eq!(equal, norms == Norms::Equal, "{lengths:?}");
            }
        }
    }

    #[test]
    fn norms_and_components_are_those_of_gaussian_vectors() {
        let (m, d) = (16_000, 16);
        let w = orthogonal(5, (m, d), Norms::Gaussian);
        let mean = w.chunks(d).map(|r| r.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()).sum::<f64>() / m as f64;
        // √2 Γ(8.5) / Γ(8); the deviation of a norm is 0.7
        assert!((mean - 3.938).abs() < 0.03, "{mean}");
        for column in 0..d {
            let all: Vec<f64> = w.chunks(d).map(|r| f64::from(r[column])).collect();
            let (mean, square) = (all.iter().sum::<f64>() / m as f64, dot(&all, &all) / m as f64);
            assert!(mean.abs() < 0.04 && (square - 1.0).abs() < 0.06, "{column}: {mean} {square}");
        }
        assert_eq!(w, orthogonal(5, (m, d), Norms::Gaussian));
        assert_ne!(w[..100], orthogonal(6, (m, d), Norms::Gaussian)[..100]);
    }
}
