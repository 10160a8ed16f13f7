//! Both mixers by their definition, in f64: lists of rows, every key and value projected anew for every token, nothing remembered but the lists.

use super::{Padding, Queues};

/// What one row becomes of a window of rows.
pub type Window<'a> = &'a dyn Fn(&[Vec<f64>]) -> Vec<f64>;

/// Of a head and its query: the weight of each key.
pub type Weigh<'a> = &'a dyn Fn(usize, &[f64], &[Vec<f64>]) -> Vec<f64>;

/// What a test mixes.
pub struct Twin<'a> {
    pub d: usize,
    pub heads: usize,
    /// W_q, W_k, W_v (d, d) and W_o (d, d).
    pub weights: [&'a [f32]; 4],
    pub queues: Queues,
    /// One row of a window of c.
    pub compress: Option<Window<'a>>,
    /// Whether halves of a head are turned, with a base of 10000.
    pub rotary: bool,
    pub zeros: bool,
    /// The weights of all keys that a query sees, of a head.
    pub weigh: Weigh<'a>,
}

#[derive(Clone)]
struct Row {
    x: Vec<f64>,
    place: i64,
    used: f64,
}

impl Twin<'_> {
    fn product(&self, which: usize, x: &[f64]) -> Vec<f64> {
        (0..self.d).map(|o| x.iter().zip(&self.weights[which][o * self.d..]).map(|(x, w)| x * f64::from(*w)).sum()).collect()
    }

    fn head(&self, which: usize, row: &Row, h: usize) -> Vec<f64> {
        let w = self.d / self.heads;
        let mut x = self.product(which, &row.x)[h * w..(h + 1) * w].to_vec();
        if self.rotary && which < 2 {
            for i in 0..w / 2 {
                let angle = row.place as f64 * 10_000f64.powf(-2.0 * i as f64 / w as f64);
                (x[i], x[i + w / 2]) = (x[i] * angle.cos() - x[i + w / 2] * angle.sin(), x[i + w / 2] * angle.cos() + x[i] * angle.sin());
            }
        }
        x
    }

    /// (n, d) -> (n, d).
    pub fn run(&self, x: &[f32]) -> Vec<f64> {
        let Queues { segment, memory, compressed, ratio, .. } = self.queues;
        let zero = |place| Row { x: vec![0.0; self.d], place, used: 0.0 };
        let (mut mem, mut cmem): (Vec<Row>, Vec<Row>) = (vec![], vec![]);
        if self.zeros {
            mem = (0..memory).map(|i| zero(i as i64 - memory as i64)).collect();
            cmem = (0..compressed).map(|s| zero(-(memory as i64) - 1 - ((compressed - 1 - s) * ratio) as i64)).collect();
        }
        let rows = x.chunks_exact(self.d).enumerate();
        let rows: Vec<Row> = rows.map(|(i, x)| Row { x: x.iter().map(|x| f64::from(*x)).collect(), place: i as i64, used: 0.0 }).collect();
        let mut out = Vec::new();
        for part in rows.chunks(segment) {
            let mut all: Vec<Row> = cmem.iter().chain(&mem).cloned().collect();
            let before = all.len();
            for row in part {
                all.push(row.clone());
                out.extend(self.told(&mut all));
            }
            if part.len() < segment {
                break;
            }
            let mut recent = all.split_off(before - mem.len());
            let stay = recent.split_off(recent.len().saturating_sub(memory));
            cmem.extend(self.compressed(&recent));
            cmem.drain(..cmem.len().saturating_sub(compressed));
            mem = stay;
        }
        out
    }

    /// The output of the last of the rows, all of which it sees; what they are given is added up.
    fn told(&self, all: &mut [Row]) -> Vec<f64> {
        let mut mixed = Vec::new();
        for h in 0..self.heads {
            let keys: Vec<Vec<f64>> = all.iter().map(|r| self.head(1, r, h)).collect();
            let weights = (self.weigh)(h, &self.head(0, &all[all.len() - 1], h), &keys);
            let sum: f64 = weights.iter().sum();
            let mut out = vec![0.0; self.d / self.heads];
            for (row, weight) in all.iter_mut().zip(&weights) {
                row.used += weight / sum;
                let v = self.head(2, row, h);
                out.iter_mut().zip(v).for_each(|(out, v)| *out += weight / sum * v);
            }
            mixed.extend(out);
        }
        self.product(3, &mixed)
    }

    fn compressed(&self, old: &[Row]) -> Vec<Row> {
        let (n, c) = (old.len(), self.queues.ratio);
        let Some(compress) = self.compress else {
            let rank = |i: usize| old.iter().enumerate().filter(|(j, r)| r.used > old[i].used || (r.used == old[i].used && *j < i)).count();
            return (0..n).filter(|i| rank(*i) < n.div_ceil(c)).map(|i| old[i].clone()).collect();
        };
        let zeros = if self.queues.padding == Padding::Left { (c - n % c) % c } else { n % c };
        let mut rows = vec![Row { x: vec![0.0; self.d], place: 0, used: 0.0 }; if n == 0 { 0 } else { zeros }];
        rows.extend_from_slice(old);
        let one = |w: &[Row]| Row { x: compress(&w.iter().map(|r| r.x.clone()).collect::<Vec<_>>()), place: w[c - 1].place, used: 0.0 };
        rows.chunks_exact(c).map(one).collect()
    }
}

/// Means, maxima, and the convolution of `weight` (d, d, c) and `bias` (d).
pub fn mean(w: &[Vec<f64>]) -> Vec<f64> {
    (0..w[0].len()).map(|f| w.iter().map(|r| r[f]).sum::<f64>() / w.len() as f64).collect()
}

pub fn max(w: &[Vec<f64>]) -> Vec<f64> {
    (0..w[0].len()).map(|f| w.iter().map(|r| r[f]).fold(f64::NEG_INFINITY, f64::max)).collect()
}

pub fn conv<'a>(weight: &'a [f32], bias: &'a [f32]) -> impl Fn(&[Vec<f64>]) -> Vec<f64> + 'a {
    |w| {
        let (d, c) = (w[0].len(), w.len());
        let one = |o: usize| {
            (0..d).flat_map(|i| (0..c).map(move |k| (i, k))).map(|(i, k)| f64::from(weight[(o * d + i) * c + k]) * w[k][i]).sum::<f64>()
        };
        (0..d).map(|o| one(o) + f64::from(bias[o])).collect()
    }
}
