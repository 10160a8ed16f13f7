//! E and F: what makes few rows of the many of a text, and how they are loaded.

use crate::block::Linear;
use crate::error::Result;
use crate::kernel::lengthwise::Lengthwise;
use crate::kernel::linear::Layout;
use crate::weights::Weights;
use std::sync::Arc;

/// What makes few rows of the many of a text: (n, w) -> (k, w).
#[derive(Debug)]
pub enum Squeeze {
    /// E x + b.
    Matrix(Lengthwise),
    /// A convolution over windows side by side: each gives a row, positions behind the last whole one count for nothing. Input s w + f is feature f of the window's
    /// position s.
    Windows(Linear),
    /// All rows as they are: full attention.
    Whole,
}

impl Squeeze {
    pub(super) fn apply(&self, x: &[f32], width: usize) -> Vec<f32> {
        match self {
            Self::Matrix(e) => e.apply(x, width),
            Self::Windows(conv) => {
                let (_, inputs) = conv.shape();
                conv.apply(&x[..x.len() / inputs * inputs])
            }
            Self::Whole => x.to_vec(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Matrix(e) => e.bytes(),
            Self::Windows(conv) => conv.bytes(),
            Self::Whole => 0,
        }
    }

    /// The longest text.
    pub(super) fn limit(&self) -> Option<usize> {
        match self {
            Self::Matrix(e) => Some(e.shape().1),
            Self::Windows(_) | Self::Whole => None,
        }
    }
}

/// `weight` (h, k, N) below `w`: a matrix for each head.
pub(super) fn one_a_head(w: &Weights, heads: usize, (k, n): (usize, usize)) -> Result<Vec<Arc<Squeeze>>> {
    let numbers = w.numbers("weight", &[heads, k, n])?;
    let one = |h: usize| {
        let part = numbers.get(h * k * n..(h + 1) * k * n).unwrap_or_default();
        Arc::new(Squeeze::Matrix(columns(w, part, (k, n), Layout::OutIn, None)))
    };
    Ok((0..heads).map(one).collect())
}

/// `weight` (k, N) below `w`.
pub(super) fn whole(w: &Weights, sizes: (usize, usize)) -> Result<Lengthwise> {
    Ok(columns(w, &w.numbers("weight", &[sizes.0, sizes.1])?, sizes, Layout::OutIn, None))
}

/// E (k, N) of numbers that lie so or, [`Layout::InOut`], as (N, k); none in a blueprint.
pub(crate) fn columns(w: &Weights, numbers: &[f32], (k, n): (usize, usize), layout: Layout, bias: Option<Vec<f32>>) -> Lengthwise {
    Lengthwise::new((k, n), bias, |range| {
        let (first, wide) = (range.start, range.len());
        let at = |i: usize| match layout {
            Layout::OutIn => i / wide * n + first + i % wide,
            Layout::InOut => (first + i % wide) * k + i / wide,
        };
        let part = if numbers.is_empty() { Vec::new() } else { (0..k * wide).map(|i| numbers[at(i)]).collect() };
        w.made(part, (k, wide))
    })
}
