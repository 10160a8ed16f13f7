//! Checkpoints from elsewhere: those of trax and of PyTorch, and made-up ones.
//!
//! | question | module |
//! |---|---|
//! | which bytes does a file hold, and may it? | `bytes` |
//! | what does a pickle hold, without running it? | [`pickle`] |
//! | what does a gin file say? | [`gin`] |
//! | which model is that, and which weight is which? | [`trax`] |
//! | what is in the files that `torch.save` writes? | [`torch`] |
//! | how do numbers change kind and order? | [`numbers`] |
//! | how is model.safetensors written, and when is the directory there? | `write`, `staging` |
//! | what if there are no weights at all? | [`made_up`] |

pub mod bytes;
pub mod gin;
pub mod made_up;
pub mod numbers;
pub mod pickle;
mod staging;
pub mod torch;
pub mod trax;
mod write;

use crate::arch;
use crate::error::{Error, Result};
use crate::weights::Store;
use numbers::Kind;
use staging::Staging;
use std::path::Path;
use std::sync::Arc;
use trax::checkpoint::{Found, Source};
use trax::{Leaf, Model};
use write::{Planned, Writer};

/// Told how many numbers of how many are written; says whether to go on.
pub type Watch<'w> = dyn FnMut(u64, u64) -> bool + 'w;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Numbers in all tensors.
    pub parameters: u64,
    /// Tensors.
    pub tensors: usize,
    /// Bytes of model.safetensors.
    pub bytes: u64,
    /// Kinds of the numbers by their names in the file, as they first came.
    pub kinds: Vec<&'static str>,
}

/// A checkpoint of trax to be converted.
pub struct Request<'r> {
    /// `model.pkl.gz`.
    pub checkpoint: &'r Path,
    /// Where it goes.
    pub target: &'r Path,
    /// Kind of the numbers; none: the checkpoint's own, f32 for those that a model cannot hold.
    pub kind: Option<Kind>,
    /// Whether the first matrix of sparse feed-forward blocks is written unit by unit.
    pub rows: bool,
    /// Whether files that are there may be replaced.
    pub force: bool,
}

/// The model of a gin file.
pub fn model(config: &Path) -> Result<Model> {
    let name = config.display().to_string();
    crate::files::regular(config)?;
    let text = std::fs::read(config).map_err(|e| Error::new(format!("{name}: {}", crate::output::reason(&e))))?;
    let text = String::from_utf8(text).map_err(|_| {
        Error::new(format!("{name}: not UTF-8 text")).hint("`--config` takes the gin file, `config.gin` beside the checkpoint")
    })?;
    trax::read(&gin::Gin::parse(&name, &text)?)
}

/// Writes the checkpoint of a model as a directory; none where `watch` wanted no more. Fails if a weight is missing, too many, or has another
/// shape than the model gives it; then nothing is left behind.
pub fn convert(model: &Model, request: &Request, watch: &mut Watch) -> Result<Option<Done>> {
    let leaves = model.leaves()?;
    let parameters = leaves.parameters()?;
    loads(&model.config(), &leaves.0)?;
    let plan: Vec<Planned> = leaves.0.iter().filter_map(|leaf| planned(leaf, request.rows)).map(|(p, _)| p).collect();
    let staging = Staging::create(request.target, request.force, parameters * request.kind.unwrap_or(Kind::F32).size() as u64 + (1 << 20))?;
    let mut source = Source::open(request.checkpoint, parameters)?;
    let mut writer = Writer::create(&staging.path().join("model.safetensors"), &plan, "trax")?;
    let (mut written, mut kinds) = (0, Vec::new());
    for (i, leaf) in leaves.0.iter().enumerate() {
        let name = source.name().to_owned();
        let found = source.take()?.ok_or_else(|| too_few(&name, i, leaf, leaves.0.len()))?;
        check(&name, &found, leaf)?;
        let Some((tensor, axes)) = planned(leaf, request.rows) else { continue };
        let kind = request.kind.unwrap_or(Kind::of(found.array.number));
        if !kinds.contains(&kind.name()) {
            kinds.push(kind.name());
        }
        let mut array = found.array;
        array.shape = leaf.shape.clone();
        let bytes = numbers::bytes(&array, kind, &axes).map_err(|e| e.at(format!("{name}: leaf `{}`, `{}`", found.path, tensor.name)))?;
        writer.tensor(&tensor.name, kind.element(), &tensor.shape)?;
        writer.write(&bytes)?;
        written += tensor.numbers();
        if !watch(written, parameters) {
            return Ok(None);
        }
    }
    finished(&mut source, leaves.0.len())?;
    let bytes = writer.finish()?;
    staging.write("config.json", format!("{:#}\n", model.config()).as_bytes())?;
    staging.write("generation_config.json", format!("{:#}\n", trax::special()).as_bytes())?;
    staging.finish()?;
    Ok(Some(Done { parameters: written, tensors: plan.len(), bytes, kinds }))
}

/// Fails if this program cannot run what would be written: it makes a model of the configuration, without numbers, and looks at the tensors that it asks for.
fn loads(config: &serde_json::Value, leaves: &[Leaf]) -> Result<()> {
    let store = Arc::new(Store::blueprint());
    let refused = |e: Error| e.at("the model of this configuration cannot be run here");
    (arch::find(config)?.load)(config, &store.root()).map_err(refused)?;
    let written: Vec<(Planned, _)> = leaves.iter().filter_map(|leaf| planned(leaf, true)).collect();
    match store.asked_for().into_iter().find(|a| !written.iter().any(|(p, _)| (&p.name, &p.shape) == (&a.name, &a.shape))) {
        None => Ok(()),
        Some(a) => Err(refused(Error::new(format!("it has no tensor `{}` of shape {:?}", a.name, a.shape)))),
    }
}

/// The tensor of a weight, and which of the weight's indices stands where; none for a weight that is read over.
fn planned(leaf: &Leaf, rows: bool) -> Option<(Planned, Vec<usize>)> {
    let tensor = Planned { name: leaf.name.clone()?, shape: leaf.shape.clone() };
    let straight = (0..leaf.shape.len()).collect();
    Some(if rows { rows_of(tensor) } else { (tensor, straight) })
}

/// The first matrix of a sparse feed-forward block unit by unit, `ff.w1` [d, d1, N] as `ff.w1_rows` [d1, N, d]; any other tensor as it is.
fn rows_of(tensor: Planned) -> (Planned, Vec<usize>) {
    match *tensor.shape.as_slice() {
        [d, blocks, n] if tensor.name.ends_with(".ff.w1") => {
            (Planned { name: format!("{}_rows", tensor.name), shape: vec![blocks, n, d] }, vec![1, 2, 0])
        }
        _ => {
            let axes = (0..tensor.shape.len()).collect();
            (tensor, axes)
        }
    }
}

/// What a weight that is read over is called in errors.
fn called(leaf: &Leaf) -> &str {
    leaf.name.as_deref().unwrap_or("a dense layer beside the sparse loss")
}

const APART: &str =
    "configuration and checkpoint belong to different models; the configuration that trax used is `config.gin` beside the checkpoint";

fn check(name: &str, found: &Found, leaf: &Leaf) -> Result<()> {
    if found.array.shape == leaf.stored {
        return Ok(());
    }
    Err(Error::new(format!(
        "{name}: leaf `{}` has shape {:?}, and `{}` should come, with {:?}",
        found.path,
        found.array.shape,
        called(leaf),
        leaf.stored
    ))
    .hint(APART))
}

fn too_few(name: &str, found: usize, leaf: &Leaf, wanted: usize) -> Error {
    Error::new(format!(
        "{name}: it ends after {found} weights of {wanted}; leaf `{found}` should be `{}`, with shape {:?}",
        called(leaf),
        leaf.stored
    ))
    .hint(APART)
}

fn finished(source: &mut Source, wanted: usize) -> Result<()> {
    let (name, left) = (source.name().to_owned(), source.left());
    let Some(more) = source.take()? else { return Ok(()) };
    let count = if left > 0 { format!("{left} more weights") } else { "more weights".to_owned() };
    Err(Error::new(format!(
        "{name}: it has {count} than the {wanted} of this model; the next is leaf `{}`, with shape {:?}",
        more.path, more.array.shape
    ))
    .hint(APART))
}
