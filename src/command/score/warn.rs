//! What may be wrong with the texts, though they can be scored.

use super::args::{Definition, ScoreArgs};
use crate::document::Format;
use crate::metric::rouge::has_no_ascii_words;
use crate::metric::tokenize::Tokenizer;
use crate::output::say;
use crate::segments::Corpus;
use serde_json::{Map, Value};

/// Segments that end in a tokenised full stop before sacreBLEU, and so this program, says something.
const TOKENISED: usize = 100;

/// Says it on standard error.
pub fn of(args: &ScoreArgs, corpus: &Corpus) {
    let standard = args.definition == Definition::Standard;
    let asked = |prefix: &str| args.names().iter().any(|m| m.to_ascii_lowercase().starts_with(prefix));
    for system in &corpus.systems {
        let name = &system.name;
        let tokenised = || system.texts.iter().filter(|t| t.ends_with(" .")).take(TOKENISED).count() == TOKENISED;
        if asked("bleu") && standard && !args.bleu.force && args.bleu.tokenize != Tokenizer::None && tokenised() {
            say(format_args!(
                "warning: `{name}` has {TOKENISED} segments or more that end in ` .`: tokenised text is cut again and scores differently; \
                 detokenise it, or say `--force` if it is as it should be"
            ));
        }
        let first = system.texts.get(0).trim();
        if args.columns.input_format.of(name) == Format::Text
            && first.starts_with('{')
            && serde_json::from_str::<Map<String, Value>>(first).is_ok()
        {
            say(format_args!("warning: `{name}` is read as plain text, but looks like records: `--input-format jsonl` reads them"));
        }
    }
    if asked("rouge") && standard && !args.rouge.unicode {
        wordless(corpus);
    }
}

/// ROUGE sees nothing of a text without a–z and 0–9.
fn wordless(corpus: &Corpus) {
    let mut references = Vec::new();
    let reference = |i: usize| {
        references.clear();
        corpus.references.segment(i, &mut references);
        references.iter().any(|r| has_no_ascii_words(r))
    };
    let sides = corpus.systems.iter().map(|s| (s.name.clone(), s.texts.iter().filter(|t| has_no_ascii_words(t)).count()));
    let sides: Vec<(String, usize)> = sides.collect();
    let count = (0..corpus.segments).filter({
        let mut reference = reference;
        move |&i| reference(i)
    });
    for (name, count) in sides.into_iter().chain([("the references".to_owned(), count.count())]).filter(|(_, n)| *n > 0) {
        say(format_args!(
            "warning: {count} of {} segments of {name} have no word of a–z and 0–9, which is all that rouge_score sees, and score 0; \
             `--unicode` takes the words of every script",
            corpus.segments
        ));
    }
}
