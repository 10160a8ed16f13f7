//! The parts that all architectures are made of; one of each.

mod activation;
mod attention;
mod cross;
mod embed;
mod feed_forward;
mod linear;
mod norm;
mod position;
mod seq2seq;
mod stack;

pub use activation::Activation;
pub use attention::{Heads, Projections};
pub use cross::Cross;
pub use embed::Embedding;
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use norm::LayerNorm;
pub use position::Positions;
pub use seq2seq::{Input, Seq2Seq};
pub use stack::{Decoder, DecoderLayer, Encoder, EncoderLayer, Order};

pub(crate) use embed::check_ids;
