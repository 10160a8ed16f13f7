//! Keys and values as the products of [`super::panel`] want them: in blocks of [`WIDTH`] positions, appended in place.

use super::panel::WIDTH;

/// Keys and values of one sequence, all heads, growing at the end.
#[derive(Debug)]
pub struct Keys {
    heads: usize,
    width: usize,
    len: usize,
    k: Vec<f32>, // block, head, feature, position in block
    v: Vec<f32>, // block, head, features / WIDTH, position in block, feature in panel
}

impl Clone for Keys {
    /// A copy with the same room to grow: a beam that forks goes on without allocating.
    fn clone(&self) -> Self {
        let mut copy = Self { k: Vec::with_capacity(self.k.capacity()), v: Vec::with_capacity(self.v.capacity()), ..*self };
        copy.k.extend_from_slice(&self.k);
        copy.v.extend_from_slice(&self.v);
        copy
    }
}

impl Keys {
    /// None yet, for `heads` heads of `width` features.
    pub fn new(heads: usize, width: usize) -> Self {
        Self { heads, width, len: 0, k: Vec::new(), v: Vec::new() }
    }

    /// Positions stored.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of what is stored (whole blocks).
    pub fn bytes(&self) -> usize {
        (self.k.len() + self.v.len()) * size_of::<f32>()
    }

    /// Bytes of `positions` positions of `heads` heads of `width` features.
    pub fn bytes_at(heads: usize, width: usize, positions: usize) -> usize {
        let empty = Self::new(heads, width);
        positions.div_ceil(WIDTH) * (empty.k_block() + empty.v_block()) * size_of::<f32>()
    }

    /// Makes room for `positions` in all, so that appending does not allocate.
    pub fn reserve(&mut self, positions: usize) {
        let blocks = positions.div_ceil(WIDTH);
        self.k.reserve_exact((blocks * self.k_block()).saturating_sub(self.k.len()));
        self.v.reserve_exact((blocks * self.v_block()).saturating_sub(self.v.len()));
    }

    /// Stores t more positions, `k` and `v` (t, heads · width).
    pub fn append(&mut self, k: &[f32], v: &[f32]) {
        let d = self.heads * self.width;
        let t = k.len() / d;
        let blocks = (self.len + t).div_ceil(WIDTH);
        self.k.resize(blocks * self.k_block(), 0.0);
        self.v.resize(blocks * self.v_block(), 0.0);
        for (k, v) in k.chunks_exact(d).zip(v.chunks_exact(d)) {
            self.put(self.len, k, v);
            self.len += 1;
        }
    }

    fn put(&mut self, position: usize, k: &[f32], v: &[f32]) {
        let (block, lane, panels) = (position / WIDTH, position % WIDTH, self.width.div_ceil(WIDTH));
        let (k0, v0) = (block * self.k_block(), block * self.v_block());
        for (f, x) in k.iter().enumerate() {
            self.k[k0 + f * WIDTH + lane] = *x;
        }
        for (h, v) in v.chunks_exact(self.width).enumerate() {
            for (c, part) in v.chunks(WIDTH).enumerate() {
                let at = v0 + ((h * panels + c) * WIDTH + lane) * WIDTH;
                self.v[at..at + part.len()].copy_from_slice(part);
            }
        }
    }

    fn k_block(&self) -> usize {
        self.heads * self.width * WIDTH
    }

    fn v_block(&self) -> usize {
        self.heads * self.width.div_ceil(WIDTH) * WIDTH * WIDTH
    }

    /// The panel of one block and head: `width` lines of one feature, [`WIDTH`] positions each.
    pub(super) fn k_panel(&self, block: usize, head: usize) -> &[f32] {
        let at = block * self.k_block() + head * self.width * WIDTH;
        &self.k[at..at + self.width * WIDTH]
    }

    /// Panel `c` of the features of one block and head: [`WIDTH`] lines of one position, [`WIDTH`] features each.
    pub(super) fn v_panel(&self, block: usize, head: usize, c: usize) -> &[f32] {
        let at = block * self.v_block() + (head * self.width.div_ceil(WIDTH) + c) * WIDTH * WIDTH;
        &self.v[at..at + WIDTH * WIDTH]
    }
}
