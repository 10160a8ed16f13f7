//! The stored numbers the statistics are tested against, made by `fixtures/bench/reference.py`.

use serde_json::Value;

/// Relative tolerance of what needs no t quantile.
pub const PLAIN: f64 = 1e-12;
/// Relative tolerance of what needs one.
pub const STUDENT: f64 = 1e-9;

/// The rows of one part of the file.
pub fn rows(part: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bench/statistics.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows = all[part].as_array().unwrap().clone();
    assert!(!rows.is_empty());
    rows
}

/// A list of numbers.
pub fn numbers(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A list of points.
pub fn points(v: &Value) -> Vec<(f64, f64)> {
    v.as_array().unwrap().iter().map(|p| (p[0].as_f64().unwrap(), p[1].as_f64().unwrap())).collect()
}

/// A list of lengths, each with its samples.
pub fn series(v: &Value) -> Vec<(f64, Vec<f64>)> {
    v.as_array().unwrap().iter().map(|p| (p[0].as_f64().unwrap(), numbers(&p[1]))).collect()
}

/// Asserts that a number is the stored one, or missing as the stored one (`null`) is.
pub fn same(got: impl Into<Option<f64>>, want: &Value, rel: f64, what: &str) {
    match (got.into(), want.as_f64()) {
        (None, None) => {}
        (Some(g), Some(w)) => assert!((g - w).abs() <= rel * w.abs(), "{what}: {g} is not {w}, off by {:e}", ((g - w) / w).abs()),
        (g, w) => panic!("{what}: {g:?} is not {w:?}"),
    }
}

/// Asserts that two numbers agree.
pub fn near(got: f64, want: f64, rel: f64, what: &str) {
    assert!((got - want).abs() <= rel * want.abs(), "{what}: {got} is not {want}");
}

/// Seeded normal numbers with mean 0 and variance 1 (Box–Muller over a linear congruential generator).
pub struct Normal(u64);

impl Normal {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// The next one.
    pub fn draw(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}
