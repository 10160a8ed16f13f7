use super::*;
use crate::kernel::testing::noise;

/// The definition of the module's head in f64, for one row of one head: the output and the probabilities.
fn naive(q: &[f32], k: &[&[f32]], v: &[&[f32]], e: Option<(&[f32], usize)>, scale: f32) -> (Vec<f64>, Vec<f64>) {
    let w = q.len();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let score = |j: usize| {
        let distance = k.len() - 1 - j;
        let near = e.map_or(0.0, |(table, origin)| dot(q, &table[(origin - distance) * w..][..w]));
        f64::from(scale) * (dot(q, k[j]) + near)
    };
    let powers: Vec<f64> = (0..k.len()).map(|j| score(j).exp()).collect();
    let sum: f64 = powers.iter().sum();
    let p: Vec<f64> = powers.iter().map(|x| x / sum).collect();
    ((0..w).map(|f| p.iter().zip(v).map(|(p, v)| p * f64::from(v[f])).sum()).collect(), p)
}

/// A sequence of keys, cut into a queue, what the segment has already, and the rows that are read.
struct Case {
    heads: usize,
    width: usize,
    queue: usize,
    before: usize,
    t: usize,
    rows: usize,
}

impl Case {
    fn sizes(&self) -> Sizes {
        Sizes { heads: self.heads, width: self.width, scale: 0.7 }
    }

    fn n(&self) -> usize {
        self.queue + self.before + self.t
    }

    /// Outputs and tally, read in calls of `cut` rows; `counted` keys are tallied.
    fn run(&self, table: bool, counted: usize, cut: usize, precision: Precision) -> (Vec<f32>, Vec<f32>) {
        let d = self.heads * self.width;
        let (k, v, q) = (noise(self.n() * d, 1), noise(self.n() * d, 2), noise(self.t * d, 3));
        let numbers = noise(self.heads * self.rows * self.width, 4);
        let table = table.then(|| Table::new(&numbers, (self.heads, self.rows, self.width)));
        let (mut queue, mut segment) = (Keys::new(self.heads, self.width, precision), Keys::new(self.heads, self.width, precision));
        let own = (self.queue + self.before) * d;
        queue.append(&k[..self.queue * d], &v[..self.queue * d]);
        segment.append(&k[self.queue * d..own], &v[self.queue * d..own]);
        let (mut out, mut tally) = (Vec::new(), vec![0.0; (counted - self.t * usize::from(counted > 0)) * self.heads]);
        for (i, q) in q.chunks(cut * d).enumerate() {
            let new = own + i * cut * d..own + i * cut * d + q.len();
            segment.append(&k[new.clone()], &v[new]);
            if counted > 0 {
                tally.resize(tally.len() + q.len() / self.width, 0.0);
            }
            let job = Job { q, queue: &queue, segment: &segment, origin: self.rows - 1, tally: &mut tally };
            out.extend(attend(&mut [job], self.sizes(), table.as_ref()));
        }
        (out, tally)
    }
}

fn cases() -> Vec<Case> {
    let case = |heads, width, queue, before, t, rows| Case { heads, width, queue, before, t, rows };
    vec![
        case(1, 1, 0, 0, 1, 1),
        case(3, 8, 0, 0, 5, 5),
        case(2, 16, 11, 3, 9, 40),
        case(2, 20, 70, 33, 40, 143),
        case(1, 5, 32, 0, 33, 100),
    ]
}

#[test]
fn is_its_definition() {
    for case in cases() {
        let (d, w, n) = (case.heads * case.width, case.width, case.n());
        let (k, v, q) = (noise(n * d, 1), noise(n * d, 2), noise(case.t * d, 3));
        let numbers = noise(case.heads * case.rows * w, 4);
        for table in [false, true] {
            let counted = case.before + case.t + case.queue / 2;
            let (out, tally) = case.run(table, counted, case.t, Precision::F32);
            let mut want = vec![0.0; counted * case.heads];
            for (row, h) in (0..case.t).flat_map(|r| (0..case.heads).map(move |h| (r, h))) {
                let seen = n - case.t + row + 1;
                let part = |x: &'_ [f32], j: usize| x[j * d + h * w..][..w].to_vec();
                let (keys, values): (Vec<_>, Vec<_>) = (0..seen).map(|j| (part(&k, j), part(&v, j))).unzip();
                let (keys, values): (Vec<&[f32]>, Vec<&[f32]>) =
                    (keys.iter().map(|x| &x[..]).collect(), values.iter().map(|x| &x[..]).collect());
                let e = table.then(|| (&numbers[h * case.rows * w..(h + 1) * case.rows * w], case.rows - 1));
                let (y, p) = naive(&q[row * d + h * w..][..w], &keys, &values, e, 0.7);
                for (got, want) in out[row * d + h * w..][..w].iter().zip(&y) {
                    assert!((f64::from(*got) - want).abs() < 2e-6, "{got} {want}");
                }
                (n - counted..seen).for_each(|j| want[(j + counted - n) * case.heads + h] += p[j]);
            }
            assert!(tally.iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 5e-6), "{tally:?} {want:?}");
        }
    }
}

#[test]
fn neither_cuts_nor_threads_change_a_bit() {
    for case in cases() {
        for (table, precision) in [(false, Precision::F32), (true, Precision::F32), (true, Precision::Bf16)] {
            let counted = case.before + case.t + case.queue / 3;
            let whole = case.run(table, counted, case.t, precision);
            for cut in [1, 2, 7] {
                assert!(case.run(table, counted, cut, precision) == whole, "{cut}");
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            assert!(pool.install(|| case.run(table, counted, case.t, precision)) == whole);
            assert!(case.run(table, 0, case.t, precision) == (whole.0, vec![]), "nobody counts");
        }
    }
}

/// bf16 keys are those numbers exactly.
#[test]
fn bf16_keys_are_read_as_they_are() {
    let case = Case { heads: 2, width: 8, queue: 9, before: 2, t: 4, rows: 15 };
    let (exact, rounded) = (case.run(true, 0, 4, Precision::F32).0, case.run(true, 0, 4, Precision::Bf16).0);
    assert!(exact != rounded && exact.iter().zip(&rounded).all(|(a, b)| (a - b).abs() < 0.02));
}
