//! One file: what kind it is of, and its tensors.

use super::tensor::Tensor;
use super::{legacy, listed, shown, state, zip};
use crate::convert::bytes::Bytes;
use crate::convert::pickle::{self, Element, Item, Values};
use crate::error::{Error, Result};
use crate::output::reason;
use memmap2::Mmap;
use rustc_hash::FxHashMap;
use safetensors::SafeTensors;
use std::ops::Range;
use std::path::Path;

/// A file that is read from.
pub struct File {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Mmap,
}

/// What was found in it.
pub struct Found {
    /// Its tensors by name.
    pub tensors: Vec<(String, Tensor)>,
    /// What is to be said of it.
    pub said: Vec<String>,
}

/// Opens a file, which will be the one of number `number`.
pub fn open(path: &Path, number: usize) -> Result<(File, Found)> {
    let name = path.display().to_string();
    let failed = |e: std::io::Error| Error::new(format!("{name}: {}", reason(&e)));
    crate::files::regular(path)?;
    let file = std::fs::File::open(path).map_err(failed)?;
    // SAFETY: the file is read-only for us; whoever changes it while we run changes what is converted, as with any mapped file
    let bytes = unsafe { Mmap::map(&file) }.map_err(failed)?;
    let found = read(&name, &bytes, number)?;
    Ok((File { name, bytes }, found))
}

fn read(name: &str, bytes: &[u8], number: usize) -> Result<Found> {
    let at = |e: Error| if e.message().starts_with(name) { e } else { e.at(name) };
    if bytes.starts_with(b"PK") {
        let (values, storages) = archive(name, bytes)?;
        return tensors(&values, &storages, number).map_err(at);
    }
    if legacy::is(bytes) {
        let (values, storages) = legacy::read(name, bytes)?;
        return tensors(&values, &storages, number).map_err(at);
    }
    if bytes.get(8) == Some(&b'{') {
        return safetensors(bytes, number).map_err(at);
    }
    let (what, hint) = match bytes {
        [] => ("it is empty", "fetch it again and compare its size"),
        [0x80, ..] => {
            ("a pickle, but none that `torch.save` wrote", "load it with Python, and save a dictionary of tensors with `torch.save`")
        }
        _ if bytes.get(257..262) == Some(b"ustar") => {
            ("it was saved by PyTorch before version 0.1.10", "load it with PyTorch and save its `state_dict()` again")
        }
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => {
            ("a pointer of Git LFS, not the file itself", "fetch the file with `git lfs pull`")
        }
        _ => ("neither a file of PyTorch nor safetensors", "a checkpoint of PyTorch is what `torch.save` writes"),
    };
    Err(Error::new(format!("{name}: {what}")).hint(hint))
}

/// The error of a file from a machine that puts the highest byte first.
pub fn big_endian(name: &str) -> Error {
    Error::new(format!("{name}: its numbers have the highest byte first, which is not read"))
        .hint("load it with PyTorch on an ordinary machine and save it again")
}

/// Value and storages of a zip file.
fn archive(name: &str, bytes: &[u8]) -> Result<(Values, FxHashMap<String, Range<usize>>)> {
    let entries = zip::entries(name, bytes)?;
    // the folder's name is the file's as it once was
    let folder = entries.keys().filter_map(|key| key.strip_suffix("data.pkl")).filter(|f| f.ends_with('/')).min_by_key(|f| f.len());
    let Some(folder) = folder else {
        return Err(
            Error::new(format!("{name}: a zip file without `data.pkl`")).hint("a checkpoint of PyTorch is what `torch.save` writes")
        );
    };
    if entries.contains_key(&format!("{folder}constants.pkl")) {
        return Err(Error::new(format!("{name}: a program of TorchScript, not a dictionary of tensors"))
            .hint("load it with `torch.jit.load` and save its `state_dict()`"));
    }
    if entries.get(&format!("{folder}byteorder")).is_some_and(|range| bytes[range.clone()].trim_ascii() == b"big") {
        return Err(big_endian(name));
    }
    let pickled = &bytes[entries[&format!("{folder}data.pkl")].clone()];
    let values = pickle::read_torch(&mut Bytes::of(&format!("{name}: data.pkl"), pickled, pickled.len() as u64))?;
    let prefix = format!("{folder}data/");
    let storages = entries.iter().filter_map(|(key, range)| Some((key.strip_prefix(&prefix)?.to_owned(), range.clone()))).collect();
    Ok((values, storages))
}

/// The tensors of the model among the values.
fn tensors(values: &Values, storages: &FxHashMap<String, Range<usize>>, number: usize) -> Result<Found> {
    let state = state::find(values)?;
    let mut tensors = Vec::with_capacity(state.tensors.len());
    for (name, id) in state.tensors {
        let Item::View(view) = values.get(id) else { continue };
        let Item::Storage(storage) = values.get(view.storage) else { continue };
        let Item::Text(key) = values.get(storage.key) else { continue };
        let at = |e: Error| e.at(format!("`{}`", shown(&name)));
        let missing = || at(Error::new(format!("its storage `{}` is not in the file", shown(key))).hint("fetch the file again"));
        let range = storages.get(key).ok_or_else(missing)?;
        // a part of a storage begins somewhere inside of it
        let first = storage.first.checked_mul(storage.element.size as u64).and_then(|n| usize::try_from(n).ok());
        let first = first.and_then(|n| range.start.checked_add(n)).filter(|at| *at <= range.end).ok_or_else(missing)?;
        let tensor = Tensor::new(number, &(first..range.end), view.element, view.offset, view.shape.clone(), view.strides.clone());
        tensors.push((name.clone(), tensor.map_err(at)?));
    }
    let mut said = Vec::new();
    if !state.path.is_empty() {
        said.push(format!("the tensors below `{}`", state.path.join(".")));
    }
    if !state.left.is_empty() {
        said.push(format!("left out, as no tensors of the model: {}", listed(&state.left, ", ")));
    }
    Ok(Found { tensors, said })
}

/// The tensors of a safetensors file.
fn safetensors(bytes: &[u8], number: usize) -> Result<Found> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| Error::new(format!("not a readable safetensors file ({e})")))?;
    let start = bytes.as_ptr() as usize;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let kind = format!("{:?}", view.dtype());
        let element = Element::of_safetensors(&kind)
            .ok_or_else(|| Error::new(format!("`{}` has numbers of the kind {kind}, which are not converted", shown(&name))))?;
        let from = view.data().as_ptr() as usize - start;
        tensors.push((name, Tensor::dense(number, &(from..from + view.data().len()), element, view.shape().to_vec())?));
    }
    tensors.sort_by_key(|(_, t)| t.span().start);
    Ok(Found { tensors, said: Vec::new() })
}
