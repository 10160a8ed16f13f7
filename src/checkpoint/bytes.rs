//! Tokenizers whose tokens are bytes: ByT5's (Xue et al. 2022, <https://arxiv.org/abs/2105.13626>), which has no file, and the one `effattn tokenizer train` makes.
//!
//! Reference: transformers:src/transformers/models/byt5/tokenization_byt5.py. Byte b is token b + 3, `<pad>`, `</s>` and `<unk>` are 0, 1 and 2, and 125 sentinels follow the bytes.
//! Every text ends with `</s>`, also where its own last characters are that token's name; the reference then adds none. Bytes that are no UTF-8 are left out
//! of a text, as there, and so is U+FFFD itself, which stands for them in between.

use crate::error::{Error, Result};
use serde_json::Value;
use tokenizers::decoders::sequence::Sequence;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// The class of a checkpoint's config.json or tokenizer_config.json whose tokenizer has no file.
const CLASS: &str = "ByT5Tokenizer";
/// Its tokens before the bytes, in the order of their ids.
const FIRST: [&str; 3] = ["<pad>", "</s>", "<unk>"];
/// Its sentinels behind them.
const SENTINELS: usize = 125;

/// Whether the files name ByT5's class: tokenizer_config.json has the say, where it names one.
pub fn are_meant(config: &Value, tokenizer_config: Option<&Value>) -> bool {
    let class = |file: &Value| file["tokenizer_class"].as_str().map(str::to_owned);
    tokenizer_config.and_then(class).or_else(|| class(config)).is_some_and(|class| class == CLASS)
}

/// ByT5's tokenizer.
pub fn byt5() -> Result<Tokenizer> {
    let mut tokenizer = with_first(&FIRST)?;
    // the reference's take the blanks around them along
    let blind = |token: &str| AddedToken::from(token, true).lstrip(true).rstrip(true);
    let sentinels = (0..SENTINELS).map(|i| AddedToken::from(format!("<extra_id_{i}>"), true));
    tokenizer.add_special_tokens(FIRST.map(blind).into_iter().chain(sentinels).collect::<Vec<_>>()).map_err(failed)?;
    let end = TemplateProcessing::builder()
        .try_single("$A </s>")
        .map_err(|e| failed(e.into()))?
        .special_tokens(vec![("</s>", 1)])
        .build()
        .map_err(|e| failed(e.into()))?;
    tokenizer.with_post_processor(Some(end));
    let invalid = Replace::new("\u{FFFD}", "").map_err(failed)?;
    tokenizer.with_decoder(Some(Sequence::new(vec![ByteLevel::default().into(), invalid.into()])));
    Ok(tokenizer)
}

/// A tokenizer of bytes: `first` are the tokens 0, 1, … and the bytes follow in their order.
pub fn with_first(first: &[&str]) -> Result<Tokenizer> {
    let bytes = (0..=u8::MAX).map(|byte| letter(byte).to_string());
    let vocab = first.iter().map(|token| (*token).to_owned()).chain(bytes).zip(0..).collect::<Vocab>();
    // the alphabet of byte-level models, and nothing to merge
    let model = BPE::builder().vocab_and_merges(vocab, Vec::new()).build().map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    // without the pattern a text is one piece, and the model cuts it into its bytes
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, false))).with_decoder(Some(ByteLevel::default()));
    Ok(tokenizer)
}

/// The letter that stands for a byte in byte-level vocabularies (`bytes_to_unicode` of GPT-2): itself where it is printable in Latin-1, else the
/// next one from U+0100 on.
fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !printable(*b)).count() as u32;
    char::from_u32(0x100 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn failed(e: tokenizers::Error) -> Error {
    Error::new(format!("the tokenizer cannot be made: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The letters are those of the crate, each for another byte.
    #[test]
    fn letters_of_bytes_are_the_alphabet() {
        let letters: std::collections::BTreeSet<char> = (0..=u8::MAX).map(letter).collect();
        assert_eq!(letters, ByteLevel::alphabet().into_iter().collect());
        assert_eq!((letter(b' '), letter(b'\n'), letter(b'a'), letter(0xAD)), ('Ġ', 'Ċ', 'a', 'Ń'));
    }

    /// What `fixtures/tokenizer/byt5.py` has of transformers.
    #[test]
    fn texts_are_bytes_as_byt5_has_them() {
        let tokenizer = byt5().unwrap();
        let file = std::fs::read(format!("{}/fixtures/tokenizer/byt5_expected.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let expected: Value = serde_json::from_slice(&file).unwrap();
        let ids = |case: &Value| case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect::<Vec<_>>();
        let (texts, decoded) = (expected["texts"].as_array().unwrap(), expected["decoded"].as_array().unwrap());
        assert!(texts.len() >= 15 && decoded.len() >= 15);
        for case in texts {
            let text = case["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text, true).unwrap().get_ids(), ids(case), "{text:?}");
        }
        for case in decoded {
            assert_eq!(tokenizer.decode(&ids(case), true).unwrap(), case["text"].as_str().unwrap(), "{case}");
        }
        assert_eq!(tokenizer.get_vocab_size(true), 384);
    }

    #[test]
    fn either_file_may_name_it() {
        let (byt5, t5) = (json!({"tokenizer_class": "ByT5Tokenizer"}), json!({"tokenizer_class": "T5Tokenizer"}));
        assert!(are_meant(&byt5, None) && are_meant(&json!({}), Some(&byt5)));
        assert!(!are_meant(&byt5, Some(&t5)) && are_meant(&t5, Some(&byt5)), "the tokenizer's own file goes first");
        assert!(!are_meant(&t5, None) && !are_meant(&json!({}), Some(&t5)) && !are_meant(&json!({}), None));
    }
}
