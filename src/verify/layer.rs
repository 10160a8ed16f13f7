//! A layer alone against its reference: `x` (1, t, d) -> `y`, read at once, and `y_by_step`, read position by position.

use super::{Golden, Report, compare};
use crate::arch::Layer;
use crate::error::{Error, Result};
use candle_core::Tensor;
use std::path::Path;

/// Runs everything that the golden has outputs for. `atol` is the largest absolute difference that passes.
pub fn verify_layer(layer: &Layer, path: &Path, atol: f64) -> Result<Report> {
    let golden = Golden::open(path)?;
    let x =
        golden.tensor("x").ok_or_else(|| Error::new(format!("{}: no `x`", path.display())).hint("a golden of a layer has `x` and `y`"))?;
    let (rows, t, _) = x.dims3()?;
    if rows != 1 {
        return Err(Error::new(format!("{}: `x` has {rows} rows", path.display())).hint("a layer is compared one row at a time"));
    }
    let mut report = Report::default();
    let mut check = |key: &str, got: Tensor| -> Result<()> {
        if let Some(want) = golden.tensor(key) {
            report.checks.push(compare::close(key, &got.squeeze(0)?, want, &[t], atol)?);
        }
        Ok(())
    };
    check("y", layer.forward(x, layer.memory()?.as_mut())?)?;
    let mut memory = layer.memory()?;
    let steps = (0..t).map(|i| layer.forward(&x.narrow(1, i, 1)?, memory.as_mut())).collect::<Result<Vec<Tensor>>>()?;
    check("y_by_step", Tensor::cat(&steps, 1)?)?;
    report.not_compared = golden.other().into_iter().filter(|k| !["x", "y", "y_by_step"].contains(&k.as_str())).collect();
    if report.checks.is_empty() {
        return Err(Error::new(format!("{}: nothing to compare", path.display())).hint("a golden of a layer has `x` and `y`"));
    }
    Ok(report)
}
