//! Putting the command line on top of a file's settings, and refusing what cannot be.

use super::settings::{Generation, Overrides};
use crate::error::{Error, Result};

fn set<T: Clone>(target: &mut T, value: &Option<T>) {
    if let Some(value) = value {
        *target = value.clone();
    }
}

impl Overrides {
    /// Settings that the command line has an option for.
    pub(super) const OPTIONS: [&str; 14] = [
        "num_beams",
        "do_sample",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "length_penalty",
        "early_stopping",
        "min_length",
        "max_length",
        "max_new_tokens",
        "num_return_sequences",
    ];

    /// Writes what is set over `settings`.
    pub(super) fn apply(&self, settings: &mut Generation) {
        set(&mut settings.num_beams, &self.num_beams);
        set(&mut settings.do_sample, &self.do_sample);
        set(&mut settings.temperature, &self.temperature);
        set(&mut settings.top_k, &self.top_k);
        set(&mut settings.top_p, &self.top_p);
        set(&mut settings.min_p, &self.min_p);
        set(&mut settings.repetition_penalty, &self.repetition_penalty);
        set(&mut settings.no_repeat_ngram_size, &self.no_repeat_ngram_size);
        set(&mut settings.length_penalty, &self.length_penalty);
        set(&mut settings.early_stopping, &self.early_stopping);
        set(&mut settings.num_return_sequences, &self.num_return_sequences);
        if self.min_length.is_some() || self.min_new_tokens.is_some() {
            settings.min_new_tokens = self.min_new_tokens;
            set(&mut settings.min_length, &self.min_length);
        }
        if self.max_length.is_some() || self.max_new_tokens.is_some() {
            settings.max_new_tokens = self.max_new_tokens;
            set(&mut settings.max_length, &self.max_length);
            settings.default_length &= self.max_length.is_none();
        }
        if settings.temperature == 0.0 {
            // the limit of sampling as the temperature falls: transformers refuses 0 and asks for `do_sample` false
            settings.temperature = 1.0;
            settings.do_sample = false;
        }
        self.unused(settings);
    }

    /// Whether the command line sets the setting of this name.
    pub(super) fn sets(&self, key: &str) -> bool {
        match key {
            "num_beams" => self.num_beams.is_some(),
            "do_sample" => self.do_sample.is_some(),
            "temperature" => self.temperature.is_some(),
            "top_k" => self.top_k.is_some(),
            "top_p" => self.top_p.is_some(),
            "min_p" => self.min_p.is_some(),
            "repetition_penalty" => self.repetition_penalty.is_some(),
            "no_repeat_ngram_size" => self.no_repeat_ngram_size.is_some(),
            "length_penalty" => self.length_penalty.is_some(),
            "early_stopping" => self.early_stopping.is_some(),
            "min_length" | "min_new_tokens" => self.min_length.is_some() || self.min_new_tokens.is_some(),
            "max_length" | "max_new_tokens" => self.max_length.is_some() || self.max_new_tokens.is_some(),
            "num_return_sequences" => self.num_return_sequences.is_some(),
            _ => false,
        }
    }

    /// Notes what was asked for but has no effect.
    fn unused(&self, settings: &mut Generation) {
        let drawn = [
            ("temperature", self.temperature.is_some_and(|t| t != 0.0)),
            ("top-k", self.top_k.is_some()),
            ("top-p", self.top_p.is_some()),
            ("min-p", self.min_p.is_some()),
        ];
        let beams = [("length-penalty", self.length_penalty.is_some()), ("early-stopping", self.early_stopping.is_some())];
        let named = |list: &[(&str, bool)]| {
            let set = list.iter().filter(|(_, set)| *set).map(|(name, _)| format!("`--{name}`"));
            set.collect::<Vec<_>>().join(", ")
        };
        for (names, off, needs) in
            [(named(&drawn), !settings.do_sample, "`--do-sample`"), (named(&beams), settings.num_beams < 2, "`--num-beams` of 2 or more")]
        {
            if off && !names.is_empty() {
                settings.notes.push(format!("no effect without {needs}: {names}"));
            }
        }
    }
}

/// What cannot be, and the setting that it is about.
pub(super) struct Fault {
    pub key: &'static str,
    pub error: Error,
}

type Checked = std::result::Result<(), Fault>;

fn need(holds: bool, key: &'static str, message: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Fault { key, error: Error::usage(message()) }) }
}

/// Rows of one document at most: more is a slip, and would take the memory before anything could be said.
const MOST_ROWS: usize = 65_536;
/// Tokens of one text at most: more is a slip, and a model without positions would go on without end.
const MOST_TOKENS: usize = 1 << 31;

impl Generation {
    /// Refuses values that cannot be. Written so that "not a number" fails each test.
    pub fn check(&self) -> Result<()> {
        self.checked().map_err(|fault| fault.error)
    }

    /// The same with the setting that is to blame.
    pub(super) fn checked(&self) -> Checked {
        let share = |name: &'static str, value: f64, low: bool, high: bool| {
            let above = if low { value >= 0.0 } else { value > 0.0 };
            let below = if high { value <= 1.0 } else { value < 1.0 };
            need(above && below, name, || {
                let (open, close) = (if low { '[' } else { '(' }, if high { ']' } else { ')' });
                format!("`{name}` must lie in {open}0, 1{close}, not {value}")
            })
        };
        for (name, value) in [("num_beams", self.num_beams), ("num_return_sequences", self.num_return_sequences)] {
            need((1..=MOST_ROWS).contains(&value), name, || format!("`{name}` must lie between 1 and {MOST_ROWS}, not {value}"))?;
        }
        need(self.temperature >= 0.0 && self.temperature.is_finite(), "temperature", || {
            format!("`temperature` must be 0 or more, not {}", self.temperature)
        })?;
        share("top_p", self.top_p, false, true)?;
        share("min_p", self.min_p, true, true)?;
        share("typical_p", self.typical_p, false, true)?;
        share("epsilon_cutoff", self.epsilon_cutoff, true, false)?;
        share("eta_cutoff", self.eta_cutoff, true, false)?;
        need(self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite(), "repetition_penalty", || {
            format!("`repetition_penalty` must be greater than 0, not {}", self.repetition_penalty)
        })?;
        need(self.length_penalty.is_finite(), "length_penalty", || {
            format!("`length_penalty` must be a number, not {}", self.length_penalty)
        })?;
        if let Some((start, factor)) = self.exponential_decay_length_penalty {
            need(factor > 0.0 && factor.is_finite() && !self.eos.is_empty(), "exponential_decay_length_penalty", || {
                format!("`exponential_decay_length_penalty` ({start}, {factor}) needs a factor above 0 and an `eos_token_id`")
            })?;
        }
        self.check_lengths()?;
        self.check_returns()?;
        self.check_forced()
    }

    fn check_lengths(&self) -> Checked {
        let longest = self.max_new_tokens.map_or(("max_length", self.max_length), |new| ("max_new_tokens", new));
        let shortest = self.min_new_tokens.map_or(("min_length", self.min_length), |new| ("min_new_tokens", new));
        need(longest.1 > 0, longest.0, || format!("`{}` must be at least 1", longest.0))?;
        for (name, value) in [longest, shortest] {
            need(value <= MOST_TOKENS, name, || format!("`{name}` is {value}, more than {MOST_TOKENS} tokens: is it mistyped?"))?;
        }
        let comparable = self.max_new_tokens.is_some() == self.min_new_tokens.is_some();
        let ((low, min), (high, max)) = (shortest, longest);
        if comparable && (self.max_new_tokens.is_some() || !self.default_length) && min > max {
            let hint = format!("lower `--{}` or raise `--{}`", low.replace('_', "-"), high.replace('_', "-"));
            return Err(Fault { key: low, error: Error::usage(format!("`{low}` {min} is greater than `{high}` {max}")).hint(hint) });
        }
        Ok(())
    }

    fn check_returns(&self) -> Checked {
        let (asked, key) = (self.num_return_sequences, "num_return_sequences");
        if self.num_beams > 1 && asked > self.num_beams {
            let message = format!("`num_return_sequences` {asked} is greater than `num_beams` {}", self.num_beams);
            return Err(Fault { key, error: Error::usage(message).hint(format!("set `--num-beams {asked}`")) });
        }
        if self.num_beams == 1 && asked > 1 && !self.do_sample {
            let message = format!("`num_return_sequences` is {asked}, but greedy search finds one sequence");
            return Err(Fault { key, error: Error::usage(message).hint(format!("set `--do-sample`, or `--num-beams {asked}`")) });
        }
        Ok(())
    }

    /// A token that is both forced and suppressed would leave no token at all.
    fn check_forced(&self) -> Checked {
        for (name, forced) in [("forced_bos_token_id", self.forced_bos.as_slice()), ("forced_eos_token_id", &self.forced_eos)] {
            let none_left = !forced.is_empty() && forced.iter().all(|t| self.suppress_tokens.contains(t));
            need(!none_left, name, || format!("`{name}` {forced:?} is suppressed by `suppress_tokens`"))?;
        }
        Ok(())
    }

    /// Refuses token ids that the model does not have.
    pub(super) fn check_vocabulary(&self, size: usize) -> Result<()> {
        let forced = self.forced_bos.iter().chain(&self.forced_eos);
        match forced.chain(self.bad_words.iter().flatten()).find(|&&t| t as usize >= size) {
            Some(token) => Err(Error::new(format!("the generation settings name token {token}, but the model has {size} tokens"))
                .hint("look at `forced_bos_token_id`, `forced_eos_token_id` and `bad_words_ids`")),
            None => Ok(()),
        }
    }
}
