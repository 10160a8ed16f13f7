//! Keys of adapter_config.json, read one by one.

use super::{Bias, Layers, Modules, REMEDY, wrong};
use crate::error::Result;
use regex::Regex;
use serde_json::{Map, Value};

/// Options that are no sum of low rank, and what they are instead.
const REFUSED: [(&str, &str); 9] = [
    ("alora_invocation_tokens", "works from certain tokens on, not everywhere"),
    ("arrow_config", "chooses among several adapters"),
    ("kasa_config", "takes something away from the base model first"),
    ("layer_replication", "repeats layers"),
    ("megatron_config", "splits modules over machines"),
    ("monteclora_config", "draws its weights"),
    ("target_parameters", "changes parameters that are no modules"),
    ("use_bdlora", "has blocks in place of full matrices"),
    ("use_qalora", "reads inputs in groups"),
];
/// Keys that say how an adapter was trained, or what it is.
const TRAINING: [&str; 18] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "megatron_core",
    "modules_to_tie",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules_to_tie",
    "task_type",
    "velora_config",
    "ephemeral_gpu_offload",
    "lora_ga_config",
];
/// Keys that are read below.
const READ: [&str; 18] = [
    "peft_type",
    "r",
    "lora_alpha",
    "target_modules",
    "exclude_modules",
    "fan_in_fan_out",
    "bias",
    "use_rslora",
    "modules_to_save",
    "init_lora_weights",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "trainable_token_indices",
    "use_dora",
    "lora_bias",
    "ensure_weight_tying",
];

/// The keys of the file.
pub(super) struct Fields<'a>(pub &'a Map<String, Value>);

impl Fields<'_> {
    /// A value, unless it is absent or stands for nothing.
    fn given(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|v| match v {
            Value::Null | Value::Bool(false) => false,
            Value::String(s) => !s.is_empty(),
            Value::Array(a) => !a.is_empty(),
            Value::Object(o) => !o.is_empty(),
            _ => true,
        })
    }

    /// Fails on what is unknown, and on what is no sum of low rank.
    pub fn refuse(&self) -> Result<()> {
        if let Some((key, why)) = REFUSED.iter().find(|(key, _)| self.given(key).is_some()) {
            return Err(wrong(format!("`{key}` is not implemented: such an adapter {why}")).hint(REMEDY));
        }
        match self.0.get("init_lora_weights") {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(how))
                if ["true", "false", "gaussian", "eva", "orthogonal", "mica"].contains(&how.to_lowercase().as_str()) => {}
            Some(how) => {
                let what =
                    format!("`init_lora_weights: {how}` is not implemented: such an adapter belongs to a base model that it has changed");
                return Err(wrong(what).hint(format!(
                    "{REMEDY}; or save it with `path_initial_model_for_weight_conversion`, which makes a plain adapter of it"
                )));
            }
        }
        let known = |key: &str| READ.contains(&key) || TRAINING.contains(&key) || REFUSED.iter().any(|(k, _)| *k == key);
        match self.0.keys().find(|key| !known(key) && self.given(key).is_some()) {
            Some(key) => Err(wrong(format!("`{key}: {}` is unknown here and may change what is computed", self.0[key])).hint(REMEDY)),
            None => Ok(()),
        }
    }

    pub fn flag(&self, key: &str) -> Result<bool> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(wrong(format!("`{key}` must be true or false, not {other}"))),
        }
    }

    pub fn rank(&self, key: &str, value: Option<&Value>) -> Result<usize> {
        let value = value.unwrap_or(&Value::Null);
        let rank = value.as_u64().and_then(|r| usize::try_from(r).ok()).filter(|r| *r > 0);
        rank.ok_or_else(|| {
            wrong(format!("`{key}` must be a whole number of at least 1, not {value}")).hint("it is the rank of the matrices")
        })
    }

    pub fn alpha(&self, key: &str, value: Option<&Value>) -> Result<f64> {
        let value = value.unwrap_or(&Value::Null);
        value
            .as_f64()
            .filter(|a| a.is_finite())
            .ok_or_else(|| wrong(format!("`{key}` must be a number, not {value}")).hint("the change is multiplied by it over the rank"))
    }

    pub fn bias(&self) -> Result<Bias> {
        match self.0.get("bias") {
            None | Some(Value::Null) => Ok(Bias::None),
            Some(Value::String(s)) if s == "none" => Ok(Bias::None),
            Some(Value::String(s)) if s == "lora_only" => Ok(Bias::Changed),
            Some(Value::String(s)) if s == "all" => Ok(Bias::All),
            Some(other) => Err(wrong(format!("`bias` must be `none`, `lora_only` or `all`, not {other}"))),
        }
    }

    pub fn names(&self, key: &str) -> Result<Option<Vec<String>>> {
        let bad = |v: &Value| wrong(format!("`{key}` must be a list of names, not {v}"));
        let Some(value) = self.given(key) else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| bad(value))?;
        list.iter()
            .map(|v| v.as_str().filter(|s| !s.is_empty()).map(str::to_owned).ok_or_else(|| bad(value)))
            .collect::<Result<_>>()
            .map(Some)
    }

    pub fn modules(&self, key: &str) -> Result<Modules> {
        match self.given(key) {
            None => Ok(Modules::Any),
            Some(Value::String(s)) if s == "all-linear" && key == "target_modules" => Ok(Modules::Any),
            Some(Value::String(s)) => expression(key, s, &format!("^(?:{s})$")).map(Modules::Like),
            Some(_) => Ok(self.names(key)?.map_or(Modules::Any, Modules::Ends)),
        }
    }

    pub fn layers(&self, like: bool) -> Result<Option<Layers>> {
        let Some(value) = self.given("layers_to_transform") else {
            let bad = "`layers_pattern` without `layers_to_transform` says nothing";
            return if self.given("layers_pattern").is_some() { Err(wrong(bad)) } else { Ok(None) };
        };
        if like {
            return Err(wrong("`layers_to_transform` belongs to a list of `target_modules`, not to an expression"));
        }
        let bad = || wrong(format!("`layers_to_transform` must be a number or a list of numbers, not {value}"));
        let one = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(bad);
        let numbers = match value {
            Value::Array(list) => list.iter().map(one).collect::<Result<_>>()?,
            single => vec![one(single)?],
        };
        let names = match self.given("layers_pattern") {
            None => Vec::new(),
            Some(Value::String(s)) => vec![s.clone()],
            Some(_) => self.names("layers_pattern")?.unwrap_or_default(),
        };
        let mut places =
            names.iter().map(|s| expression("layers_pattern", s, &format!(r"^(?:|.*?\.)(?:{s})\.(\d+)\."))).collect::<Result<Vec<_>>>()?;
        if names.is_empty() {
            places.push(expression("layers_pattern", "", r"^.*?\.[^.]*\.(\d+)\.")?);
        }
        Ok(Some(Layers { numbers, places }))
    }

    /// PEFT's rule: the key matches the end of a module's name, after a dot or from the start.
    pub fn patterns<T>(&self, key: &str, read: impl Fn(&str, &Value) -> Result<T>) -> Result<Vec<(Regex, T)>> {
        let map = match self.0.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(map)) => map,
            Some(other) => {
                let what = format!("`{key}` must be a table of names, not {other}");
                return Err(wrong(what).hint(format!("for instance `\"{key}\": {{\"q_proj\": 4}}`, or `{{}}` for none")));
            }
        };
        map.iter()
            .map(|(name, v)| Ok((expression(key, name, &format!(r"^(?:.*\.)?(?:{name})$"))?, read(&format!("{key}.{name}"), v)?)))
            .collect()
    }

    pub fn tokens(&self) -> Result<Vec<(Option<String>, Vec<usize>)>> {
        let Some(value) = self.given("trainable_token_indices") else { return Ok(Vec::new()) };
        let bad = || wrong(format!("`trainable_token_indices` must hold lists of token ids, not {value}"));
        let list = |v: &Value| -> Result<Vec<usize>> {
            v.as_array().ok_or_else(bad)?.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(bad)).collect()
        };
        match value {
            Value::Object(map) => map.iter().map(|(name, v)| Ok((Some(name.clone()), list(v)?))).collect(),
            one => Ok(vec![(None, list(one)?)]),
        }
    }
}

fn expression(key: &str, given: &str, whole: &str) -> Result<Regex> {
    Regex::new(whole).map_err(|_| {
        wrong(format!("`{key}`: `{given}` is no regular expression that this program reads"))
            .hint("name the modules one by one; look-ahead and back-references are not known")
    })
}
