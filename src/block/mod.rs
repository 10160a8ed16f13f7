//! The parts that all architectures are made of; one of each.

mod activation;
mod adaptive;
mod attention;
mod cross;
mod decoder_only;
mod dense;
mod embed;
mod encoder_only;
mod experts;
mod feed_forward;
mod linear;
mod local;
mod norm;
mod position;
mod recurrent;
mod reversible;
mod rotary;
mod seq2seq;
mod stack;
mod stage;

pub use activation::Activation;
pub use adaptive::{Adaptive, AdaptiveEmbedding, AdaptiveSoftmax, ClusterOrder};
pub use attention::{Heads, Projections};
pub use cross::Cross;
pub use decoder_only::DecoderOnly;
pub use dense::{Dense, Modular};
pub use embed::Embedding;
pub use encoder_only::EncoderOnly;
pub use experts::Experts;
pub use feed_forward::FeedForward;
pub use linear::Linear;
pub use local::{History, Local};
pub use norm::LayerNorm;
pub use position::Positions;
pub use recurrent::{Cells, Recurrent, Sru};
pub use reversible::{Reversible, ReversibleLayer, Streams};
pub use rotary::{Rotary, RotaryStyle};
pub use seq2seq::{Input, Seq2Seq};
pub use stack::{Decoder, DecoderLayer, Encoder, EncoderLayer, Order};
pub use stage::Stage;

pub(crate) use dense::factored;
pub(crate) use embed::check_ids;
pub(crate) use reversible::read as read_reversible;
