//! Files of `torch.save` before version 1.6, and with `_use_new_zipfile_serialization=False`: pickles one behind the other (a magic number,
//! the protocol, the system, the value, the names of the storages), then the storages, each behind its length.

use crate::convert::bytes::Bytes;
use crate::convert::pickle::{self, Item, Values};
use crate::error::{Error, Result};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// The magic number's bytes.
const MAGIC: &[u8] = b"\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19";
/// The protocol that there is.
const PROTOCOL: i64 = 1001;

/// Whether a file is of this kind.
pub fn is(file: &[u8]) -> bool {
    file.starts_with(&[0x80]) && file[..file.len().min(32)].windows(MAGIC.len()).any(|w| w == MAGIC)
}

/// The value, and the bytes of storages by name.
pub fn read(name: &str, file: &[u8]) -> Result<(Values, FxHashMap<String, Range<usize>>)> {
    let mut bytes = Bytes::of(name, file, file.len() as u64);
    pickle::read_torch(&mut bytes)?;
    let protocol = pickle::read_torch(&mut bytes)?;
    if !protocol.root().is_some_and(|id| *protocol.get(id) == Item::Int(PROTOCOL)) {
        return Err(bytes.error("a protocol of `torch.save` that is not known"));
    }
    let system = pickle::read_torch(&mut bytes)?;
    if system.root().and_then(|root| system.key(root, "little_endian")).is_some_and(|id| *system.get(id) == Item::Bool(false)) {
        return Err(super::file::big_endian(name));
    }
    let values = pickle::read_torch(&mut bytes)?;
    let keys = pickle::read_torch(&mut bytes)?;
    let storages = storages(name, file, bytes.position() as usize, &values, &keys)?;
    Ok((values, storages))
}

fn storages(name: &str, file: &[u8], from: usize, values: &Values, keys: &Values) -> Result<FxHashMap<String, Range<usize>>> {
    let bad = |what: String| Error::new(format!("{name}: {what}")).hint("fetch it again and compare its size");
    let mut sizes: FxHashMap<&str, usize> = FxHashMap::default();
    for item in values.all() {
        if let Item::Storage(storage) = item
            && let Item::Text(key) = values.get(storage.key)
        {
            sizes.insert(key, storage.element.size);
        }
    }
    let Some(Item::List(ids)) = keys.root().map(|id| keys.get(id)) else {
        return Err(bad("the names of its storages are missing".to_owned()));
    };
    let mut all = FxHashMap::default();
    let mut at = from;
    for id in ids {
        let Item::Text(key) = keys.get(*id) else { return Err(bad("a storage without a name".to_owned())) };
        let Some(size) = sizes.get(key.as_str()) else {
            return Err(bad(format!("its storage `{}` belongs to nothing", super::shown(key))));
        };
        let range = file.get(at..).and_then(|rest| rest.first_chunk::<8>()).and_then(|count| {
            let length = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(*size)?;
            let end = (at + 8).checked_add(length)?;
            (end <= file.len()).then_some(at + 8..end)
        });
        let range = range.ok_or_else(|| bad(format!("the file ends before its storage `{}` does", super::shown(key))))?;
        at = range.end;
        all.insert(key.clone(), range);
    }
    Ok(all)
}
