//! From an adapter's tensors to changes of a checkpoint's: every tensor must have its place, and every place its tensor.

use super::base::{Base, last, may_be_tied};
use super::change::{Change, LowRank};
use super::config::{Bias, REMEDY, ends};
use super::{Adapter, CONFIG, Part, Summary};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

mod complete;

/// What becomes of a checkpoint's tensors.
pub struct Plan {
    /// Changes of tensors, by the checkpoint's names.
    pub changes: BTreeMap<String, Vec<Change>>,
    /// Tensors of the adapter's file, by the checkpoint's names in whose place they stand; or that it lacks, because it ties them.
    pub replaced: BTreeMap<String, String>,
    /// Tensors of the checkpoint that go on under another name, because the one that they were tied to is replaced.
    pub kept: BTreeMap<String, String>,
    /// Whether a change or replacement of a table is one of all that are tied to it.
    pub ties: Ties,
    /// The adapter in short.
    pub summary: Summary,
}

/// Which copies of a table go with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ties {
    /// Copies of a changed one.
    pub changed: bool,
    /// Copies of a replaced one.
    pub replaced: bool,
}

type Parts = BTreeMap<Part, String>;

impl Plan {
    /// Of an adapter and a checkpoint.
    pub(super) fn of(adapter: &Adapter, base: &Base, tied: bool) -> Result<Self> {
        let c = &adapter.config;
        let mut making = Making {
            adapter,
            base,
            tied,
            changes: BTreeMap::new(),
            replaced: BTreeMap::new(),
            kept: BTreeMap::new(),
            met: BTreeMap::new(),
            notes: Vec::new(),
        };
        let (mut low, mut parameters) = (BTreeSet::new(), 0);
        for (module, parts) in &adapter.modules {
            parameters +=
                parts.iter().filter(|(p, _)| !matches!(p, Part::Base(w) if w == "weight")).map(|(_, t)| making.count(t)).sum::<usize>();
            if making.low_rank(module, parts)? {
                low.insert(module.clone());
            }
            making.rest(module, parts)?;
        }
        making.complete(&low)?;
        let rows = making.changes.values().flatten().filter(|c| matches!(c, Change::Rows(_))).count();
        let summary = Summary {
            name: adapter.name.clone(),
            rank: c.rank,
            alpha: c.alpha,
            modules: low.len(),
            replaced: making.replaced.len() + rows,
            parameters,
            notes: making.notes,
            base: c.base.clone(),
            fingerprint: adapter.fingerprint,
        };
        Ok(Self {
            changes: making.changes,
            replaced: making.replaced,
            kept: making.kept,
            ties: Ties { changed: tied, replaced: c.keeps_ties },
            summary,
        })
    }
}

struct Making<'a> {
    adapter: &'a Adapter,
    base: &'a Base<'a>,
    tied: bool,
    changes: BTreeMap<String, Vec<Change>>,
    replaced: BTreeMap<String, String>,
    kept: BTreeMap<String, String>,
    /// Modules of the adapter by the checkpoint's names of their matrices.
    met: BTreeMap<String, String>,
    notes: Vec<String>,
}

impl Making<'_> {
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::new(format!("{}: {what}", self.adapter.file.name))
    }

    /// The same for an error that says where in the checkpoint.
    fn here(&self, e: Error) -> Error {
        e.at(&self.adapter.file.name)
    }

    fn shape(&self, tensor: &str) -> &[usize] {
        self.adapter.file.entries.get(tensor).map_or(&[], |e| &e.shape)
    }

    fn count(&self, tensor: &str) -> usize {
        self.shape(tensor).iter().product()
    }

    fn matrix(&self, tensor: &str) -> Result<(usize, usize)> {
        match *self.shape(tensor) {
            [rows, columns] => Ok((rows, columns)),
            ref other => Err(self
                .error(format!("tensor `{tensor}` has shape {other:?}, not two dimensions"))
                .hint("only matrices and tables are merged")),
        }
    }

    /// A vector of the length that the module's other tensors ask for.
    fn vector(&self, tensor: &str, length: usize) -> Result<Vec<f32>> {
        let shape = self.shape(tensor);
        // PEFT 0.9 stored magnitudes of one dimension more
        if shape.iter().product::<usize>() != length || shape.iter().filter(|n| **n != 1).count() > 1 {
            return Err(self
                .error(format!("tensor `{tensor}` has shape {shape:?}, the module's matrices ask for [{length}]"))
                .hint(DAMAGED));
        }
        self.adapter.file.numbers(tensor)
    }

    /// The checkpoint's matrix of a module, or the table that it is tied to.
    fn weight(&mut self, module: &str) -> Result<String> {
        let own = self.base.find(module, "weight").map_err(|e| self.here(e))?;
        let found = own.or_else(|| self.base.tied(module, self.tied));
        let found = found.ok_or_else(|| self.here(self.base.unknown(module, "weight")))?;
        self.met.insert(found.to_owned(), module.to_owned());
        Ok(found.to_owned())
    }

    /// The change of low rank, if the module has one.
    fn low_rank(&mut self, module: &str, parts: &Parts) -> Result<bool> {
        let c = &self.adapter.config;
        let table = parts.contains_key(&Part::TableA) || parts.contains_key(&Part::TableB);
        let (names, keys) = if table {
            (["lora_embedding_A", "lora_embedding_B"], [Part::TableA, Part::TableB])
        } else {
            (["lora_A", "lora_B"], [Part::A, Part::B])
        };
        let (a, b) = match keys.map(|k| parts.get(&k)) {
            [Some(a), Some(b)] => (a, b),
            [None, None] => {
                return match parts.iter().find(|(p, _)| matches!(p, Part::Bias | Part::Magnitude)) {
                    Some((_, t)) => {
                        Err(self.error(format!("tensor `{t}` stands alone: there is no `lora_A` and `lora_B` of `{module}`")).hint(DAMAGED))
                    }
                    None => Ok(false),
                };
            }
            [a, _] => {
                let (has, lacks) = if a.is_some() { (names[0], names[1]) } else { (names[1], names[0]) };
                return Err(self.error(format!("`{module}` has `{has}` and no `{lacks}`")).hint(DAMAGED));
            }
        };
        if table && (parts.contains_key(&Part::A) || parts.contains_key(&Part::B)) {
            return Err(self.error(format!("`{module}` has matrices of a linear layer and of a table")).hint(DAMAGED));
        }
        if !(c.targets(module) || c.keeps_ties && may_be_tied(module)) {
            return Err(self
                .error(format!("`{module}` is none of the modules that `target_modules` of {CONFIG} names"))
                .hint("adapter_config.json and adapter_model.safetensors belong to different adapters"));
        }
        let rank = c.rank_of(module);
        let scale = c.scale_of(module).map_err(|e| e.at(self.adapter.config_file()))?;
        let ((ra, inputs), (outputs, rb)) = (self.matrix(a)?, self.matrix(b)?);
        for (tensor, r) in [(a, ra), (b, rb)] {
            if r != rank {
                return Err(self.error(format!("tensor `{tensor}` has shape {:?}, {CONFIG} asks for rank {rank}", self.shape(tensor)))
                    .hint("adapter_config.json and adapter_model.safetensors belong to different adapters, or `r` or `rank_pattern` was changed"));
            }
        }
        let magnitude = match (c.dora, parts.get(&Part::Magnitude)) {
            (true, Some(m)) => Some(self.vector(m, outputs)?),
            (false, None) => None,
            (true, None) => {
                return Err(self.error(format!("`{module}` has no `lora_magnitude_vector`, which `use_dora` asks for")).hint(DAMAGED));
            }
            (false, Some(m)) => return Err(self.error(format!("tensor `{m}` is there, {CONFIG} has no `use_dora`")).hint(DAMAGED)),
        };
        let (ta, tb) = (self.adapter.file.numbers(a)?, self.adapter.file.numbers(b)?);
        let sum = LowRank {
            module: module.to_owned(),
            a: ta,
            b: tb,
            rank,
            sizes: (outputs, inputs),
            scale,
            table,
            magnitude,
            fan_in_fan_out: c.fan_in_fan_out,
        };
        let name = self.weight(module)?;
        sum.check(self.base.shapes.get(name.as_str()).copied().unwrap_or_default()).map_err(|e| self.here(e))?;
        self.tell_ties(module, &name);
        self.change(&name, module, Change::LowRank(sum))?;
        match (c.lora_bias, parts.get(&Part::Bias)) {
            (true, Some(tensor)) => {
                let bias = self.base.find(module, "bias").map_err(|e| self.here(e))?;
                let bias = bias.ok_or_else(|| self.here(self.base.unknown(module, "bias")))?.to_owned();
                let added = self.vector(tensor, outputs)?.iter().map(|x| scale as f32 * x).collect();
                self.same_shape(tensor, &bias, Some(&[outputs]))?;
                self.change(&bias, module, Change::Added(added))?;
            }
            (false, None) => {}
            (true, None) => {
                return Err(self.error(format!("`{module}` has no bias beside `lora_B`, which `lora_bias` asks for")).hint(DAMAGED));
            }
            (false, Some(t)) => return Err(self.error(format!("tensor `{t}` is there, {CONFIG} has no `lora_bias`")).hint(DAMAGED)),
        }
        Ok(true)
    }

    /// Adds a change; one that depends on all numbers of a tensor must be its only one.
    fn change(&mut self, name: &str, module: &str, change: Change) -> Result<()> {
        let alone = |c: &Change| matches!(c, Change::Rows(_)) || matches!(c, Change::LowRank(l) if l.magnitude.is_some());
        let keeps_ties = self.adapter.config.keeps_ties;
        let all = self.changes.entry(name.to_owned()).or_default();
        if !all.is_empty() && (keeps_ties || all.iter().any(alone) || alone(&change)) {
            let what = format!("`{module}` and another module change `{name}`, which they share: these changes do not add up");
            return Err(self.error(what).hint(REMEDY));
        }
        all.push(change);
        // one sum after the other is rounded: in the order in which PEFT comes to the modules of a shared table
        all.sort_by_key(|c| if let Change::LowRank(sum) = c { declared(&sum.module) } else { 0 });
        Ok(())
    }

    fn tell_ties(&mut self, module: &str, name: &str) {
        if self.tied && may_be_tied(module) && !self.stored("lm_head") {
            let note = format!("the adapter changes `{name}`, which is table and output matrix: both change, as where PEFT merges");
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Rows of tokens, and what stands in the place of the checkpoint's tensors.
    fn rest(&mut self, module: &str, parts: &Parts) -> Result<()> {
        for (part, tensor) in parts {
            match part {
                Part::Tokens => self.tokens(module, tensor)?,
                Part::Base(parameter) => self.below(module, parameter, tensor)?,
                Part::Whole(parameter) | Part::Again(parameter) => self.whole(module, parameter, tensor)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn tokens(&mut self, module: &str, tensor: &str) -> Result<()> {
        let Some(ids) = self.adapter.config.tokens_of(module) else {
            return Err(self
                .error(format!("tensor `{tensor}` is there, `trainable_token_indices` of {CONFIG} does not name `{module}`"))
                .hint("adapter_config.json and adapter_model.safetensors belong to different adapters"));
        };
        let (n, d) = self.matrix(tensor)?;
        let name = self.weight(module)?;
        let table = self.base.shapes.get(name.as_str()).copied().unwrap_or_default();
        let distinct = ids.iter().collect::<BTreeSet<_>>().len();
        if n != ids.len() || distinct != n || table.len() != 2 || table[1] != d || ids.iter().any(|id| *id >= table[0]) {
            let what = format!(
                "tensor `{tensor}` of shape [{n}, {d}] does not fit {} token ids and the base model's table of shape {table:?}",
                ids.len()
            );
            return Err(self
                .error(what)
                .hint("`trainable_token_indices` names each row of the tensor once, and only ids of the vocabulary"));
        }
        let numbers = self.adapter.file.numbers(tensor)?;
        let rows = ids.iter().zip(numbers.chunks(d.max(1))).map(|(id, row)| (*id, row.to_vec())).collect();
        self.change(&name, module, Change::Rows(rows))
    }

    fn same_shape(&self, tensor: &str, name: &str, shape: Option<&[usize]>) -> Result<()> {
        let (found, wanted) = (shape.unwrap_or(self.shape(tensor)), self.base.shapes.get(name).copied().unwrap_or_default());
        if found == wanted {
            return Ok(());
        }
        let hint = if name.strip_suffix(".weight").is_some_and(may_be_tied) && wanted.len() == 2 {
            format!("if the vocabulary was resized for training: {REMEDY}")
        } else {
            "the adapter was trained for another base model".to_owned()
        };
        Err(self
            .error(format!("tensor `{tensor}` has shape {:?}, the base model's `{name}` has {wanted:?}", self.shape(tensor)))
            .hint(hint))
    }

    /// A parameter that a changed module has kept, or a bias that was trained.
    fn below(&mut self, module: &str, parameter: &str, tensor: &str) -> Result<()> {
        let name = match self.base.find(module, parameter).map_err(|e| self.here(e))? {
            Some(name) => name.to_owned(),
            None if parameter == "weight" => self.weight(module)?,
            None => return Err(self.here(self.base.unknown(module, parameter))),
        };
        let trained = parameter == "bias" && self.adapter.config.bias != Bias::None;
        if !trained && parameter != "weight" {
            return Err(self.stray(tensor));
        }
        self.same_shape(tensor, &name, None)?;
        self.replaced.insert(name, tensor.to_owned());
        Ok(())
    }

    fn stray(&self, tensor: &str) -> Error {
        self.error(format!("tensor `{tensor}` is of no module that {CONFIG} names: neither `modules_to_save` nor `bias` explains it"))
            .hint("adapter_config.json and adapter_model.safetensors belong to different adapters")
    }

    /// A parameter of a module that was trained whole.
    fn whole(&mut self, module: &str, parameter: &str, tensor: &str) -> Result<()> {
        let c = &self.adapter.config;
        let (saved, table) = (c.saves(module), parameter == "weight" && may_be_tied(module));
        // PEFT once stored the biases of changed modules so
        let trained = c.bias == Bias::All || (c.bias == Bias::Changed && c.targets(module));
        if !(saved || table || parameter == "bias" && trained) {
            return Err(if self.base.find(module, parameter).is_ok_and(|f| f.is_some()) {
                self.stray(tensor)
            } else {
                self.here(self.base.unknown(module, parameter))
            });
        }
        let own = self.base.find(module, parameter).map_err(|e| self.here(e))?;
        let other = if table { self.base.tied(module, self.tied) } else { None };
        let name = match (own, other) {
            (Some(own), _) => {
                self.own_table(module, own, saved && table, tensor)?;
                own.to_owned()
            }
            // its own from now on, if it was trained apart from the others
            (None, Some(other)) => {
                self.same_shape(tensor, other, None)?;
                if saved && !c.keeps_ties {
                    self.replaced.insert(format!("{module}.{parameter}"), tensor.to_owned());
                    return Ok(());
                }
                other.to_owned()
            }
            (None, None) => return Err(self.here(self.base.unknown(module, parameter))),
        };
        self.same_shape(tensor, &name, None)?;
        self.replaced.insert(name, tensor.to_owned());
        Ok(())
    }

    /// Whether the checkpoint has the table of such a module.
    fn stored(&self, module: &str) -> bool {
        self.base.shapes.keys().any(|n| ends(n, &format!("{module}.weight")))
    }

    /// Keeps the checkpoint's table for what a table was tied to that is trained apart from it. Fails where nobody knows what that would be.
    fn own_table(&mut self, module: &str, name: &str, trained: bool, tensor: &str) -> Result<()> {
        let paired = ["encoder", "decoder"].iter().any(|side| module.split('.').any(|word| word == *side));
        let alone = match last(module) {
            _ if !trained || self.adapter.config.keeps_ties => false,
            "shared" => !self.stored("embed_tokens"),
            "lm_head" => false,
            _ => self.tied && !self.stored("lm_head") && !self.stored("shared"),
        };
        if alone && last(module) != "shared" && !paired {
            self.kept.insert("lm_head.weight".to_owned(), name.to_owned());
            return Ok(());
        }
        if !alone {
            return Ok(());
        }
        Err(self
            .error(format!(
                "tensor `{tensor}` stands for `{name}`, which the base model ties to other tables: those were not trained with it"
            ))
            .hint(format!("{REMEDY}; or train with `ensure_weight_tying`")))
    }
}

const DAMAGED: &str = "the adapter's file is incomplete or belongs to another configuration: save it anew with PEFT";

/// Where a module that shares a table stands among a model's declarations: encoder, decoder, output matrix.
fn declared(module: &str) -> u8 {
    match module.split('.').any(|word| word == "decoder") {
        _ if last(module) == "lm_head" => 2,
        decoder => u8::from(decoder),
    }
}
