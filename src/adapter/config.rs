//! adapter_config.json: which modules an adapter changes, by how much, and what of it nobody can merge.

use crate::error::{Error, Result};
use fields::Fields;
use regex::Regex;
use serde_json::Value;

mod fields;

/// What a file of settings says, as far as merged weights depend on it.
#[derive(Debug)]
pub struct Config {
    /// Rank where `rank_pattern` says no other.
    pub rank: usize,
    /// lora_alpha where `alpha_pattern` says no other.
    pub alpha: f64,
    /// Whether a Linear's weight lies (in, out), for those whose shape does not tell.
    pub fan_in_fan_out: bool,
    /// Whether modules have magnitudes of their own (DoRA).
    pub dora: bool,
    /// Whether modules have a bias of their own beside `lora_B`.
    pub lora_bias: bool,
    /// Which biases the file has in place of the base model's.
    pub bias: Bias,
    /// Whether tables that the model ties stay tied.
    pub keeps_ties: bool,
    root_of_rank: bool,
    targets: Modules,
    excluded: Modules,
    layers: Option<Layers>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
    /// `modules_to_save`.
    pub saved: Vec<String>,
    tokens: Vec<(Option<String>, Vec<usize>)>,
    /// `base_model_name_or_path`: the model that it was trained for.
    pub base: Option<String>,
}

/// `bias`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bias {
    /// None.
    None,
    /// Those of the modules that the adapter changes.
    Changed,
    /// All.
    All,
}

/// Modules by name.
#[derive(Debug)]
enum Modules {
    /// Nobody says.
    Any,
    /// By the ends of their names.
    Ends(Vec<String>),
    /// By an expression that a whole name matches.
    Like(Regex),
}

/// `layers_to_transform`: numbers, and where in a name the number stands.
#[derive(Debug)]
struct Layers {
    numbers: Vec<usize>,
    places: Vec<Regex>,
}

/// What to do about an adapter that cannot be merged here.
pub const REMEDY: &str =
    "merge it with PEFT (`merge_and_unload`), save the model whole with `save_pretrained`, and name that directory with `--model`";

/// What to do about a configuration that is none.
pub const DAMAGED: &str = "the file is damaged: save the adapter anew with PEFT, or fetch it again";

impl Config {
    /// Reads it. Fails if an option is unknown or cannot be merged, or if a value makes no sense.
    pub fn parse(json: &Value) -> Result<Self> {
        let Some(all) = json.as_object() else { return Err(wrong("not a JSON object").hint(DAMAGED)) };
        let f = Fields(all);
        match json["peft_type"].as_str() {
            Some("LORA") => {}
            Some(other) => return Err(wrong(format!("`peft_type: {other}` is not implemented, only `LORA`")).hint(REMEDY)),
            None => return Err(wrong("no `peft_type`").hint("an adapter that PEFT saved has it")),
        }
        f.refuse()?;
        let targets = f.modules("target_modules")?;
        let layers = f.layers(matches!(targets, Modules::Like(_)))?;
        Ok(Self {
            rank: f.rank("r", f.0.get("r"))?,
            alpha: f.alpha("lora_alpha", f.0.get("lora_alpha"))?,
            fan_in_fan_out: f.flag("fan_in_fan_out")?,
            dora: f.flag("use_dora")?,
            lora_bias: f.flag("lora_bias")?,
            bias: f.bias()?,
            keeps_ties: f.flag("ensure_weight_tying")?,
            root_of_rank: f.flag("use_rslora")?,
            targets,
            excluded: match f.modules("exclude_modules")? {
                Modules::Any => Modules::Ends(Vec::new()),
                named => named,
            },
            layers,
            ranks: f.patterns("rank_pattern", |key, v| f.rank(key, Some(v)))?,
            alphas: f.patterns("alpha_pattern", |key, v| f.alpha(key, Some(v)))?,
            saved: f.names("modules_to_save")?.unwrap_or_default(),
            tokens: f.tokens()?,
            base: json["base_model_name_or_path"].as_str().map(str::to_owned),
        })
    }

    /// Whether the adapter is to change the module of this name.
    pub fn targets(&self, module: &str) -> bool {
        let listed = matches!(self.targets, Modules::Ends(_));
        self.targets.have(module)
            && !self.excluded.have(module)
            && !self.saves(module)
            && (!listed || self.exactly(module) || self.layers.as_ref().is_none_or(|l| l.have(module)))
    }

    /// Whether the configuration says which modules those are.
    pub fn tells_targets(&self) -> bool {
        !matches!(self.targets, Modules::Any)
    }

    /// A module named whole is a target whatever its layer.
    fn exactly(&self, module: &str) -> bool {
        matches!(&self.targets, Modules::Ends(all) if all.iter().any(|t| t == module))
    }

    /// The first of the listed targets that none of these modules is.
    pub fn missed<'a>(&self, modules: impl Iterator<Item = &'a String> + Clone) -> Option<&str> {
        let Modules::Ends(all) = &self.targets else { return None };
        all.iter().find(|t| !modules.clone().any(|m| ends(m, t))).map(String::as_str)
    }

    /// Whether a module, or one that it is part of, is among `modules_to_save`.
    pub fn saves(&self, module: &str) -> bool {
        self.saved.iter().any(|s| module == s || format!(".{module}.").contains(&format!(".{s}.")))
    }

    /// Rank of a module's matrices.
    pub fn rank_of(&self, module: &str) -> usize {
        self.ranks.iter().find(|(like, _)| like.is_match(module)).map_or(self.rank, |(_, r)| *r)
    }

    /// What the product of a module's matrices is multiplied by. Fails if no weight could be so large.
    pub fn scale_of(&self, module: &str) -> Result<f64> {
        let rank = self.rank_of(module) as f64;
        let own = self.alphas.iter().find(|(like, _)| like.is_match(module));
        let (key, alpha) = own.map_or(("lora_alpha", self.alpha), |(_, a)| ("alpha_pattern", *a));
        let scale = alpha / if self.root_of_rank { rank.sqrt() } else { rank };
        if (scale as f32).is_finite() {
            return Ok(scale);
        }
        let what =
            format!("`{key}` is {alpha:e}: over rank {rank} that multiplies the change of `{module}` by {scale:e}, beyond the largest f32");
        Err(Error::new(what).hint("is a digit mistyped? Usual are numbers from 1 to some hundreds"))
    }

    /// The first table whose rows the file should have, of which none of these modules is: its name, if the configuration says it.
    pub fn lost_tokens<'a>(&self, modules: impl Iterator<Item = &'a String> + Clone) -> Option<Option<&str>> {
        let named = |name: &Option<String>| modules.clone().any(|m| name.as_ref().is_none_or(|n| ends(m, n)));
        self.tokens.iter().find(|(name, ids)| !ids.is_empty() && !named(name)).map(|(name, _)| name.as_deref())
    }

    /// The tokens of a table whose rows the file has.
    pub fn tokens_of(&self, module: &str) -> Option<&[usize]> {
        self.tokens.iter().find(|(name, _)| name.as_ref().is_none_or(|n| ends(module, n))).map(|(_, tokens)| tokens.as_slice())
    }
}

impl Modules {
    fn have(&self, module: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Ends(all) => all.iter().any(|end| ends(module, end)),
            Self::Like(like) => like.is_match(module),
        }
    }
}

impl Layers {
    fn have(&self, module: &str) -> bool {
        let number = self.places.iter().find_map(|p| p.captures(module)).and_then(|c| c.get(1)?.as_str().parse().ok());
        number.is_some_and(|n| self.numbers.contains(&n))
    }
}

/// Whether a module's name is `end`, or ends with it after a dot.
pub fn ends(module: &str, end: &str) -> bool {
    module.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(format!("adapter_config.json: {what}"))
}
