//! The weights of a checkpoint of trax, one after the other, whichever way trax wrote them:
//!
//! - `Loop.save_checkpoint`: `model.pkl.gz` has everything but the weights, `model.weights.npy.gz` beside it has numpy's files one behind the
//!   other (bf16 as 16-bit integers);
//! - `Layer.save_to_file` and earlier versions: the pickle has them itself, as a flat list or nested as in the model.

use crate::convert::bytes::Bytes;
use crate::convert::gin::{Literal, Scanner};
use crate::convert::pickle::{self, Array, Id, Item, Number, Values};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// Bytes that a checkpoint may have beside its weights: the state of layers, the history of the training.
const BESIDE: u64 = 16 << 20;
/// Bytes that it may have for each of the model's parameters: the weight, and the optimizer's numbers in old checkpoints.
const EACH: u64 = 32;
/// Bytes of the header of one of numpy's files at most.
const HEADER: u64 = 1 << 16;

/// A weight as it was found.
#[derive(Debug)]
pub struct Found<'s> {
    /// Its place: an index, or several in nested tuples.
    pub path: String,
    /// Its numbers.
    pub array: Array<Cow<'s, [u8]>>,
}

/// A checkpoint that is being read.
pub struct Source {
    name: String,
    from: From,
}

enum From {
    /// A pickle, its leaves, the next of them.
    Pickle(Values, Vec<(String, Id)>, usize),
    /// Numpy's files one behind the other, and how many were read.
    Files(Bytes<'static>, usize),
}

impl Source {
    /// Opens the checkpoint of a model with so many parameters.
    pub fn open(path: &Path, parameters: u64) -> Result<Self> {
        let limit = BESIDE + EACH * parameters;
        let values = pickle::read(&mut Bytes::open(path, limit)?)?;
        Self::of(path, values, limit)
    }

    fn of(path: &Path, values: Values, limit: u64) -> Result<Self> {
        let name = path.display().to_string();
        let root = values.root().ok_or_else(|| Error::new(format!("{name}: it holds nothing")))?;
        let weights = match values.get(root) {
            Item::Dict(_) => ["flat_weights", "weights"].iter().find_map(|key| values.key(root, key)).ok_or_else(|| {
                Error::new(format!("{name}: it has neither `flat_weights` nor `weights`"))
                    .hint("a checkpoint of trax is what `save_checkpoint` or `save_to_file` writes")
            })?,
            _ => root,
        };
        // a number in their place says how the file beside is packed
        if matches!(values.get(weights), Item::Int(_) | Item::Bool(_)) {
            let beside = beside(path)?;
            return Ok(Self { name: beside.display().to_string(), from: From::Files(Bytes::open(&beside, limit)?, 0) });
        }
        let leaves = values.leaves(weights).map_err(|e| e.at(&name))?;
        Ok(Self { name, from: From::Pickle(values, leaves, 0) })
    }

    /// The file that has the weights.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next weight, none after the last.
    pub fn take(&mut self) -> Result<Option<Found<'_>>> {
        match &mut self.from {
            From::Pickle(values, leaves, at) => {
                let Some((path, id)) = leaves.get(*at) else { return Ok(None) };
                *at += 1;
                let Item::Array(Array { number, big_endian, shape, fortran, data }) = values.get(*id) else {
                    return Err(Error::new(format!("{}: leaf `{path}` is no array", self.name)));
                };
                let Item::Bytes(bytes) = values.get(*data) else {
                    return Err(Error::new(format!("{}: leaf `{path}` has no numbers", self.name)));
                };
                let array = Array {
                    number: *number,
                    big_endian: *big_endian,
                    shape: shape.clone(),
                    fortran: *fortran,
                    data: Cow::Borrowed(bytes.as_slice()),
                };
                Ok(Some(Found { path: path.clone(), array }))
            }
            From::Files(bytes, at) => {
                if bytes.finished()? {
                    return Ok(None);
                }
                let array = numpy_file(bytes)?;
                *at += 1;
                Ok(Some(Found { path: (*at - 1).to_string(), array }))
            }
        }
    }

    /// How many weights are left; 0 for a stream, which does not know.
    pub fn left(&self) -> usize {
        match &self.from {
            From::Pickle(_, leaves, at) => leaves.len() - at,
            From::Files(..) => 0,
        }
    }
}

/// The file of weights beside a pickle.
fn beside(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".pkl.gz").or_else(|| name.strip_suffix(".pkl")).unwrap_or(&name);
    let names = [format!("{stem}.weights.npy.gz"), format!("{stem}.weights.npy"), format!("{name}.npy")];
    names.iter().map(|n| path.with_file_name(n)).find(|p| p.exists()).ok_or_else(|| {
        Error::new(format!("{}: its weights are in a file of their own, and `{}` is not beside it", path.display(), names[0]))
            .hint("trax writes a checkpoint as several files: copy all with the same beginning")
    })
}

/// One of numpy's files: magic, version, header, numbers.
fn numpy_file(bytes: &mut Bytes) -> Result<Array<Cow<'static, [u8]>>> {
    let magic: [u8; 6] = bytes.array()?;
    let [version, _] = bytes.array()?;
    if magic != *b"\x93NUMPY" || !(1..=3).contains(&version) {
        return Err(bytes.error("no array of numpy begins here").hint("the file is damaged; fetch it again"));
    }
    let length = if version == 1 { u16::from_le_bytes(bytes.array()?).into() } else { u32::from_le_bytes(bytes.array()?) };
    if u64::from(length) > HEADER {
        return Err(bytes.error("the header of an array is longer than any"));
    }
    let header = bytes.take(length.into())?;
    let bad = |bytes: &Bytes| bytes.error("the header of an array cannot be read");
    let header = String::from_utf8(header).map_err(|_| bad(bytes))?;
    let (number, big_endian, fortran, shape) = header_fields(&header).ok_or_else(|| bad(bytes))?;
    let n = Array::<()>::bytes(number, &shape).ok_or_else(|| bytes.error(format!("an array of shape {shape:?}")))?;
    let data = bytes.take(n as u64)?;
    Ok(Array { number, big_endian, shape, fortran, data: Cow::Owned(data) })
}

/// Kind of numbers, whether big-endian, whether in Fortran's order, and shape.
fn header_fields(header: &str) -> Option<(Number, bool, bool, Vec<usize>)> {
    let Ok(Literal::Dict(pairs)) = Scanner::new("header", header).value() else { return None };
    let get = |key: &str| pairs.iter().find(|(k, _)| *k == Literal::Text(key.to_owned())).map(|(_, v)| v);
    let Literal::Text(kind) = get("descr")? else { return None };
    let (number, big_endian) = Number::parse(kind)?;
    let Literal::Bool(fortran) = *get("fortran_order")? else { return None };
    let side = |v: &Literal| if let Literal::Int(n) = v { usize::try_from(*n).ok() } else { None };
    let shape = get("shape")?.items()?.iter().map(side).collect::<Option<Vec<_>>>()?;
    Some((number, big_endian, fortran, shape))
}
