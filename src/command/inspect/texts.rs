//! What precisions are compared over: documents as tokens, and the tokens that the model is to predict.

use super::args::CompareArgs;
use crate::checkpoint::{Checkpoint, no_tokenizer};
use crate::command::decode::codec::Codec;
use crate::command::decode::fit::{Overflow, Room, fit};
use crate::decode::{Generation, Overrides, Task, search, source_prefix};
use crate::document::Documents;
use crate::error::{Error, Result};
use crate::kernel::on_the_pool;
use crate::model::{Info, Model, Source};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Most tokens that the model writes for a document.
pub const WRITTEN: usize = 64;
/// Documents that are made up, and the tokens of each.
const MADE_UP: (usize, usize) = (2, 256);

/// A document for [`Model::encode`], and the tokens that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What is read first: the document, or the first token of what a decoder-only model reads.
    pub source: Vec<u32>,
    /// What is to be predicted, each token from all before it.
    pub labels: Vec<u32>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// One a document.
    pub all: Vec<Text>,
    /// Whether nobody named documents.
    pub made_up: bool,
    /// Documents of which only the beginning is read.
    pub cut: usize,
    /// Most tokens of a document, if there is a limit.
    pub limit: Option<usize>,
}

impl Texts {
    /// The documents that `args` names, else made-up ones, and what `checkpoint` writes for them (a decoder-only model predicts the
    /// documents' own tokens instead). Its tokenizer is gone afterwards.
    ///
    /// Fails if a document cannot be read, if there is no tokenizer for them, and if nothing is left to predict.
    pub fn of(args: &CompareArgs, checkpoint: &mut Checkpoint) -> Result<Self> {
        let limit = limit(checkpoint.model.info());
        let (documents, cut) = match &args.documents {
            Some(file) => read(file, args, checkpoint, limit)?,
            None => (made_up(checkpoint.model.info(), limit), 0),
        };
        let all: Vec<Text> = if checkpoint.model.info().encoder_decoder {
            let settings = settings(checkpoint)?;
            documents.into_iter().map(|source| written(&*checkpoint.model, source, &settings)).collect::<Result<_>>()?
        } else {
            documents.into_iter().map(own).collect()
        };
        if all.iter().all(|t| t.labels.is_empty()) {
            return Err(Error::new("the documents leave no token to predict").hint("each needs two tokens at least: give longer ones"));
        }
        Ok(Self { all, made_up: args.documents.is_none(), cut, limit })
    }

    /// Tokens to predict.
    pub fn tokens(&self) -> usize {
        self.all.iter().map(|t| t.labels.len()).sum()
    }
}

/// The most tokens that a document may have.
fn limit(info: &Info) -> Option<usize> {
    let target = if info.encoder_decoder { None } else { info.max_target };
    info.max_source.into_iter().chain(target).min()
}

/// The documents of `file`, and how many of them had to be cut.
fn read(file: &str, args: &CompareArgs, checkpoint: &mut Checkpoint, limit: Option<usize>) -> Result<(Vec<Vec<u32>>, usize)> {
    let tokenizer = checkpoint.tokenizer.take().ok_or_else(|| {
        no_tokenizer(&checkpoint.name, checkpoint.dir.as_deref(), ", or leave out `--documents`: made-up tokens need none")
    })?;
    let task = Task::summarization(&checkpoint.config, checkpoint.model.info().encoder_decoder)?;
    let codec = Codec::text(tokenizer, &source_prefix(None, task.as_ref())?.unwrap_or_default(), "")?;
    let room = limit.map(|tokens| Room { tokens, limit: tokens });
    let (mut all, mut cut) = (Vec::new(), 0);
    for item in Documents::open(&[file.to_owned()], args.reading()) {
        let item = item?;
        let encoded = codec.encode(&item.text?).map_err(|e| e.at(&item.place))?.begin_with(checkpoint.model.info().prompt_start);
        let fitted = fit(&encoded, room, Overflow::Truncate).map_err(|e| e.at(&item.place))?;
        cut += usize::from(fitted.n_used < fitted.n_input);
        all.extend(fitted.pieces);
    }
    if all.is_empty() {
        return Err(Error::new(format!("there are no documents in `{file}`")).hint("give a file with at least one"));
    }
    Ok((all, cut))
}

/// Seeded token ids.
fn made_up(info: &Info, limit: Option<usize>) -> Vec<Vec<u32>> {
    let (documents, tokens) = MADE_UP;
    let vocabulary = info.vocab_size;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut id = || ((u64::from(rng.next_u32()) * vocabulary as u64) >> 32) as u32;
    let mut document = || {
        let mut ids: Vec<u32> = (0..limit.map_or(tokens, |most| tokens.min(most))).map(|_| id()).collect();
        ids.first_mut().zip(info.prompt_start).into_iter().for_each(|(first, start)| *first = start);
        ids
    };
    (0..documents).map(|_| document()).collect()
}

/// The checkpoint's own settings, made greedy. No end is forced where the tokens run out: the model did not choose it.
fn settings(checkpoint: &Checkpoint) -> Result<Generation> {
    let greedy = Overrides {
        num_beams: Some(1),
        do_sample: Some(false),
        num_return_sequences: Some(1),
        max_new_tokens: Some(WRITTEN),
        ..Overrides::default()
    };
    let settings = Generation::resolve(checkpoint.generation_config.as_ref(), &checkpoint.config, &greedy)?;
    Ok(Generation { forced_eos: Vec::new(), ..settings })
}

/// A document with what the model writes for it.
fn written(model: &dyn Model, source: Vec<u32>, settings: &Generation) -> Result<Text> {
    let document = Source::new(vec![source]);
    let (state, first) = on_the_pool(|| model.encode(&document))?;
    let start = vec![first.clone()];
    let mut search = search(model, state, first, start, &[0], settings)?;
    search.by_ref().try_for_each(|step| step.map(drop))?;
    let found = search.finish().into_iter().flatten().next().ok_or_else(|| Error::new("the search found nothing"))?;
    Ok(Text { source: document.rows.concat(), labels: found.tokens[1..].to_vec() })
}

/// A document whose tokens follow from its first.
fn own(mut document: Vec<u32>) -> Text {
    let labels = document.split_off(document.len().min(1));
    Text { source: document, labels }
}
