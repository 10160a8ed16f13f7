//! Language models over any attention variant: this program's own model type, for variants whose papers published no checkpoints of theirs.
//!
//! config.json names the variant and its options, the kind of positions, where the layers normalise and what is tied; docs/formats.md has every key and
//! tensor. A causal model decodes; one that is not reads whole texts.

use super::{Arch, Loaded, epsilon, parse, sizes, unread};
use crate::block::{
    Activation, Decoder, DecoderLayer, DecoderOnly, Embedding, Encoder, EncoderLayer, EncoderOnly, FeedForward, Heads, LayerNorm, Linear,
    Order, Positions,
};
use crate::error::{Error, Result};
use crate::mixer::{self, Place, Spec};
use crate::model::Info;
use crate::weights::Weights;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) const ARCH: Arch = Arch {
    model_type: "effattn_lm",
    summary: "any variant in a plain stack, causal or not",
    checkpoints: "one's own: docs/formats.md has keys and tensors",
    mixers: &[
        "softmax",
        "transformer_xl",
        "sparse_strided",
        "sparse_fixed",
        "linformer",
        "linformer_blockwise",
        "performer",
        "compressive",
        "compressive_performer",
    ],
    attentions: &[],
    ignored: &[],
    quirks: &[],
    segments: true,
    tiny: r#"{"model_type": "effattn_lm", "vocab_size": 61, "d_model": 24, "n_layers": 2, "n_heads": 3, "d_ff": 40, "positions": "learned", "max_positions": 80,
        "mixer": {"name": "softmax"}, "bos_token_id": 0, "eos_token_id": 0}"#,
    load,
};

#[derive(Deserialize)]
struct Config {
    vocab_size: usize,
    d_model: usize,
    n_layers: usize,
    n_heads: usize,
    d_head: Option<usize>,
    d_ff: Option<usize>,
    #[serde(default = "gelu")]
    activation: Activation,
    #[serde(default)]
    block: Block,
    final_norm: Option<bool>,
    #[serde(default = "eps")]
    layer_norm_epsilon: f64,
    #[serde(default)]
    positions: Kind,
    max_positions: Option<usize>,
    #[serde(default = "yes")]
    causal: bool,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    output_bias: bool,
    #[serde(default)]
    qkv_bias: bool,
    #[serde(default)]
    out_bias: bool,
    mixer: Value,
    init_mem: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Block {
    #[default]
    PreNorm,
    PostNorm,
    SumOfNorms,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    None,
    Learned,
    Sinusoidal,
}

fn gelu() -> Activation {
    Activation::Gelu
}

fn eps() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

/// Sizes beyond these are typing errors: 4 trillion numbers in all, 2²⁷ of them in biases and norms, which are there as soon as a model is planned.
const MOST: usize = 1 << 24;
const MOST_IN_ALL: u128 = 1 << 42;
const MOST_IN_VECTORS: u128 = 1 << 27;

impl Config {
    fn check(&self) -> Result<()> {
        sizes(&[
            ("vocab_size", self.vocab_size, MOST),
            ("d_model", self.d_model, 1 << 20),
            ("n_layers", self.n_layers, 1 << 12),
            ("n_heads", self.n_heads, 1 << 16),
            ("d_head", self.d_head.unwrap_or(1), 1 << 16),
            ("d_ff", self.d_ff.unwrap_or(1), MOST),
            ("max_positions", self.max_positions.unwrap_or(1), 1 << 32),
        ])
        .map_err(|e| e.hint("is a size mistyped?"))?;
        epsilon("layer_norm_epsilon", self.layer_norm_epsilon)?;
        if let Some(init) = self.init_mem.as_deref().filter(|init| !["empty", "zeros"].contains(init)) {
            return Err(Error::new(format!("config.json: `init_mem` is \"{init}\"")).hint("it is \"empty\" or \"zeros\""));
        }
        let remembers = |entry: &Value| matches!(entry["name"].as_str(), Some("transformer_xl" | "compressive" | "compressive_performer"));
        if self.init_mem.is_some() && (0..self.n_layers).all(|i| self.variant(i).is_ok_and(|(entry, _)| !remembers(entry))) {
            return Err(Error::new("config.json: `init_mem` is for variants with memories of segments, and no layer has one")
                .hint("leave out `--init-mem`, or the key"));
        }
        if let Value::Array(list) = &self.mixer
            && list.len() > self.n_layers
        {
            return Err(Error::new(format!("config.json: `mixer` lists {} variants for {} layers", list.len(), self.n_layers))
                .hint("layer i takes entry i mod length, so the last ones would stand nowhere: leave them out"));
        }
        self.total()?;
        if let Some(key) = unread(&self.rest).first() {
            return Err(Error::new(format!("config.json: `{key}` is not known here"))
                .hint("it may change what the model computes, so it is not ignored; docs/formats.md has the keys"));
        }
        Ok(())
    }

    /// Fails if sizes that are possible one by one make a model that is not.
    fn total(&self) -> Result<()> {
        let [v, d, layers, heads] = [self.vocab_size, self.d_model, self.n_layers, self.n_heads].map(|n| n as u128);
        let inner = self.d_ff.map_or(4 * d, |n| n as u128);
        let features = self.d_head.map_or(d, |width| heads * width as u128);
        let table = if matches!(self.positions, Kind::Learned) { self.max_positions.unwrap_or(0) as u128 * d } else { 0 };
        let vectors = layers * (3 * features + inner + 6 * d) + v;
        let all = layers * d * (4 * features + 2 * inner) + 2 * v * d + table;
        if all > MOST_IN_ALL || vectors > MOST_IN_VECTORS {
            return Err(Error::new(format!("config.json: its sizes make {all} numbers in matrices, {vectors} in biases and norms"))
                .hint(format!("at most {MOST_IN_ALL} and {MOST_IN_VECTORS} are possible; is a size mistyped?")));
        }
        Ok(())
    }

    fn heads(&self) -> Result<Heads> {
        match self.d_head {
            Some(width) => Ok(Heads { count: self.n_heads, width, scale: (width as f32).powf(-0.5) }),
            None => Heads::new(self.d_model, self.n_heads)
                .map_err(|e| e.hint("`n_heads` divides `d_model`, or `d_head` says how wide a head is")),
        }
    }

    /// The variants that stand in the layers, each once.
    fn names(&self) -> Result<String> {
        let mut names: Vec<&str> = Vec::new();
        for i in 0..self.n_layers {
            let (_, spec) = self.variant(i)?;
            if !names.contains(&spec.name) {
                names.push(spec.name);
            }
        }
        Ok(names.join(", "))
    }

    fn order(&self) -> Order {
        match self.block {
            Block::PreNorm => Order::Pre,
            Block::PostNorm => Order::Post,
            Block::SumOfNorms => Order::Sum,
        }
    }

    /// The entry and the variant of layer `i`.
    fn variant(&self, i: usize) -> Result<(&Value, &'static Spec)> {
        let entry = match &self.mixer {
            Value::Array(list) if list.is_empty() => {
                return Err(Error::new("config.json: `mixer` is an empty list")
                    .hint("it is an object with the name of a variant, or a list of such"));
            }
            Value::Array(list) => &list[i % list.len()],
            one => one,
        };
        Ok((entry, mixer::find(entry)?))
    }

    fn positions(&self, w: &Weights) -> Result<Positions> {
        let all = match (self.positions, self.max_positions) {
            (Kind::None, _) => Positions::none(self.d_model),
            (Kind::Sinusoidal, _) => Positions::sines(self.d_model)?,
            (Kind::Learned, Some(n)) => Positions::learned(&w.pp("positions"), (n, self.d_model), 0)?,
            (Kind::Learned, None) => {
                return Err(Error::new("config.json: learned positions without `max_positions`").hint("say how many rows the table has"));
            }
        };
        Ok(self.max_positions.map_or(all.clone(), |n| all.up_to(n)))
    }

    /// Norm and feed-forward of a layer: the mixer's norm, the feed-forward, its norm.
    fn feed_forward(&self, w: &Weights) -> Result<(LayerNorm, FeedForward, LayerNorm)> {
        let (d, inner, eps) = (self.d_model, self.d_ff.unwrap_or(4 * self.d_model), self.layer_norm_epsilon);
        let norm = |name: &str| LayerNorm::load(&w.pp(name), d, eps);
        if self.block == Block::SumOfNorms {
            let linear = FeedForward::Affine(Linear::load(&w.pp("linear"), (d, d))?);
            return Ok((norm("residual_norm")?, linear, norm("linear_norm")?));
        }
        let f = w.pp("feed_forward");
        let (up, down) = (Linear::load(&f.pp("up"), (inner, d))?, Linear::load(&f.pp("down"), (d, inner))?);
        Ok((norm("mixer_norm")?, FeedForward::new(up, down, self.activation), norm("feed_forward_norm")?))
    }

    fn info(&self, positions: &Positions, attention: String) -> Info {
        Info {
            model_type: ARCH.model_type,
            encoder_decoder: false,
            vocab_size: self.vocab_size,
            max_source: positions.limit(),
            max_target: positions.limit(),
            attention,
            default_global: None,
            layers: if self.causal { (0, self.n_layers) } else { (self.n_layers, 0) },
            prompt_start: None,
            reads_only: (!self.causal).then_some("`causal` is false in its config.json, so every position depends on those after it"),
        }
    }
}

fn load(config: &Value, root: &Weights) -> Result<Loaded> {
    let c: Config = parse(config)?;
    c.check()?;
    let (v, d) = (c.vocab_size, c.d_model);
    let bias = |w: &Weights| c.output_bias.then(|| w.get("bias", &[v])).transpose();
    let (tokens, output) = if c.tie_word_embeddings {
        let table = Embedding::packed(root, "embed.weight", (v, d), bias(&root.pp("output"))?)?;
        (Embedding::new(table.clone(), 1.0), Linear::from_packed(table))
    } else {
        let output = root.pp("output");
        let output = Linear::from_packed(Embedding::packed(&output, "weight", (v, d), bias(&output)?)?);
        (Embedding::rows(root, "embed.weight", (v, d))?, output)
    };
    let positions = c.positions(root)?;
    let norm = c.final_norm.unwrap_or(c.block == Block::PreNorm).then(|| LayerNorm::load(&root.pp("norm"), d, c.layer_norm_epsilon));
    let norm = norm.transpose()?;
    let mut info = c.info(&positions, c.names()?);
    let layers = (0..c.n_layers).map(|i| root.pp("layers").pp(i));
    let model: Box<dyn crate::model::Model> = if c.causal {
        let layers = layers.enumerate().map(|(i, w)| decoder_layer(&c, root, &w, i)).collect::<Result<_>>()?;
        let decoder = Decoder { order: c.order(), layers, norm };
        Box::new(DecoderOnly { info, tokens, positions, decoder, output: output.into() })
    } else {
        let layers = layers.enumerate().map(|(i, w)| encoder_layer(&c, root, &w, i)).collect::<Result<_>>()?;
        let encoder = Encoder { order: c.order(), layers, norm, globals: None };
        let limit = info.max_source.into_iter().chain(encoder.limit()).min();
        (info.max_source, info.max_target) = (limit, limit);
        Box::new(EncoderOnly { info, tokens, positions, embedding_norm: None, encoder, head: None, output: output.into() })
    };
    Ok(Loaded { model, unread: Vec::new() })
}

/// What a mixer needs to know of layer `i`, whose tensors are in `w`.
fn place<'a>(c: &'a Config, root: &'a Weights, w: &'a Weights, i: usize) -> Result<Place<'a>> {
    Ok(Place {
        w,
        root,
        d: c.d_model,
        heads: c.heads()?,
        layer: i,
        qkv_bias: c.qkv_bias,
        out_bias: c.out_bias,
        init_mem: c.init_mem.as_deref(),
    })
}

fn decoder_layer(c: &Config, root: &Weights, w: &Weights, i: usize) -> Result<DecoderLayer> {
    let (entry, spec) = c.variant(i)?;
    let build = spec.mixer.ok_or_else(|| match mixer::not_causal(spec.name) {
        Some((why, hint)) => Error::new(format!("config.json: `{}` cannot stand in a causal stack: {why}", spec.name)).hint(hint),
        None => Error::new(format!("config.json: `{}` cannot stand in a causal stack", spec.name))
            .hint("say `\"causal\": false`: it reads whole texts; `effattn list` says which variants decode"),
    })?;
    let below = w.pp("mixer");
    let mixer = build(entry, &place(c, root, &below, i)?)?;
    let (mixer_norm, feed_forward, feed_forward_norm) = c.feed_forward(w)?;
    Ok(DecoderLayer { mixer, mixer_norm, cross: None, feed_forward, feed_forward_norm, recurrent: None })
}

fn encoder_layer(c: &Config, root: &Weights, w: &Weights, i: usize) -> Result<EncoderLayer> {
    let (entry, spec) = c.variant(i)?;
    let build = spec.reader.ok_or_else(|| {
        Error::new(format!("config.json: `{}` is causal by nature, it cannot read with `\"causal\": false`", spec.name))
            .hint("`effattn list` says which variants encode")
    })?;
    let below = w.pp("mixer");
    let reader = build(entry, &place(c, root, &below, i)?)?;
    let (reader_norm, feed_forward, feed_forward_norm) = c.feed_forward(w)?;
    Ok(EncoderLayer { reader, reader_norm, feed_forward, feed_forward_norm, recurrent: None })
}
