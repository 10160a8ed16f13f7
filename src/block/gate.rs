//! A gate in the place of a residual sum (Parisotto et al. 2019, "Stabilizing Transformers for Reinforcement Learning", <https://arxiv.org/abs/1910.06764>):
//! a GRU cell whose input is what a layer made, y = f(x), and whose state is what went in, x.
//!
//! r = σ(W_ir y + b_ir + W_hr x + b_hr); z = σ(W_iz y + b_iz + W_hz x + b_hz); n = tanh(W_in y + b_in + r (W_hn x + b_hn)); x' = (1 − z) n + z x
//!
//! PyTorch's `GRUCell`, with its order of gates r, z, n. The mogrifier (Melis et al. 2019, <https://arxiv.org/abs/1909.01792>) lets both look at each other
//! first, five times by turns: y ← 2 σ(Q x) y, then x ← 2 σ(R y) x; Q and R are of low rank.

use super::Linear;
use crate::error::Result;
use crate::kernel::elementwise::{Tanh, map};
use crate::kernel::linear::Layout;
use crate::weights::{Form, Weights};
use std::sync::Arc;

/// The gate.
#[derive(Debug)]
pub struct Gate {
    /// W_i, b_i: r, z and n one below the other, (3 d, d).
    input: Linear,
    /// W_h, b_h.
    hidden: Linear,
    mogrifier: Option<Mogrifier>,
}

/// Two layers each, (d / 4, d) and back.
#[derive(Debug)]
struct Mogrifier {
    q: [Linear; 2],
    r: [Linear; 2],
}

/// How often one of both is multiplied.
const TURNS: usize = 5;

impl Gate {
    /// `gru.weight_ih`, `gru.weight_hh` (3 d, d), `gru.bias_ih`, `gru.bias_hh` below `w`; with `mogrify`, `mogrify.Q.0.0`, `.Q.0.1`, `.R.0.0`, `.R.0.1`, linear
    /// layers of d / 4 features between them.
    pub fn load(w: &Weights, d: usize, mogrify: bool) -> Result<Self> {
        let gru = w.pp("gru");
        let one = |name: &str| -> Result<Linear> {
            let bias = gru.get(&format!("bias_{name}"), &[3 * d])?;
            let form = Form::whole((3 * d, d), Layout::OutIn);
            Ok(Linear::from_packed(Arc::new(gru.packed(&format!("weight_{name}"), &form, Some(bias))?)))
        };
        let pair = |name: &str| -> Result<[Linear; 2]> {
            let w = w.pp("mogrify").pp(name).pp(0);
            Ok([Linear::load(&w.pp(0), (d / 4, d))?, Linear::load(&w.pp(1), (d, d / 4))?])
        };
        let mogrifier = if mogrify { Some(Mogrifier { q: pair("Q")?, r: pair("R")? }) } else { None };
        Ok(Self { input: one("ih")?, hidden: one("hh")?, mogrifier })
    }

    /// Bytes of weights, all of which a step reads.
    pub fn bytes(&self) -> usize {
        let low = self.mogrifier.as_ref().map_or(0, |m| m.q.iter().chain(&m.r).map(Linear::bytes).sum());
        self.input.bytes() + self.hidden.bytes() + low
    }

    /// x' of y and x, (n, d) each.
    pub fn apply(&self, mut y: Vec<f32>, mut x: Vec<f32>) -> Vec<f32> {
        if let Some(Mogrifier { q, r }) = &self.mogrifier {
            for turn in 0..TURNS {
                let (layers, from, to) = if turn % 2 == 0 { (q, &x, &mut y) } else { (r, &y, &mut x) };
                let mut gate = layers[1].apply(&layers[0].apply(from));
                sigmoid(&mut gate);
                to.iter_mut().zip(&gate).for_each(|(to, g)| *to *= 2.0 * g);
            }
        }
        let d = self.input.shape().1;
        let (mut input, hidden) = (self.input.apply(&y), self.hidden.apply(&x)); // (n, 3 d)
        for (i, h) in input.chunks_exact_mut(3 * d).zip(hidden.chunks_exact(3 * d)) {
            i[..2 * d].iter_mut().zip(h).for_each(|(i, h)| *i += h);
            sigmoid(&mut i[..2 * d]);
            let (gates, new) = i.split_at_mut(2 * d);
            new.iter_mut().zip(&h[2 * d..]).zip(&*gates).for_each(|((n, h), r)| *n += r * h);
            map(Tanh, new);
        }
        for (x, i) in x.chunks_exact_mut(d).zip(input.chunks_exact(3 * d)) {
            let (z, n) = (&i[d..2 * d], &i[2 * d..]);
            x.iter_mut().zip(z).zip(n).for_each(|((x, z), n)| *x = (1.0 - z) * n + z * *x);
        }
        x
    }
}

/// σ(x) = (1 + tanh(x / 2)) / 2.
fn sigmoid(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x *= 0.5);
    map(Tanh, x);
    x.iter_mut().for_each(|x| *x = 0.5 + 0.5 * *x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::noise;
    use crate::weights::Store;

    /// The equations of the module's head, in f64, over the numbers that the store makes up.
    #[test]
    fn is_its_definition() {
        let (d, n) = (12, 5);
        let w = Arc::new(Store::random(3)).root();
        let (y, x) = (noise(n * d, 1), noise(n * d, 2));
        let product = |name: &str, bias: &str, x: &[f64], (o, i): (usize, usize)| -> Vec<f64> {
            let (weight, bias) = (w.numbers(name, &[o, i]).unwrap(), w.numbers(bias, &[o]).unwrap());
            let dot = |row: &[f64], out: usize| (0..i).map(|j| row[j] * f64::from(weight[out * i + j])).sum::<f64>() + f64::from(bias[out]);
            x.chunks(i).flat_map(|row| (0..o).map(|out| dot(row, out)).collect::<Vec<_>>()).collect()
        };
        let sigma = |x: f64| 1.0 / (1.0 + (-x).exp());
        let low = |name: &str, x: &[f64]| {
            let inner = product(&format!("mogrify.{name}.0.0.weight"), &format!("mogrify.{name}.0.0.bias"), x, (d / 4, d));
            product(&format!("mogrify.{name}.0.1.weight"), &format!("mogrify.{name}.0.1.bias"), &inner, (d, d / 4))
        };
        for mogrify in [false, true] {
            let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
            let (mut a, mut b) = (wide(&y), wide(&x));
            for turn in 0..if mogrify { 5 } else { 0 } {
                let gate = if turn % 2 == 0 { low("Q", &b) } else { low("R", &a) };
                let to = if turn % 2 == 0 { &mut a } else { &mut b };
                to.iter_mut().zip(gate).for_each(|(to, g)| *to *= 2.0 * sigma(g));
            }
            let (i, h) = (product("gru.weight_ih", "gru.bias_ih", &a, (3 * d, d)), product("gru.weight_hh", "gru.bias_hh", &b, (3 * d, d)));
            let got = Gate::load(&w, d, mogrify).unwrap().apply(y.clone(), x.clone());
            for (at, got) in got.iter().enumerate() {
                let (row, f) = (at / d * 3 * d, at % d);
                let (r, z) = (sigma(i[row + f] + h[row + f]), sigma(i[row + d + f] + h[row + d + f]));
                let new = (i[row + 2 * d + f] + r * h[row + 2 * d + f]).tanh();
                let want = (1.0 - z) * new + z * b[at];
                assert!((f64::from(*got) - want).abs() < 1e-6, "{mogrify} {at}: {got} {want}");
            }
        }
    }
}
