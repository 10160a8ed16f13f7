//! The keys of a suite file, table by table, each with an example.

/// A kind of table: where it stands, as messages say it, and its keys with an example of each.
pub(super) struct Section {
    pub place: &'static str,
    pub keys: &'static [(&'static str, &'static str)],
}

pub(super) const TOP: Section = Section {
    place: "at the top",
    keys: &[
        ("summary", "\"LED against BART, 512 to 16,384 tokens\""),
        ("source", "\"Longformer, arXiv 2004.05150, fig. 1\""),
        ("protocol", ""),
        ("model", ""),
        ("case", ""),
        ("reported", ""),
    ],
};

pub(super) const PROTOCOL: Section = Section {
    place: "in `[protocol]`",
    keys: &[("repetitions", "5"), ("warmup", "true"), ("drop", "2"), ("statistic", "\"mean\""), ("delay", "0.5"), ("take-turns", "true")],
};

pub(super) const MODEL: Section = Section {
    place: "in `[[model]]`",
    keys: &[
        ("name", "\"led\""),
        ("path", "\"../led-base-16384\""),
        ("shipped", "\"led-small\""),
        ("random-weights", "true"),
        ("seed", "0"),
        ("set", "{ d_ff = 4096 }"),
        ("attention", "\"full\""),
        ("distance-from", "\"led\""),
    ],
};

pub(super) const CASE: Section = Section {
    place: "in `[[case]]`",
    keys: &[
        ("models", "[\"led\", \"bart\"]"),
        ("n-prompt", "\"512-16384*2\""),
        ("n-gen", "64"),
        ("n-depth", "0"),
        ("batch-size", "[1, 4]"),
        ("threads", "2"),
        ("dtype", "\"auto\""),
        ("strategy", "[\"greedy\", \"beam4\"]"),
    ],
};

pub(super) const REPORTED: Section = Section {
    place: "in `[[reported]]`",
    keys: &[
        ("model", "\"led\""),
        ("n-prompt", "512"),
        ("n-gen", "64"),
        ("n-depth", "0"),
        ("batch-size", "4"),
        ("threads", "2"),
        ("dtype", "\"f32\""),
        ("strategy", "\"beam4\""),
        ("figure", "0.061"),
        ("unit", "\"s/token\""),
        ("of", "\"encoder\""),
        ("where", "\"table 8\""),
        ("against", "\"bart\""),
        ("ratio", "2.62"),
    ],
};

/// All of them, in the order of a file.
pub(super) const SECTIONS: [&Section; 5] = [&TOP, &PROTOCOL, &MODEL, &CASE, &REPORTED];

impl Section {
    /// Its keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let keys = self.keys;
        keys.iter().map(|(name, _)| *name)
    }

    /// What to do about a key that this table does not have.
    pub(super) fn remedy(&self, key: &str) -> String {
        if let Some(near) = crate::nearest::nearest(key, self.names()) {
            return format!("did you mean `{near}`?");
        }
        let places: Vec<&str> = SECTIONS.iter().filter(|s| s.names().any(|k| k == key)).map(|s| s.place).collect();
        match places.is_empty() {
            false => format!("`{key}` stands {}", places.join(" and ")),
            true => format!("known {} are {}", self.place, super::text::all(self.names())),
        }
    }
}
