//! The weights of a model in the order in which trax flattens them.

use crate::error::{Error, Result};

/// Weights at most in one model.
const MOST: usize = 1_000_000;

/// Sizes of a weight.
pub type Shape = Vec<usize>;

/// One weight: what it is called here and what shape it has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Its name in model.safetensors; none for one that no evaluation reads.
    pub name: Option<String>,
    /// Its shape in model.safetensors.
    pub shape: Shape,
    /// Its shape in trax, which may have more sides of 1.
    pub stored: Shape,
}

/// The list as it grows.
#[derive(Debug, Default)]
pub struct Leaves(pub Vec<Leaf>);

impl Leaves {
    /// A weight.
    pub fn add(&mut self, name: &str, shape: impl Into<Shape>) {
        let shape = shape.into();
        self.0.push(Leaf { name: Some(name.to_owned()), stored: shape.clone(), shape });
    }

    /// A weight that trax keeps in another shape of as many numbers.
    pub fn add_as(&mut self, name: &str, shape: impl Into<Shape>, stored: impl Into<Shape>) {
        self.0.push(Leaf { name: Some(name.to_owned()), shape: shape.into(), stored: stored.into() });
    }

    /// A weight that is read over.
    pub fn skip(&mut self, shape: impl Into<Shape>) {
        let shape = shape.into();
        self.0.push(Leaf { name: None, stored: shape.clone(), shape });
    }

    /// `LayerNorm`.
    pub fn norm(&mut self, path: &str, d: usize) {
        self.add(&format!("{path}.scale"), [d]);
        self.add(&format!("{path}.bias"), [d]);
    }

    /// `Dense`.
    pub fn dense(&mut self, path: &str, from: usize, to: usize) {
        self.add(&format!("{path}.w"), [from, to]);
        self.add(&format!("{path}.b"), [to]);
    }

    /// `FactoredDense`.
    pub fn factored(&mut self, path: &str, modules: usize, from: usize, to: usize) -> Result<()> {
        let module = self.divide(to, modules, path)?;
        self.add(&format!("{path}.gating"), [modules, from]);
        self.add(&format!("{path}.proj"), [from, module]);
        self.add(&format!("{path}.bias"), [to]);
        Ok(())
    }

    /// `LocallyConvDense` with a kernel [positions, modules]; `Dense` where there is one module.
    pub fn conv(&mut self, path: &str, modules: usize, from: usize, kernel: [usize; 2], to: usize) -> Result<()> {
        if modules == 1 {
            self.dense(path, from, to);
            return Ok(());
        }
        if kernel[1].is_multiple_of(2) {
            return Err(Error::new(format!("`{path}`: a kernel over {} modules; trax takes odd ones only", kernel[1])));
        }
        let (from, to) = (self.divide(from, modules, path)?, self.divide(to, modules, path)?);
        self.add(&format!("{path}.conv.kernel"), [kernel[0], kernel[1], from, to]);
        self.add(&format!("{path}.conv.bias"), [to]);
        Ok(())
    }

    /// `LocallyConnectedDense`: a kernel a module; `Dense` where there is one module.
    pub fn local(&mut self, path: &str, modules: usize, kernel: usize, d: usize) -> Result<()> {
        if modules == 1 {
            self.dense(path, d, d);
            return Ok(());
        }
        let module = self.divide(d, modules, path)?;
        self.add(&format!("{path}.w"), [modules, kernel, module, module]);
        self.add(&format!("{path}.b"), [modules, module]);
        Ok(())
    }

    /// How wide a module is. Fails if modules do not divide.
    pub fn divide(&self, d: usize, modules: usize, path: &str) -> Result<usize> {
        if modules == 0 || !d.is_multiple_of(modules) {
            return Err(Error::new(format!("`{path}`: {d} cannot be divided into {modules} modules")));
        }
        Ok(d / modules)
    }

    /// Numbers in all weights. Fails on more than any machine holds.
    pub fn parameters(&self) -> Result<u64> {
        let count = |leaf: &Leaf| leaf.shape.iter().try_fold(1u64, |n, side| n.checked_mul(*side as u64));
        let all = self.0.iter().try_fold(0u64, |n, leaf| n.checked_add(count(leaf)?)).filter(|n| *n < 1 << 48);
        all.ok_or_else(|| Error::new("the configuration asks for more weights than any machine holds"))
    }

    /// Fails where layers are so many that even their list is too long.
    pub fn room(&self, layers: usize) -> Result<()> {
        if layers > 100_000 || self.0.len() > MOST {
            Err(Error::new(format!("a model of {layers} layers and more than {MOST} weights")))
        } else {
            Ok(())
        }
    }
}
