//! The statistics of all segments by all metrics, over the threads of the pool.

use super::Compare;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Segments that a thread takes at once.
const BLOCK: usize = 32;

/// Counts `segments` segments; `texts` gives the hypothesis of one and fills in its references. A list of rows for each metric.
///
/// Each thread keeps its own counters, so a word is looked at once a thread, and takes the next block when it is done with one.
pub fn count<'t>(metrics: &[&dyn Compare], segments: usize, texts: impl Fn(usize, &mut Vec<&'t str>) -> &'t str + Sync) -> Vec<Vec<f64>> {
    let next = AtomicUsize::new(0);
    let widths: Vec<usize> = metrics.iter().map(|m| m.width()).collect();
    let work = |_: rayon::BroadcastContext<'_>| {
        let mut counters: Vec<_> = metrics.iter().map(|m| m.counter()).collect();
        let mut references = Vec::new();
        let mut done = Vec::new();
        loop {
            let start = next.fetch_add(BLOCK, Ordering::Relaxed);
            if start >= segments {
                return done;
            }
            let end = segments.min(start + BLOCK);
            let mut rows: Vec<Vec<f64>> = widths.iter().map(|w| vec![0.0; w * (end - start)]).collect();
            for segment in start..end {
                references.clear();
                let hypothesis = texts(segment, &mut references);
                for ((counter, rows), w) in counters.iter_mut().zip(&mut rows).zip(&widths) {
                    counter.segment(hypothesis, &references, &mut rows[(segment - start) * w..][..*w]);
                }
            }
            done.push((start, rows));
        }
    };
    let mut blocks: Vec<(usize, Vec<Vec<f64>>)> = rayon::broadcast(work).into_iter().flatten().collect();
    blocks.sort_unstable_by_key(|(start, _)| *start);
    let mut all: Vec<Vec<f64>> = widths.iter().map(|w| Vec::with_capacity(w * segments)).collect();
    for (_, rows) in blocks {
        all.iter_mut().zip(rows).for_each(|(all, rows)| all.extend(rows));
    }
    all
}
