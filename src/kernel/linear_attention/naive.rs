//! The recurrence number by number, in f64.

use crate::kernel::features::Kernel;

/// The numbers of [`super::Features`] in plain form.
pub struct Plain<'a> {
    /// W (m, width), or nothing where x stands for W x̂.
    pub projection: &'a [f32],
    /// f.
    pub kernel: Kernel,
    /// ε.
    pub epsilon: f64,
    /// See [`super::Features::constant`].
    pub constant: f64,
    /// h.
    pub heads: usize,
    /// Numbers of a head.
    pub width: usize,
}

impl Plain<'_> {
    /// W x̂ and D of one head's x.
    fn project(&self, x: &[f32]) -> (Vec<f64>, f64) {
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        if self.projection.is_empty() {
            return (x, 0.0);
        }
        let scale = (self.width as f64).powf(-0.25);
        let dot = |w: &[f32]| w.iter().zip(&x).map(|(w, x)| f64::from(*w) * x * scale).sum();
        let diagonal = if self.kernel == Kernel::Softmax { x.iter().map(|x| (scale * x).powi(2)).sum::<f64>() / 2.0 } else { 0.0 };
        (self.projection.chunks_exact(self.width).map(dot).collect(), diagonal)
    }

    /// Features of W x̂ with D and a maximum taken away.
    fn make(&self, projected: &[f64], shift: f64) -> Vec<f64> {
        let feature = |x: &f64| if self.kernel == Kernel::Relu { x.max(0.0) } else { (x - shift).exp() };
        projected.iter().map(|x| feature(x) + self.epsilon).collect()
    }
}

/// The output at every token of one row, (t, heads · width) three times -> (t, heads · width), each key summed before its query reads.
pub fn naive(f: &Plain, [q, k, v]: [&[f32]; 3]) -> Vec<f64> {
    let (d, w) = (f.heads * f.width, f.width);
    let mut out = vec![0.0; q.len()];
    for h in 0..f.heads {
        let (mut s, mut z, mut most): (Vec<Vec<f64>>, Vec<f64>, f64) = (Vec::new(), Vec::new(), f64::NEG_INFINITY);
        for at in (0..q.len() / d).map(|t| t * d + h * w) {
            let ((wk, diagonal), (wq, own)) = (f.project(&k[at..at + w]), f.project(&q[at..at + w]));
            let top = |x: &[f64]| x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let raised = most.max(top(&wk));
            let (key, query) = (f.make(&wk, diagonal + raised), f.make(&wq, own + top(&wq)));
            s.resize_with(key.len(), || vec![0.0; w]);
            z.resize(key.len(), 0.0);
            let factor = if f.kernel == Kernel::Relu { 1.0 } else { (most - raised).exp() };
            let constant = f.constant * if f.kernel == Kernel::Exponential { (-raised).exp() } else { 1.0 };
            let mut norm = 0.0;
            for ((s, z), (key, query)) in s.iter_mut().zip(&mut z).zip(key.iter().zip(&query)) {
                *z = *z * factor + key;
                norm += query * (*z + constant);
                for (i, s) in s.iter_mut().enumerate() {
                    *s = *s * factor + key * f64::from(v[at + i]);
                    out[at + i] += query * *s;
                }
            }
            out[at..at + w].iter_mut().for_each(|x| *x /= norm);
            most = raised;
        }
    }
    out
}
