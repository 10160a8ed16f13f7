//! Bootstrap: segments drawn with replacement.

use super::super::Sums;
use super::numpy::Generator;
use super::{Counted, Rows};
use rayon::prelude::*;

/// Draws that are held at once: a few megabytes, whatever the corpus.
const HELD: usize = 1 << 21;

/// Scores of `samples` resamples of every entry of `counted`, all with the same draws: `[entry][score][sample]`.
///
/// All entries have the same number of segments, at most 2³². The draws are those of `generator.choice(segments, size=(samples, segments))`.
pub fn bootstrap(counted: &[Counted], samples: usize, mut generator: Generator) -> Vec<Vec<Vec<f64>>> {
    let segments = counted.first().map_or(0, Counted::segments);
    let rows: Vec<Rows> = counted.iter().map(Rows::new).collect();
    let mut scores: Vec<Vec<Vec<f64>>> = counted.iter().map(|c| vec![Vec::with_capacity(samples); c.titles()]).collect();
    let per_round = (HELD / segments.max(1)).clamp(1, samples.max(1));
    let mut draw = |samples: usize| -> Vec<u32> { (0..samples * segments).map(|_| generator.below(segments as u64) as u32).collect() };
    let mut left = samples;
    let mut picks = draw(per_round.min(left));
    while left > 0 {
        left -= per_round.min(left);
        // the next draws are made while these are scored
        let (round, next) = rayon::join(|| score_round(counted, &rows, &picks, segments), || draw(per_round.min(left)));
        for sample in round {
            let mut values = sample.into_iter();
            scores.iter_mut().flatten().for_each(|list| list.extend(values.next()));
        }
        picks = next;
    }
    scores
}

/// The scores of each sample of a round: all scores of all entries, one after the other.
fn score_round(counted: &[Counted], rows: &[Rows], picks: &[u32], segments: usize) -> Vec<Vec<f64>> {
    let total = counted.iter().map(Counted::titles).sum();
    let score = |picks: &[u32]| {
        let mut out = vec![0.0; total];
        let mut rest = &mut out[..];
        for (counted, rows) in counted.iter().zip(rows) {
            let (values, after) = rest.split_at_mut(counted.titles());
            score_sample(counted, rows, picks, values);
            rest = after;
        }
        out
    };
    picks.par_chunks(segments.max(1)).map(score).collect()
}

fn score_sample(counted: &Counted, rows: &Rows, picks: &[u32], values: &mut [f64]) {
    let width = counted.metric.width();
    match rows {
        Rows::Single(blocks) => {
            let mut sums = vec![0.0_f32; width];
            blocks.sums(picks, &mut sums);
            counted.metric.values(Sums::Single(&sums), picks.len(), values);
        }
        Rows::Double(blocks) => {
            let mut sums = vec![0.0_f64; width];
            blocks.sums(picks, &mut sums);
            counted.metric.values(Sums::Double(&sums), picks.len(), values);
        }
    }
}
