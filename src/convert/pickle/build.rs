//! What stands for a call: arrays and kinds of numbers from the arguments that numpy and jax write.

use super::Dialect;
use super::machine::Machine;
use super::value::{Array, Global, Id, Item, Number};
use crate::error::Result;

impl Machine<'_, '_> {
    /// `REDUCE`, `NEWOBJ`, `NEWOBJ_EX` and `BUILD`.
    pub(super) fn construct(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'b' {
            let state = self.pop()?;
            let target = self.top()?;
            return self.fill(target, state);
        }
        if opcode == 0x92 {
            // keyword arguments: no class here has any
            self.pop()?;
        }
        let (arguments, class) = (self.pop()?, self.pop()?);
        let Item::Global(tag) = *self.values.get(class) else {
            return Err(self.bad(format!("it calls {}", self.values.get(class).kind())));
        };
        let arguments = self.tuple(arguments)?.to_vec();
        if let (Global::ByteString, Some(&same)) = (tag, arguments.first()) {
            return match self.values.get(same) {
                Item::Bytes(_) => self.push_id(same),
                other => Err(self.bad(format!("bytes of {}", other.kind()))),
            };
        }
        let item = self.made(tag, &arguments)?;
        self.push(item)
    }

    /// The value that a call of `tag` stands for.
    fn made(&mut self, tag: Global, arguments: &[Id]) -> Result<Item> {
        let error = self.bad(format!("{tag:?} with arguments that it does not take"));
        let wrong = || error.clone();
        let get = |i: usize| arguments.get(i).copied().ok_or_else(wrong);
        Ok(match tag {
            Global::Reconstruct => Item::Empty,
            Global::Dtype => match self.values.get(get(0)?) {
                Item::Text(name) => {
                    let kind = Number::parse(name)
                        .ok_or_else(|| self.bad(format!("an array of numbers of the kind `{:.20}`", name.escape_debug())))?;
                    Item::Dtype(kind.0, kind.1)
                }
                Item::Global(Global::Bfloat16) => Item::Dtype(Number::Bf16, false),
                _ => return Err(wrong()),
            },
            Global::Encode if self.text(get(1)?)?.starts_with("latin") => {
                let bytes = self.latin1(self.text(get(0)?)?)?;
                self.encoded(bytes.len())?;
                Item::Bytes(bytes)
            }
            Global::Encode => return Err(wrong()),
            Global::ByteString => Item::Bytes(Vec::new()),
            Global::FromBuffer => {
                let fortran = self.text(get(3)?)? == "F";
                self.array(get(2)?, get(1)?, fortran, get(0)?)?
            }
            Global::JaxArray => match self.values.get(get(0)?) {
                Item::Global(Global::Reconstruct) => self.array_of_state(get(2)?)?,
                _ => return Err(wrong()),
            },
            // items of a dictionary come afterwards
            Global::Mapping if !arguments.iter().any(|id| matches!(self.values.get(*id), Item::List(_))) => Item::Dict(Vec::new()),
            // Python 2 hands them over as a list
            Global::Mapping if self.dialect == Dialect::Torch && arguments.len() == 1 => self.listed(get(0)?)?,
            Global::Mapping => return Err(wrong()),
            Global::RebuildTensor => self.view(arguments, None)?,
            Global::RebuildTensorAs => self.view(arguments, Some(get(6)?))?,
            Global::RebuildParameter => self.same_view(get(0)?)?,
            Global::RebuildFromType => match self.values.get(get(0)?) {
                // what a tensor of a class of its own, or with attributes, is made of
                Item::Global(tag @ (Global::RebuildTensor | Global::RebuildTensorAs | Global::RebuildParameter)) => {
                    let (tag, inner) = (*tag, self.tuple(get(2)?)?.to_vec());
                    self.made(tag, &inner)?
                }
                _ => return Err(wrong()),
            },
            Global::Scalar | Global::Inert => Item::Inert,
            Global::NdArray | Global::Bfloat16 | Global::Class | Global::Storage(_) | Global::Numbers(_) => return Err(wrong()),
        })
    }

    /// `BUILD`: the state of something that was made before.
    fn fill(&mut self, target: Id, state: Id) -> Result<()> {
        let filled = match self.values.get(target) {
            Item::Empty => self.array_of_state(state)?,
            Item::Dtype(number, _) => {
                // (version, byte order, …)
                let order = *self.tuple(state)?.get(1).ok_or_else(|| self.bad("a kind of numbers without its order of bytes"))?;
                Item::Dtype(*number, self.text(order)? == ">")
            }
            // attributes of dictionaries and parameters are no weights
            Item::Inert | Item::Dict(_) | Item::View(_) => return Ok(()),
            other => return Err(self.bad(format!("{} is given a state", other.kind()))),
        };
        *self.values.get_mut(target) = filled;
        Ok(())
    }

    /// The array of numpy's state: (version, shape, kind, whether Fortran's order, bytes).
    fn array_of_state(&self, state: Id) -> Result<Item> {
        let &[_, shape, kind, fortran, data] = self.tuple(state)? else {
            return Err(self.bad("an array with a state that numpy does not write"));
        };
        let Item::Bool(fortran) = *self.values.get(fortran) else {
            return Err(self.bad("an array without its order"));
        };
        self.array(shape, kind, fortran, data)
    }

    fn array(&self, shape: Id, kind: Id, fortran: bool, data: Id) -> Result<Item> {
        let Item::Dtype(number, big_endian) = *self.values.get(kind) else {
            return Err(self.bad("an array of unknown numbers"));
        };
        let size = |id: &Id| match self.values.get(*id) {
            Item::Int(n) => usize::try_from(*n).map_err(|_| self.bad(format!("an array with a side of {n}"))),
            other => Err(self.bad(format!("an array with a side that is {}", other.kind()))),
        };
        let shape = self.tuple(shape)?.iter().map(size).collect::<Result<Vec<_>>>()?;
        if shape.len() > 32 {
            return Err(self.bad("an array with more than 32 dimensions"));
        }
        let Item::Bytes(bytes) = self.values.get(data) else {
            return Err(self.bad(format!("an array whose numbers are {}", self.values.get(data).kind())));
        };
        if Array::<Id>::bytes(number, &shape) != Some(bytes.len()) {
            return Err(self.bad(format!("an array of shape {shape:?} in {} that has {} bytes", number.name(), bytes.len())));
        }
        Ok(Item::Array(Array { number, big_endian, shape, fortran, data }))
    }

    fn latin1(&self, text: &str) -> Result<Vec<u8>> {
        text.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| self.bad("text that is not Latin-1"))).collect()
    }
}
