//! What each opcode does.

use super::Dialect;
use super::machine::Machine;
use super::value::{Id, Item};
use crate::error::Result;

impl Machine<'_, '_> {
    /// One opcode.
    pub(super) fn step(&mut self, opcode: u8) -> Result<()> {
        match opcode {
            0x80 => self.protocol(),
            // a frame only says how much may be read ahead
            0x95 => self.bytes.array::<8>().map(drop),
            b'(' => self.mark(),
            b'0' => self.drop_last(),
            b'1' => self.since_mark().map(drop),
            b'2' => self.top().and_then(|id| self.push_id(id)),
            b'N' => self.push(Item::None),
            0x88 => self.push(Item::Bool(true)),
            0x89 => self.push(Item::Bool(false)),
            b'K' | b'M' | b'J' | b'I' | b'L' | 0x8A | 0x8B => self.whole(opcode),
            b'G' => self.bytes.array::<8>().and_then(|_| self.push(Item::Inert)),
            b'F' => self.bytes.line().and_then(|_| self.push(Item::Inert)),
            0x8C | b'X' | 0x8D | b'V' => self.unicode(opcode),
            b'U' | b'T' | b'C' | b'B' | 0x8E | 0x96 | b'S' => self.byte_string(opcode),
            b')' | 0x85..=0x87 | b't' => self.make_tuple(opcode),
            b']' => self.push(Item::List(Vec::new())),
            b'}' => self.push(Item::Dict(Vec::new())),
            b'l' => self.since_mark().and_then(|items| self.push(Item::List(items))),
            b'd' => self.since_mark().and_then(|items| self.pairs(items)).and_then(|pairs| self.push(Item::Dict(pairs))),
            b'a' | b'e' | b's' | b'u' => self.extend(opcode),
            // sets: nothing that a weight depends on
            0x8F => self.push(Item::Inert),
            0x90 => self.since_mark().map(drop),
            0x91 => self.since_mark().and_then(|_| self.push(Item::Inert)),
            b'q' | b'r' | b'p' | 0x94 | b'h' | b'j' | b'g' => self.memory(opcode),
            b'c' | 0x93 => self.named(opcode),
            b'R' | 0x81 | 0x92 | b'b' => self.construct(opcode),
            b'Q' if self.dialect == Dialect::Torch => self.outside(),
            b'P' | b'Q' => Err(self.bad("it refers to something outside of it")),
            0x82..=0x84 => Err(self.bad("it uses a registry of extensions")),
            0x97 | 0x98 => Err(self.bad("its arrays lie outside of it")),
            b'i' | b'o' => Err(self.bad("it makes instances of classes in the way of Python 1")),
            other => Err(self.bad(format!("there is no opcode {other:#04x}"))),
        }
    }

    fn protocol(&mut self) -> Result<()> {
        match self.bytes.byte()? {
            0..=5 => Ok(()),
            newer => Err(self.bad(format!("protocol {newer}, known are 0 to 5"))),
        }
    }

    fn whole(&mut self, opcode: u8) -> Result<()> {
        let item = match opcode {
            b'K' => Item::Int(self.bytes.byte()?.into()),
            b'M' => Item::Int(u16::from_le_bytes(self.bytes.array()?).into()),
            b'J' => Item::Int(i32::from_le_bytes(self.bytes.array()?).into()),
            b'I' | b'L' => {
                let line = self.bytes.line()?;
                match (opcode, line.as_slice()) {
                    (b'I', b"00") => Item::Bool(false),
                    (b'I', b"01") => Item::Bool(true),
                    (_, digits) => {
                        let digits = digits.strip_suffix(b"L").unwrap_or(digits);
                        std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).map_or(Item::Inert, Item::Int)
                    }
                }
            }
            _ => {
                let n = if opcode == 0x8A { self.bytes.byte()?.into() } else { u32::from_le_bytes(self.bytes.array()?) };
                little_endian(&self.bytes.take(n.into())?)
            }
        };
        self.push(item)
    }

    fn length(&mut self, bytes: u8) -> Result<u64> {
        Ok(match bytes {
            1 => self.bytes.byte()?.into(),
            4 => u32::from_le_bytes(self.bytes.array()?).into(),
            _ => u64::from_le_bytes(self.bytes.array()?),
        })
    }

    fn unicode(&mut self, opcode: u8) -> Result<()> {
        let raw = match opcode {
            b'V' => {
                let line = self.bytes.line()?;
                let text = unescape(&line).ok_or_else(|| self.bad("text with a broken escape"))?;
                return self.push(Item::Text(text));
            }
            0x8C => self.length(1),
            b'X' => self.length(4),
            _ => self.length(8),
        };
        let raw = raw.and_then(|n| self.bytes.take(n))?;
        // Python lets lone surrogates through; no name here has any
        let text = String::from_utf8(raw).map_err(|_| self.bad("text that is not UTF-8"))?;
        self.push(Item::Text(text))
    }

    /// Bytes, and the byte strings of Python 2, which are text here: names of kinds and the bytes of arrays were both written so.
    fn byte_string(&mut self, opcode: u8) -> Result<()> {
        let (n, text) = match opcode {
            b'S' => {
                let line = self.bytes.line()?;
                let text = quoted(&line).ok_or_else(|| self.bad("text with a broken escape"))?;
                return self.push(Item::Text(text));
            }
            b'U' => (self.length(1)?, true),
            b'T' => (self.length(4)?, true),
            b'C' => (self.length(1)?, false),
            b'B' => (self.length(4)?, false),
            _ => (self.length(8)?, false),
        };
        let raw = self.bytes.take(n)?;
        self.push(if text { Item::Text(raw.into_iter().map(char::from).collect()) } else { Item::Bytes(raw) })
    }

    fn make_tuple(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b't' => self.since_mark()?,
            b')' => Vec::new(),
            _ => {
                let mut items = (0x84..opcode).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                items
            }
        };
        self.push(Item::Tuple(items))
    }

    fn pairs(&self, items: Vec<Id>) -> Result<Vec<(Id, Id)>> {
        if items.len() % 2 == 1 {
            return Err(self.bad("a dictionary with a key and no value"));
        }
        Ok(items.chunks_exact(2).map(|p| (p[0], p[1])).collect())
    }

    /// Adds to the list or dictionary on the stack.
    fn extend(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.since_mark()?,
        };
        let target = self.top()?;
        let pairs = if matches!(opcode, b's' | b'u') { Some(self.pairs(items.clone())?) } else { None };
        match (self.values.get_mut(target), pairs) {
            (Item::List(list), None) => list.extend(items),
            (Item::Dict(dict), Some(pairs)) => dict.extend(pairs),
            (Item::Inert, _) => (),
            (other, _) => {
                let kind = other.kind();
                return Err(self.bad(format!("values are added to {kind}")));
            }
        }
        Ok(())
    }

    fn memory(&mut self, opcode: u8) -> Result<()> {
        let number = match opcode {
            0x94 => return self.remember_next(),
            b'q' | b'h' => self.bytes.byte()?.into(),
            b'r' | b'j' => u32::from_le_bytes(self.bytes.array()?),
            _ => {
                let line = self.bytes.line()?;
                let number = std::str::from_utf8(&line).ok().and_then(|d| d.trim().parse().ok());
                number.ok_or_else(|| self.bad("a value is remembered under no number"))?
            }
        };
        if matches!(opcode, b'q' | b'r' | b'p') { self.remember(number) } else { self.recall(number) }
    }

    fn named(&mut self, opcode: u8) -> Result<()> {
        if opcode == b'c' {
            let (module, name) = (self.bytes.line()?, self.bytes.line()?);
            return self.global(&module, &name);
        }
        let (name, module) = (self.pop()?, self.pop()?);
        let (module, name) = (self.text(module)?.to_owned(), self.text(name)?.to_owned());
        self.global(module.as_bytes(), name.as_bytes())
    }
}

/// A whole number of any length; one that no size has is nothing that a weight depends on.
fn little_endian(bytes: &[u8]) -> Item {
    if bytes.len() > 8 {
        return Item::Inert;
    }
    let fill = if bytes.last().is_some_and(|b| *b >= 0x80) { 0xFF } else { 0 };
    let mut whole = [fill; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Item::Int(i64::from_le_bytes(whole))
}

/// Text of protocol 0: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
fn unescape(line: &[u8]) -> Option<String> {
    let (mut out, mut rest) = (String::with_capacity(line.len()), line);
    while let Some((&first, after)) = rest.split_first() {
        let digits = match (first, after.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        rest = after;
        if digits == 0 {
            out.push(char::from(first));
            continue;
        }
        let hex = std::str::from_utf8(after.get(1..=digits)?).ok()?;
        out.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
        rest = &after[1 + digits..];
    }
    Some(out)
}

/// Text of Python 2, as it prints it.
fn quoted(line: &[u8]) -> Option<String> {
    let quote = *line.first().filter(|q| matches!(q, b'\'' | b'"'))?;
    let inside = line.get(1..line.len().checked_sub(1)?).filter(|_| line.len() > 1 && line.last() == Some(&quote))?;
    let (mut out, mut rest) = (String::new(), inside.iter());
    while let Some(&c) = rest.next() {
        if c != b'\\' {
            out.push(char::from(c));
            continue;
        }
        out.push(match rest.next()? {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'x' => {
                let hex = [*rest.next()?, *rest.next()?];
                char::from(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?)
            }
            c @ (b'\\' | b'\'' | b'"') => char::from(*c),
            _ => return None,
        });
    }
    Some(out)
}
