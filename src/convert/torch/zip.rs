//! Where the entries of a zip file lie. `torch.save` stores them as they are, so nothing is unpacked here: the file's own table of contents is
//! believed only as far as the file reaches (APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 to 4.3.16, 4.5.3).

use crate::error::{Error, Result};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// Bytes of the record at the end, without its comment.
const END: usize = 22;
/// Bytes of the header before an entry, without name and extra field.
const LOCAL: usize = 30;
/// Bytes of a line of the table, without name, extra field and comment.
const LINE: usize = 46;
/// Entries at most.
const MOST: u64 = 500_000;

/// An entry's bytes by its name. Fails on whatever is no zip file, on entries that are packed or encrypted, and on entries that overlap.
pub fn entries(name: &str, file: &[u8]) -> Result<FxHashMap<String, Range<usize>>> {
    let bad = |what: &str| Error::new(format!("{name}: not a readable zip file: {what}")).hint("fetch it again and compare its size");
    let (count, from) = table(file).ok_or_else(|| bad("its table of contents is missing"))?;
    if count > MOST {
        return Err(bad("it has more entries than any checkpoint"));
    }
    let mut all = FxHashMap::default();
    let mut ranges = Vec::new();
    let mut at = from;
    for _ in 0..count {
        let line = Line::read(file, at).ok_or_else(|| bad("its table of contents ends in the middle"))?;
        if line.packed {
            return Err(Error::new(format!("{name}: its entries are packed or encrypted, which `torch.save` never does"))
                .hint("unpack it and pack it again without compression (`zip -0`), or load it with PyTorch and save it again"));
        }
        let range = line.range(file, from).ok_or_else(|| bad("an entry lies outside of it"))?;
        ranges.push((range.start, range.end));
        if all.insert(line.name, range).is_some() {
            return Err(bad("two entries have the same name"));
        }
        at = line.next;
    }
    ranges.retain(|(start, end)| start < end);
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(bad("entries overlap"));
    }
    Ok(all)
}

/// Entries of the table, and where it begins.
fn table(file: &[u8]) -> Option<(u64, usize)> {
    let last = file.len().checked_sub(END)?;
    let is_end = |at: &usize| file[*at..].starts_with(b"PK\x05\x06") && short(file, at + 20) == Some((last - at) as u64);
    let end = (last.saturating_sub(0xFFFF)..=last).rev().find(is_end)?;
    let (mut count, mut from) = (short(file, end + 10)?, word(file, end + 16)?);
    let locator = end.checked_sub(20).filter(|at| file[*at..].starts_with(b"PK\x06\x07"));
    if let Some(locator) = locator
        && (count == 0xFFFF || from == 0xFFFF_FFFF || word(file, end + 12)? == 0xFFFF_FFFF)
    {
        let record = usize::try_from(long(file, locator + 8)?).ok()?;
        if !file.get(record..)?.starts_with(b"PK\x06\x06") {
            return None;
        }
        (count, from) = (long(file, record.checked_add(32)?)?, long(file, record.checked_add(48)?)?);
    }
    Some((count, usize::try_from(from).ok()?))
}

/// A line of the table.
struct Line {
    name: String,
    packed: bool,
    size: u64,
    /// Where the header before the entry's bytes lies.
    local: u64,
    /// Where the next line begins.
    next: usize,
}

impl Line {
    fn read(file: &[u8], at: usize) -> Option<Self> {
        let head = file.get(at..at.checked_add(LINE)?)?;
        if !head.starts_with(b"PK\x01\x02") {
            return None;
        }
        let size_of = |i: usize| short(head, i).map(|n| n as usize);
        let (flags, method) = (short(head, 8)?, short(head, 10)?);
        let (mut packed_size, mut size, mut local) = (word(head, 20)?, word(head, 24)?, word(head, 42)?);
        let name_end = at + LINE + size_of(28)?;
        let extra_end = name_end + size_of(30)?;
        let name = file.get(at + LINE..name_end)?;
        // the long numbers, in this order, of those that do not fit
        let mut wide = wide(file.get(name_end..extra_end)?).unwrap_or_default();
        for number in [&mut size, &mut packed_size, &mut local] {
            if *number == 0xFFFF_FFFF {
                *number = long(wide, 0)?;
                wide = &wide[8..];
            }
        }
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            packed: method != 0 || flags & 1 != 0 || packed_size != size,
            size,
            local,
            next: extra_end + size_of(32)?,
        })
    }

    /// The entry's bytes, all of them before the table.
    fn range(&self, file: &[u8], table: usize) -> Option<Range<usize>> {
        let local = usize::try_from(self.local).ok()?;
        let head = file.get(local..local.checked_add(LOCAL)?)?;
        if !head.starts_with(b"PK\x03\x04") {
            return None;
        }
        let start = local + LOCAL + short(head, 26)? as usize + short(head, 28)? as usize;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        (end <= table).then_some(start..end)
    }
}

/// The field of long numbers among the extra fields.
fn wide(mut extra: &[u8]) -> Option<&[u8]> {
    loop {
        let (id, size) = (short(extra, 0)?, short(extra, 2)? as usize);
        let body = extra.get(4..4 + size)?;
        if id == 1 {
            return Some(body);
        }
        extra = &extra[4 + size..];
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(|b| u16::from_le_bytes(b).into())
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(|b| u32::from_le_bytes(b).into())
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A zip file of one entry whose sizes and place are long numbers.
    fn wide_file(contents: &[u8]) -> Vec<u8> {
        let name = b"a/b";
        let head = |sig: &[u8], at: usize, len: usize| {
            let mut out = vec![0; len];
            out[..4].copy_from_slice(sig);
            out[at..at + 2].copy_from_slice(&(name.len() as u16).to_le_bytes());
            out
        };
        let mut file = [head(b"PK\x03\x04", 26, LOCAL), name.to_vec(), contents.to_vec()].concat();
        let table = file.len() as u64;
        let mut line = head(b"PK\x01\x02", 28, LINE);
        [20..28, 42..46].into_iter().for_each(|r| line[r].fill(0xFF));
        let n = (contents.len() as u64).to_le_bytes();
        let extra = [&[9, 0, 1, 0, 7][..], &[1, 0, 24, 0], &n, &n, &0u64.to_le_bytes()].concat();
        line[30..32].copy_from_slice(&(extra.len() as u16).to_le_bytes());
        file.extend([line, name.to_vec(), extra].concat());
        let record = file.len() as u64;
        let mut end64 = vec![0; 56];
        end64[..4].copy_from_slice(b"PK\x06\x06");
        end64[32..40].copy_from_slice(&1u64.to_le_bytes());
        end64[48..56].copy_from_slice(&table.to_le_bytes());
        file.extend(end64);
        file.extend([&b"PK\x06\x07\0\0\0\0"[..], &record.to_le_bytes(), &[1, 0, 0, 0]].concat());
        let mut end = vec![0xFF; END];
        end[..4].copy_from_slice(b"PK\x05\x06");
        end[20..].fill(0);
        file.extend(end);
        file
    }

    #[test]
    fn long_numbers_are_read_and_believed_no_further_than_the_file() {
        let file = wide_file(b"contents");
        let found = entries("z", &file).unwrap();
        assert_eq!(&file[found["a/b"].clone()], b"contents");
        let message = |file: &[u8]| entries("z", file).unwrap_err().message().to_owned();
        let size_at = file.windows(4).position(|w| w == [1, 0, 24, 0]).unwrap() + 4;
        let with = |at: usize, byte: u8| {
            let mut file = file.clone();
            file[at] = byte;
            file
        };
        // both sizes, so that it is not packed
        let mut longer = with(size_at, 200);
        longer[size_at + 8] = 200;
        assert_eq!(message(&longer), "z: not a readable zip file: an entry lies outside of it");
        assert!(message(&with(size_at, 7)).contains("packed or encrypted"));
        assert!(message(&with(size_at + 23, 0x80)).contains("an entry lies outside of it"));
        for end in 0..file.len() {
            assert!(entries("z", &file[..end]).is_err(), "{end} bytes");
        }
        for at in 0..file.len() {
            for byte in [0, 1, 0x7F, 0xFF] {
                let _ = entries("z", &with(at, byte));
            }
        }
    }
}
