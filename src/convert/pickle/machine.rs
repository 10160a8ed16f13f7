//! The stack machine: opcodes of protocols 0 to 5 as far as plain values and arrays need them.

use super::Dialect;
use super::value::{Global, Id, Item, Values};
use crate::convert::bytes::Bytes;
use crate::error::{Error, Result};
use rustc_hash::FxHashMap;

/// Entries that the stack can have.
const STACK: usize = 500_000;

/// The machine at work.
pub struct Machine<'b, 'a> {
    pub(super) bytes: &'b mut Bytes<'a>,
    pub(super) values: Values,
    stack: Vec<Id>,
    /// Where the open marks are in the stack.
    marks: Vec<usize>,
    memo: FxHashMap<u32, Id>,
    /// Bytes that were made of text.
    encoded: u64,
    pub(super) dialect: Dialect,
}

impl<'b, 'a> Machine<'b, 'a> {
    /// A machine before its first opcode.
    pub fn new(bytes: &'b mut Bytes<'a>, dialect: Dialect) -> Self {
        Self { bytes, dialect, values: Values::default(), stack: Vec::new(), marks: Vec::new(), memo: FxHashMap::default(), encoded: 0 }
    }

    /// Runs to the end.
    pub fn run(mut self) -> Result<Values> {
        loop {
            let opcode = self.bytes.byte()?;
            if opcode == b'.' {
                let root = self.pop()?;
                self.values.set_root(root);
                return Ok(self.values);
            }
            self.step(opcode)?;
        }
    }

    /// An error at this place.
    pub(super) fn bad(&self, what: impl std::fmt::Display) -> Error {
        self.bytes.error(format!("not a readable pickle: {what}")).hint(match self.dialect {
            Dialect::Trax => "a checkpoint of trax is `model.pkl.gz`, or its own copy without gzip",
            Dialect::Torch => "the file is damaged, or `torch.save` did not write it",
        })
    }

    /// Puts a new value on the stack.
    pub(super) fn push(&mut self, item: Item) -> Result<()> {
        let id = self.values.add(item).ok_or_else(|| self.bad("it has more values than any checkpoint"))?;
        self.push_id(id)
    }

    /// Puts a value on the stack again.
    pub(super) fn push_id(&mut self, id: Id) -> Result<()> {
        if self.stack.len() >= STACK {
            return Err(self.bad("its stack grows without end"));
        }
        self.stack.push(id);
        Ok(())
    }

    /// Takes the last value from the stack, never one from below the last mark.
    pub(super) fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(self.bad("a value is asked for and none is there"));
        }
        self.stack.pop().ok_or_else(|| self.bad("a value is asked for and none is there"))
    }

    /// Drops the last value, or the mark if that came last.
    pub(super) fn drop_last(&mut self) -> Result<()> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// The last value, left where it is.
    pub(super) fn top(&self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor..].last().copied().ok_or_else(|| self.bad("a value is asked for and none is there"))
    }

    /// Opens a mark.
    pub(super) fn mark(&mut self) -> Result<()> {
        if self.marks.len() >= STACK {
            return Err(self.bad("its stack grows without end"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Takes all values since the last mark, and the mark.
    pub(super) fn since_mark(&mut self) -> Result<Vec<Id>> {
        let from = self.marks.pop().ok_or_else(|| self.bad("a mark is asked for and none is there"))?;
        Ok(self.stack.split_off(from))
    }

    /// Remembers the last value under a number.
    pub(super) fn remember(&mut self, number: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(number, top);
        Ok(())
    }

    /// Remembers the last value under the next number.
    pub(super) fn remember_next(&mut self) -> Result<()> {
        let next = u32::try_from(self.memo.len()).map_err(|_| self.bad("it remembers too much"))?;
        self.remember(next)
    }

    /// Puts what was remembered under a number on the stack.
    pub(super) fn recall(&mut self, number: u32) -> Result<()> {
        let Some(id) = self.memo.get(&number).copied() else {
            return Err(self.bad(format!("it recalls value {number}, which it never remembered")));
        };
        self.push_id(id)
    }

    /// Counts bytes that were made of text: every text is there once, so they are never more than what was read.
    pub(super) fn encoded(&mut self, n: usize) -> Result<()> {
        self.encoded += n as u64;
        if self.encoded > self.bytes.position() { Err(self.bad("it unfolds the same text again and again")) } else { Ok(()) }
    }

    /// Puts a name on the stack, if it is one of those a checkpoint has reason to use.
    pub(super) fn global(&mut self, module: &[u8], name: &[u8]) -> Result<()> {
        let (module, name) = (String::from_utf8_lossy(module), String::from_utf8_lossy(name));
        let (known, remedy) = match self.dialect {
            Dialect::Trax => (Global::of(&module, &name), "save its weights with trax's `save_checkpoint` and convert that"),
            Dialect::Torch => {
                (Global::of_torch(&module, &name), "load it with PyTorch and save nothing but `model.state_dict()`, and convert that")
            }
        };
        let tag = known.ok_or_else(|| {
            let shown: String = format!("{module}.{name}").chars().map(|c| if c.is_control() { '?' } else { c }).take(120).collect();
            self.bytes
                .error(format!("the pickle asks for `{shown}`, which is not among the names that a checkpoint may use"))
                .hint(format!("nothing of it was run; if you trust the file, {remedy}"))
        })?;
        self.push(Item::Global(tag))
    }

    /// The text of a value.
    pub(super) fn text(&self, id: Id) -> Result<&str> {
        match self.values.get(id) {
            Item::Text(text) => Ok(text),
            other => Err(self.bad(format!("text is asked for and {} is there", other.kind()))),
        }
    }

    /// The values of a tuple.
    pub(super) fn tuple(&self, id: Id) -> Result<&[Id]> {
        match self.values.get(id) {
            Item::Tuple(items) => Ok(items),
            other => Err(self.bad(format!("a tuple is asked for and {} is there", other.kind()))),
        }
    }
}
