//! A case of `bench`, and the product of lists that cases come from.

use super::Strategy;
use crate::cli::Dtype;
use clap::ValueEnum;

/// One thing to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Index of its model.
    pub model: usize,
    /// Tokens of the source or prompt of each row.
    pub n_prompt: usize,
    /// Tokens generated for each row; 0: none.
    pub n_gen: usize,
    /// Tokens already in the memory when the clock starts.
    pub n_depth: usize,
    /// Rows decoded together, at least 1.
    pub batch_size: usize,
    /// Threads, at least 1; none: the machine's default.
    pub threads: Option<usize>,
    /// Type of the weights.
    pub dtype: Dtype,
    /// How tokens are picked.
    pub strategy: Strategy,
    /// The line of its `[[case]]`; 0 where no file says it.
    pub line: usize,
}

/// Lists whose product is a set of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    /// See [`Case::model`].
    pub models: Vec<usize>,
    /// See [`Case::n_prompt`].
    pub n_prompt: Vec<usize>,
    /// See [`Case::n_gen`].
    pub n_gen: Vec<usize>,
    /// See [`Case::n_depth`].
    pub n_depth: Vec<usize>,
    /// See [`Case::batch_size`].
    pub batch_size: Vec<usize>,
    /// See [`Case::threads`].
    pub threads: Vec<Option<usize>>,
    /// See [`Case::dtype`].
    pub dtypes: Vec<Dtype>,
    /// See [`Case::strategy`].
    pub strategies: Vec<Strategy>,
    /// See [`Case::line`].
    pub line: usize,
}

impl Grid {
    /// How many cases it stands for, at most `usize::MAX`.
    pub fn len(&self) -> usize {
        let numbers = [&self.models, &self.n_prompt, &self.n_gen, &self.n_depth, &self.batch_size].map(Vec::len);
        let rest = [self.threads.len(), self.dtypes.len(), self.strategies.len()];
        // an empty list makes no case, however long the others are
        numbers.iter().chain(&rest).fold(1, |n: usize, len| n.saturating_mul(*len))
    }

    /// Whether it stands for no case at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cases: all of a model follow each other, then all of a type, a strategy, a number of threads, a batch size, a depth, a prompt.
    pub fn cases(&self) -> impl Iterator<Item = Case> {
        (0..self.len()).map(|index| {
            let mut left = index;
            let mut digit = |base: usize| {
                let digit = left % base;
                left /= base;
                digit
            };
            // the list that is read first changes fastest
            Case {
                n_gen: self.n_gen[digit(self.n_gen.len())],
                n_prompt: self.n_prompt[digit(self.n_prompt.len())],
                n_depth: self.n_depth[digit(self.n_depth.len())],
                batch_size: self.batch_size[digit(self.batch_size.len())],
                threads: self.threads[digit(self.threads.len())],
                strategy: self.strategies[digit(self.strategies.len())],
                dtype: self.dtypes[digit(self.dtypes.len())],
                model: self.models[digit(self.models.len())],
                line: self.line,
            }
        })
    }
}

/// What names a case beside its model: keys and values as a suite file writes them.
pub(super) type Facets = [(&'static str, String); 7];

impl Case {
    pub(super) fn facets(&self) -> Facets {
        [
            ("n-prompt", self.n_prompt.to_string()),
            ("n-gen", self.n_gen.to_string()),
            ("n-depth", self.n_depth.to_string()),
            ("batch-size", self.batch_size.to_string()),
            ("threads", self.threads.map_or("the default".to_owned(), |n| n.to_string())),
            ("dtype", dtype_name(self.dtype)),
            ("strategy", self.strategy.to_string()),
        ]
    }
}

/// The types by name, as the command line has them.
pub(super) fn dtypes() -> Vec<(String, Dtype)> {
    Dtype::value_variants().iter().map(|d| (dtype_name(*d), *d)).collect()
}

pub(super) fn dtype_name(dtype: Dtype) -> String {
    dtype.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            models: vec![0, 1],
            n_prompt: vec![512, 1024],
            n_gen: vec![16, 32],
            n_depth: vec![0],
            batch_size: vec![1],
            threads: vec![None],
            dtypes: vec![Dtype::Auto],
            strategies: vec![Strategy::Greedy, Strategy::Beam(4)],
            line: 7,
        }
    }

    #[test]
    fn the_product_in_order() {
        let cases: Vec<Case> = grid().cases().collect();
        let short: Vec<_> = cases.iter().map(|c| (c.model, c.strategy, c.n_prompt, c.n_gen)).collect();
        let mut expected = Vec::new();
        for model in [0, 1] {
            for strategy in [Strategy::Greedy, Strategy::Beam(4)] {
                for n_prompt in [512, 1024] {
                    for n_gen in [16, 32] {
                        expected.push((model, strategy, n_prompt, n_gen));
                    }
                }
            }
        }
        assert_eq!(short, expected);
        assert_eq!(grid().len(), 16);
        assert!(cases.iter().all(|c| c.line == 7 && c.batch_size == 1 && c.threads.is_none()));
    }

    #[test]
    fn an_empty_list_makes_no_case_and_long_ones_do_not_overflow() {
        let none = Grid { n_gen: vec![], ..grid() };
        assert!(none.is_empty() && none.cases().next().is_none());
        let long = vec![1; 1000];
        let huge = Grid {
            models: vec![0; 70_000],
            n_prompt: long.clone(),
            n_gen: long.clone(),
            n_depth: long.clone(),
            batch_size: long.clone(),
            threads: vec![None; 1000],
            ..grid()
        };
        assert_eq!(huge.len(), usize::MAX);
        assert_eq!(Grid { strategies: vec![], ..huge }.len(), 0);
    }
}
