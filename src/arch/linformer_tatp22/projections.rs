//! E and F: which are the same, and how a checkpoint that stores a copy of them for each head is read.

use super::config::{Config, Method, Sharing};
use crate::block::Linear;
use crate::error::{Error, Result};
use crate::kernel::linear::Layout;
use crate::mixer::{Squeeze, linformer_columns};
use crate::weights::Weights;
use std::sync::Arc;

/// E and F of a layer, one or one a head; no F where E is both.
pub(super) type Both = (Vec<Arc<Squeeze>>, Option<Vec<Arc<Squeeze>>>);

/// E and F of layer `i`, below `w`; `shared` is the E of all layers, and where it stands. Fails where copies of what is shared differ.
pub(super) fn squeeze(c: &Config, i: usize, w: &Weights, shared: &mut Option<(Weights, Arc<Squeeze>)>) -> Result<Both> {
    let heads = w.pp("heads");
    let first = heads.pp(0);
    if c.full_attention {
        // stored with the model and not used
        (0..c.nhead).for_each(|h| ["E", "F"].iter().for_each(|name| leave(&heads.pp(h), name)));
        return Ok((vec![Arc::new(Squeeze::Whole)], None));
    }
    if c.parameter_sharing == Sharing::None {
        let all = |name: &str| (0..c.nhead).map(|h| one(c, i, &heads.pp(h), name)).collect::<Result<Vec<_>>>();
        return Ok((all("E")?, Some(all("F")?)));
    }
    // every head has copies of what it shares
    for h in 1..c.nhead {
        ["E", "F"].iter().try_for_each(|name| copy(&heads.pp(h), name, (&first, name)))?;
    }
    if c.parameter_sharing == Sharing::Headwise {
        return Ok((vec![one(c, i, &first, "E")?], Some(vec![one(c, i, &first, "F")?])));
    }
    copy(&first, "F", (&first, "E"))?;
    let e = match shared {
        Some((of, e)) => {
            copy(&first, "E", (of, "E"))?;
            e.clone()
        }
        None => one(c, i, &first, "E")?,
    };
    if c.parameter_sharing == Sharing::Layerwise {
        shared.get_or_insert_with(|| (first.clone(), e.clone()));
    }
    Ok((vec![e], None))
}

/// The tensors of a projection.
fn names(name: &str) -> [String; 3] {
    [name.to_owned(), format!("{name}.weight"), format!("{name}.bias")]
}

fn leave(w: &Weights, name: &str) {
    names(name).iter().for_each(|name| w.skip(name));
}

/// Fails if the tensors of `name` are not those of another.
fn copy(w: &Weights, name: &str, (of, other): (&Weights, &str)) -> Result<()> {
    for (name, other) in names(name).iter().zip(names(other)) {
        if w.has(name) && !w.holds_same(name, (of, &other)) {
            return Err(Error::new(format!(
                "config.json: `parameter_sharing` says that `{name}` is shared, but the checkpoint holds copies that differ"
            ))
            .hint("it belongs to a model that shares less"));
        }
        w.skip(name);
    }
    Ok(())
}

/// The projection `name` of a head below `w`.
fn one(c: &Config, i: usize, w: &Weights, name: &str) -> Result<Arc<Squeeze>> {
    let (n, k, width) = (c.input_size, c.rows(i), c.heads()?.width);
    Ok(Arc::new(match c.method {
        Method::Learnable => {
            let w = w.pp(name);
            let numbers = w.numbers("weight", &[k, n])?;
            Squeeze::Matrix(linformer_columns(&w, &numbers, (k, n), Layout::OutIn, Some(w.get("bias", &[k])?)))
        }
        Method::NoParams => Squeeze::Matrix(linformer_columns(w, &w.numbers(name, &[n, k])?, (k, n), Layout::InOut, None)),
        Method::Convolution => {
            let (w, window) = (w.pp(name), n / k);
            // (out, in, position) -> rows of positions, features of each
            let numbers = w.numbers("weight", &[width, width, window])?;
            let at = |i: usize| (i / (window * width) * width + i % width) * window + i / width % window;
            let numbers = if numbers.is_empty() { numbers } else { (0..numbers.len()).map(|i| numbers[at(i)]).collect() };
            let matrix = w.made_with(numbers, (width, window * width), Some(w.get("bias", &[width])?));
            Squeeze::Windows(Linear::from_packed(Arc::new(matrix)))
        }
    }))
}
