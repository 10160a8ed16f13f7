//! The options of a `compressive` in config.json, and the attention that they describe.

use super::Compressive;
use crate::block::RotaryStyle;
use crate::error::Result;
use crate::kernel::queue::Table;
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
    #[serde(default)]
    compress: Name,
    relative: Option<Relative>,
    rotary_base: Option<f64>,
    rotary_style: Option<RotaryStyle>,
    #[serde(default)]
    init_mem: InitMem,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Name {
    Mean,
    Max,
    #[default]
    Conv,
    MostUsed,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Relative {
    Rotary,
    Learned,
}

pub(super) fn load(entry: &Value, place: &Place) -> Result<Compressive> {
    let o: Options = options(entry)?;
    let (segment, memory, compressed, ratio) = (o.segment, o.memory, o.compressed, o.ratio);
    let queues = Queues { segment, memory, compressed, ratio, padding: Padding::Left }.checked()?;
    let compress = match o.compress {
        Name::Mean => Some(Compress::Mean),
        Name::Max => Some(Compress::Max),
        Name::Conv => Some(Compress::conv(&place.w.pp("compress"), place.d, ratio)?),
        Name::MostUsed => None,
    };
    let rotary = segments::rotary(o.relative == Some(Relative::Rotary), (o.rotary_base, o.rotary_style), place.heads.width)?;
    let table = match o.relative {
        Some(Relative::Learned) => {
            let (h, rows, w) = (place.heads.count, segment + memory + compressed, place.heads.width);
            let numbers = place.w.numbers("relative.weight", &[h, rows, w])?;
            place.w.holds(Table::held(h, rows, w));
            Some(Table::new(&numbers, (h, rows, w)))
        }
        _ => None,
    };
    Ok(Compressive {
        heads: place.heads,
        d: place.d,
        projections: place.projections()?,
        queues,
        compress,
        rotary,
        table,
        cache: place.w.cache(),
        init: o.init_mem.resolve(place.init_mem)?,
    })
}
