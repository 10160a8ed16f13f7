//! Tensors of PyTorch: which names its files may use, and views of storages from the arguments that it writes.

use super::element::Element;
use super::machine::Machine;
use super::value::{Global, Id, Item, Storage, View};
use crate::error::Result;

/// Sides of a tensor at most; PyTorch itself has 64.
const SIDES: usize = 64;

/// Classes that checkpoints of trainers hold beside the weights. Their values are kept as nothing at all.
const HARMLESS: &[(&str, &[&str])] = &[
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("omegaconf.dictconfig", &["DictConfig"]),
    ("omegaconf.listconfig", &["ListConfig"]),
    ("omegaconf.base", &["ContainerMetadata", "Metadata"]),
    ("omegaconf.nodes", &["AnyNode", "BooleanNode", "BytesNode", "EnumNode", "FloatNode", "IntegerNode", "PathNode", "StringNode"]),
    ("typing", &["Any", "Dict", "List", "Optional", "Sequence", "Tuple", "Union"]),
    ("_operator", &["getitem"]),
    ("builtins", &["bool", "str", "tuple", "slice"]),
    ("__builtin__", &["bool", "str", "tuple", "unicode", "long"]),
    ("collections", &["Counter", "deque"]),
    ("datetime", &["date", "datetime", "timedelta"]),
    ("pathlib", &["Path", "PosixPath", "PurePosixPath", "WindowsPath"]),
    ("fairseq.meters", &["AverageMeter", "StopwatchMeter", "TimeMeter"]),
    ("fairseq.logging.meters", &["AverageMeter", "MetersDict", "StopwatchMeter", "SumMeter", "TimeMeter"]),
    ("torch", &["Size", "device"]),
];

impl Global {
    /// The tag of a name, if it is one that a file of PyTorch has reason to use.
    pub fn of_torch(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => return Some(Global::RebuildTensor),
            ("torch._utils", "_rebuild_tensor_v3") => return Some(Global::RebuildTensorAs),
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => return Some(Global::RebuildParameter),
            ("torch._tensor", "_rebuild_from_type_v2") => return Some(Global::RebuildFromType),
            ("torch", "Tensor") | ("torch.nn.parameter", "Parameter" | "Buffer") => return Some(Global::Class),
            ("torch" | "torch.cuda" | "torch.storage", class) if class.ends_with("Storage") => {
                return Element::of_storage(class).map(Global::Storage);
            }
            _ => (),
        }
        if module == "torch"
            && let Some(element) = Element::of_dtype(name)
        {
            return Some(Global::Numbers(element));
        }
        if HARMLESS.iter().any(|(m, names)| *m == module && names.contains(&name)) {
            return Some(Global::Inert);
        }
        Global::of(module, name).filter(|_| !module.starts_with("jax") && !module.starts_with("trax"))
    }
}

impl Machine<'_, '_> {
    /// `BINPERSID`: ("storage", class, name, device, numbers), before version 0.4 with (name, offset, numbers) of a part of it.
    pub(super) fn outside(&mut self) -> Result<()> {
        let id = self.pop()?;
        let parts = self.tuple(id)?.to_vec();
        let wrong = self.bad("it refers to something outside of it that is no storage");
        let [what, class, key, _device, numbers, ..] = parts[..] else { return Err(wrong) };
        let Item::Global(Global::Storage(element)) = *self.values.get(class) else { return Err(wrong) };
        if self.text(what)? != "storage" {
            return Err(wrong);
        }
        self.text(key)?;
        let (mut first, mut numbers) = (0, self.count(numbers)?);
        if let Some(&part) = parts.get(5)
            && !matches!(self.values.get(part), Item::None)
        {
            let [_, offset, length] = *self.tuple(part)? else { return Err(wrong) };
            (first, numbers) = (self.count(offset)?, self.count(length)?);
        }
        self.push(Item::Storage(Storage { element, key, first, numbers }))
    }

    /// A tensor: (storage, offset, shape, strides, …); `kind` is the value that says what its numbers are.
    pub(super) fn view(&self, arguments: &[Id], kind: Option<Id>) -> Result<Item> {
        let [id, offset, shape, strides, ..] = *arguments else { return Err(self.bad("a tensor without its sizes")) };
        let Item::Storage(storage) = self.values.get(id) else {
            return Err(self.bad(format!("a tensor over {}", self.values.get(id).kind())));
        };
        let element = match kind.map(|k| self.values.get(k)) {
            None => storage.element,
            Some(Item::Global(Global::Numbers(element))) => *element,
            Some(other) => return Err(self.bad(format!("a tensor whose numbers are {}", other.kind()))),
        };
        let sizes = |id: Id| self.tuple(id)?.iter().map(|n| self.count(*n).map(|n| n as usize)).collect::<Result<Vec<_>>>();
        let (shape, strides) = (sizes(shape)?, sizes(strides)?);
        if shape.len() != strides.len() || shape.len() > SIDES {
            return Err(self.bad(format!("a tensor with {} sides and {} strides", shape.len(), strides.len())));
        }
        // bits that say that the numbers are to be negated or conjugated when they are read
        let bits = arguments.get(if kind.is_some() { 7 } else { 6 }).map(|id| self.values.get(*id));
        if bits.is_some_and(|bits| matches!(bits, Item::Dict(pairs) if !pairs.is_empty())) {
            return Err(self
                .bad("a tensor that is to be negated or conjugated when it is read")
                .hint("store it as it is: `.resolve_neg().resolve_conj()`"));
        }
        Ok(Item::View(View { storage: id, element, offset: self.count(offset)?, shape, strides }))
    }

    /// A tensor as it is.
    pub(super) fn same_view(&self, id: Id) -> Result<Item> {
        match self.values.get(id) {
            Item::View(view) => Ok(Item::View(view.clone())),
            other => Err(self.bad(format!("a parameter of {}", other.kind()))),
        }
    }

    /// A dictionary from a list of pairs.
    pub(super) fn listed(&self, id: Id) -> Result<Item> {
        let pair = |id: &Id| match self.values.get(*id) {
            Item::List(pair) | Item::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            other => Err(self.bad(format!("a dictionary of {}", other.kind()))),
        };
        match self.values.get(id) {
            Item::List(pairs) => Ok(Item::Dict(pairs.iter().map(pair).collect::<Result<_>>()?)),
            other => Err(self.bad(format!("a dictionary of {}", other.kind()))),
        }
    }

    /// A whole number that is not negative.
    fn count(&self, id: Id) -> Result<u64> {
        match self.values.get(id) {
            Item::Int(n) => u64::try_from(*n).map_err(|_| self.bad(format!("a size, an offset or a stride of {n}"))),
            other => Err(self.bad(format!("a size, an offset or a stride that is {}", other.kind()))),
        }
    }
}
