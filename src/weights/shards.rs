//! Which files an index names.

use crate::error::{Error, Result};
use crate::files;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The files an index names, each once. All are there.
pub(super) fn shards(dir: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let files = shards_named(dir, index)?;
    match files.iter().find(|f| !f.exists()) {
        Some(missing) => Err(Error::new(format!("{}: missing, though {} names it", missing.display(), index.display()))
            .hint("fetch all shards of the checkpoint")),
        None => Ok(files),
    }
}

/// The same whether they are there or not; none lies outside of the directory.
pub fn shards_named(dir: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let at = index.display();
    let bad = |what: String| Error::new(format!("{at}: {what}")).hint("the index must hold `weight_map`: {tensor: file}");
    let text = files::read(index)?.ok_or_else(|| bad("no such file".into()))?;
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
    let map = json["weight_map"].as_object().ok_or_else(|| bad("no `weight_map`".into()))?;
    let mut files = BTreeSet::new();
    for (tensor, file) in map {
        let file = file.as_str().ok_or_else(|| bad(format!("`{tensor}` names no file")))?;
        if file.is_empty() {
            return Err(bad(format!("`weight_map`: `{tensor}` names the file \"\"")));
        }
        if file.contains(['/', '\\']) || file == ".." || file == "." {
            return Err(bad(format!("`{tensor}` points outside the directory: `{file}`")));
        }
        files.insert(dir.join(file));
    }
    Ok(files.into_iter().collect())
}
