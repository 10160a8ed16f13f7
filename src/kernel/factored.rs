//! The multiplicative layer: y(s, m) = Σ_i x(i) D(s, i) E(i, m) + b(s, m), without ever building D · E.

use super::linear::Packed;

/// D (S, d), Eᵀ (M, d) and b (S · M); the output's number s · M + m is y(s, m).
#[derive(Debug)]
pub struct Factored {
    modules: usize,
    gates: Vec<f32>,
    proj: Packed,
    bias: Option<Vec<f32>>,
}

impl Factored {
    /// Of its parts: `gates` (S · d), `proj` with M outputs and d inputs and no bias, `bias` (S · M).
    pub fn new(modules: usize, gates: Vec<f32>, proj: Packed, bias: Option<Vec<f32>>) -> Self {
        Self { modules, gates, proj, bias }
    }

    /// Outputs S · M and inputs d.
    pub fn shape(&self) -> (usize, usize) {
        (self.modules * self.proj.outputs, self.proj.inputs)
    }

    /// Bytes of all three parts: what a step reads.
    pub fn bytes(&self) -> usize {
        let d = self.proj.inputs;
        self.proj.bytes() + (self.modules * d + self.bias.as_ref().map_or(0, Vec::len)) * size_of::<f32>()
    }

    /// Rows of numbers, (n, d) -> (n, S · M).
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let d = self.proj.inputs;
        let gated: Vec<f32> = x
            .chunks_exact(d)
            .flat_map(|x| self.gates.chunks_exact(d).flat_map(move |gate| x.iter().zip(gate).map(|(x, g)| x * g)))
            .collect(); // (n S, d)
        let mut y = self.proj.apply(&gated); // (n S, M)
        if let Some(bias) = &self.bias {
            y.chunks_exact_mut(bias.len()).for_each(|row| row.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
        }
        y
    }
}
