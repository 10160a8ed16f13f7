//! Many texts in one buffer.

/// Texts by segment: slices of one buffer, 16 bytes a text beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    buffer: String,
    /// Start and end of each text.
    spans: Vec<(usize, usize)>,
}

impl Texts {
    /// Slices of `buffer`, whose ends have to be ends of characters.
    pub(super) fn of(buffer: String, spans: Vec<(usize, usize)>) -> Self {
        Self { buffer, spans }
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The text of segment `index`. Panics when there is none.
    pub fn get(&self, index: usize) -> &str {
        let (start, end) = self.spans[index];
        &self.buffer[start..end]
    }

    /// All texts in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.spans.iter().map(|&(start, end)| &self.buffer[start..end])
    }

    pub(super) fn push(&mut self, text: &str) {
        let start = self.buffer.len();
        self.buffer.push_str(text);
        self.spans.push((start, self.buffer.len()));
    }
}

/// The texts of one file's column: one a segment, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Column {
    texts: Texts,
    /// Where each segment's texts start, and where the last one's end; none: one text a segment.
    starts: Option<Vec<usize>>,
}

impl Column {
    /// One text a segment.
    pub(super) fn single(texts: Texts) -> Self {
        Self { texts, starts: None }
    }

    /// Adds a segment with these texts.
    pub(super) fn push<'a>(&mut self, segment: impl IntoIterator<Item = &'a str>) {
        let before = self.texts.len();
        segment.into_iter().for_each(|text| self.texts.push(text));
        if self.starts.is_none() && self.texts.len() != before + 1 {
            self.starts = Some((0..=before).collect());
        }
        if let Some(starts) = &mut self.starts {
            starts.push(self.texts.len());
        }
    }

    /// Number of segments.
    pub(super) fn len(&self) -> usize {
        self.starts.as_ref().map_or(self.texts.len(), |s| s.len() - 1)
    }

    fn range(&self, segment: usize) -> std::ops::Range<usize> {
        self.starts.as_ref().map_or(segment..segment + 1, |s| s[segment]..s[segment + 1])
    }

    /// Puts segment `order[i]` at place i.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        let spans = order.iter().flat_map(|&i| &self.texts.spans[self.range(i)]).copied().collect();
        self.starts = self.starts.as_ref().map(|_| {
            let ends = order.iter().scan(0, |end, &i| {
                *end += self.range(i).len();
                Some(*end)
            });
            std::iter::once(0).chain(ends).collect()
        });
        self.texts.spans = spans;
    }

    /// Whether the last `n` segments have no text.
    pub(super) fn ends_with_empty(&self, n: usize) -> bool {
        self.texts.iter().rev().take(n).all(str::is_empty)
    }

    /// The texts, one a segment.
    pub(super) fn into_texts(self) -> Texts {
        self.texts
    }
}

/// The references of each segment.
#[derive(Debug, Clone)]
pub struct References {
    columns: Vec<Column>,
    count: Option<usize>,
}

impl References {
    /// Those of all `columns`, which have the same number of segments.
    pub(super) fn of(columns: Vec<Column>) -> Self {
        let count = |segment: usize| columns.iter().map(|c| c.range(segment).len()).sum::<usize>();
        let all = if columns.iter().all(|c| c.starts.is_none()) {
            Some(columns.len())
        } else {
            let first = count(0);
            (0..columns[0].len()).all(|i| count(i) == first).then_some(first)
        };
        Self { columns, count: all }
    }

    /// References that each segment has; none: their number varies. 0 when none were asked for.
    pub fn count(&self) -> Option<usize> {
        self.count
    }

    /// Puts the references of a segment into `out`, in the order of the files; whatever was in it goes.
    pub fn segment<'a>(&'a self, segment: usize, out: &mut Vec<&'a str>) {
        out.clear();
        for column in &self.columns {
            out.extend(column.range(segment).map(|i| column.texts.get(i)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(references: &References, n: usize) -> Vec<Vec<&str>> {
        (0..n)
            .map(|i| {
                let mut out = vec!["old"];
                references.segment(i, &mut out);
                out
            })
            .collect()
    }

    fn column(segments: &[&[&str]]) -> Column {
        let mut column = Column::default();
        segments.iter().for_each(|s| column.push(s.iter().copied()));
        column
    }

    #[test]
    fn several_texts_a_segment_in_any_order() {
        let single = column(&[&["a"], &[""], &["c"]]);
        assert_eq!((single.len(), &single.starts), (3, &None));
        let mut mixed = column(&[&["a"], &["b", "bb"], &["c"], &["d", "dd", "ddd"]]);
        assert_eq!((mixed.len(), mixed.starts.clone()), (4, Some(vec![0, 1, 3, 4, 7])));
        mixed.reorder(&[3, 1, 0, 2]);
        assert_eq!(mixed.starts, Some(vec![0, 3, 5, 6, 7]));
        let references = References::of(vec![mixed]);
        assert_eq!(segments(&references, 4), [vec!["d", "dd", "ddd"], vec!["b", "bb"], vec!["a"], vec!["c"]]);
        assert_eq!(references.count(), None);
    }

    #[test]
    fn the_number_of_references_of_all_files_together() {
        let one = || column(&[&["a"], &["b"]]);
        assert_eq!(References::of(vec![]).count(), Some(0));
        assert_eq!(References::of(vec![one(), one()]).count(), Some(2));
        let (more, less) = (column(&[&["a", "b"], &["c"]]), column(&[&["x"], &["y", "z"]]));
        assert_eq!(References::of(vec![one(), more.clone()]).count(), None);
        let both = References::of(vec![more, less]);
        assert_eq!(both.count(), Some(3));
        assert_eq!(segments(&both, 2), [["a", "b", "x"], ["c", "y", "z"]]);
    }
}
