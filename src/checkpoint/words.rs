//! Checkpoints that cannot read text: what they have in place of tokenizer.json.

use crate::error::Error;
use std::path::Path;

/// Files of tokenizers that only Python's packages read, most telling first; those of a row belong together.
const OTHERS: [&[&str]; 8] = [
    &["spiece.model"],
    &["sentencepiece.bpe.model"],
    &["tokenizer.model"],
    &["source.spm", "target.spm"],
    &["source.spm"],
    &["target.spm"],
    &["vocab.json", "merges.txt"],
    &["vocab.txt"],
];

/// The error of a command that has to read text, with the way to a tokenizer.json; `otherwise`: how to do without.
pub fn no_tokenizer(name: &str, dir: Option<&Path>, otherwise: &str) -> Error {
    let link = dir.map(|dir| dir.join("tokenizer.json")).filter(|f| f.symlink_metadata().is_ok() && !f.exists());
    if let Some(link) = link {
        return Error::new(format!("`{name}` has no tokenizer.json: `{}` leads to a file that is not there", link.display()))
            .hint(format!("it was removed, or never fetched: for a name of the hub `--download` fetches it again{otherwise}"));
    }
    let there = |files: &&&[&str]| dir.is_some_and(|dir| files.iter().all(|f| dir.join(f).is_file()));
    let Some((files, dir)) = OTHERS.iter().find(there).zip(dir) else {
        return Error::new(format!("`{name}` has no tokenizer.json"))
            .hint(format!("put the checkpoint's tokenizer.json beside its config.json{otherwise}"));
    };
    let files = files.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(" and ");
    Error::new(format!("`{name}` has no tokenizer.json, only {files}")).hint(format!(
        "make one with Python's transformers: `AutoTokenizer.from_pretrained({dir:?}).save_pretrained({dir:?})`, or take the one of a repository with the same vocabulary{otherwise}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_there_and_what_to_make_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = || no_tokenizer("m", Some(dir.path()), ", or `--ids`");
        assert_eq!(error().message(), "`m` has no tokenizer.json");
        assert_eq!(error().remedy(), Some("put the checkpoint's tokenizer.json beside its config.json, or `--ids`"));
        std::fs::write(dir.path().join("vocab.json"), "").unwrap();
        assert_eq!(error().message(), "`m` has no tokenizer.json", "a vocabulary without merges is no tokenizer");
        std::fs::write(dir.path().join("merges.txt"), "").unwrap();
        assert_eq!(error().message(), "`m` has no tokenizer.json, only `vocab.json` and `merges.txt`");
        for file in ["tokenizer.model", "sentencepiece.bpe.model", "spiece.model"] {
            std::fs::write(dir.path().join(file), "").unwrap();
            assert_eq!(error().message(), format!("`m` has no tokenizer.json, only `{file}`"));
        }
        std::fs::remove_file(dir.path().join("spiece.model")).unwrap();
        for file in ["tokenizer.model", "sentencepiece.bpe.model", "vocab.json"] {
            std::fs::remove_file(dir.path().join(file)).unwrap();
        }
        for (file, said) in [("target.spm", "`target.spm`"), ("source.spm", "`source.spm` and `target.spm`")] {
            std::fs::write(dir.path().join(file), "").unwrap();
            assert_eq!(error().message(), format!("`m` has no tokenizer.json, only {said}"));
        }
        std::fs::remove_file(dir.path().join("target.spm")).unwrap();
        assert_eq!(error().message(), "`m` has no tokenizer.json, only `source.spm`");
        let hint = error().remedy().unwrap().to_owned();
        assert!(hint.contains("save_pretrained(\"/") && hint.ends_with(", or `--ids`"), "{hint}");
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nothing", dir.path().join("tokenizer.json")).unwrap();
            assert!(error().message().ends_with("/tokenizer.json` leads to a file that is not there"), "{}", error());
            assert!(error().remedy().is_some_and(|h| h.contains("`--download`") && h.ends_with(", or `--ids`")));
        }
    }
}
