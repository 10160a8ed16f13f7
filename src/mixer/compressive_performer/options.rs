//! The options of a `compressive_performer` in config.json, and the attention that they describe.

use super::CompressivePerformer;
use crate::block::RotaryStyle;
use crate::error::Result;
use crate::mixer::performer::features;
use crate::mixer::segments::{self, Compress, InitMem, Padding, Queues};
use crate::mixer::{Place, options};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    segment: usize,
    memory: usize,
    compressed: usize,
    ratio: usize,
    features: usize,
    #[serde(default)]
    compress: Name,
    #[serde(default)]
    kernel: KernelName,
    kernel_epsilon: Option<f64>,
    #[serde(default = "rotary")]
    relative: Option<Relative>,
    rotary_base: Option<f64>,
    rotary_style: Option<RotaryStyle>,
    #[serde(default)]
    store: Store,
    #[serde(default)]
    init_mem: InitMem,
    #[serde(default)]
    padding: Padding,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Name {
    Mean,
    Max,
    #[default]
    Conv,
    Autoencoder,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum KernelName {
    #[default]
    Softmax,
    Relu,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Relative {
    Rotary,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Store {
    #[default]
    Input,
}

fn rotary() -> Option<Relative> {
    Some(Relative::Rotary)
}

pub(super) fn load(entry: &Value, place: &Place) -> Result<CompressivePerformer> {
    let o: Options = options(entry)?;
    let Store::Input = o.store;
    let Options { segment, memory, compressed, ratio, padding, .. } = o;
    let queues = Queues { segment, memory, compressed, ratio, padding }.checked()?;
    let d = place.d;
    let conv = place.w.pp("compress");
    let compress = match o.compress {
        Name::Mean => Compress::Mean,
        Name::Max => Compress::Max,
        Name::Conv | Name::Autoencoder => Compress::conv(&conv, d, ratio)?,
    };
    if o.compress == Name::Autoencoder {
        ["weight", "bias"].iter().for_each(|name| conv.pp("decoder").skip(name));
    }
    let rotary = segments::rotary(o.relative.is_some(), (o.rotary_base, o.rotary_style), place.heads.width)?;
    Ok(CompressivePerformer {
        d,
        projections: place.projections()?,
        features: features(place, (o.features, o.kernel == KernelName::Relu, o.kernel_epsilon))?,
        queues,
        compress,
        rotary,
        init: o.init_mem.resolve(place.init_mem)?,
    })
}
