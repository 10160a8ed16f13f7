//! How good is a text, or how well does a model expect it?

pub mod perplexity;
