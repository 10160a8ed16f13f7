//! The sparse feed-forward layer of "Sparse is Enough in Scaling Transformers" (Jaszczur et al. 2021, <https://arxiv.org/abs/2111.12763>, section 3.1).
//!
//! The d_ff units stand in d_1 blocks of N. A controller of low rank chooses one unit of each block:
//!
//! sel(b) = argmax_y (x M₁ M₂ + m)(b, y); mid(b) = max(0, x · w₁(b, sel b)); out = Σ_b mid(b) w₂(b, sel b) + b₂
//!
//! The first of equal maxima wins. A row touches one row of w₁ and of w₂ in each block, and the whole controller.

use super::linear::Packed;
use super::rows::Rows;

/// The weights.
#[derive(Debug)]
pub struct SparseFf {
    /// N, units of a block.
    pub n: usize,
    /// M₁ᵀ (rank, d).
    pub down: Packed,
    /// M₂ᵀ (d_1 · N, rank) with the controller's bias; unit y of block b is output b · N + y.
    pub up: Packed,
    /// w₁ by units: row b · N + y, of d numbers.
    pub w1: Rows,
    /// w₂ by units: row y · d_1 + b, of d numbers.
    pub w2: Rows,
    /// b₂ (d).
    pub bias: Vec<f32>,
    /// Whether mid is multiplied by the controller's softmax at the chosen unit.
    pub weighted: bool,
}

impl SparseFf {
    /// d_1, the number of blocks.
    pub fn blocks(&self) -> usize {
        self.up.outputs / self.n
    }

    /// Bytes that one row reads: the controller, one row of w₁ and of w₂ a block, the bias.
    pub fn step_bytes(&self) -> usize {
        let units = self.blocks() * (self.w1.row_bytes() + self.w2.row_bytes());
        self.down.bytes() + self.up.bytes() + units + self.bias.len() * size_of::<f32>()
    }

    /// Rows of numbers, (n, d) -> (n, d).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let d = self.down.inputs;
        let logits = self.up.apply(&self.down.apply(x)); // (n, d_1 N)
        let mut out = Vec::with_capacity(x.len());
        for (x, logits) in x.chunks_exact(d).zip(logits.chunks_exact(self.up.outputs)) {
            let mut sum = self.bias.clone();
            for (b, logits) in logits.chunks_exact(self.n).enumerate() {
                let y = first_greatest(logits);
                let mut mid = self.w1.dot(b * self.n + y, x).max(0.0);
                if self.weighted {
                    mid /= logits.iter().map(|l| (l - logits[y]).exp()).sum::<f32>();
                }
                self.w2.add_to(y * self.blocks() + b, mid, &mut sum);
            }
            out.extend(sum);
        }
        out
    }
}

/// The place of the greatest number, the first if there are several.
pub(crate) fn first_greatest(x: &[f32]) -> usize {
    x.iter().enumerate().fold(0, |best, (i, v)| if *v > x[best] { i } else { best })
}
