//! A checkpoint of made-up weights for any architecture that the program knows, however large: numbers are drawn and written in pieces.

use super::numbers::Kind;
use super::staging::Staging;
use super::write::{Planned, Writer};
use super::{Done, Watch, rows_of};
use crate::arch;
use crate::error::{Error, Result};
use crate::kernel::linear::Numbers;
use crate::weights::{Asked, Store, Stream};
use rayon::prelude::*;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Numbers drawn by one thread at once.
const PIECE: usize = 1 << 16;
/// Pieces written at once.
const PIECES: usize = 32;

/// What to make up.
pub struct Request<'r> {
    /// Directory with config.json, or that file itself.
    pub config: &'r Path,
    /// Where it goes.
    pub target: &'r Path,
    /// What the numbers are drawn from.
    pub seed: u64,
    /// Kind of the numbers.
    pub kind: Kind,
    /// Whether the first matrix of sparse feed-forward blocks is written unit by unit.
    pub rows: bool,
    /// Whether files that are there may be replaced.
    pub force: bool,
}

/// Writes it; none where `watch` wanted no more. Numbers are drawn as `--random-weights` draws them, in the order of the file: tensors that are stored as outputs by
/// inputs have the same ones.
pub fn convert(request: &Request, watch: &mut Watch) -> Result<Option<Done>> {
    let files = Files::read(request.config)?;
    let asked = tensors(&files.config)?;
    let planned = |a: &Asked| Planned { name: a.name.clone(), shape: a.shape.clone() };
    let plan = asked.iter().map(|a| if request.rows { rows_of(planned(a)).0 } else { planned(a) }).collect::<Vec<_>>();
    let parameters = plan.iter().map(Planned::numbers).sum::<u64>();
    let staging = Staging::create(request.target, request.force, parameters * request.kind.size() as u64 + (1 << 20))?;
    let mut writer = Writer::create(&staging.path().join("model.safetensors"), &plan, "pt")?;
    let mut done = 0;
    for (tensor, asked) in plan.iter().zip(&asked) {
        writer.tensor(&tensor.name, request.kind.element(), &tensor.shape)?;
        let drawn = Stream::new(request.seed, &tensor.name, &tensor.shape, asked.inputs);
        if !fill(&mut writer, &drawn, tensor.numbers() as usize, request.kind, &mut |n| watch(done + n, parameters))? {
            return Ok(None);
        }
        done += tensor.numbers();
    }
    let bytes = writer.finish()?;
    for (name, contents) in &files.all {
        staging.write(name, contents)?;
    }
    staging.finish()?;
    Ok(Some(Done { parameters, tensors: plan.len(), bytes, kinds: vec![request.kind.name()] }))
}

/// The tensors that an architecture asks for.
fn tensors(config: &Value) -> Result<Vec<Asked>> {
    let store = Arc::new(Store::blueprint());
    (arch::find(config)?.load)(config, &store.root())?;
    Ok(store.asked_for())
}

/// Draws `n` numbers and writes them; false where `watch` wanted no more. While one buffer is written the next is drawn.
fn fill(writer: &mut Writer, drawn: &Stream, n: usize, kind: Kind, watch: &mut dyn FnMut(u64) -> bool) -> Result<bool> {
    let draw = |first: usize| {
        let ends = n.min(first + PIECES * PIECE);
        let pieces = (first..ends).into_par_iter().step_by(PIECE);
        let piece = |from: usize| {
            let mut numbers = vec![0.0; PIECE.min(ends - from)];
            drawn.fill(from, &mut numbers);
            let mut bytes = Vec::with_capacity(numbers.len() * kind.size());
            kind.encode(&numbers, &mut bytes);
            bytes
        };
        pieces.map(piece).collect::<Vec<Vec<u8>>>()
    };
    let mut ready = draw(0);
    let mut first = 0;
    while first < n {
        first += PIECES * PIECE;
        let (written, next) = rayon::join(|| ready.iter().try_for_each(|bytes| writer.write(bytes)), || draw(first.min(n)));
        written?;
        ready = next;
        if !watch(first.min(n) as u64) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The configuration and what lies beside it.
struct Files {
    config: Value,
    /// Names and contents of what goes into the new directory.
    all: Vec<(&'static str, Vec<u8>)>,
}

impl Files {
    fn read(path: &Path) -> Result<Self> {
        let (dir, config) = if path.is_dir() { (Some(path), path.join("config.json")) } else { (None, path.to_owned()) };
        let fail = |path: &Path, e: &std::io::Error| Error::new(format!("{}: {}", path.display(), crate::output::reason(e)));
        crate::files::regular(&config)?;
        let text =
            std::fs::read(&config).map_err(|e| fail(&config, &e).hint("`--config` takes config.json or the directory that it is in"))?;
        let value = serde_json::from_slice(&text).map_err(|e| Error::new(format!("{}: not valid JSON ({e})", config.display())))?;
        let mut all = vec![("config.json", text)];
        for name in ["generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
            let Some(dir) = dir else { continue };
            all.extend(crate::files::read(&dir.join(name))?.map(|contents| (name, contents)));
        }
        Ok(Self { config: value, all })
    }
}
