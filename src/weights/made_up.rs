//! Stores without files: numbers drawn from a seed, or sizes alone; and what a model asked them for.

use super::{Store, random};

/// What stands for weights where there are no files.
#[derive(Clone, Copy)]
pub(super) enum MadeUp {
    /// Numbers from this seed.
    Random(u64),
    /// Nothing but sizes.
    Blueprint,
}

impl MadeUp {
    /// The numbers of the tensor `name`, made up with a deviation of 1/√`inputs`: of matrices none, where there are only sizes.
    pub fn numbers(self, name: &str, shape: &[usize], inputs: usize) -> Vec<f32> {
        match self {
            MadeUp::Random(seed) => random::numbers(seed, name, shape, inputs),
            MadeUp::Blueprint if shape.len() < 2 => vec![0.0; shape.iter().product()],
            MadeUp::Blueprint => Vec::new(),
        }
    }
}

/// A tensor that a model asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Inputs of an output: numbers are made up with a deviation of 1/√inputs.
    pub inputs: usize,
}

impl Store {
    /// Numbers made up from a seed for whatever is asked: matrices of variance 1 / inputs, norms 1, biases 0, multipliers (`gating`, `mult`) of variance 1/4.
    pub fn random(seed: u64) -> Self {
        Self::empty(Some(MadeUp::Random(seed)))
    }

    /// No numbers at all: matrices come out empty, so that a model of any size loads at once and takes no memory. It can tell sizes and
    /// cannot run.
    pub fn blueprint() -> Self {
        Self::empty(Some(MadeUp::Blueprint))
    }

    /// Whether its numbers are made up.
    pub fn is_random(&self) -> bool {
        matches!(self.made_up, Some(MadeUp::Random(_)))
    }

    /// Whether it has no numbers.
    pub fn is_blueprint(&self) -> bool {
        matches!(self.made_up, Some(MadeUp::Blueprint))
    }

    /// Names and shapes of the tensors of a made-up checkpoint that were asked for so far, by name.
    pub fn asked_for(&self) -> Vec<Asked> {
        let asked =
            |(name, (shape, inputs)): (&String, &(Vec<usize>, usize))| Asked { name: name.clone(), shape: shape.clone(), inputs: *inputs };
        self.made.lock().map_or_else(|_| Vec::new(), |m| m.iter().map(asked).collect())
    }

    /// Counts a tensor that was made up.
    pub(super) fn note(&self, name: &str, shape: &[usize], inputs: usize) {
        if let Ok(mut made) = self.made.lock() {
            made.insert(name.to_string(), (shape.to_vec(), inputs));
        }
    }
}
