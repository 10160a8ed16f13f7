//! `effattn tokenizer`: tokenizers made of texts.

use super::Exit;
use crate::checkpoint::bytes;
use crate::cli::CommonArgs;
use crate::document::{Documents, Format, Options, check};
use crate::error::{Error, Result};
use crate::output::say;
use crate::report::grouped;
use clap::{Args, Subcommand, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::wordlevel::{WordLevel, WordLevelTrainer};
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::pre_tokenizers::whitespace::Whitespace;
use tokenizers::{AddedToken, Tokenizer};

/// The token of words that are not in the vocabulary.
const UNKNOWN: &str = "<unk>";
/// Tokens of single bytes.
const BYTES: usize = 256;

/// `effattn tokenizer`.
#[derive(Debug, Args)]
pub struct TokenizerArgs {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with tokenizers.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a tokenizer.json from texts
    Train(TrainArgs),
}

/// `effattn tokenizer train`.
#[derive(Debug, Args)]
#[command(
    after_help = "The same texts give the same file, whatever the number of threads. Records (JSONL, CSV, TSV) are documents as `decode` reads them"
)]
pub struct TrainArgs {
    /// Texts to train on; `-` or nothing for standard input
    #[arg(value_name = "FILE")]
    pub input: Vec<String>,
    /// What a token is
    #[arg(long, value_name = "LEVEL")]
    pub level: Level,
    /// Tokens of the vocabulary at most, special ones among them [bytes: 256 and the special ones]
    #[arg(long, value_name = "N")]
    pub vocab_size: Option<usize>,
    /// Times that a word, or a pair of tokens, has to occur to become a token [default: 1]
    #[arg(long, value_name = "N")]
    pub min_frequency: Option<u64>,
    /// Special tokens, which no text is cut into unless it spells them: the first ids (bytes: the last ones)
    #[arg(long, value_name = "TOKENS", value_delimiter = ',')]
    pub special: Vec<String>,
    /// Make no difference between capital and small letters
    #[arg(long)]
    pub lowercase: bool,
    /// How the files are read, whatever their names end in
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub input_format: Format,
    /// Column or key of the document [default: the first of document, article, text, input]
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,
    /// File to write, complete or absent; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// A byte: its id is its value; nothing is learned, no text is needed
    Bytes,
    /// A frequent sequence of bytes (byte-pair encoding)
    Bpe,
    /// A word or a mark of punctuation; all others are `<unk>`
    Word,
}

/// Makes the tokenizer; prints the file's name.
pub fn run(args: &TokenizerArgs, common: &CommonArgs, out: &mut dyn Write) -> Result<Exit> {
    let Action::Train(args) = &args.action;
    args.check()?;
    let path = Some(args.output.as_path()).filter(|p| !crate::output::is_stdout(p));
    if let Some(path) = path.filter(|p| !crate::output::Target::is_device(p)) {
        crate::output::check(path, false)?;
        if path.exists() && !args.force {
            return Err(
                Error::new(format!("`{}` is there already", path.display())).hint("name another file, or replace it with `--force`")
            );
        }
    }
    let tokenizer = train(args)?;
    let json = tokenizer.to_string(true).map_err(failed)? + "\n";
    crate::output::whole(path, &json, out)?;
    if path.is_some() {
        writeln!(out, "{}", args.output.display())?;
    }
    if !common.quiet {
        let size = tokenizer.get_vocab_size(true);
        let short = args.vocab_size.filter(|wanted| size < *wanted);
        let why = short.map_or(String::new(), |wanted| format!(" of {}: the texts have no more", grouped(wanted)));
        say(format_args!("{} tokens{why}", grouped(size)));
    }
    Ok(Exit::Success)
}

impl TrainArgs {
    /// Refuses what cannot be, before anything is read.
    fn check(&self) -> Result<()> {
        let refuse = |message: String, hint: &str| Err(Error::usage(message).hint(hint));
        let least = match self.level {
            Level::Bytes | Level::Bpe => BYTES + self.special.len(),
            Level::Word => 1 + self.special.iter().filter(|s| *s != UNKNOWN).count(),
        };
        if let Some((i, token)) = self.special.iter().enumerate().find(|(i, s)| s.is_empty() || self.special[..*i].contains(s)) {
            let what = if token.is_empty() { "is empty" } else { "comes twice" };
            return refuse(format!("special token {} `{token}` {what}", i + 1), "name each once, separated by commas");
        }
        // byte-level models write each byte as a letter of its own
        let byte = |token: &&String| {
            self.level != Level::Word && token.chars().count() == 1 && token.chars().all(|c| ByteLevel::alphabet().contains(&c))
        };
        if let Some(token) = self.special.iter().find(byte) {
            return refuse(format!("special token `{token}` is the letter of a byte"), "name it otherwise, for instance `<sep>`");
        }
        match (self.level, self.vocab_size) {
            (Level::Bytes, Some(n)) if n != least => refuse(
                format!("a vocabulary of {n} tokens, but there are {least}: the bytes and the special ones"),
                "leave out `--vocab-size`",
            ),
            (Level::Bytes, _) if self.lowercase || self.min_frequency.is_some() => {
                refuse("`--level bytes` takes bytes as they are".to_owned(), "leave out `--lowercase` and `--min-frequency`")
            }
            (Level::Bytes, _) if !self.input.is_empty() => {
                refuse("`--level bytes` learns nothing from texts".to_owned(), "leave out the files")
            }
            (Level::Bpe | Level::Word, None) => refuse("`--vocab-size` is missing".to_owned(), "for instance `--vocab-size 8192`"),
            (_, Some(n)) if n < least => {
                refuse(format!("a vocabulary of {n} tokens has no room for the {least} that are always there"), "make it larger")
            }
            _ => Ok(()),
        }
    }

    fn special(&self) -> Vec<AddedToken> {
        self.special.iter().map(|token| AddedToken::from(token.as_str(), true)).collect()
    }
}

fn failed(e: tokenizers::Error) -> Error {
    Error::new(format!("the tokenizer cannot be made: {e}"))
}

fn train(args: &TrainArgs) -> Result<Tokenizer> {
    match args.level {
        Level::Bytes => of_bytes(args),
        Level::Bpe => {
            let mut tokenizer = Tokenizer::new(BPE::default());
            tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true))).with_decoder(Some(ByteLevel::default()));
            let trainer = BpeTrainer::builder()
                .show_progress(false)
                .vocab_size(args.vocab_size.unwrap_or(BYTES))
                .min_frequency(args.min_frequency.unwrap_or(1))
                .special_tokens(args.special())
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .build();
            learn(args, tokenizer, trainer.into())
        }
        Level::Word => {
            let model = WordLevel::builder().unk_token(UNKNOWN.to_owned()).build().map_err(failed)?;
            let mut tokenizer = Tokenizer::new(model);
            tokenizer.with_pre_tokenizer(Some(Whitespace {}));
            let own = args.special().into_iter().filter(|token| token.content != UNKNOWN);
            let trainer = WordLevelTrainer::builder()
                .show_progress(false)
                .vocab_size(args.vocab_size.unwrap_or(1))
                .min_frequency(args.min_frequency.unwrap_or(1))
                .special_tokens(std::iter::once(AddedToken::from(UNKNOWN, true)).chain(own).collect::<Vec<_>>())
                .build()
                .map_err(|e| Error::new(format!("the tokenizer cannot be made: {e}")))?;
            learn(args, tokenizer, trainer.into())
        }
    }
}

/// Byte b is token b.
fn of_bytes(args: &TrainArgs) -> Result<Tokenizer> {
    let mut tokenizer = bytes::with_first(&[])?;
    tokenizer.add_special_tokens(args.special()).map_err(failed)?;
    Ok(tokenizer)
}

/// Trains on the lines of all documents, each with the line feed at its end, as the Python package reads files.
fn learn(args: &TrainArgs, mut tokenizer: Tokenizer, mut trainer: TrainerWrapper) -> Result<Tokenizer> {
    if args.lowercase {
        tokenizer.with_normalizer(Some(Lowercase)).map_err(failed)?;
    }
    let options = Options { format: args.input_format, text_column: args.text_column.clone(), ..Options::default() };
    check(&args.input, &options)?;
    let texts = Documents::open(&args.input, options).map(|item| item?.text).collect::<Result<Vec<String>>>()?;
    let lines = texts.iter().flat_map(|text| text.split_inclusive('\n'));
    tokenizer.train(&mut trainer, lines).map_err(failed)?;
    Ok(tokenizer)
}
