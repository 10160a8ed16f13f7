//! `effattn score` from outside: what sacreBLEU 2.6.0 prints for the same files, and what happens to files that do not fit.

mod agreement;
mod inputs;
mod perplexity;
mod support;
