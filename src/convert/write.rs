//! model.safetensors, written as the numbers come: what its header says is known only at the end, so room is left for it.

use super::pickle::Element;
use crate::error::{Error, Result};
use crate::output::reason;
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write, copy};
use std::path::{Path, PathBuf};

/// Bytes collected before they go to the disk.
const BUFFER: usize = 1 << 20;
/// Where tensors begin is a multiple of this.
const ALIGNMENT: usize = 64;

/// A tensor to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<usize>,
}

impl Planned {
    /// Its numbers.
    pub fn numbers(&self) -> u64 {
        self.shape.iter().map(|n| *n as u64).product()
    }
}

/// A tensor that is written.
struct Entry {
    name: String,
    kind: Element,
    shape: Vec<usize>,
    /// Its bytes, counted from the first tensor's, or from the begin of the file beside.
    range: [u64; 2],
    beside: bool,
}

/// The file on its way.
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    format: &'static str,
    room: usize,
    entries: Vec<Entry>,
    at: u64,
    /// Tensors whose bytes are no multiple of 4, which would leave what follows at an odd place: they go to the end.
    odd: Option<(BufWriter<File>, u64)>,
}

impl Writer {
    /// Begins a file that will have the tensors of `plan`; `format` is its metadata.
    pub fn create(path: &Path, plan: &[Planned], format: &'static str) -> Result<Self> {
        // the longest name of a kind, and more bytes than any has
        let (most, longest_kind) = (16 * plan.iter().map(Planned::numbers).sum::<u64>(), Element { name: "F8_E4M3", size: 16 });
        let entry = |p: &Planned| (p.name.clone(), described(longest_kind, &p.shape, [most, most]));
        let longest = header(format, plan.iter().map(entry)).len();
        let room = (8 + longest).next_multiple_of(ALIGNMENT) - 8;
        let mut file = BufWriter::with_capacity(BUFFER, open(path)?);
        file.seek(SeekFrom::Start(8 + room as u64)).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.to_owned(), file, format, room, entries: Vec::new(), at: 0, odd: None })
    }

    /// Begins a tensor; its bytes follow by [`Writer::write`].
    pub fn tensor(&mut self, name: &str, kind: Element, shape: &[usize]) -> Result<()> {
        let bytes = kind.size as u64 * shape.iter().map(|n| *n as u64).product::<u64>();
        let beside = !bytes.is_multiple_of(4);
        if beside && self.odd.is_none() {
            self.odd = Some((BufWriter::new(open(&self.odd_path())?), 0));
        }
        let at = match &mut self.odd {
            Some((_, at)) if beside => at,
            _ => &mut self.at,
        };
        let range = [*at, *at + bytes];
        *at += bytes;
        self.entries.push(Entry { name: name.to_owned(), kind, shape: shape.to_vec(), range, beside });
        Ok(())
    }

    /// Bytes of the tensor that was begun last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let beside = self.entries.last().is_some_and(|e| e.beside);
        let written = match &mut self.odd {
            Some((file, _)) if beside => file.write_all(bytes),
            _ => self.file.write_all(bytes),
        };
        written.map_err(|e| failed(&self.path, &e))
    }

    /// Writes what is left and the header; the file's bytes.
    pub fn finish(mut self) -> Result<u64> {
        let error = |e: std::io::Error| failed(&self.path, &e);
        let path = self.odd_path();
        let mut end = self.at;
        if let Some((mut file, bytes)) = self.odd.take() {
            file.flush().map_err(error)?;
            copy(&mut File::open(&path).map_err(error)?, &mut self.file).map_err(error)?;
            std::fs::remove_file(&path).map_err(error)?;
            end += bytes;
        }
        let place = |e: &Entry| if e.beside { e.range.map(|x| x + self.at) } else { e.range };
        let mut header =
            header(self.format, self.entries.iter().map(|e| (e.name.clone(), described(e.kind, &e.shape, place(e))))).into_bytes();
        if header.len() > self.room {
            return Err(Error::new(format!("{}: the header grew beyond its room", self.path.display())));
        }
        header.resize(self.room, b' ');
        self.file.seek(SeekFrom::Start(0)).map_err(error)?;
        self.file.write_all(&(self.room as u64).to_le_bytes()).map_err(error)?;
        self.file.write_all(&header).map_err(error)?;
        self.file.flush().map_err(error)?;
        self.file.get_ref().sync_all().map_err(error)?;
        Ok(8 + self.room as u64 + end)
    }

    fn odd_path(&self) -> PathBuf {
        self.path.with_extension("odd")
    }
}

fn described(kind: Element, shape: &[usize], range: [u64; 2]) -> Value {
    json!({"dtype": kind.name, "shape": shape, "data_offsets": range})
}

fn header(format: &str, entries: impl Iterator<Item = (String, Value)>) -> String {
    let mut map = Map::from_iter([("__metadata__".to_owned(), json!({"format": format}))]);
    map.extend(entries);
    Value::Object(map).to_string()
}

fn open(path: &Path) -> Result<File> {
    File::create(path).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, e: &std::io::Error) -> Error {
    Error::new(format!("{}: cannot be written: {}", path.display(), reason(e))).hint("check the free space and the directory's permissions")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::numbers::Kind;
    use safetensors::SafeTensors;

    #[test]
    fn mixed_kinds_come_back_and_stay_aligned() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model.safetensors");
        let tensors: [(&str, Kind, &[usize], Vec<u8>); 4] = [
            ("a", Kind::Bf16, &[3], vec![1, 2, 3, 4, 5, 6]),
            ("b", Kind::F32, &[1, 2], (10..18).collect()),
            ("c", Kind::Bf16, &[1], vec![7, 8]),
            ("d", Kind::Bf16, &[0, 5], vec![]),
        ];
        let plan: Vec<Planned> = tensors.iter().map(|t| Planned { name: t.0.into(), shape: t.2.to_vec() }).collect();
        let mut writer = Writer::create(&path, &plan, "pt").unwrap();
        for (name, kind, shape, bytes) in &tensors {
            writer.tensor(name, kind.element(), shape).unwrap();
            bytes.chunks(3).for_each(|part| writer.write(part).unwrap());
        }
        let size = writer.finish().unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(size, file.len() as u64);
        let read = SafeTensors::deserialize(&file).unwrap();
        for (name, kind, shape, bytes) in &tensors {
            let view = read.tensor(name).unwrap();
            assert_eq!(
                (view.shape(), view.data(), format!("{:?}", view.dtype())),
                (*shape, bytes.as_slice(), kind.name().to_owned()),
                "{name}"
            );
            assert!(*kind == Kind::Bf16 || (view.data().as_ptr() as usize - file.as_ptr() as usize).is_multiple_of(4), "{name}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
