//! trax: from a gin file to a model's sizes, from those to config.json and to the weights in trax's order.
//!
//! trax keeps weights as nested tuples without names. Which weight is which follows from the configuration alone: layers in order, each layer's
//! weights in order, shared ones once. `leaves` says that order, and every weight that comes is held against it.

mod attention;
pub mod checkpoint;
mod feed_forward;
mod leaves;
mod loss;
mod model;
mod positions;
mod read;
mod sides;

pub use leaves::Leaf;
pub use model::{Model, special};
pub use read::read;
